"""Checkpoints: what the write-ahead log holds is brought into the file in a thread of its own, not inside a commit.

SQLite does it in the commit that passes a thousand pages: that one then writes and syncs the whole file, and a new
call waits for it. Here it is done beside the commits, every few seconds and with nobody held up: the seldomer, the
less is written and synced in all, for a page that changed ten times is written once.

The log begins anew only after a checkpoint that left nothing, which a commit meanwhile prevents. So one is made after
the other, each with less to do, until no commit came in between; and when the log has grown far all the same, what
little has come since is written in the writer's own thread, between two commits. Should even that not happen, SQLite's
own limit is there still.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

from callrec.catalogue.engine import Checkpoint, checkpoint
from callrec.tasks import Tasks

log = logging.getLogger("callrec.catalogue.checkpoints")

T = TypeVar("T")

EVERY_S = 4.0
_PRIMARY = 0xFF
"""The part of SQLite's extended error codes that says what kind of error it is."""
_TRIES = 2
_FEW_PAGES = 1_000
"""So small a log may go on growing until the next look: 4 MiB."""
MOST_PAGES = 4_096
"""From here on a checkpoint keeps the writer waiting rather than let the log grow: 16 MiB."""


class InWriter(Protocol):
    """Runs a function between two commits."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """Wait for its turn in the writer's thread."""
        ...


class Checkpoints:
    """Owns the thread that writes the log back, and the task that has it do so every few seconds."""

    def __init__(self, path: Path, in_writer: InWriter) -> None:
        self._path = path
        self._in_writer = in_writer
        self._thread = ThreadPoolExecutor(1, "catalogue-checkpoint")
        self._tasks = Tasks("catalogue")
        self._one_at_a_time = asyncio.Lock()
        self.problem: str | None = None
        """Why the last checkpoint failed: rows are safe in the log, which grows until one succeeds."""

    def start(self) -> None:
        """Begin to look."""
        self._tasks.start("checkpoints", self._keep())

    async def stop(self, patience_s: float) -> None:
        """End, and let one that is under way end, too; a blocked disk is not waited for beyond the patience."""
        await self._tasks.stop()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._in_thread(lambda: None), patience_s)
        self._thread.shutdown(wait=False)

    async def truncate(self, patience_s: float) -> bool:
        """Bring everything into the file and cut the log off; return whether nobody prevented it.

        Raises:
            TimeoutError: if it takes longer than the patience.
            sqlite3.Error: if the disk does not take it.
        """
        async with asyncio.timeout(patience_s), self._one_at_a_time:
            return not (await self._in_thread(lambda: checkpoint(self._path, "TRUNCATE"))).busy

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.look()
            except sqlite3.Error as error:
                self._failed(error)
            else:
                self.problem = None

    def _failed(self, error: sqlite3.Error) -> None:
        if getattr(error, "sqlite_errorcode", 0) & _PRIMARY == sqlite3.SQLITE_BUSY:
            return  # somebody has the file to himself for a moment
        text = f"the catalogue's log cannot be brought into {self._path} ({error}); make room, or mend its disk"
        if self.problem is None:
            log.error("%s", text)
        self.problem = text

    async def look(self) -> None:
        """Bring what the log holds into the file; costs next to nothing where that is nothing.

        Raises:
            sqlite3.Error: if the disk does not take it.
        """
        async with self._one_at_a_time:
            if await self._in_thread(self._pages_left) > MOST_PAGES:
                await self._in_writer(self._once)

    def _pages_left(self) -> int:
        """Make checkpoints until one left nothing, but not many; return the pages of a log that cannot begin anew."""
        before = -1
        for _ in range(_TRIES):
            done = self._once()
            if done.pages == before or done.pages < _FEW_PAGES or done.written < done.pages:
                return 0  # nobody committed since the one before, there is no haste, or a reader is in the way
            before = done.pages
        return before

    def _once(self) -> Checkpoint:
        return checkpoint(self._path, "PASSIVE")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
