"""The door of the catalogue: rows, events and searches. It routes; what it routes to stands beside it.

Broken storage never stops the recorder: every method then raises StorageUnavailable within its patience, `problem`
says since when, and a keeper tries again each second until the disk is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callrec.catalogue import audit, erasure, finding
from callrec.catalogue.engine import migrate, reader_engine, writer_engine
from callrec.catalogue.errors import AmbiguousId, CallNotFound, StorageUnavailable
from callrec.catalogue.indexing import IndexKeys
from callrec.catalogue.items import event_data, item_of
from callrec.catalogue.live import LiveCall, RowMaker
from callrec.catalogue.numbers import EventNumberLedger, NoLedger, RunningNumbers, set_meta
from callrec.catalogue.opening import open_identities
from callrec.catalogue.outbox import Envelope, OutboxReader, outbox_row, outbox_step
from callrec.catalogue.sealer import Sealer
from callrec.catalogue.tables import calls, meta, outbox, parts
from callrec.catalogue.values import (
    AuditEntry,
    CallChange,
    CallEnd,
    Event,
    FindQuery,
    Item,
    NewCall,
    NumbersMode,
    OpenRow,
    Page,
    Part,
    Recording,
    StoredEvent,
)
from callrec.catalogue.writer import Change, Numbers, Step, Writer
from callrec.clock import Clock, SystemClock
from callrec.tasks import Tasks

log = logging.getLogger("callrec.catalogue")

_RETRY_S = 1.0
_MIGRATION_PATIENCES = 4
_NEWEST_ROWS_CLAIMED = 10_000


@dataclass(frozen=True, slots=True)
class Options:
    """How a catalogue behaves."""

    node: str = "rec1"
    numbers: NumbersMode = NumbersMode.HASH
    clock: Clock = field(default_factory=SystemClock)
    ledger: EventNumberLedger = field(default_factory=NoLedger)
    open_patience_s: float = 0.5
    """A call whose row takes longer goes on unrecorded (design: "The way of a call")."""
    patience_s: float = 5.0
    restored: bool = False
    """True at the first start after a restore: event numbers go on at the next block."""


@dataclass(frozen=True, slots=True)
class StorageProblem:
    """Why the catalogue cannot be used, and since when."""

    since: datetime
    text: str


class Catalogue:
    """Rows of calls, their indices, the outbox and the audit chain, in one SQLite file."""

    def __init__(self, path: Path, sealer: Sealer, options: Options) -> None:
        self._path = path
        self._sealer = sealer
        self._options = options
        self._index_keys = IndexKeys.of(sealer)
        self._maker = RowMaker(sealer, self._index_keys)
        self._outbox = OutboxReader(sealer, options.node)
        self._numbers = RunningNumbers(options.ledger)
        self._live: dict[str, LiveCall] = {}
        self._writer: Writer | None = None
        self._readers: AsyncEngine | None = None
        self._problem: StorageProblem | None = None
        self._tasks = Tasks("catalogue")
        self._migrating: asyncio.Future[None] | None = None
        self._published = 0
        self._more = asyncio.Event()
        self._ailing = asyncio.Event()

    # Opening and closing

    @classmethod
    async def open(
        cls, path: Path, sealer: Sealer, options: Options | None = None, *, strict: bool = False
    ) -> Catalogue:
        """Open or make the catalogue; a broken one is opened all the same, with `problem` set, unless `strict`.

        Raises:
            StorageUnavailable: if `strict` and it cannot be used.
        """
        catalogue = cls(path, sealer, options or Options())
        try:
            await catalogue._begin()
        except StorageUnavailable as error:
            if strict:
                raise
            catalogue._health(str(error))
        if not strict or catalogue._writer is not None:
            catalogue._tasks.start("keeper", catalogue._keep())
        return catalogue

    async def _begin(self) -> None:
        await self._migrate()
        engine = writer_engine(self._path)
        writer = Writer(engine, self._numbers, health=self._health)
        try:
            skipped = await asyncio.wait_for(writer.in_thread(lambda: self._load(engine)), self._options.patience_s)
        except (SQLAlchemyError, OSError) as error:  # a timeout is an OSError
            await writer.stop(self._options.patience_s)
            raise StorageUnavailable(f"catalogue {self._path}: cannot be read ({error})") from error
        self._readers = reader_engine(self._path)
        self._writer = writer
        self._writer.start()
        self._health(None)
        if skipped is not None:
            data = {"skipped_from": skipped.start, "skipped_upto": skipped.stop - 1}
            await self.tell([Event("system", "recovered", None, data)])

    async def _migrate(self) -> None:
        """Bring the schema up to date; a disk that blocks holds one thread, however often this is tried."""
        if self._migrating is None:
            self._migrating = asyncio.get_running_loop().run_in_executor(None, migrate, self._path)
        done, _ = await asyncio.wait((self._migrating,), timeout=_MIGRATION_PATIENCES * self._options.patience_s)
        if not done:
            raise StorageUnavailable(f"catalogue {self._path}: its disk does not answer")
        ended, self._migrating = self._migrating, None
        ended.result()

    def _load(self, engine: Engine) -> range | None:
        with engine.begin() as connection:
            query = select(meta.c.value).where(meta.c.name == "published")
            self._published = connection.execute(query).scalar() or 0
            return self._numbers.load(connection, restored=self._options.restored)

    async def close(self) -> None:
        """Write what is waiting, then close every file."""
        await self._tasks.stop()
        await self._numbers.stop()
        if self._writer is not None:
            await self._writer.stop(self._options.patience_s)
            self._writer = None
        if self._readers is not None:
            await self._readers.dispose()

    async def _keep(self) -> None:
        """While something is wrong, try each second whether it is over."""
        while True:
            await self._ailing.wait()
            await asyncio.sleep(_RETRY_S)
            try:
                if self._writer is None:
                    await self._begin()
                else:
                    await self._write(Change(None, run=_touch), self._options.patience_s)
            except (StorageUnavailable, TimeoutError) as error:
                log.info("the catalogue is still unavailable: %s", error)

    def _health(self, text: str | None) -> None:
        if text is None:
            if self._problem is not None:
                log.info("the catalogue is available again")
            self._problem = None
            self._ailing.clear()
        else:
            if self._problem is None:
                log.error("%s", text)
            since = self._problem.since if self._problem else self._options.clock.now()
            self._problem = StorageProblem(since, text)
            self._ailing.set()

    @property
    def problem(self) -> StorageProblem | None:
        """Return why the catalogue cannot be used now, None while it can."""
        return self._problem

    async def _write(self, change: Change, patience_s: float) -> Any:
        if self._writer is None:
            raise StorageUnavailable(self._problem.text if self._problem else "the catalogue is closed")
        result = await self._writer.submit(change, patience_s)
        if change.events:
            self._more.set()
        return result

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        if self._readers is None:
            raise StorageUnavailable(self._problem.text if self._problem else "the catalogue is closed")
        try:
            async with asyncio.timeout(self._options.patience_s), self._readers.connect() as connection:
                yield connection
        except TimeoutError:
            raise self._unreadable("the catalogue's disk does not answer") from None
        except SQLAlchemyError as error:
            raise self._unreadable(f"the catalogue cannot be read ({error})") from error

    def _unreadable(self, text: str) -> StorageUnavailable:
        self._health(text)
        return StorageUnavailable(text)

    async def _rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        async with self._reading() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    # Calls

    async def open_call(self, new: NewCall, events: Sequence[Event] = ()) -> int:
        """Store a new call with its events; return the node's running call number.

        Raises:
            StorageUnavailable: if the row is not durable within `open_patience_s`.
            IntegrityError (of SQLAlchemy): if there is a call with this id already.
        """
        key = None if new.identity_key_id is None else await self._key(new.identity_key_id)
        call, row, steps = self._maker.opened(new, key)
        self._live[new.call_id] = call

        def number(numbers: Numbers) -> list[Step]:
            call.row["sequence"] = row["sequence"] = numbers.next_call()
            return steps

        await self._store(call, number, events, self._options.open_patience_s)
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

    async def tell(self, events: Sequence[Event]) -> None:
        """Store events about no call, sealed under the node key."""

        def work(numbers: Numbers) -> list[Step]:
            rows = [outbox_row(self._sealer, self._envelope(event), event.data, numbers) for event in events]
            return [outbox_step(rows)]

        await self._write(Change(None, steps=work, events=len(events)), self._options.patience_s)

    async def _store(
        self, call: LiveCall, work: Callable[[Numbers], list[Step]], events: Sequence[Event], patience_s: float
    ) -> None:
        """Write a call's steps and the events that tell of them, in one transaction."""
        row, identity = dict(call.row), call.identity

        def steps(numbers: Numbers) -> list[Step]:
            done = work(numbers)
            row["sequence"] = call.row["sequence"]
            if not events:
                return done
            ref_key = self._index_keys.caller_ref if self._index_keys else None
            data = event_data(item_of(row, identity), self._options.numbers, ref_key)
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

    def _envelope(self, event: Event, call: LiveCall | None = None) -> Envelope:
        now = self._options.clock.now()
        if call is not None and call.key is not None:
            return Envelope(event, now, call.call_id, call.row["identity_key_id"], call.key)
        call_id = None if call is None else call.call_id
        return Envelope(event, now, call_id, None, self._sealer.system_key("node"))

    async def _key(self, key_id: str) -> bytes | None:
        return self._sealer.cached(key_id) or (await self._sealer.load_many((key_id,))).get(key_id)

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
        call = LiveCall(row, identity, key)
        if row["in_progress"]:
            self._live[call_id] = call
        return call

    # Reading

    async def find(self, query: FindQuery) -> Page:
        """Return calls, newest first; numbers in full: hiding them from roles is the API's part.

        Raises:
            OperatorError: if number or cursor are no search of ours.
            StorageUnavailable: if the catalogue cannot be read in time.
        """
        limit = max(1, min(query.limit, finding.MOST_ITEMS_A_PAGE))
        position = None if query.cursor is None else finding.Position.of(query.cursor)
        check = finding.last_check(query)
        items: list[Item] = []
        while True:
            statement = finding.build(query, self._index_keys, position, limit + 1)
            rows = [] if statement is None else await self._rows(statement)
            consumed = 0
            for row, item in zip(rows, await self._items(rows[:limit]), strict=False):
                consumed += 1
                position = finding.Position(row["started_at"], row["call_id"])
                if check is None or check(item):
                    items.append(item)
                if len(items) == limit:
                    break
            more = consumed < len(rows)
            if len(items) == limit or not more:
                return Page(items, position.cursor() if more and position else None)

    async def _items(self, rows: Sequence[dict[str, Any]]) -> list[Item]:
        identities = await open_identities(self._sealer, rows)
        return [item_of(row, identity) for row, identity in zip(rows, identities, strict=True)]

    async def get(self, asked: str) -> Item:
        """Return the call that a call id, recording id, call reference or unique prefix of an id names.

        Raises:
            CallNotFound: if there is none, or it is erased.
            AmbiguousId: if several begin so.
        """
        rows = await self._rows(finding.by_prefix(asked))
        exact = [row for row in rows if asked in {row["call_id"], row["recording_id"]}]
        rows = exact or rows
        if not rows:
            raise CallNotFound(asked)
        if len(rows) > 1:
            raise AmbiguousId(asked)
        return (await self._items(rows))[0]

    async def state_of(self, call_id: str) -> str | None:
        """Return `in_progress`, `ended` or `erased`, None where the call is unknown."""
        rows = await self._rows(select(calls.c.in_progress, calls.c.erasure).where(calls.c.call_id == call_id))
        if not rows:
            return None
        if rows[0]["erasure"] is not None:
            return "erased"
        return "in_progress" if rows[0]["in_progress"] else "ended"

    async def in_progress(self) -> list[OpenRow]:
        """Return the rows without an end, oldest first: after a crash, the calls to end as interrupted."""
        rows = await self._rows(select(calls).where(calls.c.in_progress.is_(True)).order_by(calls.c.sequence))
        known = await self._parts([row["call_id"] for row in rows])
        return [
            OpenRow(
                **{name: row[name] for name in OpenRow.__slots__ if name != "parts"},
                parts=known.get(row["call_id"], ()),
            )
            for row in rows
        ]

    async def recordings_of(self, call_id: str) -> Recording | None:
        """Return where the audio of a call lies, None if it has none or is erased."""
        query = select(calls).where(calls.c.call_id == call_id, calls.c.erasure.is_(None))
        found = await self._recordings(await self._rows(query))
        return found[0] if found else None

    async def all_recordings(self, after: str = "", limit: int = 500) -> list[Recording]:
        """Return recordings with audio in the order of their ids, after the one given, none of a call in progress."""
        query = (
            select(calls)
            .where(calls.c.recording_id > after, calls.c.in_progress.is_(False), calls.c.erasure.is_(None))
            .order_by(calls.c.recording_id)
            .limit(limit)
        )
        return await self._recordings(await self._rows(query))

    async def _recordings(self, rows: Sequence[dict[str, Any]]) -> list[Recording]:
        known = await self._parts([row["call_id"] for row in rows])
        return [
            Recording(
                row["call_id"],
                row["recording_id"],
                row["audio_key_id"],
                row["recording_started_at"],
                known.get(row["call_id"], ()),
            )
            for row in rows
            if row["recording_id"] is not None
        ]

    async def _parts(self, call_ids: Sequence[str]) -> dict[str, tuple[Part, ...]]:
        if not call_ids:
            return {}
        query = select(parts).where(parts.c.call_id.in_(call_ids)).order_by(parts.c.number)
        found: dict[str, tuple[Part, ...]] = {}
        for row in await self._rows(query):
            part = Part(row["recording_id"], row["number"], row["path"], row["segments"], row["cut"])
            found[row["call_id"]] = (*found.get(row["call_id"], ()), part)
        return found

    async def known_paths(self, paths: Iterable[str]) -> set[str]:
        """Return those of the paths (relative to the recordings folder) that belong to a call."""
        wanted = list(paths)
        known: set[str] = set()
        for start in range(0, len(wanted), 500):
            query = select(parts.c.path).where(parts.c.path.in_(wanted[start : start + 500]))
            known |= {row["path"] for row in await self._rows(query)}
        return known

    async def claimed_keys(self, key_ids: Iterable[str]) -> set[str]:
        """Return those of the keys that a row has; the newest rows are enough, for spare keys are taken in order."""
        wanted = set(key_ids)
        query = (
            select(calls.c.identity_key_id, calls.c.audio_key_id)
            .order_by(calls.c.sequence.desc())
            .limit(_NEWEST_ROWS_CLAIMED)
        )
        return {key for row in await self._rows(query) for key in row.values() if key in wanted}

    # Events

    @property
    def last_event(self) -> int:
        """Return the number of the last durable event."""
        return self._numbers.last_event

    @property
    def outbox_size(self) -> int:
        """Return how many events wait to be published."""
        return max(0, self._numbers.last_event - self._published)

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
        async with self._reading() as connection:
            return await erasure.targets(connection, call_ids)

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
        async with self._reading() as connection:
            return await erasure.due_entries(connection)

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
        async with self._reading() as connection:
            return await erasure.leftovers(connection, call_ids)

    async def truncate_log(self) -> bool:
        """Empty the write-ahead log, in which deleted bytes otherwise live on; False while a reader holds it."""
        if self._writer is None:
            raise StorageUnavailable("the catalogue is closed")
        try:
            rows = await asyncio.wait_for(
                self._writer.outside_transaction("PRAGMA wal_checkpoint(TRUNCATE)"), self._options.patience_s
            )
        except (SQLAlchemyError, TimeoutError) as error:
            raise StorageUnavailable(f"the catalogue's log cannot be emptied ({error})") from error
        return bool(rows) and rows[0][0] == 0

    async def record_audit(self, entry: AuditEntry) -> int:
        """Add an entry to the audit chain; return its number."""
        key_id: str | None = None
        key = self._sealer.system_key("node")
        if entry.subject is not None and (call_key_id := await self._identity_key_id(entry.subject)) is not None:
            call_key = await self._key(call_key_id)
            key_id, key = (key_id, key) if call_key is None else (call_key_id, call_key)
        draft = audit.Draft(entry, self._options.clock.now(), key_id, key)
        number: int = await self._erase(lambda connection, _: audit.add(connection, draft, self._sealer))
        return number

    async def _identity_key_id(self, call_id: str) -> str | None:
        rows = await self._rows(select(calls.c.identity_key_id).where(calls.c.call_id == call_id))
        return rows[0]["identity_key_id"] if rows else None

    async def audit_entries(self, after: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        """Return audit entries in order; `detail` is None where it was erased."""
        async with self._reading() as connection:
            rows = await audit.rows(connection, after, limit)
        return await audit.read(rows, self._sealer)

    async def verify_audit(self) -> int:
        """Check the whole audit chain; return its length.

        Raises:
            IntegrityError: at the first entry that does not follow from the one before.
        """
        async with self._reading() as connection:
            return await audit.verify(connection)

    async def counts(self) -> dict[str, int]:
        """Return how many calls there are, by outcome reason; `in_progress` for those without one."""
        query = (
            select(calls.c.outcome_reason, func.count().label("calls"))
            .where(calls.c.erasure.is_(None))
            .group_by(calls.c.outcome_reason)
        )
        return {row["outcome_reason"] or "in_progress": row["calls"] for row in await self._rows(query)}


def _touch(connection: Connection, numbers: Numbers) -> None:
    """Write a little, to see whether writing works."""
    del numbers
    set_meta(connection, "touched", 1)


def _published(upto: int) -> Callable[[Connection, Numbers], Any]:
    def run(connection: Connection, numbers: Numbers) -> None:
        del numbers
        set_meta(connection, "published", upto)

    return run
