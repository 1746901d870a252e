"""Which spans of a recording hold voice, and why the others do not; covers it from its start to its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class SpanState(StrEnum):
    """What a span of a recording is; of several that overlap the first in this order is shown."""

    PAUSED = "paused"
    HOLD = "hold"
    GAP = "gap"
    RECORDED = "recorded"


_ORDER = (SpanState.PAUSED, SpanState.HOLD, SpanState.GAP)


@dataclass(frozen=True, slots=True)
class TimelineSegment:
    """One span, in milliseconds from the start of the recording."""

    start_ms: int
    end_ms: int
    state: SpanState
    reason: str = ""


@dataclass(slots=True)
class _Open:
    since_us: int
    reason: str


@dataclass(slots=True)
class Timeline:
    """Builds the segments from the marks of all parts; instants are microseconds from the start of the recording."""

    _spans: list[tuple[int, int, SpanState, str]] = field(default_factory=list)
    _open: dict[SpanState, _Open] = field(default_factory=dict)
    _carried: dict[SpanState, _Open] = field(default_factory=dict)
    _latest_us: int = 0
    _leading: bool = True
    """No packet of this part has come yet: a mark here repeats what lasted when the part before it ended."""
    end_us: int | None = None
    """Where the END mark says that the recording ends."""

    @property
    def latest_us(self) -> int:
        """Return the latest instant of which anything is known."""
        return self._latest_us

    def packet(self, end_us: int) -> None:
        """Take in that a packet arrived whose voice lasts to an instant."""
        self._leading = False
        self._latest_us = max(self._latest_us, end_us)

    def begin(self, state: SpanState, at_us: int, reason: str) -> None:
        """Begin a hold or a pause; one that lasts already goes on."""
        if self._leading and (carried := self._carried.pop(state, None)) is not None:
            self._spans.append((carried.since_us, at_us, state, carried.reason))
            reason = reason or carried.reason
        self._open.setdefault(state, _Open(at_us, reason))
        self._latest_us = max(self._latest_us, at_us)

    def finish(self, state: SpanState, at_us: int) -> None:
        """End a hold or a pause."""
        if (begun := self._open.pop(state, None)) is not None:
            self._spans.append((begun.since_us, at_us, state, begun.reason))
        self._latest_us = max(self._latest_us, at_us)

    def gap(self, start_us: int, end_us: int, reason: str) -> None:
        """Take in a span in which packets came and were not kept."""
        self._spans.append((start_us, end_us, SpanState.GAP, reason))
        self._latest_us = max(self._latest_us, start_us)

    def part(self, start_us: int, reason: str) -> None:
        """Begin a later part: between the last thing known and its start lies a gap."""
        previous_us = self._latest_us
        for state, begun in self._open.items():
            self._spans.append((begun.since_us, previous_us, state, begun.reason))
        self._carried = {state: _Open(previous_us, begun.reason) for state, begun in self._open.items()}
        self._open.clear()
        self._leading = True
        if start_us > previous_us:
            self.gap(previous_us, start_us, reason)
        self._latest_us = max(previous_us, start_us)

    def ended(self, at_us: int) -> None:
        """Take in the END mark."""
        self.end_us = at_us
        self._latest_us = max(self._latest_us, at_us)

    def segments(self, length_us: int) -> tuple[TimelineSegment, ...]:
        """Return the segments from 0 to the length of the recording, none empty, each different from the next."""
        lasting = [(begun.since_us, length_us, state, begun.reason) for state, begun in self._open.items()]
        edges: list[tuple[int, int, SpanState, str]] = []
        for start, end, state, reason in self._spans + lasting:
            first, behind = max(0, start) // 1000, min(end, length_us) // 1000
            if first < behind:
                edges += [(first, 1, state, reason), (behind, -1, state, reason)]
        return _sweep(sorted(edges), length_us // 1000)


def _sweep(edges: list[tuple[int, int, SpanState, str]], length_ms: int) -> tuple[TimelineSegment, ...]:
    active: dict[SpanState, Counter[str]] = {state: Counter() for state in _ORDER}
    found: list[TimelineSegment] = []
    position = 0
    for at, change, state, reason in edges:
        _extend(found, position, at, active)
        position = max(position, at)
        active[state][reason] += change
        if not active[state][reason]:
            del active[state][reason]
    _extend(found, position, length_ms, active)
    return tuple(found)


def _extend(found: list[TimelineSegment], start: int, end: int, active: dict[SpanState, Counter[str]]) -> None:
    if end <= start:
        return
    state = next((state for state in _ORDER if active[state]), SpanState.RECORDED)
    reason = next(iter(active[state])) if state is not SpanState.RECORDED else ""
    if found and (found[-1].state, found[-1].reason, found[-1].end_ms) == (state, reason, start):
        start = found.pop().start_ms
    found.append(TimelineSegment(start, end, state, reason))
