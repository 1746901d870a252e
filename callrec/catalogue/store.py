"""The files and threads under the catalogue: opened, kept healthy, written and read.

Broken storage never stops the recorder: every method then raises StorageUnavailable within its patience, `problem`
says since when, and a keeper tries again each second until the disk is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine, Select, select
from sqlalchemy.exc import SQLAlchemyError

from callrec.catalogue.checkpoints import Checkpoints
from callrec.catalogue.engine import migrate, writer_engine
from callrec.catalogue.errors import StorageUnavailable
from callrec.catalogue.indexing import IndexKeys
from callrec.catalogue.live import LiveCall, RowMaker
from callrec.catalogue.numbers import EventNumberLedger, NoLedger, RunningNumbers, set_meta
from callrec.catalogue.outbox import INSERT_OUTBOX, Envelope, OutboxReader, outbox_row, outbox_step
from callrec.catalogue.party_refs import PartyRefs
from callrec.catalogue.readers import Readers
from callrec.catalogue.sealer import NoKeys, Sealer
from callrec.catalogue.tables import meta
from callrec.catalogue.values import (
    Event,
    NumbersMode,
)
from callrec.catalogue.writer import Change, Numbers, Parameters, Step, Writer
from callrec.clock import Clock, SystemClock
from callrec.tasks import Tasks

log = logging.getLogger("callrec.catalogue")

T = TypeVar("T")
Tell = Callable[[Event], None]
"""Stores an event about no call in the transaction that is under way."""

_RETRY_S = 1.0
_MIGRATION_PATIENCES = 4


@dataclass(frozen=True, slots=True)
class Options:
    """How a catalogue behaves."""

    node: str = "rec1"
    numbers: NumbersMode = NumbersMode.HASH
    clock: Clock = field(default_factory=SystemClock)
    ledger: EventNumberLedger = field(default_factory=NoLedger)
    open_patience_s: float = 0.45
    """A call whose row takes half a second goes on unrecorded (design: "The way of a call").

    A little less than that: whoever waits half a second and no longer would never let the problem be told.
    """
    patience_s: float = 5.0
    restored: bool = False
    """True at the first start after a restore: event numbers go on at the next block."""


@dataclass(frozen=True, slots=True)
class StorageProblem:
    """Why the catalogue cannot be used, and since when."""

    since: datetime
    text: str


class Store:
    """One SQLite file with one writer and its readers."""

    def __init__(self, path: Path, sealer: Sealer, options: Options) -> None:
        self._path = path
        self._sealer = sealer
        self._options = options
        self._index_keys = IndexKeys.of(sealer)
        self._maker = RowMaker(sealer, self._index_keys)
        self._outbox = OutboxReader(sealer, options.node)
        self._numbers = RunningNumbers(options.ledger)
        self._live: dict[str, LiveCall] = {}
        self.refs = PartyRefs(self._rows, sealer)
        self.on_call: Callable[[str], None] | None = None
        """Told the id of each call that was stored, when it began and when it ended."""
        self._writer: Writer | None = None
        self._readers: Readers | None = None
        self._checkpoints: Checkpoints | None = None
        self._problem: StorageProblem | None = None
        self._tasks = Tasks("catalogue")
        self._migrating: asyncio.Future[None] | None = None
        self._published = 0
        self._more = asyncio.Event()
        self._ailing = asyncio.Event()

    # Opening and closing

    @classmethod
    async def open(cls, path: Path, sealer: Sealer, options: Options | None = None, *, strict: bool = False) -> Self:
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

    @classmethod
    def unopened(cls, path: Path, options: Options, why: str) -> Self:
        """Return what stands for a catalogue that nobody could open yet: every method says why, and nothing tries."""
        catalogue = cls(path, NoKeys(), options)
        catalogue._health(why)
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
        self._readers = Readers(self._path)
        self._writer = writer
        self._writer.start()
        self._checkpoints = Checkpoints(self._path, writer.in_thread)
        self._checkpoints.start()
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
        if self._checkpoints is not None:
            await self._checkpoints.stop(self._options.patience_s)
            self._checkpoints = None
        if self._writer is not None:
            await self._writer.stop(self._options.patience_s)
            self._writer = None
        if self._readers is not None:
            await self._readers.stop(self._options.patience_s)
            self._readers = None

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

    @property
    def log_problem(self) -> str | None:
        """Return why the write-ahead log cannot be brought into the file; rows are safe in it meanwhile."""
        return self._checkpoints.problem if self._checkpoints else None

    async def _write(self, change: Change, patience_s: float) -> Any:
        if self._writer is None:
            raise StorageUnavailable(self._problem.text if self._problem else "the catalogue is closed")
        result = await self._writer.submit(change, patience_s)
        if change.events:
            self._more.set()
        return result

    async def read(self, run: Callable[[Connection], T]) -> T:
        """Run a function of a connection that cannot write, in another thread, and return what it gives.

        Raises:
            StorageUnavailable: if the catalogue cannot be read in time.
        """
        if self._readers is None:
            raise StorageUnavailable(self._problem.text if self._problem else "the catalogue is closed")
        try:
            return await self._readers.run(run, self._options.patience_s)
        except TimeoutError:
            raise self._unreadable("the catalogue's disk does not answer") from None
        except SQLAlchemyError as error:
            raise self._unreadable(f"the catalogue cannot be read ({error})") from error

    def _unreadable(self, text: str) -> StorageUnavailable:
        self._health(text)
        return StorageUnavailable(text)

    async def _rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        return await self.read(lambda connection: [dict(row) for row in connection.execute(query).mappings()])

    async def rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        """Return the rows of a query.

        Raises:
            StorageUnavailable: if the catalogue cannot be read in time.
        """
        return await self._rows(query)

    async def transact(self, run: Callable[[Connection, Tell], T], *, most_events: int = 0) -> T:
        """Run a function in the writer's thread, in one transaction with the events that tell of it.

        Args:
            run: changes rows of the stores that promises are kept in, and tells events about no call.
            most_events: how many events it may tell.

        Raises:
            StorageUnavailable: if it is not durable in time.
        """

        def work(connection: Connection, numbers: Numbers) -> T:
            told: list[Parameters] = []

            def tell(event: Event) -> None:
                if len(told) == most_events:
                    raise ValueError(f"internal error: more than the {most_events} events that were announced")
                told.append(outbox_row(self._sealer, self._envelope(event), event.data, numbers))

            result = run(connection, tell)
            if told:
                connection.execute(INSERT_OUTBOX, told)
            return result

        result: T = await self._write(Change(None, run=work, events=most_events), self._options.patience_s)
        return result

    async def tell(self, events: Sequence[Event]) -> None:
        """Store events about no call, sealed under the node key."""

        def work(numbers: Numbers) -> list[Step]:
            rows = [outbox_row(self._sealer, self._envelope(event), event.data, numbers) for event in events]
            return [outbox_step(rows)]

        await self._write(Change(None, steps=work, events=len(events)), self._options.patience_s)

    def _envelope(self, event: Event, call: LiveCall | None = None) -> Envelope:
        now = self._options.clock.now()
        if call is not None and call.key is not None:
            return Envelope(event, now, call.call_id, call.row["identity_key_id"], call.key)
        call_id = None if call is None else call.call_id
        return Envelope(event, now, call_id, None, self._sealer.system_key("node"))

    async def _key(self, key_id: str) -> bytes | None:
        return self._sealer.cached(key_id) or (await self._sealer.load_many((key_id,))).get(key_id)


def _touch(connection: Connection, numbers: Numbers) -> None:
    """Write a little, to see whether writing works."""
    del numbers
    set_meta(connection, "touched", 1)
