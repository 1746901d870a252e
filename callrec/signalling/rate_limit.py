"""Logging that a flood cannot use to fill the disk."""

from __future__ import annotations


class RateLimit:
    """Admits so many in so many seconds, and counts what it leaves out."""

    def __init__(self, count: int, seconds: float) -> None:
        self._count = count
        self._seconds = seconds
        self._window_ends = float("-inf")
        self._admitted = 0
        self._left_out = 0

    def admits(self, now: float) -> int | None:
        """Return how many were left out before this one, None where this one is left out too."""
        if now >= self._window_ends:
            self._window_ends, self._admitted = now + self._seconds, 0
        if self._admitted >= self._count:
            self._left_out += 1
            return None
        self._admitted += 1
        left_out, self._left_out = self._left_out, 0
        return left_out
