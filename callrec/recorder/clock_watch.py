"""Whether the wall clock can be believed: it jumped, and nothing has vouched for it since."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from callrec.clock import Clock, kept_by_time_server

JUMP = timedelta(seconds=5)
"""A wall clock that leaves the monotonic one by more than this has been set, not slewed."""
SETTLED_S = 3600.0
"""A clock that nobody keeps, and that nobody has set for so long, was set by hand to what was meant."""


class ClockWatch:
    """Compares the wall clock with the monotonic one, which never jumps.

    After a jump the clock is doubted: retention dates and evidence depend on it. It is right again when the jump is
    undone, when the kernel says that a time server keeps it, or when it has gone on steadily for an hour.
    """

    def __init__(self, clock: Clock, is_kept: Callable[[], bool] = kept_by_time_server) -> None:
        self._clock = clock
        self._is_kept = is_kept
        self._believed = self._known = self._epoch()
        self._jumped_at: float | None = None

    def _epoch(self) -> datetime:
        """Return what the wall clock would have said when the monotonic one was zero."""
        return self._clock.now() - timedelta(seconds=self._clock.monotonic())

    def look(self) -> str | None:
        """Return why the clock is doubted, with what to do, or None while it is believed."""
        epoch, now = self._epoch(), self._clock.monotonic()
        if abs(epoch - self._known) > JUMP:
            self._known, self._jumped_at = epoch, now
        if self._jumped_at is None:
            return None
        if self._is_right(now):
            self._believed, self._jumped_at = self._known, None
            return None
        jump = (self._known - self._believed).total_seconds()
        return f"the clock jumped by {jump:.0f} s and no time server keeps it; set it right (timedatectl set-ntp true)"

    def _is_right(self, now: float) -> bool:
        undone = abs(self._known - self._believed) <= JUMP
        settled = self._jumped_at is not None and now - self._jumped_at >= SETTLED_S
        return undone or settled or self._is_kept()
