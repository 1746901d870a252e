"""Every alert of a request's clocks is told once, in time or late, and none is forgotten."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.privacy.alerts import (
    Alert,
    AlertClock,
    AlertFacts,
    Level,
    Told,
    Waiting,
    clocks_run,
    level_now,
    look,
    overdue,
    waits_for,
)
from callrec.privacy.clocks import ClockFacts, at_local, deadlines
from callrec.privacy.holidays import WorkingDays
from callrec.privacy.request_table import RequestState

LONDON = ZoneInfo("Europe/London")
DAYS = WorkingDays.of()
RECEIVED = datetime(2026, 9, 3, 8, tzinfo=UTC)
P, T = AlertClock.PROMISE, AlertClock.STATUTORY
AUTHORISED = AlertFacts(RequestState.AUTHORISED, deadlines(ClockFacts(RECEIVED), LONDON, DAYS))
UNAUTHORISED = replace(AUTHORISED, state=RequestState.IDENTITY_PENDING)
# Promise due 1 October, statutory 5 October.


def at(day: str, clock_time: time = time(8)) -> datetime:
    return at_local(date.fromisoformat(f"2026-{day}"), clock_time, LONDON)


def watch(facts: AlertFacts, looks: list[datetime]) -> list[tuple[datetime, Alert]]:
    """Return what is told when somebody looks at these instants, remembering only what a store would."""
    told: list[Told] = []
    heard: list[tuple[datetime, Alert]] = []
    for now in looks:
        outlook = look(facts, told, now, LONDON)
        told += [alert.told for alert in outlook.alerts]
        heard += [(now, alert) for alert in outlook.alerts]
    return heard


def follow(facts: AlertFacts, until: datetime) -> list[tuple[datetime, Alert]]:
    """Return what is told when the next look is always the one that was asked for."""
    told: list[Told] = []
    heard: list[tuple[datetime, Alert]] = []
    now: datetime | None = facts.deadlines.promise_before - timedelta(days=28)
    while now is not None and now <= until:
        outlook = look(facts, told, now, LONDON)
        told += [alert.told for alert in outlook.alerts]
        heard += [(now, alert) for alert in outlook.alerts]
        assert outlook.next_at is None or outlook.next_at > now
        now = outlook.next_at
    return heard


def lines(heard: list[tuple[datetime, Alert]], clock: AlertClock) -> list[str]:
    return [
        f"{now.astimezone(LONDON):%m-%d %H:%M} {alert.verb} {alert.level} {alert.age_days}"
        for now, alert in heard
        if alert.told.clock is clock
    ]


def test_the_promise_is_told_on_its_days_at_eight() -> None:
    """Amber on day 14, red on day 21, critical from day 25 daily, overdue from day 28 daily (domain rule 1.14)."""
    assert lines(follow(AUTHORISED, at("10-02", time(12))), P) == [
        "09-17 08:00 due_soon amber 14",
        "09-24 08:00 due_soon red 21",
        "09-28 08:00 due_soon critical 25",
        "09-29 08:00 due_soon critical 26",
        "09-30 08:00 due_soon critical 27",
        "10-01 08:00 overdue critical 28",
        "10-02 08:00 overdue critical 29",
    ]


def test_without_identity_or_authorisation_amber_comes_on_day_seven() -> None:
    """Amber is told on day 7 while somebody must still act, and then not again on day 14."""
    heard = lines(follow(UNAUTHORISED, at("09-24", time(12))), P)
    assert heard == ["09-10 08:00 due_soon amber 7", "09-24 08:00 due_soon red 21"]
    told = [alert.told for _, alert in watch(UNAUTHORISED, [at("09-10")])]
    assert not look(AUTHORISED, told, at("09-18"), LONDON).alerts


def test_the_statutory_month_is_told_by_what_is_left() -> None:
    """14, 7 and 3 days left, and the day after it has passed."""
    assert lines(follow(AUTHORISED, at("10-06", time(12))), T) == [
        "09-21 08:00 due_soon amber 18",
        "09-28 08:00 due_soon red 25",
        "10-02 08:00 due_soon critical 29",
        "10-03 08:00 due_soon critical 30",
        "10-04 08:00 due_soon critical 31",
        "10-05 08:00 due_soon critical 32",
        "10-06 08:00 overdue critical 33",
    ]


def test_nothing_is_told_before_eight() -> None:
    """A minute before 08:00 local nothing of the day is due; at 08:00 it is, in summer and in winter time."""
    assert not look(AUTHORISED, (), at("09-17", time(7, 59)), LONDON).alerts
    assert look(AUTHORISED, (), at("09-17", time(8)), LONDON).alerts
    assert look(AUTHORISED, (), at("09-17", time(7, 59)), LONDON).next_at == datetime(2026, 9, 17, 7, tzinfo=UTC)
    winter = AlertFacts(RequestState.AUTHORISED, deadlines(ClockFacts(RECEIVED + timedelta(days=60)), LONDON, DAYS))
    assert look(winter, (), RECEIVED + timedelta(days=60), LONDON).next_at == datetime(2026, 11, 16, 8, tzinfo=UTC)


def test_what_an_outage_missed_is_told_late_and_once() -> None:
    """After ten days without the recorder each missed level comes once, a daily one not once for each day."""
    heard = watch(AUTHORISED, [at("09-16"), at("10-02", time(3)), at("10-02", time(3, 1)), at("10-02", time(8))])
    assert lines(heard, P) == [
        "10-02 03:00 due_soon amber 29",
        "10-02 03:00 due_soon red 29",
        "10-02 03:00 due_soon critical 29",
        "10-02 03:00 overdue critical 29",
        "10-02 08:00 overdue critical 29",
    ]
    assert [alert.late for now, alert in heard if now == at("10-02", time(3))] == [True] * 6


def test_a_moved_clock_tells_its_levels_anew() -> None:
    """Extended after its amber, the statutory clock is amber again when its new end is near; the promise is not."""
    told = [alert.told for _, alert in watch(AUTHORISED, [at("09-21")])]
    extended = replace(AUTHORISED, deadlines=deadlines(ClockFacts(RECEIVED, extended=True), LONDON, DAYS))
    assert not look(extended, told, at("09-22"), LONDON).alerts
    later = look(extended, told, at("11-19"), LONDON).alerts
    assert [alert.told.clock for alert in later].count(T) == 1
    assert Level.AMBER not in {alert.told.level for alert in later if alert.told.clock is P}


@pytest.mark.parametrize("state", list(RequestState))
def test_a_clock_runs_until_the_person_is_answered(state: RequestState) -> None:
    """Completed, refused, withdrawn and held by law are answers; everything else, access first too, is not (LAW-18)."""
    answers = {RequestState.COMPLETED, RequestState.REFUSED, RequestState.WITHDRAWN, RequestState.LEGAL_HOLD}
    facts = replace(AUTHORISED, state=state)
    assert clocks_run(facts) is (state not in answers)
    assert bool(look(facts, (), at("10-06"), LONDON).alerts) is (state not in answers)
    assert bool(overdue(facts, at("10-06"))) is (state not in answers)
    assert (waits_for(facts) is Waiting.NOTHING) is (state in answers)


def test_an_outside_store_nobody_ticked_keeps_the_clock_running() -> None:
    """The promise is about all stores: completed here and unticked there is overdue on day 28."""
    facts = replace(AUTHORISED, state=RequestState.COMPLETED, unticked=("PBX call detail",))
    assert waits_for(facts) is Waiting.TICK
    assert overdue(facts, at("10-01", time.min)) == (P,)
    assert overdue(facts, at("09-30", time(23, 59))) == ()
    assert level_now(facts, at("10-01", time.min), LONDON) == {P: Level.BREACH, T: Level.RED}


def test_fifty_restarts_tell_nothing_twice() -> None:
    """Looking fifty times on each day tells what one look at 08:00 tells."""
    looks = [at("09-03") + timedelta(minutes=28.8 * n) for n in range(50 * 35)]
    restless = Counter((a.told.clock, a.told.level, a.told.day) for _, a in watch(AUTHORISED, looks))
    calm = Counter((a.told.clock, a.told.level, a.told.day) for _, a in follow(AUTHORISED, looks[-1]))
    assert restless == calm
    assert set(calm.values()) == {1}


INSTANTS = st.datetimes(datetime(2024, 1, 1), datetime(2031, 12, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001 - made aware at once


@given(INSTANTS, st.lists(st.timedeltas(timedelta(0), timedelta(days=60)), max_size=40), st.sampled_from(RequestState))
def test_whatever_the_outages_each_level_is_told_once(
    received: datetime, offsets: list[timedelta], state: RequestState
) -> None:
    """Looking at any instants: no level twice for a day, all levels in their order, nothing forgotten at the end."""
    facts = AlertFacts(state, deadlines(ClockFacts(received), LONDON, DAYS))
    heard = watch(facts, [*sorted(received + offset for offset in offsets), received + timedelta(days=70)])
    counted = Counter((alert.told.clock, alert.told.level, alert.told.day) for _, alert in heard)
    assert set(counted.values()) <= {1}
    assert {alert.told.clock for _, alert in heard} == ({P, T} if clocks_run(facts) else set())
    for clock in AlertClock if clocks_run(facts) else ():
        levels = [alert.told.level for _, alert in heard if alert.told.clock is clock]
        assert set(levels) == set(Level)
        assert levels == sorted(levels, key=list(Level).index)
    for now, alert in heard:
        assert now >= at_local(alert.told.day, time(8), LONDON)


@given(INSTANTS)
def test_the_next_look_is_never_late(received: datetime) -> None:
    """Whoever follows `next_at` tells everything at 08:00 local on its own date, across every change of the clocks."""
    facts = AlertFacts(RequestState.AUTHORISED, deadlines(ClockFacts(received), LONDON, DAYS))
    heard = follow(facts, received + timedelta(days=45))
    assert {now.astimezone(LONDON).time() for now, _ in heard} == {time(8)}
    assert not any(alert.late for _, alert in heard)
    assert all(one <= two for (one, _), (two, _) in pairwise(heard))
