"""What is said of an outside party, checked, and what it makes of what was known. Pure.

Nothing of a change is taken back by leaving it out: a name, number or contract that is not named stays as it is.
A relationship that had ended runs again when it is said to begin on its last day or later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NoReturn

from callrec.calling_line import normalise_query
from callrec.errors import ExitCode, OperatorError
from callrec.identifiers import new_id
from callrec.privacy.retention_classes import PartyKind, Relationship

LONGEST_REF, LONGEST_NAME, MOST_A_PARTY = 64, 200, 100
"""A party has at most so many numbers, and so many contracts."""


@dataclass(frozen=True, slots=True)
class NumberChange:
    """A number that is said to be a party's."""

    number: str
    """E.164."""
    since: date | None = None
    """None: from the day it moves from another, or ever."""
    until: date | None = None
    """The first day on which it is no longer the party's; None while it is."""


@dataclass(frozen=True, slots=True)
class ContractChange:
    """A contract of a party, or new dates of one."""

    ref: str
    starts_on: date | None = None
    ends_on: date | None = None


@dataclass(frozen=True, slots=True)
class PartyChange:
    """What is said of one party at once."""

    ref: str
    name: str | None = None
    kind: PartyKind | None = None
    since: date | None = None
    ended: date | None = None
    runs: bool = False
    """It is said that the relationship has not ended."""
    numbers: tuple[NumberChange, ...] = ()
    contracts: tuple[ContractChange, ...] = ()

    def as_document(self) -> dict[str, Any]:
        """Return the change as JSON, for keeping it until it is applied."""
        return {
            "ref": self.ref,
            "name": self.name,
            "kind": self.kind,
            "since": _text(self.since),
            "ended": _text(self.ended),
            "runs": self.runs,
            "numbers": [[one.number, _text(one.since), _text(one.until)] for one in self.numbers],
            "contracts": [[one.ref, _text(one.starts_on), _text(one.ends_on)] for one in self.contracts],
        }

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> PartyChange:
        """Return what `as_document` was called on."""
        return cls(
            ref=document["ref"],
            name=document["name"],
            kind=None if document["kind"] is None else PartyKind(document["kind"]),
            since=_date(document["since"]),
            ended=_date(document["ended"]),
            runs=document["runs"],
            numbers=tuple(NumberChange(one, _date(since), _date(until)) for one, since, until in document["numbers"]),
            contracts=tuple(ContractChange(one, _date(start), _date(end)) for one, start, end in document["contracts"]),
        )


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract as it is known."""

    contract_id: str
    ref: str
    starts_on: date | None
    ends_on: date | None


@dataclass(frozen=True, slots=True)
class Party:
    """All that is known of one party but the history of its numbers."""

    party_id: str
    ref: str
    kind: PartyKind
    name: str | None = None
    started_on: date | None = None
    ended_on: date | None = None
    confirmed_on: date | None = None
    numbers: tuple[str, ...] = ()
    """Every number it was ever said to have."""
    contracts: tuple[Contract, ...] = field(default=())

    @property
    def relationship(self) -> Relationship:
        """What retention needs to know of it."""
        ends = tuple(contract.ends_on for contract in self.contracts)
        return Relationship(self.kind, self.ended_on, ends, self.confirmed_on)


def applied(party: Party | None, change: PartyChange, today: date) -> Party:
    """Return a party as it is after a change; a new one is a customer unless something else is said.

    Raises:
        OperatorError: with exit code 2 if the relationship would end before it begins, or would be too large.
    """
    known = party or Party(new_id(), change.ref, PartyKind.CUSTOMER)
    started = change.since or known.started_on
    ended = _end(known, change)
    if started is not None and ended is not None and ended < started:
        refuse(f"relationship {change.ref}: found the end {ended} before its beginning {started}")
    numbers = tuple(dict.fromkeys((*known.numbers, *(one.number for one in change.numbers))))
    contracts = _contracts(known.contracts, change.contracts)
    for what, count in (("numbers", len(numbers)), ("contracts", len(contracts))):
        if count > MOST_A_PARTY:
            refuse(f"relationship {change.ref}: found {count} {what}, expected at most {MOST_A_PARTY}")
    return Party(
        party_id=known.party_id,
        ref=known.ref,
        kind=change.kind or known.kind,
        name=change.name if change.name is not None else known.name,
        started_on=started,
        ended_on=ended,
        confirmed_on=today if ended is None else known.confirmed_on,
        numbers=numbers,
        contracts=contracts,
    )


def _end(known: Party, change: PartyChange) -> date | None:
    if change.ended is not None:
        return change.ended
    returned = change.since is not None and known.ended_on is not None and change.since >= known.ended_on
    return None if change.runs or returned else known.ended_on


def _contracts(known: Sequence[Contract], changes: Iterable[ContractChange]) -> tuple[Contract, ...]:
    contracts = {contract.ref: contract for contract in known}
    for change in changes:
        contract_id = contracts[change.ref].contract_id if change.ref in contracts else new_id()
        contracts[change.ref] = Contract(contract_id, change.ref, change.starts_on, change.ends_on)
    return tuple(contracts.values())


# Reading what people and programs say


def read_change(  # noqa: PLR0913 - the fields of one party, as the contract names them
    ref: str,
    *,
    name: str | None = None,
    numbers: Iterable[str | Mapping[str, Any]] = (),
    kind: str | None = None,
    since: date | None = None,
    contracts: Iterable[Mapping[str, Any]] = (),
    today: date,
    country: str = "GB",
) -> PartyChange:
    """Return what is said of a party, checked.

    Args:
        ref: what people call the party, such as its customer number.
        name: of the person or firm.
        numbers: in any spelling, or documents with `number`, `since` and `until`.
        kind: one of `PartyKind`.
        since: when the relationship began.
        contracts: documents with `ref`, `starts_on` and `ends_on`.
        today: the local date; no relationship begins after it.
        country: whose numbers are written without a country code.

    Raises:
        OperatorError: with exit code 2, in one sentence.
    """
    return PartyChange(
        ref=read_ref(ref),
        name=None if name is None else read_name(name),
        kind=None if kind is None else read_kind(kind),
        since=not_ahead("since", since, today),
        numbers=tuple(_number_change(number, today, country) for number in numbers),
        contracts=tuple(_contract_change(contract) for contract in contracts),
    )


def read_ref(text: str) -> str:
    """Return the reference of a party; raises OperatorError."""
    return _line("relationship", text, LONGEST_REF)


def read_name(text: str) -> str:
    """Return a name; raises OperatorError."""
    return _line("name", text, LONGEST_NAME)


def _line(what: str, text: str, longest: int) -> str:
    plain = text.strip()
    if not plain or len(plain) > longest or not plain.isprintable():
        refuse(f"{what} {text[:longest]!r}: expected one line of 1 to {longest} characters")
    return plain


def read_kind(text: str) -> PartyKind:
    """Return a kind of party; raises OperatorError."""
    try:
        return PartyKind(text.strip().lower())
    except ValueError:
        refuse(f"kind {text!r}: expected one of {', '.join(PartyKind)}")


def read_party_number(text: str, country: str) -> str:
    """Return the E.164 form of a party's number; raises OperatorError."""
    number = normalise_query(text, country)
    if number is None:
        refuse(f"number {text!r}: expected a telephone number, such as 01632 960001 or +441632960001")
    return number


