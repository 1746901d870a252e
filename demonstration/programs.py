"""The programs of the tour: started with their output in a file, asked to end, and never left behind."""

from __future__ import annotations

import json
import os
import queue
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PORTS = range(3_000, 10_000)
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoError(Exception):
    """A step of the tour did not do what it should; the message says which, and where to look."""


def find_program(name: str) -> str | None:
    """Return the path of a program, also where only root looks."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def free_port(host: str) -> int:
    """Return a port that is free for UDP and TCP just now.

    It lies below those that the kernel gives out by itself (ip(7), ip_local_port_range: from 32768), where any socket
    of any program could take it before the tour does.
    """
    for port in random.sample(PORTS, len(PORTS)):
        if all(_is_free(kind, host, port) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)):
            return port
    raise DemoError(f"no port of {PORTS.start}-{PORTS.stop - 1} is free on {host}")


def _is_free(kind: socket.SocketKind, host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, kind) as trial:
        try:
            trial.bind((host, port))
        except OSError:
            return False
        return True


def interrupt_on_ending_signals() -> None:
    """Make every way of ending the tour a KeyboardInterrupt, so that no program stays behind.

    SIGINT is among them because a script's `./demo &` starts with it ignored; SIGHUP is not under nohup(1).
    """
    for number in ENDING_SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def ignore_ending_signals() -> None:
    """Let the tour end its programs undisturbed: each takes seconds at most."""
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class Background:
    """A program that runs beside the tour; its output goes to a log, its JSON lines are told as facts."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, on_line: Callable[[str], None] | None = None
    ) -> None:
        self.name, self.log = name, log
        self.facts: queue.Queue[dict[str, Any]] = queue.Queue()
        self._on_line = on_line
        with log.open("ab") as errors:  # appended, like its lines, so that neither writes over the other
            self.process = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self._reader = threading.Thread(target=self._read, name=name, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.log.open("a") as log:
                log.write(line)
            if self._on_line is not None:
                self._on_line(line.rstrip("\n"))
            elif line.startswith("{"):
                self.facts.put(json.loads(line))

    def wait_fact(self, what: str, timeout: float) -> dict[str, Any]:
        """Return the next fact of a kind; a fact called "failed", or the program's end, ends the tour."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                fact = self.facts.get(timeout=0.2)
            except queue.Empty:
                if self.process.poll() is not None and self.facts.empty():
                    raise DemoError(f"{self.name} ended before '{what}'; its log: {self.log}") from None
                continue
            if fact["what"] == what:
                return fact
            if fact["what"] in {"failed", "refused"}:
                raise DemoError(f"{self.name}: {fact}; its log: {self.log}")
        raise DemoError(f"{self.name} did not say '{what}' within {timeout:.0f} s; its log: {self.log}")

    def say(self, line: str) -> None:
        """Write a line to the program's standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def stop(self, timeout: float = 8.0) -> None:
        """Ask the program to end, twice where it drains, and kill it where it stays."""
        for _ in range(2):
            if self.process.poll() is not None:
                return
            self.process.terminate()
            try:
                self.process.wait(timeout / 2)
            except subprocess.TimeoutExpired:
                continue
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(5)
