"""The one writer: changes that wait together share one transaction (group commit).

A change is a list of steps (a statement and its rows) or, where it must read first, a function run inside the
transaction. Changes about the same call keep their order. Numbers of calls and events are given in the
transaction, so they have no holes.

A transaction is a plain function of a connection, run in the writer's own thread in one go: through aiosqlite each
statement costs three hops between threads, sixteen a transaction and twice the processor time (measured).
On an asynchronous driver the same function is what `AsyncConnection.run_sync` takes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, Executable
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import IntegrityError as ConstraintError

from callrec.catalogue.errors import StorageUnavailable
from callrec.tasks import Tasks

log = logging.getLogger("callrec.catalogue.writer")

COMMIT_INTERVAL_S = 0.005
_MOST_WAITING = 20_000
_MOST_A_COMMIT = 256

T = TypeVar("T")

Parameters = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One statement and the rows it is run with."""

    statement: Executable
    rows: list[Parameters]
    rank: int = 2
    """Merged steps run in this order: new calls, then deletions, then the rest."""


class Numbers(Protocol):
    """Gives running numbers inside a transaction; `keep` or `forget` says whether it became durable."""

    async def prepare(self, events: int) -> None:
        """Make sure that this many event numbers can be given."""
        ...

    def note(self, connection: Connection) -> None:
        """Write down, inside the transaction, what was reserved since the last one."""
        ...

    def next_call(self) -> int:
        """Return the node's next call number."""
        ...

    def next_event(self) -> int:
        """Return the next event number."""
        ...

    def keep(self) -> None:
        """The transaction is durable."""
        ...

    def forget(self) -> None:
        """The transaction was undone."""
        ...


