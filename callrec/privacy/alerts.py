"""What to tell about the clocks of a request, and when next (domain rule 1.14).

A pure function, so that an outage, a restart or fifty of them neither lose an alert nor tell one twice.

An alert is due at 08:00 local on its date. Whatever was due and not told is told late, once; critical ones are told
once a day, and so is a clock that has run out, until what was promised is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from callrec.privacy.clocks import Deadlines, at_local, local_date
from callrec.privacy.request_table import RequestState

ALERT_TIME = time(8)
_DAY = timedelta(days=1)


class AlertClock(StrEnum):
    """Which clock an alert is about."""

    PROMISE = "promise"
    STATUTORY = "statutory"


class Level(StrEnum):
    """How urgent it is; `breach` is told as `request/overdue` with level `critical`."""

    AMBER = "amber"
    RED = "red"
    CRITICAL = "critical"
    BREACH = "breach"


class Waiting(StrEnum):
    """What a request waits for, in `overdue_reason` (LAW-18)."""

    IDENTITY = "identity_missing"
    AUTHORISATION = "authorisation_missing"
    EXECUTION = "execution_missing"
    ERASURE = "erasure_unfinished"
    ACCESS = "access_request_first"
    TICK = "outside_store_unticked"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """What alerts depend on."""

    state: RequestState
    deadlines: Deadlines
    unticked: tuple[str, ...] = ()
    """Outside stores that nobody has ticked yet; with one, a completed request is not whole."""


@dataclass(frozen=True, slots=True)
class Told:
    """An alert that went out: what a store keeps, the last one for each clock, level and due date."""

    clock: AlertClock
    level: Level
    due: date
    """The end of its clock when it was told; a clock that is moved tells its levels anew."""
    day: date
    """The local date on which it was due at 08:00, whenever it was told."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One event to send."""

    told: Told
    verb: str
    """`due_soon` or `overdue`."""
    level: Level
    """As the event says it: amber, red or critical."""
    age_days: int
    """Local days since receipt."""
    waiting: Waiting
    late: bool
    """It was due on an earlier date."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to be told now, and when to look again if nothing else happens."""

    alerts: tuple[Alert, ...]
    next_at: datetime | None
    """UTC; None if nothing will ever be due."""


@dataclass(frozen=True, slots=True)
class _Rung:
    """One level of one clock: from which date on it is due, until which (not included), and how often."""

    clock: AlertClock
    level: Level
    due: date
    first: date
    until: date | None
    daily: bool


def look(facts: AlertFacts, told: Iterable[Told], now: datetime, zone: ZoneInfo) -> Outlook:
    """Return what is to be told about a request now.

    Args:
        facts: how it stands.
        told: what was told before; store `Alert.told` in the transaction that queues its event.
        now: the wall clock, aware.
        zone: where the dates are local.
    """
    last = _last(told)
    today = local_date(now, zone)
    # Before 08:00 the day's alerts are not due, but those of earlier dates are.
    due_by = today if now >= at_local(today, ALERT_TIME, zone) else today - _DAY
    alerts, coming = [], []
    for rung in _rungs(facts):
        before = last.get((rung.clock, rung.level, rung.due))
        day = _due_day(rung, before, due_by)
        if day is not None:
            alerts.append(_alert(rung, facts, day, today))
            before = day
        following = _following(rung, before)
        if following is not None:
            coming.append(at_local(following, ALERT_TIME, zone))
    return Outlook(tuple(alerts), min(coming, default=None))


def clocks_run(facts: AlertFacts) -> bool:
    """Say whether the clocks of a request still run.

    They end with the answer: completed in every store, refused, withdrawn, or kept under a legal hold, which is a
    refusal in part (LAW-53). An access request that goes first does not stop them (LAW-18, LAW-30).
    """
    if facts.state is RequestState.COMPLETED:
        return bool(facts.unticked)
    return facts.state not in {RequestState.REFUSED, RequestState.WITHDRAWN, RequestState.LEGAL_HOLD}


def overdue(facts: AlertFacts, now: datetime) -> tuple[AlertClock, ...]:
    """Return the clocks of a request that have run out, for `status` and `request check`."""
    if not clocks_run(facts):
        return ()
    ends = {
        AlertClock.PROMISE: facts.deadlines.promise_before,
        AlertClock.STATUTORY: facts.deadlines.statutory_before,
    }
    return tuple(clock for clock, end in ends.items() if now >= end)


