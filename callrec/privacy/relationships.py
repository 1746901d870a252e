"""The book of relationships: who the outside parties are, whose a number was when, and since when they are ours.

It is told by people and by imports; silence for too long is an alarm (LAW-60). Every change ties the calls that it
concerns anew, older enquiries too (LAW-58).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from callrec.calling_line import mask
from callrec.catalogue.documents import SealedField
from callrec.catalogue.indexing import keyed_hash, name_words
from callrec.catalogue.parties import Order, forget_party, write_order
from callrec.catalogue.values import AuditEntry
from callrec.errors import ExitCode, OperatorError
from callrec.privacy.import_runs import ImportRuns
from callrec.privacy.number_history import EVER, Span, holder
from callrec.privacy.party_changes import (
    Party,
    PartyChange,
    not_ahead,
    read_change,
    read_date,
    read_party_number,
    refuse,
)
from callrec.privacy.party_store import PartyStore
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.relationship_import import read_import
from callrec.privacy.retention_classes import Relationship
from callrec.privacy.tying import HoldsOf, Tying, no_holds
from callrec.privacy.watch_levels import feed_level
from callrec.vault.ledger_entries import Draft

log = logging.getLogger("callrec.privacy.relationships")

_ORDERS_KEPT = timedelta(days=30)
_A_PAGE = 500
_NEVER_TOLD = {"last_told": None, "silent_days": None, "level": None, "text": None}

Watcher = Callable[[Collection[str]], None]
"""Told the ids of parties that changed or are gone."""


class Relationships:
    """Sets, shows and ends relationships, and says whose a number is."""

    def __init__(self, stores: PromiseStores, *, holds_of: HoldsOf = no_holds) -> None:
        self._stores = stores
        self._parties = PartyStore(stores)
        self._lock = asyncio.Lock()
        """Held while parties are read and changed, or calls tied by what they are."""
        self._changing = asyncio.Lock()
        """Held by one change at a time: what an import has foreseen stays true until it is carried out."""
        self.tying = Tying(stores, self._parties, self._lock, holds_of)
        self.imports = ImportRuns(stores, self._parties, self.tying, self._lock)
        self.watchers: list[Watcher] = []
        self.silence: dict[str, Any] = dict(_NEVER_TOLD)
        """What `feed` last answered, for `status`, which waits for nothing."""

    # What people ask

    async def set(  # noqa: PLR0913 - the fields of one party, as the contract names them
        self,
        ref: str,
        *,
        name: str | None = None,
        numbers: Iterable[str | Mapping[str, Any]] = (),
        kind: str | None = None,
        since: date | str | None = None,
        contracts: Iterable[Mapping[str, Any]] = (),
        actor: str,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """Say what is known of a party, new or old; what is not named stays as it is.

        Args:
            ref: what people call it, such as its customer number.
            name: of the person or firm.
            numbers: its telephone numbers in any spelling, or documents with `number`, `since` and `until`; one that
                another party holds is theirs until it moves: on `since`, where that is news, else today.
            kind: what it is to us; a new one is a customer.
            since: when the relationship began; on the last day of an ended one or later, it runs again.
            contracts: documents with `ref`, `starts_on` and `ends_on`.
            actor: who says so.
            idempotency_key: the same key with the same content has the same answer, and changes nothing.

        Raises:
            OperatorError: 2 where something said cannot be, in one sentence; then nothing is changed.
        """
        change = read_change(
            ref,
            name=name,
            numbers=numbers,
            kind=kind,
            since=read_date("since", since),
            contracts=contracts,
            today=self._stores.today(),
            country=self._stores.settings().org.country,
        )
        if idempotency_key is None:
            return await self._carry_out(change, "relationship set", actor)
        order_key = self._keyed(f"order {actor}\n{idempotency_key}")
        content = self._keyed(f"content {json.dumps(change.as_document(), sort_keys=True)}")
        if (known := await self._parties.reader.order(order_key)) is not None:
            return await self._answered(known, content, idempotency_key)
        document = await self._carry_out(change, "relationship set", actor)
        await self._keep_answer(order_key, content, change.ref, document)
        return document

    async def show(self, ref: str) -> dict[str, Any]:
        """Return what is known of a party; raises OperatorError 3 where it is unknown."""
        return await self._document(await self._known(ref))

    async def end(self, ref: str, on: date, actor: str) -> dict[str, Any]:
        """Say that a relationship ended on a day; what is kept for its sake goes as its class says.

        Raises:
            OperatorError: 3 where the party is unknown, 2 where the day has not come or lies before its beginning.
        """
        party = await self._known(ref)
        not_ahead("the end of a relationship", on, self._stores.today())
        return await self._carry_out(PartyChange(party.ref, ended=on), "relationship end", actor)

    async def import_file(self, csv_text: str, map_text: str, *, dry_run: bool, actor: str) -> dict[str, Any]:
        """Take over what a CSV file says of parties: all of it, or nothing where any line is wrong.

        Args:
            csv_text: the file.
            map_text: which column says what; see docs/relationship-import.md.
            dry_run: True changes nothing, and tells what would be.
            actor: who imports.

        Returns:
            How many rows there were, how many parties are new, changed and unchanged, and which calls go on another
            day than before.

        Raises:
            OperatorError: 2 with a sentence for each wrong line; then nothing is changed.
        """
        today, country = self._stores.today(), self._stores.settings().org.country
        rows, changes = await asyncio.to_thread(read_import, csv_text, map_text, today, country)
        async with self._changing:
            told = await self.imports.foresee(changes)
            if not dry_run:
                self._tell(await self.imports.carry_out(changes))
        if not dry_run:
            detail = {name: told[name] for name in ("created", "changed", "unchanged")}
            await self._audit(actor, "relationship import", {"rows": rows, **detail})
        return {"rows": rows, **told, "dry_run": dry_run}

    async def feed(self) -> dict[str, Any]:
        """Return how long nobody has told anything about relationships, and how urgent that is (LAW-60).

        `level` is None while all is well, and where relationships were never told at all.
        """
        last, today = await self._parties.reader.last_told(), self._stores.today()
        if last is None:
            self.silence = dict(_NEVER_TOLD)
            return self.silence
        level, days = feed_level(last, today), max(0, (today - last).days)
        text = None
        if level is not None:
            text = f"nobody has told anything about relationships for {days} days; run the import, or mend the feed"
        self.silence = {
            "last_told": last.isoformat(),
            "silent_days": days,
            "level": None if level is None else level.value,
            "text": text,
        }
        return self.silence

    # What the recorder asks

    async def tie(self, call_ids: Sequence[str]) -> None:
        """Tie calls to the parties they belong to; costs next to nothing while no party has a number."""
        if call_ids and await self._parties.reader.any_numbers():
            await self.tying.tie(call_ids)

    async def newest_calls(self, limit: int) -> list[str]:
        """Return the newest calls."""
        return await self._parties.reader.newest_calls(limit)

    async def resume(self) -> None:
        """Complete what a crash cut off: an import that was decided, and calls that are not tied anew yet."""
        async with self._changing:
            self._tell(await self.imports.resume())
        await self.tying.tie_due()

    async def follow_classes(self) -> None:
        """Look at all calls again where the configuration has other retention classes than the last time."""
        if await self.tying.follow_classes():
            log.info("the retention classes are new: every call has been looked at")

    # What the other books ask

    async def party_id(self, ref: str) -> str | None:
        """Return the id of the party that goes by a reference, None where there is none."""
        rows = await self._parties.reader.by_refs((self._parties.ref_lookup(ref.strip()),))
        return rows[0].party_id if rows else None

    async def party_of_numbers(self, numbers: Sequence[str], on: date) -> str | None:
        """Return whose a number was on a local date; of several in E.164 the first that somebody held has the word."""
        lookups = [self._parties.lookup(number) for number in numbers]
        histories = await self._parties.histories(lookups)
        return next((found for lookup in lookups if (found := holder(histories.get(lookup, ()), on))), None)

    async def facts(self, party_ids: Collection[str]) -> dict[str, Relationship]:
        """Return what retention needs to know of parties."""
        return await self._parties.relationships(party_ids)

    async def numbers_of(self, party_id: str) -> list[bytes]:
        """Return the keyed hashes of every number a party holds or held."""
        return sorted({row.lookup for row in await self._parties.reader.numbers_of((party_id,))})

    async def refs(self, party_ids: Collection[str]) -> dict[str, str]:
        """Return what people call parties; one that is erased is left out."""
        return await self._stores.catalogue.refs.of(party_ids)

    async def find_by_number(self, number: str) -> list[str]:
        """Return the parties that hold or ever held a number, in any spelling, the latest holder first."""
        e164 = read_party_number(number, self._stores.settings().org.country)
        lookup = self._parties.lookup(e164)
        spans = (await self._parties.histories((lookup,))).get(lookup, [])
        return list(dict.fromkeys(span.party_id for span in reversed(spans)))

    async def find_by_name(self, name: str) -> list[str]:
        """Return the parties whose name has every word of this one, whatever its accents and case."""
        key = self._parties.index_keys.name
        return await self._parties.reader.named([keyed_hash(key, word) for word in name_words(name)])

    async def calls_of(self, party_id: str) -> list[str]:
        """Return the calls that belong to a party."""
        found: list[str] = []
        after = ("", "")
        while page := await self._parties.reader.calls_tied((party_id,), after, _A_PAGE):
            found += [call_id for _, call_id in page]
            after = page[-1]
        return found

    async def forget(self, party_id: str) -> bool:
        """Erase a party: its key first, then its rows and indices; return whether nothing of it is left.

        Its calls belong to nobody afterwards. May be repeated, also after a crash in the middle.

        Raises:
            StorageUnavailable, KeysUnavailable, LedgerUnavailable: if it is not done; then it is to be asked again.
        """
        async with self._changing:
            rows = await self._parties.reader.by_ids((party_id,))
            if key_ids := [row.key_id for row in rows]:
                # First of all, and outside too: no restored backup may bring the party back (LAW-48).
                body = {"party_id": party_id, "key_ids": key_ids, "reason": "request"}
                await self._stores.tombstones.append([Draft("destroyed", body)], reach_copy=True)
                await self._stores.keys.destroy(key_ids)
            self._stores.catalogue.refs.forget(party_id)
            async with self._lock:
                await self._stores.catalogue.transact(lambda connection, _: forget_party(connection, party_id))
            await self.tying.tie_parties((party_id,))
        self._tell((party_id,))
        return not await self.leftovers(party_id)

    async def leftovers(self, party_id: str) -> list[str]:
        """Return what is still there of a forgotten party, as words for a report; empty when all is gone."""
        return await self._parties.reader.leftovers(party_id)

    # How

    async def _known(self, ref: str) -> Party:
        party = await self._parties.by_ref(ref.strip())
        if party is None:
            raise OperatorError(f"no relationship {ref!r}: it is unknown or erased", exit_code=ExitCode.NOT_FOUND)
        return party

    async def _carry_out(self, change: PartyChange, action: str, actor: str) -> dict[str, Any]:
        async with self._changing, self._lock:
            (plan,) = await self._parties.plan((change,), self._stores.today())
            await self._parties.write((plan,), self._stores.today())
        self._tell(plan.due)
        if plan.changed:
            await self.tying.tie_parties(plan.due)
        detail = {
            "party_id": plan.after.party_id,
            "fields": sorted(name for name, value in change.as_document().items() if value and name != "ref"),
            "numbers": [mask(one.number) for one in change.numbers],
        }
        await self._audit(actor, action, detail)
        return await self._document(plan.after)

    def _tell(self, party_ids: Collection[str]) -> None:
        if party_ids:
            for watcher in self.watchers:
                watcher(party_ids)

    async def _audit(self, actor: str, action: str, detail: Mapping[str, Any]) -> None:
        await self._stores.catalogue.record_audit(AuditEntry(actor, action, None, detail))

    async def _document(self, party: Party) -> dict[str, Any]:
        """Return a party as people and programs see it."""
        return {
            "relationship_id": party.ref,
            "name": party.name,
            "kind": party.kind.value,
            "since": _iso(party.started_on),
            "ended_on": _iso(party.ended_on),
            "confirmed_on": _iso(party.confirmed_on),
            "numbers": [
                {
                    "number": number,
                    "since": None if span.since == EVER else span.since.isoformat(),
                    "until": _iso(span.until),
                }
                for number, span in await self._spans(party)
            ],
            "contracts": [
                {"ref": each.ref, "starts_on": _iso(each.starts_on), "ends_on": _iso(each.ends_on)}
                for each in party.contracts
            ],
            "calls": await self._parties.reader.count_calls(party.party_id),
        }

    async def _spans(self, party: Party) -> list[tuple[str, Span]]:
        by_lookup = {self._parties.lookup(number): number for number in party.numbers}
        histories = await self._parties.histories(by_lookup)
        return [
            (number, span)
            for lookup, number in by_lookup.items()
            for span in histories.get(lookup, ())
            if span.party_id == party.party_id
        ]

    def _keyed(self, text: str) -> bytes:
        return keyed_hash(self._parties.index_keys.number, text)

    async def _answered(self, order: Order, content: bytes, idempotency_key: str) -> dict[str, Any]:
        if order.content != content:
            refuse(f"idempotency key {idempotency_key!r}: found another content under it before; take a new key")
        (row,) = await self._parties.reader.by_ids((order.party_id,))
        key = await self._stores.keys.load(row.key_id)
        return _answer_field(order.order_key).open(self._stores.keys, key, order.answer)

    async def _keep_answer(self, order_key: bytes, content: bytes, ref: str, document: Mapping[str, Any]) -> None:
        rows = await self._parties.reader.by_refs((self._parties.ref_lookup(ref),))
        if not rows:
            return  # erased meanwhile
        key, now = await self._stores.keys.load(rows[0].key_id), self._stores.now()
        sealed = _answer_field(order_key).seal(self._stores.keys, key, document)
        order = Order(order_key, content, rows[0].party_id, now, sealed)
        await self._stores.catalogue.transact(lambda connection, _: write_order(connection, order, now - _ORDERS_KEPT))


def _answer_field(order_key: bytes) -> SealedField:
    return SealedField("party_orders", order_key.hex(), "answer")


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
