"""The caller: pyVoIP, a soft-phone that nobody of this project wrote. Runs in its own environment and process.

    demonstration/pyvoip/bin/python demonstration/softphone.py --server 127.0.0.2:5062 --user 07700900123 \
        --call 02079460123 --voice caller.wav --sip-port 5099 --rtp-port 5200

It speaks until somebody hangs up or its standard input says so (a line, or its end).
It prints one JSON object a line: registered, calling, answered, heard (frames, and how many were not silent), ended.
It imports nothing of callrec, and callrec nothing of it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyVoIP.VoIP import CallState, InvalidStateError, PhoneStatus, VoIPPhone

FRAME_BYTES = 160
FRAME_S = 0.02
SILENCE = 128
REGISTER_S = 10.0
ANSWER_S = 30.0
LONGEST_S = 120.0


def tell(what: str, **details: object) -> None:
    sys.stdout.write(json.dumps({"what": what, **details}) + "\n")
    sys.stdout.flush()


def wait(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            tell("failed", error=f"{what} did not happen within {seconds} s")
            os._exit(1)  # pyVoIP's threads would keep the process alive
        time.sleep(0.02)


def eight_bits(path: Path) -> bytes:
    """Return the samples of a 16-bit WAV as pyVoIP wants them: unsigned, 8 bits, 8 kHz."""
    with wave.open(str(path), "rb") as file:
        data = file.readframes(file.getnframes())
    samples = memoryview(data).cast("h")
    return bytes((sample >> 8) + SILENCE for sample in samples)


def talk(call: Any, voice: bytes) -> tuple[int, int]:
    """Speak and listen; return how many frames were heard and how many of them were not silent."""
    told = threading.Event()

    def listen() -> None:
        sys.stdin.readline()
        told.set()

    threading.Thread(target=listen, daemon=True).start()
    frames = loud = 0
    deadline = time.monotonic() + LONGEST_S
    spoken_until = time.monotonic()
    while time.monotonic() < deadline and call.state == CallState.ANSWERED and not told.is_set():
        if time.monotonic() >= spoken_until:
            call.write_audio(voice)
            spoken_until += len(voice) / 8000
        frame = call.read_audio(FRAME_BYTES, blocking=False)
        frames += 1
        loud += max(frame) - min(frame) > 8
        time.sleep(FRAME_S)
    return frames, loud


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--call", required=True)
    parser.add_argument("--voice", type=Path, required=True)
    parser.add_argument("--sip-port", type=int, required=True)
    parser.add_argument("--rtp-port", type=int, required=True)
    given = parser.parse_args()
    host, _, port = given.server.rpartition(":")
    phone = VoIPPhone(
        host,
        int(port),
        given.user,
        "no password: the stand-in PBX asks for none",
        myIP="127.0.0.1",
        sipPort=given.sip_port,
        rtpPortLow=given.rtp_port,
        rtpPortHigh=given.rtp_port,
    )
    phone.start()
    wait(lambda: phone.get_status() == PhoneStatus.REGISTERED, REGISTER_S, "registration")
    tell("registered")
    # pyVoIP reads its socket from another thread one second after it registered: a call before that loses its answer.
    time.sleep(1.2)
    call = phone.call(given.call)
    tell("calling", number=given.call)
    wait(lambda: call.state != CallState.DIALING, ANSWER_S, "an answer")
    tell("answered", state=call.state.value)
    frames, loud = talk(call, eight_bits(given.voice))
    tell("heard", frames=frames, loud=loud)
    try:
        call.hangup()
        tell("ended", by="caller")
    except InvalidStateError:
        tell("ended", by="callee")
    phone.stop()
    os._exit(0)  # pyVoIP's timers may still be asleep


if __name__ == "__main__":
    main()
