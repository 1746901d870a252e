"""Reading the catalogue in threads: nobody waits longer than his patience, and giving up leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from callrec.catalogue.engine import READERS, migrate
from callrec.catalogue.readers import Readers

LONG_S, SHORT_S = 10.0, 0.05


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Readers]:
    migrate(folder / "catalogue.db")
    readers = Readers(folder / "catalogue.db")
    try:
        yield readers
    finally:
        await readers.stop(LONG_S)


def one(connection: Connection) -> int:
    found: int = connection.exec_driver_sql("SELECT 1").scalar_one()
    return found


class Blocked:
    """Readings that a disk does not answer, until it does."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._answered = threading.Event()
        self._begun = threading.Semaphore(0)

    def read(self, connection: Connection) -> int:
        self._begun.release()
        assert self._answered.wait(LONG_S)
        return one(connection)

    async def begin(self, patience_s: float) -> list[asyncio.Task[int]]:
        """Keep every reader busy."""
        tasks = [
            asyncio.get_running_loop().create_task(self._readers.run(self.read, patience_s)) for _ in range(READERS)
        ]
        for _ in tasks:
            assert await asyncio.to_thread(self._begun.acquire, timeout=LONG_S)
        return tasks

    def answer(self) -> None:
        self._answered.set()


async def test_a_reading_runs_beside_others_and_never_in_the_loop(tmp_path: Path) -> None:
    """As many as there are readers read at the same time, none of them in the event loop's thread."""
    together = threading.Barrier(READERS)

    def read(connection: Connection) -> tuple[int, int]:
        together.wait(LONG_S)
        return one(connection), threading.get_ident()

    async with opened(tmp_path) as readers:
        found = await asyncio.gather(*(readers.run(read, LONG_S) for _ in range(READERS)))
    assert [number for number, _ in found] == [1] * READERS
    assert threading.get_ident() not in {thread for _, thread in found}


async def test_whoever_waits_for_a_blocked_disk_is_told_in_time(tmp_path: Path) -> None:
    """FAIL: while every reader is blocked, a reading fails within its patience; afterwards the next one works."""
    async with opened(tmp_path) as readers:
        blocked = Blocked(readers)
        tasks = await blocked.begin(LONG_S)
        with pytest.raises(TimeoutError):
            await readers.run(one, SHORT_S)
        blocked.answer()
        assert await asyncio.gather(*tasks) == [1] * READERS
        assert await readers.run(one, LONG_S) == 1


async def test_giving_up_costs_no_reader(tmp_path: Path) -> None:
    """Readings that were given up, by their patience or by being cancelled, are free again when the disk answers."""
    async with opened(tmp_path) as readers:
        for give_up in (False, True):
            blocked = Blocked(readers)
            tasks = await blocked.begin(LONG_S if give_up else 1.0)
            if give_up:
                for task in tasks:
                    task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(end) for end in ends} == {asyncio.CancelledError if give_up else TimeoutError}
            blocked.answer()
            assert await asyncio.gather(*(readers.run(one, LONG_S) for _ in range(2 * READERS))) == [1] * 2 * READERS


async def test_a_reader_cannot_write(tmp_path: Path) -> None:
    """query_only holds on every reading connection, and what one reading broke the next does not see."""
    async with opened(tmp_path) as readers:
        for _ in range(READERS + 1):
            with pytest.raises(OperationalError, match="readonly"):
                await readers.run(lambda connection: connection.exec_driver_sql("DELETE FROM calls"), LONG_S)
        assert await readers.run(one, LONG_S) == 1


async def test_closing_waits_for_readings_but_not_for_ever(tmp_path: Path) -> None:
    """A reading under way ends before the files are closed; a blocked one is left behind."""
    migrate(tmp_path / "catalogue.db")
    readers = Readers(tmp_path / "catalogue.db")
    blocked = Blocked(readers)
    tasks = await blocked.begin(LONG_S)
    await asyncio.wait_for(readers.stop(SHORT_S), LONG_S)
    blocked.answer()
    assert await asyncio.gather(*tasks) == [1] * READERS
