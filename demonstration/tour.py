"""The guided tour behind ./demo: real calls through callrec, from the first ring to the proof that they are gone."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from demonstration.programs import (
    Background,
    DemoError,
    find_program,
    free_port,
    ignore_ending_signals,
    interrupt_on_ending_signals,
)
from demonstration.telephony import g711

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "demonstration"
STATE = HERE / "state"
COMMAND = ROOT / ".venv" / "bin" / "callrec"
PHONE_PYTHON = HERE / "pyvoip" / "bin" / "python"

CALLER, CALLER_AS_WRITTEN, CALLED = "07700900123", "07700 900 123", "02079460123"
SIPP_CALLER, SIPP_CALLER_AS_WRITTEN = "01632960456", "01632 960456"
TRUNK, PBX = "127.0.0.11", "127.0.0.2"
CONVERSATION_S = 8.0
INTERRUPTED = 130
"""Exit code where Ctrl-C came before the tour was over (128 + SIGINT, as shells say it)."""
QUIET = 100
"""Root mean square below which a channel of the export carries no voice (of 32768)."""

CONFIGURATION = """# Written by ./demo: what differs from the defaults of callrec, and nothing else.
[org]
name = "Better Comms"
[node]
id = "demo"
[paths]
recordings = "{recordings}"
state = "{state}"
[keys]
master_key_file = "{state}/master-key"
[sip]
listen = ["udp://127.0.0.1:{sip}", "tcp://127.0.0.1:{sip}"]
[rtp]
ports = "{rtp_first}-{rtp_last}"
[limits]
min_free = "64MiB"
[[peer]]
name = "trunk"
addresses = ["127.0.0.1", "{trunk}"]
role = "trunk"
trusted_identity = true
[[peer]]
name = "pbx"
addresses = ["{pbx}"]
role = "pbx"
trusted_identity = true
[[route]]
from = "trunk"
called = "*"
rule = "inbound"
destination = "sip:{pbx}:{pbx_port}"
[[capture_rule]]
name = "inbound"
direction = "inbound"
controller = "Better Comms (VOIP) Ltd"
purpose = "training_and_monitoring"
lawful_basis = "legitimate_interests"
assessment_ref = "LIA-2026-01"
notice = "training-and-monitoring"
retention_class = "unmatched"
[[retention_class]]
name = "unmatched"
keep = "2y"
from = "call"
[mqtt]
url = "mqtt://127.0.0.1:{mqtt}"
[privacy]
ledger_copy = "{state}/outside/ledger"
four_eyes = false  # one person shows it all; otherwise a second one approves a deletion
[api]
socket = "{socket}"
[roles]
{user} = "admin"
"""


class Stage:
    """What prints: numbered steps, the commands as an operator types them, and lines from behind the scenes."""

    def __init__(self) -> None:
        self._number = 0
        self._lock = threading.Lock()
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def step(self, title: str) -> None:
        self._number += 1
        self._print(f"\n{self._paint('1;36', f'{self._number:2}. {title}')}")

    def tell(self, text: str) -> None:
        self._print(f"    {text}")

    def event(self, text: str) -> None:
        self._print(self._paint("2", f"      mqtt  {text}"))

    def command(self, arguments: Sequence[str]) -> None:
        quoted = " ".join(f'"{word}"' if " " in word else word for word in arguments)
        self._print(self._paint("1", f"    $ callrec {quoted}"))

    def _print(self, text: str) -> None:
        with self._lock:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def _paint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._colour else text


class Tour:
    """The steps, in order; `close` ends every program that was started."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.running: list[Background] = []
        self.events: list[str] = []
        self._short = Path(tempfile.mkdtemp(prefix="callrec-demo-"))  # a UNIX socket's path holds 107 bytes
        self.configuration = STATE / "callrec.toml"
        self.ports = {"sip": free_port("127.0.0.1"), "mqtt": free_port("127.0.0.1"), "pbx_port": free_port(PBX)}

    # -- steps

    def set_up(self) -> None:
        self.stage.step("Set up: a master key, a configuration, empty stores")
        self._only_one()
        if STATE.exists():
            shutil.rmtree(STATE)
        (STATE / "outside").mkdir(parents=True, mode=0o700)
        for folder in [path for path in (ROOT / "recordings").iterdir() if path.is_dir()]:
            shutil.rmtree(folder)  # ciphertext of an earlier demo, whose keys went with its state
        self.configuration.write_text(
            CONFIGURATION.format(
                recordings=ROOT / "recordings",
                state=STATE,
                trunk=TRUNK,
                pbx=PBX,
                rtp_first=20000 + os.getpid() % 100 * 100,
                rtp_last=20099 + os.getpid() % 100 * 100,
                socket=self._short / "api.sock",
                user=_user(),
                **self.ports,
            )
        )
        self.callrec("keys", "init")
        self.stage.tell(f"configuration: {self.configuration.relative_to(ROOT)}, encrypted recordings: recordings/")

    def start_broker(self) -> None:
        self.stage.step("Start Mosquitto, where the reporting dashboard listens")
        broker, listener = find_program("mosquitto"), find_program("mosquitto_sub")
        if broker is None or listener is None:
            raise DemoError(
                "mosquitto and mosquitto_sub are missing; ./demo installs them (mosquitto, mosquitto-clients)"
            )
        file = STATE / "mosquitto.conf"
        file.write_text(f"listener {self.ports['mqtt']} 127.0.0.1\nallow_anonymous true\n")
        self._start("mosquitto", [broker, "-c", str(file)])
        self._wait_port(self.ports["mqtt"])
        self._start(
            "mosquitto_sub",
            [listener, "-h", "127.0.0.1", "-p", str(self.ports["mqtt"]), "-q", "1", "-t", "callrec/#", "-F", "%t %p"],
            on_line=self._show_event,
        )
        self.stage.tell(f"mqtt://127.0.0.1:{self.ports['mqtt']}; every event is shown below as it arrives")

    def start_recorder(self) -> None:
        self.stage.step("Start the recorder")
        self.stage.command(["run"])
        self._start("recorder", [str(COMMAND), "--config", str(self.configuration), "run"])
        status = self._wait_recording()
        self.stage.tell(
            f"callrec {status['version']} runs as process {status['pid']}, workers: {len(status['workers'])}"
        )

    def call_by_soft_phone(self) -> None:
        self.stage.step("A caller rings: pyVoIP, a soft-phone nobody here wrote, in a process of its own")
        host, voices = "127.0.0.1", HERE / "voices"
        pbx_address = f"{PBX}:{self.ports['pbx_port']}"
        command = [sys.executable, "-m", "demonstration.standin_pbx", "--listen", pbx_address, "--trunk", TRUNK]
        command += ["--recorder", f"{host}:{self.ports['sip']}", "--desk-voice", str(voices / "desk.wav")]
        pbx = self._start("stand-in PBX", command)
        pbx.wait_fact("ready", 10)
        command = [str(PHONE_PYTHON), str(HERE / "softphone.py"), "--server", pbx_address, "--user", CALLER]
        command += ["--call", CALLED, "--voice", str(voices / "caller.wav")]
        command += ["--sip-port", str(free_port(host)), "--rtp-port", str(free_port(host))]
        phone = self._start("soft-phone", command)
        phone.wait_fact("registered", 20)
        self.stage.tell(f"the phone registered as {CALLER} and dials {CALLED}")
        phone.wait_fact("answered", 30)
        self.stage.tell("callrec answered and plays the recording notice")
        codec = pbx.wait_fact("ringing", 60)["codec"]
        self.stage.tell(f"the notice is over; the desk rings ({codec})")
        pbx.wait_fact("answered", 15)
        self.stage.tell(f"the desk answered; both speak for {CONVERSATION_S:.0f} seconds")
        time.sleep(CONVERSATION_S)
        phone.say("hang up")
        heard = phone.wait_fact("heard", 15)
        desk = pbx.wait_fact("hung_up", 15)
        if heard["loud"] < 50 or desk["packets_heard"] < 100:
            raise DemoError(f"the parties did not hear each other: caller {heard}, desk {desk}")
        self.stage.tell(f"the caller hung up; the desk had heard {desk['packets_heard']} packets of its voice")
        self._wait_ended(1)

    def call_by_sipp(self) -> None:
        self.stage.step("A second caller: SIPp, as the trunk of another carrier, A-law")
        self._call_by_sipp()
        self.stage.tell(f"{SIPP_CALLER} called, heard the notice, spoke to the desk and hung up")

    def _call_by_sipp(self) -> None:
        before = len(self.json("find")["items"])
        sipp = find_program("sipp")
        if sipp is None:
            raise DemoError("sipp is missing; ./demo installs it (sip-tester)")
        audio = STATE / "caller.alaw"
        with wave.open(str(HERE / "voices" / "caller.wav")) as voice:
            audio.write_bytes(g711.encode(g711.PCMA, voice.readframes(voice.getnframes())))
        scenario = STATE / "caller.xml"
        template = (HERE / "sipp_caller.xml").read_text()
        scenario.write_text(template.replace("[audio_file]", str(audio)).replace("[caller]", SIPP_CALLER))
        command = [sipp, f"127.0.0.1:{self.ports['sip']}", "-sf", str(scenario), "-s", CALLED, "-i", TRUNK, "-m", "1"]
        command += ["-mi", TRUNK, "-timeout", "60s", "-nostdin"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=STATE, check=False, timeout=90)
        (STATE / "sipp.log").write_text(done.stdout + done.stderr)
        if done.returncode != 0:
            raise DemoError(f"SIPp ended with {done.returncode}; its log: {STATE / 'sipp.log'}")
        self._wait_ended(before + 1)

    def show_events(self) -> None:
        self.stage.step("The events: stored with the calls, numbered without a gap, no telephone number in them")
        self.callrec("events", "tail", "--after", "0")
        if not self.events:
            raise DemoError("no event reached the MQTT broker")
        if any(number[1:] in line for number in (CALLER, SIPP_CALLER) for line in self.events):
            raise DemoError("a telephone number stood in an MQTT event")

    def find_and_play(self) -> str:
        self.stage.step("Find the caller's calls, the number as people write it")
        self.callrec("find", CALLER_AS_WRITTEN)
        items = self.json("find", CALLER_AS_WRITTEN)["items"]
        if len(items) != 1 or items[0]["outcome"] != "recorded":
            raise DemoError(f"expected one recorded call from {CALLER}, found {items}")
        call_id: str = items[0]["call_id"]
        self.stage.step("Play it: left the caller, right the desk")
        self.callrec("play", call_id[:8])
        self.stage.step("What the caller's side and ours said to each other in SIP, and how the voice arrived")
        self.callrec("trace", call_id[:8])
        return call_id

    def export(self, call_id: str) -> None:
        self.stage.step("Export it")
        target = STATE / "export" / "call.wav"
        target.parent.mkdir()
        self.callrec("export", call_id[:8], "--format", "wav", "--to", str(target.relative_to(ROOT)))
        left, right, seconds = _loudness(target)
        self.stage.tell(f"{target.relative_to(ROOT)}: {seconds:.1f} s, RMS left {left:.0f}, right {right:.0f}")
        if min(left, right) < QUIET:
            raise DemoError("a channel of the export carries no voice")

    def show_ciphertext(self) -> None:
        self.stage.step("What lies on the disk")
        files = sorted((ROOT / "recordings").rglob("*.crec"))
        for file in files:
            self.stage.tell(
                f"{file.relative_to(ROOT)}: {file.stat().st_size} bytes, {file.read_bytes()[4096:4112].hex(' ')} …"
            )
        if not files:
            raise DemoError("no recording lies below recordings/")
        stores = [path for path in (*STATE.glob("*.db*"), *STATE.rglob("ledger*"), *files) if path.is_file()]
        for number in (CALLER, CALLER[1:], SIPP_CALLER[1:]):
            if holders := [path for path in stores if number.encode() in path.read_bytes()]:
                raise DemoError(f"{number} stands readable in {holders}")
        self.stage.tell(f"searched {len(stores)} files: neither number is readable in any of them")

    def delete(self, call_id: str) -> None:
        self.stage.step("The caller asks to be forgotten: one command")
        files = set((ROOT / "recordings").rglob("*.crec"))
        self.callrec("delete", "--number", CALLER_AS_WRITTEN, "--yes", "--reason", "the caller asked us to")
        self.stage.step("It is gone")
        self.callrec("find", CALLER_AS_WRITTEN)
        if items := self.json("find", CALLER_AS_WRITTEN)["items"]:
            raise DemoError(f"find still lists {items}")
        self.callrec("show", call_id[:8], expected=3)
        gone = files - set((ROOT / "recordings").rglob("*.crec"))
        if len(gone) != 1:
            raise DemoError(f"expected one recording less below recordings/, found {len(gone)}")
        self.stage.tell(
            "`show` exits 3 (not found or erased), the file and its key are destroyed, the tombstone stays:"
        )
        self.stage.tell("not even a restored backup brings this voice back")

    def keep_the_promise(self) -> None:
        self.stage.step("The other caller asks by letter: 28 days, and a certificate that anybody can verify")
        self.callrec("request", "new", "--number", SIPP_CALLER_AS_WRITTEN, "--channel", "post")
        request = self.json("request", "list")["items"][0]["id"][:8]
        self.callrec("request", "verify", request, "--method", "call_back")
        self.callrec("request", "approve", request)
        self.callrec("request", "execute", request, "--yes")
        folder = (STATE / "export").relative_to(ROOT)
        self.callrec("request", "certificate", request, "--to", str(folder / "certificate.json"))
        self.callrec("keys", "public", "--to", str(folder / "public.pem"))
        files = ("--verify", str(folder / "certificate.json"), "--public-key", str(folder / "public.pem"))
        self.callrec("request", "certificate", *files)
        if items := self.json("find")["items"]:
            raise DemoError(f"find still lists {items}")

    def leave_a_call(self) -> str:
        self._call_by_sipp()
        call_id: str = self.json("find")["items"][0]["call_id"]
        return call_id

    # -- what the steps use

    def callrec(self, *arguments: str, expected: int = 0) -> None:
        """Run the command before the audience's eyes."""
        self.stage.command(arguments)
        command = self._command(arguments)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, cwd=ROOT, check=False, timeout=120)
        if done.returncode != expected:
            raise DemoError(f"callrec {' '.join(arguments)} ended with {done.returncode}, expected {expected}")

    def json(self, *arguments: str) -> Any:
        """Run the command behind the scenes and return what it says."""
        done = self._silent(*arguments)
        if done.returncode != 0:
            raise DemoError(f"callrec {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def _silent(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = self._command([*arguments, "--json"])
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
        )

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return [str(COMMAND), "--config", str(self.configuration), *arguments]

    def _start(self, name: str, command: Sequence[str], **more: Any) -> Background:
        background = Background(name, command, STATE / f"{name.replace(' ', '-')}.log", **more)
        self.running.append(background)
        return background

    def _show_event(self, line: str) -> None:
        topic, _, payload = line.partition(" ")
        self.events.append(line)
        if "/event/" in topic:
            said = json.loads(payload)
            self.stage.event(f"{topic.partition('/event/')[2]:20} no. {int(said['sequence'])}  {said['id']}")

    def _wait_recording(self, seconds: float = 30.0) -> Any:
        deadline = time.monotonic() + seconds
        problem = ""
        while time.monotonic() < deadline:
            if self.running[-1].process.poll() is not None:
                raise DemoError(f"the recorder ended; its log: {self.running[-1].log}")
            done = self._silent("status")
            if done.returncode == 0 and (status := json.loads(done.stdout))["recording"]:
                return status
            problem = (done.stdout + done.stderr).strip()
            time.sleep(0.2)
        raise DemoError(f"the recorder does not record after {seconds:.0f} s: {problem}")

    def _wait_ended(self, calls: int, seconds: float = 15.0) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            items = self.json("find")["items"]
            if sum(not item["in_progress"] for item in items) >= calls:
                return
            time.sleep(0.2)
        raise DemoError(f"{calls} ended calls were expected within {seconds:.0f} s, found {items}")

    @staticmethod
    def _wait_port(port: int, seconds: float = 10.0) -> None:
        import socket  # noqa: PLC0415 — used in this one place

        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise DemoError(f"nothing listens on 127.0.0.1:{port} after {seconds:.0f} s; see {STATE}/mosquitto.log")

    def _only_one(self) -> None:
        """Keep a second tour of this clone from taking the first one's stores away; the lock ends with the process."""
        folder = os.open(HERE, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError("another ./demo runs in this clone: end it first, or use a clone of its own") from None

    def close(self) -> None:
        ignore_ending_signals()
        for background in reversed(self.running):
            background.stop()
        shutil.rmtree(self._short, ignore_errors=True)


def _user() -> str:
    import pwd  # noqa: PLC0415 — used in this one place

    return pwd.getpwuid(os.geteuid()).pw_name


def _loudness(path: Path) -> tuple[float, float, float]:
    """Return the root mean square of both channels and the length in seconds."""
    with wave.open(str(path)) as file:
        samples = memoryview(file.readframes(file.getnframes())).cast("h")
        seconds = file.getnframes() / file.getframerate()
    sides = (samples[0::2], samples[1::2])
    left, right = ((sum(value * value for value in side) / max(1, len(side))) ** 0.5 for side in sides)
    return left, right, seconds


def guide(tour: Tour) -> None:
    """Walk through all steps."""
    tour.set_up()
    tour.start_broker()
    tour.start_recorder()
    tour.call_by_soft_phone()
    tour.call_by_sipp()
    tour.show_events()
    call_id = tour.find_and_play()
    tour.export(call_id)
    tour.show_ciphertext()
    tour.delete(call_id)
    tour.keep_the_promise()
    tour.stage.step("That was callrec")


def stay(tour: Tour) -> None:
    """Leave everything running until Ctrl-C, with a call to look at."""
    tour.stage.tell("One more call, which nobody deletes:")
    call = tour.leave_a_call()[:8]
    config = tour.configuration.relative_to(ROOT)
    tour.stage.tell("Everything keeps running until Ctrl-C. In another terminal:")
    looks = (f"{verb} {call}" for verb in ("show", "play", "trace"))
    for words in ("find", *looks, "status", "events tail --follow", "--help"):
        tour.stage.tell(f"    .venv/bin/callrec --config {config} {words}")
    while tour.running[2].process.poll() is None:
        time.sleep(0.5)
    raise DemoError(f"the recorder ended by itself; its log: {tour.running[2].log}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="./demo", description="callrec, shown with real calls on this machine")
    parser.add_argument("--once", action="store_true", help="end after the tour")
    once = parser.parse_args().once
    interrupt_on_ending_signals()
    tour = Tour()
    code = INTERRUPTED
    try:
        guide(tour)
        code = 0
        if not once:
            stay(tour)
    except (DemoError, OSError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"\n./demo: {error}\n")
        code = 1
    except KeyboardInterrupt:
        sys.stdout.write("\n")
    finally:
        tour.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
