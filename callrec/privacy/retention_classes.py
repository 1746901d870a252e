"""How long each class of call is kept: configuration over the classes of LAW-56, and who belongs to which class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Protocol

from callrec.settings import CalendarPeriod, RetentionStart


class PartyKind(StrEnum):
    """What an outside party is to us."""

    CUSTOMER = "customer"
    ENQUIRER = "enquirer"
    APPLICANT = "applicant"
    EMPLOYEE = "employee"
    UNMATCHED = "unmatched"


class ConfiguredClass(Protocol):
    """A `[[retention_class]]` of the configuration."""

    @property
    def name(self) -> str:
        """The name a capture rule uses."""
        ...

    @property
    def keep(self) -> CalendarPeriod:
        """How long after its start."""
        ...

    @property
    def from_(self) -> RetentionStart:
        """What it counts from."""
        ...


@dataclass(frozen=True, slots=True)
class ClassRule:
    """One retention class."""

    name: str
    keep: CalendarPeriod
    start: RetentionStart
    obligation: bool = False
    """A law demands it: until its end nothing else can erase its calls (LAW-71)."""

    @property
    def version(self) -> str:
        """What the class said when a date was computed by it (LAW-56), such as `2y/call`."""
        return f"{self.keep}/{self.start}"


@dataclass(frozen=True, slots=True)
class Relationship:
    """What retention needs to know of the party a call is tied to; no name, no number."""

    kind: PartyKind
    ended: date | None = None
    """The local date of its end: for an applicant the decision, for an employee the end of employment."""
    contract_ends: tuple[date | None, ...] = ()
    """One for each contract; None while it runs."""
    confirmed_on: date | None = None
    """When somebody, or the feed, last said that it lasts; None where nobody is asked to (LAW-60)."""

    def covers(self, call_date: date) -> bool:
        """Say whether a call of that date belongs to it: an older enquiry does, a call after its end does not."""
        return self.ended is None or call_date <= self.ended


UNMATCHED = "unmatched"
_CALL, _RELATIONSHIP_END = RetentionStart.CALL, RetentionStart.RELATIONSHIP_END
_TWO_YEARS, _NOTHING = CalendarPeriod(years=2), CalendarPeriod()
_SHIPPED_UNMATCHED = ClassRule(UNMATCHED, _TWO_YEARS, _CALL)
SHIPPED = (
    ClassRule("customer", _NOTHING, _RELATIONSHIP_END),
    ClassRule("customer_account", CalendarPeriod(years=6), _RELATIONSHIP_END),
    ClassRule("enquirer", _TWO_YEARS, _CALL),
    _SHIPPED_UNMATCHED,
    ClassRule("campaign", _TWO_YEARS, _CALL),
    ClassRule("complaint", _NOTHING, _RELATIONSHIP_END),
    ClassRule("hr_applicant", CalendarPeriod(months=6), _RELATIONSHIP_END),
    ClassRule("hr_employee", CalendarPeriod(years=6), _RELATIONSHIP_END),
    ClassRule("fca_regulated", CalendarPeriod(years=5), _CALL, obligation=True),
)
"""The classes of LAW-56 as they hold where the configuration names none of that name."""
_OBLIGATIONS = frozenset(rule.name for rule in SHIPPED if rule.obligation)
_CLASS_OF_KIND = {
    PartyKind.CUSTOMER: "customer",
    PartyKind.ENQUIRER: "enquirer",
    PartyKind.APPLICANT: "hr_applicant",
    PartyKind.EMPLOYEE: "hr_employee",
}
KIND_CLASSES = frozenset({UNMATCHED, *_CLASS_OF_KIND.values()})
"""What a call is classed as by its party, or for want of one; a class beyond these is somebody's choice."""
GIVE_WAY = frozenset({UNMATCHED, "enquirer", "campaign", "customer"})
"""What says no more of a call than "who knows": a relationship says it better (LAW-58). Others are a choice."""


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """Every class by its name."""

    classes: Mapping[str, ClassRule]

    @classmethod
    def of(cls, configured: Iterable[ConfiguredClass] = ()) -> RetentionPolicy:
        """Return the policy of a configuration: its classes, and the shipped ones it does not name."""
        own = [ClassRule(row.name, row.keep, row.from_, row.name in _OBLIGATIONS) for row in configured]
        return cls({rule.name: rule for rule in (*SHIPPED, *own)})

    def class_of(self, stored: str | None, call_date: date, relationship: Relationship | None) -> ClassRule | None:
        """Return the class that holds for a call today, None if its class is nowhere described.

        A party found, changed or gone since the call was stored reclassifies it (LAW-58). A class that counts from
        the end of a relationship cannot hold where there is none: such a call is kept as an unmatched one.
        """
        name = stored or UNMATCHED
        covered = relationship is not None and relationship.covers(call_date)
        if covered and relationship is not None and name in GIVE_WAY:
            name = _CLASS_OF_KIND.get(relationship.kind, name)
        rule = self.classes.get(name)
        if rule is not None and rule.start is not RetentionStart.CALL and not covered:
            return self._without_party
        return rule

    @property
    def _without_party(self) -> ClassRule:
        """The class of a call that belongs to nobody: it must count from the call, or nobody would ever delete it."""
        rule = self.classes[UNMATCHED]
        return rule if rule.start is _CALL else _SHIPPED_UNMATCHED


def delete_on(rule: ClassRule, call_date: date, relationship: Relationship | None) -> date | None:
    """Return the first local date on which a call may no longer be there, None while that is open (LAW-56, LAW-57).

    It depends on the call's own date and on its party: a newer call never moves it (LAW-59).
    """
    start = start_of(rule, call_date, relationship)
    return None if start is None else rule.keep.after(start)


def start_of(rule: ClassRule, call_date: date, relationship: Relationship | None) -> date | None:
    """Return the local date from which a class counts, None while that has not come."""
    if rule.start is RetentionStart.CALL:
        return call_date
    if relationship is None:
        return None
    if rule.start is RetentionStart.CONTRACT_END and relationship.contract_ends:
        ends = [end for end in relationship.contract_ends if end is not None]
        # While one contract runs, what belongs to the contracts stays.
        return max(ends) if len(ends) == len(relationship.contract_ends) else None
    return relationship.ended
