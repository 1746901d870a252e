"""Whose calls a request is about: by any spelling of a number, by name, by reference, or by time and called number.

A number has a history: of two who held it one after the other, the request is about the latest, and the calls that
belong to the other are left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from callrec.calling_line import mask, normalise_query
from callrec.catalogue.requests import CallState, RequestReader
from callrec.catalogue.values import FindQuery, Item
from callrec.errors import ExitCode, OperatorError
from callrec.privacy.clocks import local_date
from callrec.privacy.plans import ItemFacts
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.protections import Hold, Protection
from callrec.privacy.request_file import Subject, Window
from callrec.privacy.retention import obliged
from callrec.privacy.retention_classes import Relationship, RetentionPolicy, delete_on

_A_PAGE = 500


class PartyBook(Protocol):
    """What is asked of the book of relationships."""

    async def find_by_number(self, number: str) -> list[str]:
        """Return the parties that hold or held a number, the latest first."""
        ...

    async def find_by_name(self, name: str) -> list[str]:
        """Return the parties of that name."""
        ...

    async def calls_of(self, party_id: str) -> list[str]:
        """Return the calls that belong to a party."""
        ...

    async def facts(self, party_ids: Collection[str]) -> dict[str, Relationship]:
        """Return what retention needs to know of parties."""
        ...

    async def forget(self, party_id: str) -> bool:
        """Erase a party; may be repeated."""
        ...

    async def leftovers(self, party_id: str) -> list[str]:
        """Return what is still there of a forgotten party."""
        ...


class HoldsOf(Protocol):
    """What protects calls now; a call that nothing protects is not named."""

    async def __call__(self, call_ids: Collection[str]) -> Mapping[str, tuple[Hold, ...]]:
        """Return the holds."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: the party, if there is one, and the calls."""

    party_id: str | None
    call_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finder:
    """Searches for a request, and gathers what its plan depends on."""

    stores: PromiseStores
    parties: PartyBook
    holds_of: HoldsOf

    @property
    def reader(self) -> RequestReader:
        """The requests and what they need of calls."""
        return RequestReader(self.stores.catalogue.rows)

    async def read(
        self, number: str | None, name: str | None, calls: Collection[str], window: Mapping[str, object] | None
    ) -> Subject:
        """Return whom a request is about.

        Raises:
            OperatorError: with exit code 2 if it names nobody or is no number, 3 if a call is unknown.
        """
        words = " ".join((name or "").split()) or None
        if number is None and words is None and not calls and window is None:
            raise _usage("found nobody, expected a number, a name, a call reference, or a time and our number")
        ids = [(await self.stores.catalogue.get(asked))["call_id"] for asked in calls]
        seen = None
        if window is not None:
            given = Window.read(window)
            seen = Window(given.since, given.until, self._number(given.called))
        return Subject(None if number is None else self._number(number), words, tuple(dict.fromkeys(ids)), seen)

    def _number(self, given: str) -> str:
        number = normalise_query(given, self.stores.settings().org.country)
        if number is None or number.startswith("*"):
            raise _usage(f"number {mask(given)}: expected a telephone number, such as 01632 960001 or +441632960001")
        return number

    async def find(self, subject: Subject) -> Found:
        """Return the calls of a person.

        A name alone is searched for; beside a number, calls or a window it only says how to address the person.

        Raises:
            OperatorError: with exit code 2 if several parties have that name.
        """
        party_id = await self._party(subject)
        found = set(await self.parties.calls_of(party_id)) if party_id is not None else set()
        if subject.number is not None:
            query = FindQuery(number=subject.number, outside_only=True, limit=_A_PAGE)
            found |= await self._not_of_others(await self._all(query), party_id)
        elif subject.name is not None and not subject.calls and subject.window is None:
            query = FindQuery(text=subject.name, limit=_A_PAGE)
            found |= await self._not_of_others(await self._all(query), party_id)
        if subject.window is not None:
            found |= await self._withheld(subject.window)
        found |= {state.call_id for state in await self.reader.call_states(subject.calls)}
        return Found(party_id, tuple(sorted(found)))

    async def _party(self, subject: Subject) -> str | None:
        if subject.number is not None:
            holders = await self.parties.find_by_number(subject.number)
            return holders[0] if holders else None
        if subject.name is None or subject.calls or subject.window is not None:
            return None
        named = await self.parties.find_by_name(subject.name)
        if len(named) > 1:
            raise _usage(f"{len(named)} relationships have this name; name a number of the person instead")
        return named[0] if named else None

    async def _all(self, query: FindQuery) -> list[Item]:
        items: list[Item] = []
        cursor: str | None = None
        while True:
            page = await self.stores.catalogue.find(replace(query, cursor=cursor))
            items += page.items
            cursor = page.next
            if cursor is None:
                return items

    async def _not_of_others(self, items: Collection[Item], party_id: str | None) -> set[str]:
        """Return the calls that belong to the party or to nobody."""
        states = await self.reader.call_states([item["call_id"] for item in items])
        return {state.call_id for state in states if state.relationship_id in (None, party_id)}

    async def _withheld(self, window: Window) -> set[str]:
        query = FindQuery(number=window.called, since=window.since, until=window.until, limit=_A_PAGE)
        return {item["call_id"] for item in await self._all(query) if item["withheld"]}

    async def facts(self, call_ids: Collection[str]) -> list[ItemFacts]:
        """Return what a plan depends on for those of the calls that are still there."""
        states = await self.reader.call_states(call_ids)
        holds = await self.holds_of([state.call_id for state in states])
        parties = await self.parties.facts({state.relationship_id for state in states if state.relationship_id})
        return [
            ItemFacts(
                state.call_id,
                state.relationship_id,
                (*holds.get(state.call_id, ()), *self._obligation(state, parties)),
                state.in_progress,
            )
            for state in states
        ]

    def _obligation(self, state: CallState, parties: Mapping[str, Relationship]) -> tuple[Hold, ...]:
        """Return the law that demands a call, as a hold of its class (LAW-71)."""
        policy = RetentionPolicy.of(self.stores.settings().retention_class)
        day = local_date(state.started_at, self.stores.zone)
        party = parties.get(state.relationship_id) if state.relationship_id is not None else None
        rule = policy.class_of(state.retention_class, day, party)
        if rule is None or not obliged(rule, delete_on(rule, day, party), self.stores.today()):
            return ()
        return (Hold(rule.name, Protection.LEGAL_OBLIGATION),)


def _usage(message: str) -> OperatorError:
    return OperatorError(message, exit_code=ExitCode.USAGE)
