"""Calls are tied to their parties, and tied anew when a party changes (LAW-58, LAW-59): in batches, by the indices.

Each batch is read, decided and written under one lock, which whoever changes parties holds as well: no call is tied
by what was true a moment ago. Parties whose calls are still to be looked at are noted in the catalogue, so that a
crash in the middle is made good by the next start.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from callrec.catalogue.indexing import outside_fields
from callrec.catalogue.opening import open_identities
from callrec.catalogue.parties import CallOfNumber, note_classes_followed, pieces, settle
from callrec.catalogue.values import Tie
from callrec.privacy.clocks import local_date
from callrec.privacy.number_history import holder
from callrec.privacy.party_store import PartyStore
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.protections import Hold
from callrec.privacy.retention import RowFacts
from callrec.privacy.retention_classes import RetentionPolicy
from callrec.privacy.retention_plan import Move, moves
from callrec.privacy.ties import CallFacts, Parties, tie

HoldsOf = Callable[[Sequence[str]], Awaitable[Mapping[str, tuple[Hold, ...]]]]
"""Which holds and restrictions are on calls."""

_A_BATCH = 200
_FIRST = ("", "")
_MARK_BYTES = 7  # a database keeps whole numbers of eight bytes with a sign


async def no_holds(call_ids: Sequence[str]) -> Mapping[str, tuple[Hold, ...]]:
    """Return no hold: for a house without any."""
    del call_ids
    return {}


@dataclass(frozen=True, slots=True)
class _Batch:
    """Some calls, what their ties depend on, and the parties as far as they need them."""

    rows: tuple[Mapping[str, Any], ...]
    facts: tuple[CallFacts, ...]
    parties: Parties


class Tying:
    """Ties calls of the catalogue to parties."""

    def __init__(self, stores: PromiseStores, parties: PartyStore, lock: asyncio.Lock, holds_of: HoldsOf) -> None:
        self._stores = stores
        self._parties = parties
        self._lock = lock
        self._holds_of = holds_of

    # What is done

    async def tie(self, call_ids: Sequence[str]) -> int:
        """Tie these calls to the parties they belong to now; return how many were tied to another than before.

        Raises:
            StorageUnavailable: if the catalogue cannot be read or written in time.
        """
        changed = 0
        for piece in pieces(call_ids, _A_BATCH):
            async with self._lock:
                changed += await self._tie(piece)
        return changed

    async def tie_due(self) -> None:
        """Look at the calls of every party that changed; raises as `tie`."""
        while due := await self._parties.reader.due():
            await self.tie_parties(due)

    async def tie_parties(self, party_ids: Sequence[str]) -> None:
        """Look at the calls of these parties and tie them anew; raises as `tie`."""
        held = await self._parties.reader.numbers_of(party_ids)
        lookups = sorted({row.lookup for row in held})
        async for call_ids in self._calls(party_ids, lookups):
            await self.tie(call_ids)
        await self._stores.catalogue.transact(lambda connection, _: settle(connection, party_ids))

    async def follow_classes(self) -> bool:
        """Look at all calls again where retention classes are others than the last time; return whether they were.

        So that the day a list shows is the day a retention run goes by. A crash in the middle begins it anew.
        """
        mark = self._mark_of_classes()
        if mark == await self._parties.reader.classes_followed():
            return False
        after = ""
        while call_ids := await self._parties.reader.all_calls(after, _A_BATCH):
            await self.tie(call_ids)
            after = call_ids[-1]
        await self._stores.catalogue.transact(lambda connection, _: note_classes_followed(connection, mark))
        return True

    def _mark_of_classes(self) -> int:
        """Return a number that is another where any class, or the class of any rule, is another."""
        settings = self._stores.settings()
        classes = sorted((name, rule.version) for name, rule in self._policy().classes.items())
        rules = sorted((rule.name, rule.retention_class) for rule in settings.capture_rule)
        said = json.dumps([classes, rules, settings.org.timezone])
        return int.from_bytes(hashlib.sha256(said.encode()).digest()[:_MARK_BYTES], "big")

    async def _tie(self, call_ids: Sequence[str]) -> int:
        batch = await self._batch(call_ids)
        policy = self._policy()
        wanted = [tie(facts, batch.parties, policy) for facts in batch.facts]
        changed = [one for one, row in zip(wanted, batch.rows, strict=True) if one != _tie_of(row)]
        if changed:
            await self._stores.catalogue.tie(changed)
        return len(changed)

    # What would be

    async def moves(self, would_be: Parties, party_ids: Sequence[str]) -> list[Move]:
        """Return which calls would go on another day, or at once, if parties and numbers were as given.

        Args:
            would_be: the histories of the numbers and the relationships of the parties that would change.
            party_ids: whose calls have to be looked at.

        Raises:
            StorageUnavailable: if the catalogue cannot be read in time.
        """
        found: dict[str, Move] = {}
        async for call_ids in self._calls_of_changed(would_be, party_ids):
            found |= {move.call_id: move for move in await self._moves_of(call_ids, would_be)}
        return [found[call_id] for call_id in sorted(found)]

    async def _calls_of_changed(self, would_be: Parties, party_ids: Sequence[str]) -> AsyncIterator[list[str]]:
        for ids in pieces(party_ids):
            held = await self._parties.reader.numbers_of(ids)
            async for call_ids in self._calls(ids, sorted({row.lookup for row in held})):
                yield call_ids
        async for call_ids in self._calls((), sorted(would_be.histories)):
            yield call_ids

    async def _moves_of(self, call_ids: Sequence[str], would_be: Parties) -> list[Move]:
        batch = await self._batch(call_ids)
        policy, holds = self._policy(), await self._holds_of(call_ids)
        after = Parties(
            {**batch.parties.histories, **would_be.histories},
            {**batch.parties.relationships, **would_be.relationships},
        )
        pairs = []
        for row, facts in zip(batch.rows, batch.facts, strict=True):
            as_it_is = _row_facts(row, facts, _tie_of(row), batch.parties, holds)
            pairs.append((as_it_is, _row_facts(row, facts, tie(facts, after, policy), after, holds)))
        return list(moves(pairs, policy, policy, self._stores.today()))

    # Which calls, and what is known of them

    async def _calls(self, party_ids: Sequence[str], lookups: Sequence[bytes]) -> AsyncIterator[list[str]]:
        """Return the calls that belong to parties, then those whose outside party had any of the numbers."""
        reader = self._parties.reader
        for ids in pieces(party_ids):
            after = _FIRST
            while tied := await reader.calls_tied(ids, after, _A_BATCH):
                yield [call_id for _, call_id in tied]
                after = tied[-1]
        for numbers in pieces(lookups):
            place: CallOfNumber | None = None
            while found := await reader.calls_of_numbers(numbers, place, _A_BATCH):
                yield list(dict.fromkeys(one.call_id for one in found))
                place = found[-1]

    async def _batch(self, call_ids: Sequence[str]) -> _Batch:
        reader = self._parties.reader
        rows = await reader.call_rows(call_ids)
        # A withheld caller is tied to nobody: who it is may not be told, not even so (LAW-70).
        lookups = await reader.outside_lookups([row["call_id"] for row in rows if not row["withheld"]])
        histories = await self._parties.histories({lookup for held in lookups.values() for lookup in held})
        ids = {span.party_id for spans in histories.values() for span in spans}
        ids |= {row["relationship_id"] for row in rows if row["relationship_id"] is not None}
        known = Parties(histories, await self._parties.relationships(ids))
        facts = [self._facts(row, lookups.get(row["call_id"], [])) for row in rows]
        return _Batch(tuple(rows), tuple(await self._ranked(rows, facts, known)), known)

    def _facts(self, row: Mapping[str, Any], lookups: Sequence[bytes]) -> CallFacts:
        rules = {rule.name: rule.retention_class for rule in self._stores.settings().capture_rule}
        return CallFacts(
            call_id=row["call_id"],
            call_date=local_date(row["started_at"], self._stores.zone),
            lookups=tuple(lookups),
            stored_class=row["retention_class"],
            rule_class=rules.get(row["capture_rule"] or ""),
        )

    async def _ranked(
        self, rows: Sequence[Mapping[str, Any]], facts: Sequence[CallFacts], known: Parties
    ) -> list[CallFacts]:
        """Put the number first that the person shows, where the numbers of one call are different parties'.

        Only such a call has to be opened for it: the index does not say which of its numbers is which.
        """
        unclear = [index for index, call in enumerate(facts) if _holders(call, known) > 1]
        identities = await open_identities(self._stores.keys, [rows[index] for index in unclear]) if unclear else []
        ranked = list(facts)
        for index, identity in zip(unclear, identities, strict=True):
            shown = [(identity or {}).get(name) for name in reversed(outside_fields(rows[index]["direction"]))]
            lookups = tuple(self._parties.lookup(number) for number in shown if number)
            call = facts[index]
            ranked[index] = CallFacts(
                call.call_id, call.call_date, lookups or call.lookups, call.stored_class, call.rule_class
            )
        return ranked

    def _policy(self) -> RetentionPolicy:
        return RetentionPolicy.of(self._stores.settings().retention_class)


def _holders(call: CallFacts, known: Parties) -> int:
    """Return how many parties held the numbers of a call on its date."""
    return len({holder(known.histories.get(lookup, ()), call.call_date) for lookup in call.lookups} - {None})


def _tie_of(row: Mapping[str, Any]) -> Tie:
    """Return how a call is tied now."""
    return Tie(row["call_id"], row["relationship_id"], row["retention_class"], row["delete_on"])


def _row_facts(
    row: Mapping[str, Any],
    facts: CallFacts,
    tied: Tie,
    parties: Parties,
    holds: Mapping[str, tuple[Hold, ...]],
) -> RowFacts:
    return RowFacts(
        call_id=tied.call_id,
        call_date=facts.call_date,
        retention_class=tied.retention_class,
        relationship=None if tied.party_id is None else parties.relationships.get(tied.party_id),
        holds=holds.get(tied.call_id, ()),
        in_progress=row["in_progress"],
    )
