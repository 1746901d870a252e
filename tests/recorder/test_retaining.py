"""Retention by itself: what was cut off goes on at once, the night's run a round later, nothing before a replay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from callrec.catalogue import FindQuery
from callrec.privacy.retention_execution import RunPoint, no_hook
from callrec.privacy.retention_runs import RetentionBook
from callrec.recorder.restored import RestoreGuard
from callrec.recorder.retaining import RetentionKeeping
from callrec.recorder.stores import Stores
from callrec.vault.ledger_entries import Draft
from tests.catalogue.house import House, house
from tests.support.hall_house import Complaints
from tests.support.promises import settings_of, stores_of

OLD = datetime(2023, 5, 4, 12, 0, tzinfo=UTC)


class Plug(Exception):  # noqa: N818 - what is pulled
    """The power goes."""


@dataclass
class Node:
    """The stores of a recorder, as it starts."""

    here: House
    guard: RestoreGuard
    book: RetentionBook
    keeping: RetentionKeeping

    async def replayed(self) -> None:
        """Compare the stores with the ledger."""
        await self.guard.before_replay()
        await self.here.eraser().resume()
        await self.guard.after_replay()

    async def approved(self) -> None:
        """Approve today's plan."""
        *_, sums = [line async for line in self.book.plan()]
        await self.book.approve(sums["hash"], "bob")

    async def calls(self) -> int:
        """Return how many calls a search finds."""
        return len((await self.here.catalogue.find(FindQuery())).items)


@asynccontextmanager
async def node(folder: Path, hook: Any = no_hook) -> AsyncIterator[Node]:
    """Start over a folder, new or old."""
    async with house(folder) as here:
        stores, settings = stores_of(here), settings_of()
        guard = RestoreGuard(here.catalogue, here.keyring, here.ledger, folder, here.recordings)
        kept = Stores(settings, here.catalogue, here.keyring, here.ledger, None, None, stores.eraser, guard)
        book = RetentionBook(stores, guard.promises_blocked, hook)
        yield Node(here, guard, book, RetentionKeeping(kept, book))


async def test_the_night_waits_for_the_replay_and_for_the_start(tmp_path: Path) -> None:
    """Nothing before the stores are compared; then a round for what was cut off; then what is approved goes."""
    async with node(tmp_path) as one:
        await one.here.recorded_call(started_at=OLD)
        await one.approved()
        for _ in range(3):
            await one.keeping.turn()
        assert (await one.book.show())["last_run"] is None
        await one.replayed()
        await one.keeping.turn()
        assert await one.calls() == 1
        await one.keeping.turn()
        assert await one.calls() == 0
        await one.keeping.turn()
        assert (await one.book.show())["last_run"]["deleted"] == 1


async def test_what_a_crash_cut_off_goes_on_with_the_first_round(tmp_path: Path) -> None:
    """No waiting for the next night."""

    def pull(point: RunPoint) -> None:
        if point is RunPoint.GATHERED:
            raise Plug

    async with node(tmp_path, pull) as one:
        await one.here.recorded_call(started_at=OLD)
        await one.replayed()
        await one.approved()
        with pytest.raises(Plug):
            await one.book.run("alice")
        assert await one.calls() == 1
    async with node(tmp_path) as one:
        await one.replayed()
        await one.keeping.turn()
        assert await one.calls() == 0


async def test_a_lost_promise_keeps_everything(tmp_path: Path, complaints: Complaints) -> None:
    """The ledger names a hold that a restored catalogue lacks: the night deletes nothing, and `show` says why."""
    async with node(tmp_path) as one:
        await one.here.recorded_call(started_at=OLD)
        await one.here.ledger.append([Draft("hold", {"id": "h-1", "what": "made"})], reach_copy=False)
        await one.replayed()
        await one.approved()
        for _ in range(3):
            await one.keeping.turn()
        assert await one.calls() == 1
        assert "hold h-1" in (await one.book.show())["waits"]
        assert "h-1" in complaints.found[0]
        complaints.found.clear()
        await one.guard.accept("alice")
        one.here.clock.advance(timedelta(days=1))
        await one.keeping.turn()
        assert await one.calls() == 0