@dataclass(slots=True)
class Change:
    """What one caller wants done, all of it or nothing."""

    subject: str | None
    """Changes of one subject keep their order."""
    steps: Callable[[Numbers], list[Step]] | None = None
    run: Callable[[Connection, Numbers], Any] | None = None
    events: int = 0
    begun: bool = False
    """It is, or was, in a transaction: from then on only the disk knows what becomes of it."""
    done: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Writer:
    """Owns the writing engine and its one task."""

    def __init__(self, engine: Engine, numbers: Numbers, *, health: Callable[[str | None], None]) -> None:
        self._engine = engine
        self._numbers = numbers
        self._health = health
        self._thread = ThreadPoolExecutor(1, "catalogue")
        self._waiting: deque[Change] = deque()
        self._wake = asyncio.Event()
        self._tasks = Tasks("catalogue")
        self._last = float("-inf")
        self._worker: asyncio.Task[None] | None = None
        self._stopping = False
        self._busy_since: float | None = None

    def start(self) -> None:
        """Begin to write."""
        self._worker = self._tasks.start("writer", self._work())

    async def stop(self, patience_s: float) -> None:
        """Write what is waiting, then end; a blocked disk is not waited for beyond the patience."""
        self._stopping = True
        self._wake.set()
        if self._worker is not None:
            await asyncio.wait((self._worker,), timeout=patience_s)
        await self._tasks.stop()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.in_thread(self._engine.dispose), patience_s)
        self._thread.shutdown(wait=False)

    async def submit(self, change: Change, patience_s: float) -> Any:
        """Wait until a change is durable and return what it gave.

        Raises:
            StorageUnavailable: if that takes longer than the patience, or the store fails. A change that has
                not begun by then is dropped; one that has begun may still become durable, which its `fate` tells.
        """
        self._check(patience_s)
        self._waiting.append(change)
        self._wake.set()
        try:
            # Not wait_for: what has begun goes on, and somebody may want to know how it ended.
            await asyncio.wait((change.done,), timeout=patience_s)
        finally:
            if not change.done.done():
                change.done.add_done_callback(_look_at) if change.begun else change.done.cancel()
        if change.done.done() and not change.done.cancelled():
            return change.done.result()
        raise self._late(patience_s, change.done if change.begun else None)

    def _check(self, patience_s: float) -> None:
        now = asyncio.get_running_loop().time()
        if self._stopping:
            raise StorageUnavailable("the catalogue is closed")
        if self._busy_since is not None and now - self._busy_since > patience_s:
            raise self._late(patience_s)
        if len(self._waiting) >= _MOST_WAITING:
            raise StorageUnavailable(f"{len(self._waiting)} changes wait for the catalogue's disk; it is too slow")

    def _late(self, patience_s: float, fate: asyncio.Future[Any] | None = None) -> StorageUnavailable:
        message = f"the catalogue did not become durable within {patience_s:g} s; its disk is slow or blocked"
        self._health(message)
        return StorageUnavailable(message, fate=fate)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while not (self._stopping and not self._waiting):
            await self._wake.wait()
            self._wake.clear()
            if (wait := self._last + COMMIT_INTERVAL_S - loop.time()) > 0 and not self._stopping:
                await asyncio.sleep(wait)
            while changes := self._take():
                self._last = self._busy_since = loop.time()
                await self._commit(changes)
                self._busy_since = None

    def _take(self) -> list[Change]:
        changes: list[Change] = []
        while self._waiting and len(changes) < _MOST_A_COMMIT:
            change = self._waiting.popleft()
            if not change.done.done():
                change.begun = True
                changes.append(change)
        return changes

    async def _commit(self, changes: list[Change]) -> None:
        try:
            results = await self._together(changes)
        except StorageUnavailable as error:
            self._fail(changes, error)
        except (ConstraintError, LookupError, ValueError, TypeError) as error:
            await self._one_by_one(changes, error)
        except SQLAlchemyError as error:
            await self._storage_failed(changes, error)
        except Exception as error:
            log.exception("a change of the catalogue failed")
            await self._one_by_one(changes, error)
        else:
            self._health(None)
            _resolve(changes, results)

    async def _one_by_one(self, changes: list[Change], error: Exception) -> None:
        """Find whose fault it was: that one fails, the others go through."""
        if len(changes) == 1:
            _reject(changes, error)
            return
        for change in changes:
            await self._commit([change])

    async def _storage_failed(self, changes: list[Change], error: SQLAlchemyError) -> None:
        reason = str(error.orig) if isinstance(error, DBAPIError) else str(error)
        failure = StorageUnavailable(f"the catalogue cannot be written ({reason})")
        self._fail(changes, failure)
        # A fresh connection next time: the file may have been replaced, or the disk come back.
        await self.in_thread(self._engine.dispose)

    def _fail(self, changes: list[Change], error: StorageUnavailable) -> None:
        self._health(str(error))
        _reject(changes, error)

    async def _together(self, changes: list[Change]) -> list[Any]:
        await self._numbers.prepare(sum(change.events for change in changes))
        try:
            results = await self.in_thread(lambda: self._transaction(changes))
        except BaseException:
            self._numbers.forget()
            raise
        self._numbers.keep()
        return results

    def _transaction(self, changes: list[Change]) -> list[Any]:
        with self._engine.begin() as connection:
            self._numbers.note(connection)
            return _run(connection, changes, self._numbers)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run a function in the thread that owns the connection; waits its turn."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _run(connection: Connection, changes: list[Change], numbers: Numbers) -> list[Any]:
    results: list[Any] = []
    for phase in _phases(changes):
        merged: dict[int, Step] = {}
        for change in phase:
            if change.run is not None:
                results.append(change.run(connection, numbers))
                continue
            _merge(merged, change.steps(numbers) if change.steps else ())
            results.append(None)
        for step in sorted(merged.values(), key=lambda step: step.rank):
            connection.execute(step.statement, step.rows)
    return results


def _phases(changes: Iterable[Change]) -> list[list[Change]]:
    """Split changes so that no phase has two of one subject; functions that read stand alone."""
    phases: list[list[Change]] = []
    seen: set[str | None] = set()
    alone = True
    for change in changes:
        repeated = change.subject is not None and change.subject in seen
        if alone or repeated or change.run is not None:
            phases.append([])
            seen = set()
        phases[-1].append(change)
        seen.add(change.subject)
        alone = change.run is not None
    return phases


def _merge(merged: dict[int, Step], steps: Iterable[Step]) -> None:
    for step in steps:
        if step.rows:
            known = merged.setdefault(id(step.statement), Step(step.statement, [], step.rank))
            known.rows.extend(step.rows)


def _look_at(future: asyncio.Future[Any]) -> None:
    """Nobody may be left who asks how a late change ended: that is no fault of its own."""
    if not future.cancelled():
        future.exception()


def _resolve(changes: Iterable[Change], results: Iterable[Any]) -> None:
    for change, result in zip(changes, results, strict=True):
        if not change.done.done():
            change.done.set_result(result)


def _reject(changes: Iterable[Change], error: Exception) -> None:
    for change in changes:
        if not change.done.done():
            change.done.set_exception(error)
