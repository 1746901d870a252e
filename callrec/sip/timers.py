"""All timers of an endpoint in one heap; one that is no longer wanted is forgotten when its turn comes."""

from __future__ import annotations

from enum import Enum
from heapq import heapify, heappop, heappush
from typing import Protocol

_FEW = 1024
"""Entries below which dead ones are not worth looking for."""


class Timed(Protocol):
    """Whatever timers belong to."""

    def runs(self, timer: Enum, when: float) -> bool:
        """Whether the timer that was set for this instant is still wanted."""
        ...


class Timers:
    """A heap of `(when, owner, timer)`: setting is cheap, stopping costs nothing, dead entries are swept in bulk."""

    __slots__ = ("_count", "_heap", "_sweep_at")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timed, Enum]] = []
        self._count = 0
        self._sweep_at = _FEW

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, owner: Timed, timer: Enum, when: float) -> None:
        """Let a timer of an owner fire at an instant."""
        self._count += 1
        heappush(self._heap, (when, self._count, owner, timer))
        if len(self._heap) >= self._sweep_at:
            self._sweep()

    def next(self) -> float | None:
        """Return when the next wanted timer fires, None where there is none."""
        heap = self._heap
        while heap:
            when, _, owner, timer = heap[0]
            if owner.runs(timer, when):
                return when
            heappop(heap)
        return None

    def take_due(self, now: float) -> tuple[Timed, Enum] | None:
        """Remove and return the next wanted timer that is due, None where none is."""
        when = self.next()
        if when is None or when > now:
            return None
        _, _, owner, timer = heappop(self._heap)
        return owner, timer

    def _sweep(self) -> None:
        # A dead entry keeps its owner alive: under load they are thrown out before they are due.
        self._heap = [entry for entry in self._heap if entry[2].runs(entry[3], entry[0])]
        heapify(self._heap)
        self._sweep_at = max(_FEW, 2 * len(self._heap))
