"""Where time comes from: an argument for decisions, a Clock for stores and drivers."""

from __future__ import annotations

import ctypes
import os
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from callrec.errors import ConfigurationError

_STA_UNSYNC = 0x0040
"""adjtimex(2): the kernel knows of nobody who keeps its clock."""
_SIZE_OF_TIMEX = 208


class Clock(Protocol):
    """Tells the time; tests turn one by hand."""

    def now(self) -> datetime:
        """Return the wall clock, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, for deadlines."""
        ...


class SystemClock:
    """The machine's clock, moved by a fixed offset where a test node asks for it."""

    def __init__(self, offset: timedelta = timedelta(0)) -> None:
        self._offset = offset

    @classmethod
    def of_environment(cls, *, test_node: bool) -> SystemClock:
        """Return the clock of this process; CALLREC_CLOCK_OFFSET (seconds) counts only where `[node] test = true`.

        Raises:
            ConfigurationError: if the offset is not a number.
        """
        text = os.environ.get("CALLREC_CLOCK_OFFSET", "")
        if not test_node or not text:
            return cls()
        try:
            return cls(timedelta(seconds=float(text)))
        except (ValueError, OverflowError):
            message = f"CALLREC_CLOCK_OFFSET: found {text!r}, expected a number of seconds such as 86400"
            raise ConfigurationError(message) from None

    def now(self) -> datetime:
        """Return the wall clock, aware, in UTC."""
        return datetime.now(UTC) + self._offset

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


class ManualClock:
    """A clock turned by hand: 28 days pass in a microsecond."""

    def __init__(self, start: datetime, monotonic: float = 0.0) -> None:
        self._now = start
        self._monotonic = monotonic

    def now(self) -> datetime:
        """Return the time the clock was turned to."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds the clock was turned by."""
        return self._monotonic

    def advance(self, by: timedelta) -> None:
        """Turn the clock on."""
        self._now += by
        self._monotonic += by.total_seconds()


def kept_by_time_server() -> bool:
    """Ask the kernel whether somebody keeps its clock (adjtimex(2) with modes 0, which changes nothing).

    True where it cannot be asked.
    """
    buffer = ctypes.create_string_buffer(_SIZE_OF_TIMEX)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(buffer) < 0:
        return True
    status = ctypes.c_int.from_buffer(buffer, 5 * ctypes.sizeof(ctypes.c_long)).value
    return not status & _STA_UNSYNC


def rfc3339(instant: datetime) -> str:
    """Return an instant as RFC 3339 UTC with milliseconds and `Z`, the one form stored and shown to programs."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime:
    """Return the instant that RFC 3339 text names.

    Raises:
        ValueError: if the text is no RFC 3339 instant with an offset.
    """
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"found {text!r} without an offset, expected RFC 3339 such as 2026-11-22T10:00:00Z")
    return instant.astimezone(UTC)
