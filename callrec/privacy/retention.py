"""How long a call stays, and why: a pure function from what is known of one row to a verdict with its reason.

Precedence (LAW-62): legal hold, legal obligation, access hold or restriction, authorised erasure, the end of the
relationship, the period of the class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache

from callrec.privacy.protections import Hold, Protection, strongest
from callrec.privacy.retention_classes import ClassRule, Relationship, RetentionPolicy, delete_on, start_of
from callrec.settings import CalendarPeriod, RetentionStart

CHECK_AFTER = timedelta(days=90)
"""How long silence may count as "still a customer" before somebody is asked (LAW-60)."""


class Action(StrEnum):
    """What is to become of a row."""

    KEEP = "keep"
    DELETE = "delete"


class Cause(StrEnum):
    """Which rule decided."""

    IN_PROGRESS = "in_progress"
    LEGAL_HOLD = "legal_hold"
    LEGAL_OBLIGATION = "legal_obligation"
    ACCESS_HOLD = "sar_hold"
    RESTRICTION = "restricted"
    AUTHORISED_ERASURE = "authorised_erasure"
    """It goes with its request, not with a retention run."""
    RELATIONSHIP = "relationship"
    CHECK_DUE = "check_due"
    """Kept, but for 90 days nobody has said that the relationship lasts (LAW-60)."""
    PERIOD = "period"
    CLASS_UNKNOWN = "class_unknown"


@dataclass(frozen=True, slots=True)
class RowFacts:
    """What the verdict on one row depends on; no name, no number."""

    call_id: str
    call_date: date
    """The local date on which the call began."""
    retention_class: str | None = None
    """The class stored with the call; None where no capture rule held."""
    relationship: Relationship | None = None
    holds: tuple[Hold, ...] = ()
    request_id: str | None = None
    """The authorised request whose plan erases it."""
    in_progress: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one row, when, and why."""

    call_id: str
    action: Action
    cause: Cause
    reason: str
    """One sentence for a person."""
    delete_on: date | None
    """When it goes by its class, whatever holds it now; None while that is open."""
    retention_class: str
    class_version: str


@dataclass(frozen=True, slots=True)
class _Case:
    """One row with the class that holds for it and the day that class lets it go."""

    row: RowFacts
    rule: ClassRule | None
    ends: date | None
    today: date

    def verdict(self, action: Action, cause: Cause, reason: str) -> Verdict:
        name, version = (self.rule.name, self.rule.version) if self.rule else (self.row.retention_class or "", "")
        return Verdict(self.row.call_id, action, cause, reason, self.ends, name, version)


def judge(row: RowFacts, policy: RetentionPolicy, today: date) -> Verdict:
    """Return what becomes of a row on a local date."""
    rule = policy.class_of(row.retention_class, row.call_date, row.relationship)
    ends = delete_on(rule, row.call_date, row.relationship) if rule else None
    case = _Case(row, rule, ends, today)
    return _protected(case) or (_by_class(case, rule) if rule else _without_class(case))


def judge_all(rows: Iterable[RowFacts], policy: RetentionPolicy, today: date) -> Iterator[Verdict]:
    """Return the verdicts on rows one by one: the memory it takes does not grow with them."""
    for row in rows:
        yield judge(row, policy, today)


def obliged(rule: ClassRule | None, ends: date | None, today: date) -> bool:
    """Say whether a law demands that a call of this class is still there today (LAW-71)."""
    return rule is not None and rule.obligation and (ends is None or today < ends)


