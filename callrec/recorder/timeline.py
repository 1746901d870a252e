"""The segments of a recording as the contract's item shows them: spans of one state, from its start to its end."""

from __future__ import annotations

from dataclasses import dataclass

RECORDED, PAUSED, HOLD, GAP = "recorded", "paused", "hold", "gap"


@dataclass(frozen=True, slots=True)
class Segment:
    """A span in which the recording was in one state; milliseconds from `recording_started_at`."""

    start_ms: int
    end_ms: int
    state: str
    reason: str | None = None

    def as_item(self) -> dict[str, object]:
        """Return the span under the contract's names."""
        return {"start_ms": self.start_ms, "end_ms": self.end_ms, "state": self.state, "reason": self.reason}


class Timeline:
    """What was stored when, told by hold, pause and gap; `now` is the monotonic clock in seconds."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._changes: list[tuple[int, str, str | None]] = [(0, RECORDED, None)]
        self._gaps: dict[int, Segment] = {}

    def milliseconds(self, now: float) -> int:
        """Return the place of an instant on this line."""
        return max(0, round((now - self._started) * 1000))

    def change(self, now: float, state: str, reason: str | None = None) -> None:
        """Note that from now on the recording is in another state."""
        self._changes.append((self.milliseconds(now), state, reason))

    def gap(self, start_ms: int, end_ms: int, reason: str) -> None:
        """Note a span that was lost; a later word about the same start takes the place of the earlier."""
        self._gaps[start_ms] = Segment(start_ms, end_ms, GAP, reason)

    def segments(self, end_ms: int) -> tuple[Segment, ...]:
        """Return the whole line up to its end, without overlaps.

        What was lost is a gap also in a hold; in a pause nothing can be lost, and the line says who paused.
        """
        ends = [start for start, _, _ in self._changes[1:]] + [end_ms]
        spans = [
            Segment(start, min(end, end_ms), state, reason)
            for (start, state, reason), end in zip(self._changes, ends, strict=True)
            if start < min(end, end_ms)
        ]
        for gap in sorted(self._gaps.values(), key=lambda gap: gap.start_ms):
            lost = [Segment(gap.start_ms, min(gap.end_ms, end_ms), GAP, gap.reason)] if gap.start_ms < end_ms else []
            for pause in [span for span in spans if span.state == PAUSED]:
                lost = [piece for span in lost for piece in _without(span, pause)]
            spans = [piece for span in spans for piece in ([span] if span.state == PAUSED else _without(span, gap))]
            spans += lost
        return tuple(_joined(sorted(spans, key=lambda span: span.start_ms)))

    def missing_end(self, end_ms: int, tolerance_ms: int = 100) -> bool:
        """Return whether a gap reaches the end of the line: then the recording is cut."""
        return any(gap.end_ms >= end_ms - tolerance_ms for gap in self._gaps.values())


def _without(span: Segment, gap: Segment) -> list[Segment]:
    """Return what is left of a span when a gap is taken out of it."""
    if gap.end_ms <= span.start_ms or gap.start_ms >= span.end_ms:
        return [span]
    before = Segment(span.start_ms, gap.start_ms, span.state, span.reason)
    after = Segment(gap.end_ms, span.end_ms, span.state, span.reason)
    return [piece for piece in (before, after) if piece.start_ms < piece.end_ms]


def _joined(spans: list[Segment]) -> list[Segment]:
    """Return the spans with neighbours of one state made one."""
    joined: list[Segment] = []
    for span in spans:
        last = joined[-1] if joined else None
        if last and last.state == span.state and last.reason == span.reason and last.end_ms >= span.start_ms:
            joined[-1] = Segment(last.start_ms, max(last.end_ms, span.end_ms), span.state, span.reason)
        else:
            joined.append(span)
    return joined
