"""The same calls through rtpengine in user space, recording: what a relay in C takes for what the worker does.

rtpengine (Debian's rtpengine-daemon) is told of each call over its ng protocol: JSON over UDP.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from callrec.identifiers import new_id

ANSWER_S = 2.0
START_S = 10.0
_PORT = re.compile(r"^m=audio (\d+) ", re.MULTILINE)
_CONTROL_ADDRESS = "127.0.0.1"


class Rtpengine:
    """A running rtpengine without its kernel module."""

    def __init__(self, folder: Path, *, record: bool) -> None:
        """Start it in a folder, where it records every call as pcap if it is to.

        Raises:
            FileNotFoundError: where it is not installed.
        """
        program = shutil.which("rtpengine", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise FileNotFoundError("rtpengine is missing: apt install rtpengine-daemon")
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((_CONTROL_ADDRESS, 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind((_CONTROL_ADDRESS, 0))
            self._control = free.getsockname()
        command = [program, "--foreground", "--log-stderr", "--log-level=2", "--config-file=none", "--table=-1"]
        command += [f"--interface={_CONTROL_ADDRESS}", f"--listen-ng={_CONTROL_ADDRESS}:{self._control[1]}"]
        command += ["--port-min=20000", "--port-max=59999", "--timeout=600", "--silent-timeout=600"]
        self._records = record
        if record:
            command += [f"--recording-dir={folder}", "--recording-method=pcap", "--recording-format=raw"]
        # It may leave a core file where it was started, when it is ended.
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self._ask({"command": "ping"}, 0.2)
            except OSError:
                continue
            return
        self.close()
        raise RuntimeError("rtpengine does not answer")

    def _ask(self, request: dict[str, Any], limit: float = ANSWER_S) -> dict[str, Any]:
        cookie = new_id().encode()
        self._socket.settimeout(limit)
        self._socket.sendto(cookie + b" " + json.dumps(request).encode(), self._control)
        while True:
            data = self._socket.recv(65536)
            if data.startswith(cookie + b" "):
                answer: dict[str, Any] = json.loads(data[len(cookie) + 1 :])
                return answer

    def add_call(self, number: int, ends: tuple[tuple[str, int], tuple[str, int]]) -> tuple[int, int]:
        """Let rtpengine relay between two ends; return the ports to which the first and the second of them sends."""
        caller, callee = (_session(*end) for end in ends)
        said: dict[str, Any] = {"call-id": f"call-{number}", "from-tag": "caller", "flags": ["trust-address"]}
        if self._records:
            said["record call"] = "on"
        offered = self._ask({**said, "command": "offer", "sdp": caller})
        answered = self._ask({**said, "command": "answer", "to-tag": "callee", "sdp": callee})
        return _port(answered), _port(offered)

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(20)
        self._socket.close()


def _session(host: str, port: int) -> str:
    lines = ("v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0", f"m=audio {port} RTP/AVP 8")
    return "\r\n".join((*lines, "a=rtpmap:8 PCMA/8000", "a=sendrecv", ""))


def _port(answer: dict[str, Any]) -> int:
    found = _PORT.search(answer.get("sdp", ""))
    if found is None:
        raise RuntimeError(f"rtpengine refused a call: {answer.get('error-reason', answer)}")
    return int(found[1])
