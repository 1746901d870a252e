"""A wall clock that jumped is doubted until something vouches for it again."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from callrec.recorder.clock_watch import SETTLED_S, ClockWatch
from tests.catalogue.house import START


class SetClock:
    """A clock whose wall can be set without time passing."""

    def __init__(self) -> None:
        self.off = timedelta(0)
        self.passed = 1000.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed) + self.off

    def monotonic(self) -> float:
        return self.passed


class Watched:
    """A watch and the clock it watches; `kept` is the kernel's word."""

    def __init__(self) -> None:
        self.clock, self.kept = SetClock(), False
        self.watch = ClockWatch(self.clock, lambda: self.kept)

    def after(self, seconds: float = 1.0, *, set_by: float = 0.0) -> str | None:
        self.clock.passed += seconds
        self.clock.off += timedelta(seconds=set_by)
        return self.watch.look()


@pytest.mark.parametrize("jump", [-86_400.0, -6.0, 6.0, 3600.0])
def test_a_clock_that_jumps_is_told_until_the_jump_is_undone(jump: float) -> None:
    """The text says by how much and what to do; set right again, nothing is wrong any more."""
    here = Watched()
    assert here.after() is None
    text = here.after(set_by=jump)
    assert text is not None
    assert f"{jump:.0f} s" in text
    assert here.after(600) == text
    assert here.after(set_by=-jump) is None
    assert here.after() is None


def test_a_time_server_vouches_for_the_new_time() -> None:
    """A machine that starts with a wrong clock and then hears of the right one is well at once."""
    here = Watched()
    assert here.after(set_by=7200) is not None
    here.kept = True
    assert here.after() is None
    here.kept = False
    assert here.after() is None
    text = here.after(set_by=-10)
    assert text is not None
    assert "-10 s" in text


def test_a_clock_set_by_hand_is_believed_after_an_hour() -> None:
    """Nobody else knows the time where there is no time server; another jump begins the hour anew."""
    here = Watched()
    here.after(set_by=60)
    assert here.after(SETTLED_S - 10) is not None
    assert here.after(set_by=60) is not None
    assert here.after(SETTLED_S - 10) is not None
    assert here.after(10) is None


def test_slewing_is_no_jump() -> None:
    """A clock that is led slowly to the right time is believed."""
    here = Watched()
    for _ in range(100):
        assert here.after(60, set_by=0.03) is None
