"""The door of the catalogue: calls are written, events handed out, erased rows reduced.

It routes; what it routes to stands beside it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError as ConstraintError

from callrec.catalogue import audit, erasure
from callrec.catalogue.errors import CallKnown, CallNotFound, StorageUnavailable
from callrec.catalogue.items import event_data, item_of
from callrec.catalogue.live import LiveCall
from callrec.catalogue.numbers import set_meta
from callrec.catalogue.opening import open_identities
from callrec.catalogue.outbox import outbox_row, outbox_step
from callrec.catalogue.parties import write_ties
from callrec.catalogue.reading import Readings
from callrec.catalogue.store import Options, StorageProblem
from callrec.catalogue.tables import calls, meta, outbox
from callrec.catalogue.values import (
    AuditEntry,
    CallChange,
    CallEnd,
    Event,
    Item,
    NewCall,
    StoredEvent,
    Tie,
)
from callrec.catalogue.writer import Change, Numbers, Step

__all__ = ["Catalogue", "Options", "StorageProblem"]


class Catalogue(Readings):
    """Rows of calls, their indices, the outbox and the audit chain, in one SQLite file."""

    # Calls

    async def open_call(self, new: NewCall, events: Sequence[Event] = ()) -> int:
        """Store a new call with its events; return the node's running call number.

        Raises:
            StorageUnavailable: if the row is not durable within `open_patience_s`.
            CallKnown: if there is a call with this id already.
        """
        key = None if new.identity_key_id is None else await self._key(new.identity_key_id)
        call, row, steps = self._maker.opened(new, key)
        self._live[new.call_id] = call

        def number(numbers: Numbers) -> list[Step]:
            call.row["sequence"] = row["sequence"] = numbers.next_call()
            return steps

        try:
            await self._store(call, number, events, self._options.open_patience_s)
        except ConstraintError as error:
            raise CallKnown(f"call {new.call_id} is in the catalogue already") from error
        self._told_of(new.call_id)
        return int(call.row["sequence"])

    async def change_call(self, call_id: str, change: CallChange, events: Sequence[Event] = ()) -> None:
        """Store what a call has become with its events.

        Raises:
            CallNotFound: if there is no such call, or it is erased.
            StorageUnavailable: if it is not durable in time.
        """
        call = await self._call(call_id)
        steps = self._maker.changed(call, change)
        await self._store(call, lambda _: steps, events, self._options.patience_s)

    async def end_call(self, call_id: str, end: CallEnd, events: Sequence[Event] = ()) -> None:
        """Store how a call ended with its events; raises as `change_call`."""
        call = await self._call(call_id)
        steps = self._maker.ended(call, end)
        try:
            await self._store(call, lambda _: steps, events, self._options.patience_s)
        finally:
            self._live.pop(call_id, None)
        self._told_of(call_id)

    def _told_of(self, call_id: str) -> None:
        if self.on_call is not None:
            self.on_call(call_id)

    async def tie(self, ties: Sequence[Tie]) -> None:
        """Tie calls to the parties they belong to, those in progress included.

        Raises:
            StorageUnavailable: if it is not durable in time.
        """
        refs = await self.refs.of(tie.party_id for tie in ties)
        await self.transact(lambda connection, _: write_ties(connection, ties))
        for tie in ties:
            if (call := self._live.get(tie.call_id)) is not None:
                call.row |= {
                    "relationship_id": tie.party_id,
                    "retention_class": tie.retention_class,
                    "delete_on": tie.delete_on,
                }
                call.ref = None if tie.party_id is None else refs.get(tie.party_id)

    async def _store(
        self, call: LiveCall, work: Callable[[Numbers], list[Step]], events: Sequence[Event], patience_s: float
    ) -> None:
        """Write a call's steps and the events that tell of them, in one transaction."""
        row, identity, ref = dict(call.row), call.identity, call.ref

        def steps(numbers: Numbers) -> list[Step]:
            done = work(numbers)
            row["sequence"] = call.row["sequence"]
            if not events:
                return done
            ref_key = self._index_keys.caller_ref if self._index_keys else None
            data = event_data(item_of(row, identity, ref), self._options.numbers, ref_key)
            rows = [
                outbox_row(self._sealer, self._envelope(event, call), {**data, **event.data}, numbers)
                for event in events
            ]
            return [*done, outbox_step(rows)]

        try:
            await self._write(Change(call.call_id, steps=steps, events=len(events)), patience_s)
        except BaseException:
            # Memory may be ahead of the store now: read the row anew next time.
            self._live.pop(call.call_id, None)
            raise

    async def _call(self, call_id: str) -> LiveCall:
        """Return a call as memory has it, or read it."""
        if (call := self._live.get(call_id)) is not None:
            return call
        rows = await self._rows(select(calls).where(calls.c.call_id == call_id, calls.c.erasure.is_(None)))
        if not rows:
            raise CallNotFound(call_id)
        row = rows[0]
        key = None if row["identity_key_id"] is None else await self._key(row["identity_key_id"])
        identity = (await open_identities(self._sealer, rows))[0]
        row["identity"] = None
        ref = (await self.refs.of((row["relationship_id"],))).get(row["relationship_id"])
        call = LiveCall(row, identity, key, ref)
        if row["in_progress"]:
            self._live[call_id] = call
        return call

    def live_items(self) -> list[Item]:
        """Return the calls in progress as memory has them, newest first; nothing is waited for."""
        rows = [call for call in self._live.values() if call.row["in_progress"]]
        rows.sort(key=lambda call: call.row["started_at"], reverse=True)
        return [call.item() for call in rows]

    # Events

    @property
    def last_event(self) -> int:
        """Return the number of the last durable event."""
        return self._numbers.last_event

    @property
    def outbox_size(self) -> int:
        """Return how many events wait to be published."""
        return self._numbers.events_after(self._published)

    @property
    def published(self) -> int:
        """Return the number of the last event that was published."""
        return self._published

    async def pending(self, limit: int = 100) -> list[StoredEvent]:
        """Return the next events to publish, in order."""
        return await self.events_after(self._published, limit)

    async def events_after(self, sequence: int, limit: int = 100) -> list[StoredEvent]:
        """Return stored events with a higher number, in order; one about an erased call is a stub."""
        query = select(outbox).where(outbox.c.sequence > sequence).order_by(outbox.c.sequence).limit(limit)
        return await self._outbox.read(await self._rows(query))

    async def mark_published(self, upto: int) -> None:
        """Note that every event up to this number is published; never goes back."""
        if upto > self._published:
            await self._write(Change("published", run=_published(upto)), self._options.patience_s)
            self._published = max(upto, self._published)

    async def wait_for_events(self, after: int) -> None:
        """Return as soon as there is an event with a higher number; the caller sets the limit of time."""
        while self._numbers.last_event <= after:
            self._more.clear()
            await self._more.wait()

    # Erasing and audit

    async def erasure_targets(self, call_ids: Sequence[str]) -> list[erasure.Target]:
        """Return what erasing these calls has to reach; unknown ones are left out, erased ones are not."""
        return await self.read(lambda connection: erasure.targets(connection, call_ids))

    async def mark_erasing(self, call_ids: Sequence[str]) -> None:
        """Mark rows as being erased: from now on no list, search or event shows them."""
        for call_id in call_ids:
            self._live.pop(call_id, None)
        await self._erase(lambda connection, _: erasure.mark(connection, call_ids))

    async def reduce_to_stubs(self, call_ids: Sequence[str], reason: str) -> None:
        """Reduce rows to month, direction and outcome, their events to numbers, and tell the world to forget."""
        now = self._options.clock.now()
        teller = erasure.Teller(now, reason, self._envelope, self._sealer)
        await self._erase(
            lambda connection, numbers: erasure.reduce(connection, numbers, call_ids, teller), events=len(call_ids) + 1
        )

    async def _erase(self, run: Callable[[Connection, Numbers], Any], *, events: int = 0) -> Any:
        return await self._write(Change(None, run=run, events=events), self._options.patience_s)

    async def discard_audio(self, call_id: str, due: erasure.LedgerDue, events: Sequence[Event] = ()) -> None:
        """Take the recording off a row whose audio key is destroyed, and note the ledger entry that is owed."""
        call = await self._call(call_id)
        steps = self._maker.updated(call, {"recording_id": None, "audio_key_id": None, "segments": None})
        steps += erasure.discard_steps(call_id, due)
        await self._store(call, lambda _: steps, events, self._options.patience_s)

    async def ledger_due(self) -> list[erasure.LedgerDue]:
        """Return the ledger entries that are owed."""
        return await self.read(erasure.due_entries)

    async def ledger_paid(self, due_ids: Sequence[str]) -> None:
        """Note that these entries are in the ledger."""
        await self._erase(lambda connection, _: erasure.paid(connection, due_ids))

    async def applied_entry(self) -> int:
        """Return up to which ledger entry erasures are carried out here; older than the ledger after a restore."""
        rows = await self._rows(select(meta.c.value).where(meta.c.name == "ledger"))
        return rows[0]["value"] if rows else 0

    async def note_applied(self, entry: int) -> None:
        """Note up to which ledger entry erasures are carried out here."""
        await self._erase(lambda connection, _: set_meta(connection, "ledger", entry))

    async def leftovers(self, call_ids: Sequence[str]) -> list[str]:
        """Return what is still readable of erased calls, as words for a report; empty when all is gone."""
        return await self.read(lambda connection: erasure.leftovers(connection, call_ids))

    async def truncate_log(self) -> bool:
        """Empty the write-ahead log, in which deleted bytes otherwise live on; False while somebody holds it."""
        if self._checkpoints is None:
            raise StorageUnavailable(self._problem.text if self._problem else "the catalogue is closed")
        try:
            return await self._checkpoints.truncate(self._options.patience_s)
        except (OSError, sqlite3.Error) as error:  # a timeout is an OSError
            raise StorageUnavailable(f"the catalogue's log cannot be emptied ({error})") from error

    async def record_audit(self, entry: AuditEntry) -> int:
        """Add an entry to the audit chain; return its number."""
        key_id: str | None = None
        key = self._sealer.system_key("node")
        if entry.subject is not None and (call_key_id := await self.identity_key_of(entry.subject)) is not None:
            call_key = await self._key(call_key_id)
            key_id, key = (key_id, key) if call_key is None else (call_key_id, call_key)
        draft = audit.Draft(entry, self._options.clock.now(), key_id, key)
        number: int = await self._erase(lambda connection, _: audit.add(connection, draft, self._sealer))
        return number

    async def identity_key_of(self, call_id: str) -> str | None:
        """Return the id of a call's identity key, None where it has none or is unknown."""
        rows = await self._rows(select(calls.c.identity_key_id).where(calls.c.call_id == call_id))
        return rows[0]["identity_key_id"] if rows else None

    async def audit_entries(self, after: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        """Return audit entries in order; `detail` is None where it was erased."""
        rows = await self.read(lambda connection: audit.rows(connection, after, limit))
        return await audit.read(rows, self._sealer)

    async def verify_audit(self) -> int:
        """Check the whole audit chain; return its length.

        Raises:
            IntegrityError: at the first entry that does not follow from the one before.
        """
        checked = audit.BEGINNING
        while (more := await self.read(partial(audit.verify_some, checked=checked))).number > checked.number:
            checked = more
        return checked.number


def _published(upto: int) -> Callable[[Connection, Numbers], Any]:
    def run(connection: Connection, numbers: Numbers) -> None:
        del numbers
        set_meta(connection, "published", upto)

    return run
