"""Tells systemd how the service is: ready, reloading, stopping, alive (sd_notify(3), systemd.service(5))."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Mapping

log = logging.getLogger("callrec.recorder.notify")

WATCHDOG_SHARE = 0.4
"""How much of WatchdogSec passes between two signs of life: sd_watchdog_enabled(3) says every half at the latest."""


class Notifier:
    """Sends one datagram a fact to the service manager; says nothing where there is none.

    A service manager that went away or is slow never stops the recorder: what cannot be sent at once is dropped.
    """

    def __init__(self, address: str | bytes | None, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        """Seconds after which systemd kills a service that gave no sign of life; None where it does not watch."""
        self._address = address
        self._socket: socket.socket | None = None
        if address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(0)

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ, pid: int | None = None) -> Notifier:
        """Return the notifier that NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID ask for.

        Args:
            environment: where the service manager left its words.
            pid: whose watchdog it is; None means this process.
        """
        path = environment.get("NOTIFY_SOCKET", "")
        address: str | bytes | None = None
        if path.startswith("@"):
            address = b"\0" + os.fsencode(path[1:])  # unix(7): the abstract namespace
        elif path.startswith("/"):
            address = path
        elif path:
            log.warning("NOTIFY_SOCKET: found %r, expected a path or @name; systemd is told nothing", path)
        return cls(address, _watchdog_s(environment, os.getpid() if pid is None else pid))

    def ready(self, status: str = "") -> None:
        """Say that start-up, or a reload, is complete."""
        self._send("READY=1", *_status(status))

    def reloading(self) -> None:
        """Say that a reload begins; `ready` ends it. The time stamp is what systemd 253 and later ask for."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str = "") -> None:
        """Say that the service drains and will end."""
        self._send("STOPPING=1", *_status(status))

    def alive(self) -> None:
        """Give the sign of life that the watchdog waits for."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows; never a number or a name."""
        self._send(*_status(text))

    def extend_timeout(self, seconds: float) -> None:
        """Ask for more time to start or to stop than the unit gives, counted from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def close(self) -> None:
        """Let the socket go; nothing is told from now on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *assignments: str) -> None:
        if self._socket is None or self._address is None:
            return
        try:
            self._socket.sendto("\n".join(assignments).encode(), self._address)
        except OSError as error:
            log.debug("systemd was not told %s: %s", assignments[0], error)


async def keep_alive(notifier: Notifier) -> None:
    """Feed the watchdog from the event loop that runs the calls, so that a stuck loop is seen; ends where none is."""
    if notifier.watchdog_s is None:
        return
    while True:
        notifier.alive()
        await asyncio.sleep(notifier.watchdog_s * WATCHDOG_SHARE)


def _status(text: str) -> tuple[str, ...]:
    return (f"STATUS={' '.join(text.split())}",) if text else ()


def _watchdog_s(environment: Mapping[str, str], pid: int) -> float | None:
    text = environment.get("WATCHDOG_USEC", "")
    meant_for = environment.get("WATCHDOG_PID", "")
    if not text or (meant_for and meant_for != str(pid)):
        return None
    if not text.isdecimal() or int(text) == 0:
        log.warning("WATCHDOG_USEC: found %r, expected microseconds above 0; the watchdog is not fed", text)
        return None
    return int(text) / 1_000_000
