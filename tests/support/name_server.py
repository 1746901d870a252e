"""dnsmasq as the DNS server of a test: real answers from a program that nobody of this project wrote."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import dns.exception
import dns.message
import dns.query

from tests.support.ports import free_port
from tests.support.processes import Program, program

HOST = "127.0.0.1"


class NameServer:
    """One dnsmasq on a free port of loopback that answers for example.test, and says no to all else."""

    def __init__(self, records: Sequence[str], directory: Path, port: int = 0, ttl_s: int = 5) -> None:
        self.port = port or free_port(HOST)
        self._directory, self._ttl_s = directory, ttl_s
        self._program = self._start(records)

    def _start(self, records: Sequence[str]) -> Program:
        command = [program("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"]
        command += ["--user=", "--group=", "--pid-file=", f"--port={self.port}", f"--listen-address={HOST}"]
        command += ["--bind-interfaces", "--local=/test/", f"--local-ttl={self._ttl_s}", "--cache-size=0"]
        self._directory.mkdir(parents=True, exist_ok=True)
        started = Program([*command, *(f"--{record}" for record in records)], self._directory / "dnsmasq.log")
        self._wait()
        return started

    def _wait(self) -> None:
        until = time.monotonic() + 5
        while time.monotonic() < until:
            try:
                dns.query.udp(dns.message.make_query("ready.test.", "A"), HOST, timeout=0.2, port=self.port)
            except (dns.exception.DNSException, OSError):
                time.sleep(0.02)
            else:
                return
        raise AssertionError(f"dnsmasq did not answer on port {self.port}")

    def change(self, records: Sequence[str]) -> None:
        """Serve other records from now on."""
        self.stop()
        self._program = self._start(records)

    def stop(self) -> None:
        """End it: from here on DNS is dead."""
        self._program.stop()

    def __enter__(self) -> NameServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


class SilentServer:
    """A DNS server that takes every question and answers none."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> SilentServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
