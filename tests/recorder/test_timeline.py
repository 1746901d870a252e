"""The segments of a recording."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from callrec.recorder.timeline import GAP, HOLD, RECORDED, Timeline


def test_a_hold_is_a_segment_of_its_own() -> None:
    """NOT-20: the time line keeps its length, and the held span says what it is."""
    line = Timeline(100.0)
    line.change(102.0, HOLD, "caller")
    line.change(103.5, RECORDED)
    assert [(s.start_ms, s.end_ms, s.state) for s in line.segments(5000)] == [
        (0, 2000, RECORDED),
        (2000, 3500, HOLD),
        (3500, 5000, RECORDED),
    ]


def test_a_gap_takes_the_place_of_what_was_lost() -> None:
    """A gap told twice with the same start is one gap, and one that reaches the end means cut."""
    line = Timeline(0.0)
    line.gap(1000, 2000, "storage")
    line.gap(1000, 4000, "storage")
    assert [(s.start_ms, s.end_ms, s.state) for s in line.segments(6000)] == [
        (0, 1000, RECORDED),
        (1000, 4000, GAP),
        (4000, 6000, RECORDED),
    ]
    assert not line.missing_end(6000)
    assert line.missing_end(4000)


CHANGES = st.lists(st.tuples(st.floats(0, 20), st.sampled_from([HOLD, RECORDED])), max_size=6)
GAPS = st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 5_000)), max_size=4)


@given(CHANGES, GAPS, st.integers(1, 20_000))
def test_segments_cover_the_recording_once(
    changes: list[tuple[float, str]], gaps: list[tuple[int, int]], end_ms: int
) -> None:
    """The contract: segments cover the recording from its start, and none overlaps another."""
    line = Timeline(0.0)
    for now, state in sorted(changes):
        line.change(now, state)
    for start, length in gaps:
        line.gap(start, start + length, "storage")
    segments = line.segments(end_ms)
    position = 0
    for segment in segments:
        assert segment.start_ms == position or segment.state == GAP
        position = max(position, segment.end_ms)
    assert position == end_ms
