"""Runs the real `callrec` command."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = Path(sys.executable).parent / "callrec"


@dataclass(frozen=True)
class Ran:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def run(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Ran:
    """Run a command without a terminal."""
    done = subprocess.run(
        [COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
    )
    return Ran(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def run_at_terminal(
    answer: str,
    *arguments: str | Path,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Ran:
    """Run a command at a terminal where a person types an answer; all it prints comes as `out`."""
    master, slave = pty.openpty()
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})}
    command = [COMMAND, *arguments]
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, close_fds=True, env=environment, cwd=directory
    )
    os.close(slave)
    os.write(master, answer.encode())
    output = b""
    while piece := _read(master):
        output += piece
    os.close(master)
    return Ran(process.wait(30), output.decode(errors="replace"), "")


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65_536)
    except OSError:  # the other end is closed
        return b""
