"""A real `callrec run` in folders and on ports of its own, and the `callrec` command beside it."""

from __future__ import annotations

import asyncio
import atexit
import http.client
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

from callrec.clock import SystemClock
from callrec.recorder.health import Health
from callrec.recorder.stores import open_stores
from callrec.settings import load
from demonstration.telephony.messages import Address
from tests.support.ports import free_block, free_port
from tests.support.processes import Program, wait_until

COMMAND = Path(sys.executable).parent / "callrec"
TRUNK, PBX = "127.0.0.11", "127.0.0.2"
DDI = "02079460123"
SHORT_NOTICE, SHORT_NOTICE_S = "short", 1.2
READY_S = 20.0

CONFIGURATION = """
[org]
name = "Better Comms"
[node]
id = "{node}"
test = true
[paths]
recordings = "recordings"
state = "state"
[keys]
master_key_file = "{directory}/secrets/master-key"
[sip]
listen = ["udp://127.0.0.1:{sip_port}", "tcp://127.0.0.1:{sip_port}"]
max_calls = {max_calls}
drain_seconds = {drain_seconds}
[rtp]
ports = "{rtp_first}-{rtp_last}"
workers = {workers}
[limits]
min_free = "1MiB"
[[peer]]
name = "trunk"
addresses = ["127.0.0.1", "127.0.0.11"]
role = "trunk"
trusted_identity = true
[[peer]]
name = "pbx"
addresses = ["127.0.0.2"]
role = "pbx"
trusted_identity = true
transport = "{pbx_transport}"
{routes}
[[capture_rule]]
name = "inbound"
direction = "inbound"
controller = "Better Comms (VOIP) Ltd"
purpose = "training_and_monitoring"
lawful_basis = "legitimate_interests"
assessment_ref = "LIA-2026-01"
notice = "{notice}"
{rule}
retention_class = "unmatched"
[[retention_class]]
name = "unmatched"
keep = "2y"
from = "call"
{mqtt}
[privacy]
ledger_copy = "{directory}/ledger-copy/ledger"
[api]
socket = "{directory}/api.sock"
[roles]
{user} = "admin"
{more}
"""

ROUTE = """[[route]]
from = "trunk"
called = "*"
rule = "inbound"
destination = "sip:{host}:{port}"
answer_timeout = "{answer_timeout}"
"""


