"""The readers of the catalogue: a few connections that cannot write, each in a thread of its own while it reads.

A reading is a plain function of a connection, run in one go: through an asynchronous driver each statement costs three
hops between threads, and SQLAlchemy's asynchronous side brings its whole object mapper along (measured:
docs/decisions/0012-catalogue-readers.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

from callrec.catalogue.engine import READERS, reader_engine

T = TypeVar("T")


class Read(Protocol):
    """Runs a function of a reading connection, and gives what it gave.

    Raises:
        StorageUnavailable: if the catalogue cannot be read in time.
    """

    async def __call__(self, run: Callable[[Connection], T], /) -> T:
        """Wait for what `run` gives; it is called in another thread."""
        ...


class Readers:
    """Owns the reading engine and its threads."""

    def __init__(self, path: Path) -> None:
        self._engine = reader_engine(path)
        self._threads = ThreadPoolExecutor(READERS, "catalogue-reader")
        # Who waits for a thread waits here, where giving up leaves nothing behind.
        self._free = asyncio.Semaphore(READERS)

    async def run(self, read: Callable[[Connection], T], patience_s: float) -> T:
        """Run a function in one reading transaction and return what it gives.

        Whoever gives up leaves a reading that has begun to its thread, which is free again when the disk answers.

        Raises:
            TimeoutError: if it takes longer than the patience.
            SQLAlchemyError: if the file cannot be read.
        """
        async with asyncio.timeout(patience_s):
            await self._free.acquire()
            reading = asyncio.get_running_loop().run_in_executor(self._threads, self._read, read)
            reading.add_done_callback(self._ended)
            return await asyncio.shield(reading)

    def _read(self, read: Callable[[Connection], T]) -> T:
        with self._engine.connect() as connection:
            return read(connection)

    def _ended(self, reading: asyncio.Future[Any]) -> None:
        self._free.release()
        if not reading.cancelled():
            reading.exception()  # nobody may be left who asks

    async def stop(self, patience_s: float) -> None:
        """Wait for what is being read, then close the files; a blocked disk is not waited for beyond the patience."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                for _ in range(READERS):
                    await self._free.acquire()
                await asyncio.get_running_loop().run_in_executor(self._threads, self._engine.dispose)
        self._threads.shutdown(wait=False)
