"""Stops, holds and restrictions in the running recorder: what people may not do, and what broken stores cost."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from callrec.errors import ExitCode, OperatorError
from callrec.recorder.desk import Desk
from callrec.recorder.health import Code
from callrec.recorder.protecting import load_stop_list
from callrec.recorder.stores import Stores
from callrec.recorder.tools import Tools
from tests.catalogue.house import CALLER, OTHER, House, house
from tests.support.hall_house import Complaints, HallHouse

REVIEW = date(2027, 2, 1)
PLACER, OTHER_PERSON = "dora", "otto"


@dataclass
class Bureau:
    """A desk over real stores."""

    stores: House
    tools: Tools
    desk: Desk

    @property
    def book(self) -> Any:
        return self.desk.promises.protections

    async def protect(self, kind: str, *ids: str) -> str:
        placed = await self.book.protect(kind, ids=ids, reason="claim 7", review=REVIEW, actor=PLACER)
        return str(placed["id"])


@asynccontextmanager
async def bureau(folder: Path) -> AsyncIterator[Bureau]:
    async with house(folder) as here:
        hall_house = HallHouse()
        tools = hall_house.tools
        tools.clock = here.clock
        tools.stores = Stores(tools.settings, here.catalogue, here.keyring, here.ledger, None, None, here.eraser(None))
        desk = Desk(tools, hall_house.hall, lambda: None)
        yield Bureau(here, tools, desk)


async def refused(doing: Any, exit_code: ExitCode, words: str) -> None:
    with pytest.raises(OperatorError, match=words) as caught:
        await doing
    assert caught.value.exit_code is exit_code


async def test_law_42_a_restricted_recording_is_not_read_without_being_set_aside(tmp_path: Path) -> None:
    """LAW-42: kept, shown in lists, and played or exported by nobody who has no reason."""
    async with bureau(tmp_path) as here:
        new = await here.stores.recorded_call()
        restriction = await here.protect("restricted", new.call_id)
        await refused(here.desk.recording(new.call_id), ExitCode.REFUSED, "is restricted")
        assert (await here.desk.get(new.call_id))["holds"] == [{"id": restriction, "kind": "restricted"}]
        set_aside = await here.desk.recording(new.call_id, despite_restriction=True)
        assert set_aside.call_id == new.call_id
        await here.book.release(restriction, PLACER, "told by letter")
        assert (await here.desk.recording(new.call_id)).call_id == new.call_id


@pytest.mark.parametrize("kind", ["legal_hold", "sar_hold"])
async def test_law_52_a_held_recording_may_be_read(tmp_path: Path, kind: str) -> None:
    """LAW-52: a hold keeps; it hides nothing."""
    async with bureau(tmp_path) as here:
        new = await here.stores.recorded_call()
        await here.protect(kind, new.call_id)
        assert (await here.desk.recording(new.call_id)).call_id == new.call_id


@pytest.mark.parametrize("kind", ["legal_hold", "sar_hold", "restricted"])
async def test_law_53_what_is_held_is_not_deleted(tmp_path: Path, kind: str) -> None:
    """LAW-53: by id or by number, planned or just about to go: exit 5, nothing changed."""
    async with bureau(tmp_path) as here:
        held, free = await here.stores.recorded_call(), await here.stores.recorded_call()
        plan = await here.desk.plan_deletion([held.call_id], None)
        hold = await here.protect(kind, held.call_id)
        await refused(here.desk.plan_deletion([held.call_id], None), ExitCode.REFUSED, "under a hold")
        await refused(here.desk.plan_deletion([], CALLER), ExitCode.REFUSED, "under a hold")
        await refused(here.desk.delete(plan.hash, reason="", actor="root"), ExitCode.REFUSED, "under a hold")
        assert await here.stores.catalogue.state_of(held.call_id) == "ended"
        await here.book.release(hold, OTHER_PERSON, "over")
        plan = await here.desk.plan_deletion([held.call_id, free.call_id], None)
        assert all(call.verified for call in await here.desk.delete(plan.hash, reason="", actor="root"))


async def test_law_39_the_key_a_caller_presses_enters_the_stop(tmp_path: Path) -> None:
    """NOT-16: at the caller's own wish, and the audit chain says so."""
    async with bureau(tmp_path) as here:
        await load_stop_list(here.tools, here.book)
        assert here.tools.add_stop is not None
        await here.tools.add_stop(OTHER)
        assert here.tools.stop_list.is_stopped([OTHER])
        (entry,) = await here.stores.catalogue.audit_entries()
        assert (entry["actor"], entry["action"]) == ("caller", "stop add")


async def test_law_39_a_list_that_cannot_be_read_is_a_problem_until_it_can(
    tmp_path: Path, complaints: Complaints
) -> None:
    """LAW-39: recording fails closed, `status` says why, and it mends by itself."""
    async with bureau(tmp_path) as here:
        here.tools.stop_list._number_key = None
        with closing(sqlite3.connect(tmp_path / "catalogue.db")) as connection:
            connection.execute("ALTER TABLE stops RENAME TO gone")
            await load_stop_list(here.tools, here.book)
            assert not here.tools.stop_list.known
            (problem,) = here.tools.health.problems()
            assert problem.code is Code.STORAGE_UNAVAILABLE
            assert "the stop list cannot be read" in problem.text
            assert "\n" not in problem.text
            complaints.found.clear()
            connection.execute("ALTER TABLE gone RENAME TO stops")
        await load_stop_list(here.tools, here.book)
        assert here.tools.stop_list.known
        assert here.tools.health.problems() == []