@dataclass
class Plan:
    """What a test may change of the recorder's configuration."""

    pbx_port: int = 0
    pbx_transport: str = "udp"
    answer_timeout: str = "30s"
    first_routes: str = ""
    """Routes that are tried before the one that sends every call from the trunk to the PBX."""
    rule: str = ""
    """Lines added to the capture rule, such as `menu = "main"`."""
    more: str = ""
    """Tables added at the end of the file."""
    max_calls: int = 500
    drain_seconds: int = 30
    workers: int = 1
    rtp_ports: int = 400
    mqtt_url: str = ""
    notice: str = SHORT_NOTICE
    node: str = "rec1"
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a command said."""

    code: int
    out: bytes
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Recorder:
    """One installation: its folders live as long as the `with` block, whatever happens to the process."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        # A short path: the address of a UNIX socket holds 107 bytes (unix(7)).
        self.directory = Path(tempfile.mkdtemp(prefix="callrec-"))
        self.sip: Address = ("127.0.0.1", free_port())
        self.rtp = free_block(plan.rtp_ports)
        self.configuration = self.directory / "callrec.toml"
        self.recordings = self.directory / "recordings"
        self.state = self.directory / "state"
        self.log = self.directory / "run.log"
        self._program: Program | None = None
        for name in ("recordings", "state", "ledger-copy", "secrets"):
            (self.directory / name).mkdir(mode=0o700)
        self.write_configuration()

    # -- the installation

    def write_configuration(self, **changes: Any) -> None:
        """Write the file anew, with some of the plan changed."""
        for name, value in changes.items():
            setattr(self.plan, name, value)
        plan = self.plan
        route = ROUTE.format(host=PBX, port=plan.pbx_port or 5062, answer_timeout=plan.answer_timeout)
        text = CONFIGURATION.format(
            directory=self.directory,
            node=plan.node,
            sip_port=self.sip[1],
            max_calls=plan.max_calls,
            drain_seconds=plan.drain_seconds,
            rtp_first=self.rtp[0],
            rtp_last=self.rtp[1],
            workers=plan.workers,
            pbx_transport=plan.pbx_transport,
            routes=plan.first_routes.replace("PBX_PORT", str(plan.pbx_port)) + route,
            notice=plan.notice,
            rule=plan.rule,
            mqtt=f'[mqtt]\nurl = "{plan.mqtt_url}"' if plan.mqtt_url else "",
            user=pwd.getpwuid(os.geteuid()).pw_name,
            more=plan.more.replace("PBX_PORT", str(plan.pbx_port)),
        )
        self.configuration.write_text(text)

    def set_up(self, *, afresh: bool = False) -> Self:
        """Give it keys, empty stores, and a notice that lasts 1.2 s.

        Args:
            afresh: make keys that no other installation has, and leave the stores to the first start. Otherwise both
                are copied: they were made once, the same way, and cost two thirds of a second each time.
        """
        if afresh:
            self.must("keys", "init")
        else:
            for name in ("state", "secrets", "ledger-copy"):
                shutil.copytree(prepared() / name, self.directory / name, dirs_exist_ok=True)
        if self.plan.notice == SHORT_NOTICE:
            shutil.copytree(notice_library(), self.state / "notices")
        return self

    # -- the process

    def start(self, *, wait: bool = True) -> Self:
        """Start `callrec run`; by default return when it answers OPTIONS."""
        command = [str(COMMAND), "--config", str(self.configuration), "run"]
        self._program = Program(command, self.log, self.plan.environment)
        if wait:
            self.wait_ready()
        return self

    @property
    def process(self) -> Program:
        assert self._program is not None, "the recorder was not started"
        return self._program

    @property
    def pid(self) -> int:
        return self.process.process.pid

    def wait_ready(self, timeout: float = READY_S) -> float:
        """Wait until the SIP port answers OPTIONS with 200; return how many seconds that took."""
        started = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((TRUNK, 0))
            probe.settimeout(0.1)
            while time.monotonic() - started < timeout:
                assert self.process.running, (
                    f"callrec run ended with {self.process.wait()}:\n{self.process.output[-6000:]}"
                )
                if self._options(probe):
                    return time.monotonic() - started
        raise AssertionError(f"no answer to OPTIONS within {timeout} s:\n{self.process.output[-6000:]}")

    def _options(self, probe: socket.socket) -> bool:
        host, port = probe.getsockname()
        mark = os.urandom(6).hex()
        request = (
            f"OPTIONS sip:{self.sip[0]}:{self.sip[1]} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{mark};rport\r\nMax-Forwards: 70\r\n"
            f"From: <sip:probe@{host}>;tag={mark}\r\nTo: <sip:{self.sip[0]}>\r\n"
            f"Call-ID: {mark}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
        try:
            probe.sendto(request.encode(), self.sip)
            return probe.recv(4096).startswith(b"SIP/2.0 200")
        except OSError:
            threading.Event().wait(0.02)  # a refused port answers at once: leave the recorder the processor
            return False

    def kill(self) -> None:
        """End the recorder as a power cut would; its workers notice by themselves."""
        self.process.kill()

    def stop(self, timeout: float = 20.0) -> int:
        """Ask the recorder to end twice: drain, and now."""
        if not self.process.running:
            return self.process.wait()
        self.process.signal(signal.SIGTERM)
        try:
            return self.process.process.wait(1.0)
        except subprocess.TimeoutExpired:
            return self.process.stop(timeout)

    def restart(self) -> float:
        """Start again after `kill` or `stop`; return the seconds until OPTIONS was answered."""
        self.start(wait=False)
        return self.wait_ready()

    # -- the command

    def run(self, *arguments: str, timeout: float = 60.0, environment: Mapping[str, str] | None = None) -> Outcome:
        """Run the `callrec` command and return what it said."""
        done = subprocess.run(
            [str(COMMAND), "--config", str(self.configuration), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
            env={**os.environ, **self.plan.environment, **(environment or {})},
        )
        return Outcome(done.returncode, done.stdout, done.stderr.decode(errors="replace"))

    def must(self, *arguments: str, timeout: float = 60.0) -> Outcome:
        """Run a command that has to succeed."""
        outcome = self.run(*arguments, timeout=timeout)
        assert outcome.code == 0, f"callrec {' '.join(arguments)}: exit {outcome.code}\n{outcome.out!r}\n{outcome.err}"
        return outcome

    def find(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the items that `callrec find` lists, newest first."""
        items: list[dict[str, Any]] = self.must("find", *arguments, "--json").json["items"]
        return items

    def status(self) -> dict[str, Any]:
        """Return what `callrec status` says, whether it finds a problem or not."""
        outcome = self.run("status", "--json")
        assert outcome.code in {0, 1}, outcome.err
        said: dict[str, Any] = outcome.json
        return said

    def status_now(self) -> dict[str, Any]:
        """Ask the recorder itself, without the half second that starting a command takes."""
        address = self.directory / "api.sock"
        wait_until(address.is_socket, "people are answered, too")  # calls come first at a start
        connection = http.client.HTTPConnection("callrec", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(address))
        try:
            connection.request("GET", "/api/v1/status")
            said: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return said

    def wait_items(self, count: int, timeout: float = 20.0) -> list[dict[str, Any]]:
        """Wait until so many calls are over, and return them all."""
        items: list[dict[str, Any]] = []

        def all_over() -> bool:
            items[:] = self.find()
            return sum(not item["in_progress"] for item in items) >= count

        wait_until(all_over, f"{count} calls are over", timeout)
        return items

    def tail(self) -> str:
        """Return the end of the recorder's log, for the message of a failure."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    def export(self, call_id: str) -> tuple[int, list[int], list[int]]:
        """Return the sampling rate, the left and the right channel of a recording's WAV."""
        return self.export_all([call_id])[call_id]

    def export_all(self, call_ids: Sequence[str]) -> dict[str, tuple[int, list[int], list[int]]]:
        """Return rate, left and right of several recordings, exported by one command."""
        folder = self.directory / "export"
        folder.mkdir(exist_ok=True)
        self.must("export", *call_ids, "--format", "wav", "--to", str(folder))
        exported = {call_id: read_wav(folder / f"{call_id}.wav") for call_id in call_ids}
        shutil.rmtree(folder)
        return exported

    def close(self) -> None:
        if self._program is not None:
            self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.set_up().start()

    def __exit__(self, *_: object) -> None:
        self.close()


@cache
def prepared() -> Path:
    """Return the folder of an installation that has keys and stores, opened once, and was never started."""
    recorder = Recorder(Plan())
    atexit.register(recorder.close)
    recorder.must("keys", "init")

    async def open_once() -> None:
        clock = SystemClock()
        await (await open_stores(load(recorder.configuration, {}), clock, Health(clock))).close()

    asyncio.run(open_once())
    return recorder.directory


@cache
def notice_library() -> Path:
    """Return the notices of an installation into which an operator brought the short one."""
    recorder = Recorder(Plan())
    atexit.register(recorder.close)
    audio = recorder.directory / "short.wav"
    write_tone(audio, SHORT_NOTICE_S)
    recorder.must("notice", "import", str(audio), "--id", SHORT_NOTICE, "--text", "This call is recorded.")
    return recorder.state / "notices"


def read_wav(path: Path) -> tuple[int, list[int], list[int]]:
    """Return rate, left and right of a 16-bit stereo WAV."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        data = file.readframes(file.getnframes())
        samples = memoryview(data).cast("h")
        return file.getframerate(), list(samples[0::2]), list(samples[1::2])


def write_tone(path: Path, seconds: float, rate: int = 8000) -> None:
    """Write a WAV of a plain saw tooth that no test voice resembles."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(
            b"".join(
                ((place % 20) * 600 - 6000).to_bytes(2, "little", signed=True) for place in range(int(seconds * rate))
            )
        )