def level_now(facts: AlertFacts, now: datetime, zone: ZoneInfo) -> dict[AlertClock, Level]:
    """Return the level of each clock by its date, told or not: what `status` and `request check` repeat (LAW-76)."""
    today = local_date(now, zone)
    return {rung.clock: rung.level for rung in _rungs(facts) if today >= rung.first}


def waits_for(facts: AlertFacts) -> Waiting:
    """Return what a request waits for."""
    match facts.state:
        case RequestState.RECEIVED | RequestState.IDENTITY_PENDING:
            return Waiting.IDENTITY
        case RequestState.AUTHORISATION_PENDING:
            return Waiting.AUTHORISATION
        case RequestState.AUTHORISED | RequestState.PARTLY_REFUSED:
            return Waiting.EXECUTION
        case RequestState.EXECUTING | RequestState.VERIFYING:
            return Waiting.ERASURE
        case RequestState.SAR_HOLD:
            return Waiting.ACCESS
        case RequestState.COMPLETED if facts.unticked:
            return Waiting.TICK
        case _:
            return Waiting.NOTHING


def _rungs(facts: AlertFacts) -> Iterator[_Rung]:
    """Return every level of both clocks, each clock's in the order in which they come."""
    if not clocks_run(facts):
        return
    received, promise = facts.deadlines.received_local_date, facts.deadlines.promise_due_local_date
    unauthorised = waits_for(facts) in {Waiting.IDENTITY, Waiting.AUTHORISATION}
    ages = {Level.AMBER: 7 if unauthorised else 14, Level.RED: 21, Level.CRITICAL: 25}
    firsts = {level: received + timedelta(days=age) for level, age in ages.items()}
    yield from _ladder(AlertClock.PROMISE, promise, firsts, over=promise)
    statutory = facts.deadlines.statutory_due_local_date
    left = {Level.AMBER: 14, Level.RED: 7, Level.CRITICAL: 3}
    firsts = {level: statutory - timedelta(days=days) for level, days in left.items()}
    yield from _ladder(AlertClock.STATUTORY, statutory, firsts, over=statutory + _DAY)


def _ladder(clock: AlertClock, due: date, firsts: dict[Level, date], *, over: date) -> Iterator[_Rung]:
    for level, first in firsts.items():
        daily = level is Level.CRITICAL
        yield _Rung(clock, level, due, first, over if daily else None, daily)
    yield _Rung(clock, Level.BREACH, due, over, None, daily=True)


def _due_day(rung: _Rung, before: date | None, due_by: date) -> date | None:
    """Return the date on which what is to be told now was due, None if nothing is."""
    if rung.first > due_by:
        return None
    if before is None:
        # Missed days of a daily alert are one alert.
        return _latest(rung, due_by)
    if not rung.daily or before >= due_by:
        return None
    return due_by if rung.until is None or due_by < rung.until else None


def _latest(rung: _Rung, due_by: date) -> date:
    if not rung.daily:
        return rung.first
    return due_by if rung.until is None else min(due_by, rung.until - _DAY)


def _following(rung: _Rung, before: date | None) -> date | None:
    """Return the date on which a rung is due next."""
    if before is None:
        return rung.first
    if not rung.daily:
        return None
    following = before + _DAY
    return following if rung.until is None or following < rung.until else None


def _alert(rung: _Rung, facts: AlertFacts, day: date, today: date) -> Alert:
    breach = rung.level is Level.BREACH
    return Alert(
        told=Told(rung.clock, rung.level, rung.due, day),
        verb="overdue" if breach else "due_soon",
        level=Level.CRITICAL if breach else rung.level,
        age_days=(today - facts.deadlines.received_local_date).days,
        waiting=waits_for(facts),
        late=day < today,
    )


def _last(told: Iterable[Told]) -> dict[tuple[AlertClock, Level, date], date]:
    last: dict[tuple[AlertClock, Level, date], date] = {}
    for each in told:
        key = (each.clock, each.level, each.due)
        last[key] = max(each.day, last.get(key, each.day))
    return last