def _protected(case: _Case) -> Verdict | None:
    """Return the verdict of whatever is stronger than the class, None if nothing is."""
    row, rule, hold = case.row, case.rule, strongest(case.row.holds)
    if row.in_progress:
        return case.verdict(Action.KEEP, Cause.IN_PROGRESS, "Kept: the call is still in progress.")
    if hold is not None and hold.kind is Protection.LEGAL_HOLD:
        return _held(case, hold)
    if rule is not None and obliged(rule, case.ends, case.today):
        reason = (
            f"Kept until {case.ends}: class {rule.name} must by law be kept for {in_words(rule.keep)} from the call."
        )
        return case.verdict(Action.KEEP, Cause.LEGAL_OBLIGATION, reason)
    if hold is not None:
        return _held(case, hold)
    if row.request_id is not None:
        reason = f"To be erased by request {row.request_id}, which is authorised."
        return case.verdict(Action.DELETE, Cause.AUTHORISED_ERASURE, reason)
    return None


def _held(case: _Case, hold: Hold) -> Verdict:
    otherwise = "" if case.ends is None else f"; without it the call goes on {case.ends}"
    reason = f"Kept: {_HOLD_WORDS[hold.kind]} {hold.hold_id}, whatever its age{otherwise}."
    return case.verdict(Action.KEEP, Cause(hold.kind.value), reason)


def _without_class(case: _Case) -> Verdict:
    reason = f'Kept: its retention class "{case.row.retention_class}" is not in the configuration; describe it there.'
    return case.verdict(Action.KEEP, Cause.CLASS_UNKNOWN, reason)


def _by_class(case: _Case, rule: ClassRule) -> Verdict:
    if case.ends is None:
        return _while_it_lasts(case, rule)
    over = case.today >= case.ends
    action = Action.DELETE if over else Action.KEEP
    opening = f"To be deleted since {case.ends}" if over else f"Kept until {case.ends}"
    keeps = f"class {rule.name} keeps calls for {in_words(rule.keep)}"
    if rule.start is RetentionStart.CALL:
        return case.verdict(action, Cause.PERIOD, f"{opening}: {keeps}, and this one is of {case.row.call_date}.")
    day = start_of(rule, case.row.call_date, case.row.relationship)
    assert day is not None, "internal error: an end without a start"
    keeps = f"class {rule.name} keeps nothing" if rule.keep == CalendarPeriod() else keeps
    event = f"its {_event(case.row, rule)} {'ended' if day <= case.today else 'ends'} on {day}"
    return case.verdict(action, Cause.RELATIONSHIP, f"{opening}: {event}, and {keeps} after that.")


def _while_it_lasts(case: _Case, rule: ClassRule) -> Verdict:
    event = _event(case.row, rule)
    confirmed = case.row.relationship.confirmed_on if case.row.relationship else None
    if confirmed is not None and case.today - confirmed > CHECK_AFTER:
        reason = (
            f"Kept: nobody has said since {confirmed} that its {event} lasts; "
            "say it with `relationship set`, or end it (LAW-60)."
        )
        return case.verdict(Action.KEEP, Cause.CHECK_DUE, reason)
    then = "goes on the day it ends" if rule.keep == CalendarPeriod() else f"goes {in_words(rule.keep)} after its end"
    return case.verdict(Action.KEEP, Cause.RELATIONSHIP, f"Kept while its {event} lasts: class {rule.name} {then}.")


def _event(row: RowFacts, rule: ClassRule) -> str:
    assert row.relationship is not None, "internal error: a class of a relationship holds without one"
    if rule.start is RetentionStart.CONTRACT_END and row.relationship.contract_ends:
        return "last contract"
    return f"relationship ({row.relationship.kind})"


_HOLD_WORDS = {
    Protection.LEGAL_HOLD: "legal hold",
    Protection.LEGAL_OBLIGATION: "legal obligation",
    Protection.ACCESS_HOLD: "access hold",
    Protection.RESTRICTION: "restriction",
}


@lru_cache(maxsize=64)
def in_words(period: CalendarPeriod) -> str:
    """Return a period as people say it: `2 years`, `1 year 6 months`, `28 days`."""
    parts = ((period.years, "year"), (period.months, "month"), (period.days, "day"))
    return " ".join(f"{number} {unit}{'s' * (number != 1)}" for number, unit in parts if number) or "0 days"