def not_ahead(what: str, day: date | None, today: date) -> date | None:
    """Return a day that has come; raises OperatorError for one that has not."""
    if day is not None and day > today:
        refuse(f"{what}: found {day}, which has not come yet; expected a date up to today, {today}")
    return day


def number_change(text: str, since: date | None, until: date | None, today: date, country: str) -> NumberChange:
    """Return a number that is said to be a party's; raises OperatorError."""
    number = read_party_number(text, country)
    not_ahead(f"number {text!r} since", since, today)
    not_ahead(f"number {text!r} until", until, today)
    if since is not None and until is not None and until <= since:
        refuse(f"number {text!r}: found until {until}, expected a day after {since}, since when it is the party's")
    return NumberChange(number, since, until)


def _number_change(given: str | Mapping[str, Any], today: date, country: str) -> NumberChange:
    if isinstance(given, str):
        return number_change(given, None, None, today, country)
    since, until = (read_date(f"number {name}", given.get(name)) for name in ("since", "until"))
    return number_change(str(given.get("number", "")), since, until, today, country)


def _contract_change(given: Mapping[str, Any]) -> ContractChange:
    starts, ends = (read_date(f"contract {name}", given.get(name)) for name in ("starts_on", "ends_on"))
    return contract_change(str(given.get("ref", "")), starts, ends)


def contract_change(ref: str, starts_on: date | None, ends_on: date | None) -> ContractChange:
    """Return a contract; its days may lie ahead. Raises OperatorError."""
    ref = _line("contract", ref, LONGEST_REF)
    if starts_on is not None and ends_on is not None and ends_on < starts_on:
        refuse(f"contract {ref!r}: found the end {ends_on} before its beginning {starts_on}")
    return ContractChange(ref, starts_on, ends_on)


def read_date(what: str, value: Any) -> date | None:
    """Return a date that a program gives as a date or as ISO text; raises OperatorError."""
    if value is None or isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        refuse(f"{what}: found {value!r}, expected a date such as 2026-11-22")


def refuse(message: str) -> NoReturn:
    """Refuse what was said: nothing is changed."""
    raise OperatorError(message, exit_code=ExitCode.USAGE)


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
