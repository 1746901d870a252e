"""Calls are tied to their party while they go on, by the recorder itself; and each row has a last day at once."""

# ruff: noqa: ASYNC110 - a row that tells nobody is looked at

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from callrec.catalogue import CallChange, CallEnd, Event, StorageUnavailable
from callrec.recorder import tying
from callrec.recorder.tying import CallTying
from callrec.tasks import Tasks
from tests.catalogue.house import CALLER, NAME, OTHER
from tests.support.hall_house import TABLES, Complaints, HallHouse
from tests.support.promises import WHO, Office, office
from tests.support.stories import hear_notice
from tests.support.virtual_time import virtual


@asynccontextmanager
async def at_work(here: Office) -> AsyncIterator[CallTying]:
    """Tie calls as the recorder does."""
    tasks, worker = Tasks("test"), CallTying(here.book, here.stores.catalogue)
    tasks.start("tying", worker.run())
    try:
        yield worker
    finally:
        await tasks.stop()
        here.stores.catalogue.on_call = None


async def until_tied(here: Office, call_id: str, ref: str | None) -> None:
    """Wait until a call belongs to a party."""
    async with asyncio.timeout(10):
        while (await here.item(call_id))["relationship_id"] != ref:
            await asyncio.sleep(0.01)


async def test_a_call_is_tied_when_its_answer_is_told(tmp_path: Path) -> None:
    """The row is looked at as soon as it is durable: `call/answered` names the party, its class and its last day."""
    async with office(tmp_path) as here, at_work(here):
        await here.book.set("C-1", name=NAME, numbers=[CALLER], actor=WHO)
        new = await here.stores.open_call()
        await until_tied(here, new.call_id, "C-1")
        answer = CallChange(answered_at=new.started_at + timedelta(seconds=9))
        await here.stores.catalogue.change_call(new.call_id, answer, [Event("call", "answered", new.call_id)])
        (event,) = [event for event in await here.stores.catalogue.events_after(0) if event.verb == "answered"]
        told = event.document["data"]
        assert (told["relationship_id"], told["retention_class"], told["delete_on"]) == ("C-1", "customer", None)


async def test_a_party_that_changes_during_a_call_holds_at_its_end(tmp_path: Path) -> None:
    """The end of a call writes nothing back that was true when it began."""
    async with office(tmp_path) as here, at_work(here):
        await here.book.set("C-1", numbers=[CALLER], actor=WHO)
        new = await here.stores.open_call()
        await until_tied(here, new.call_id, "C-1")
        await here.book.set("C-2", numbers=[CALLER], since="2026-11-25", kind="enquirer", actor=WHO)
        end = CallEnd(new.started_at + timedelta(minutes=1), "not_recorded", "opt_out")
        await here.stores.catalogue.end_call(new.call_id, end, [Event("call", "ended", new.call_id)])
        assert await here.tied(new.call_id) == ("C-2", "enquirer", "2028-11-25")
        (event,) = [event for event in await here.stores.catalogue.events_after(0) if event.verb == "ended"]
        assert event.document["data"]["relationship_id"] == "C-2"


async def test_a_start_ties_what_a_crash_left(tmp_path: Path) -> None:
    """Calls that were stored and never looked at, and a change that never reached them."""
    async with office(tmp_path) as here:
        await here.book.set("C-1", numbers=[CALLER], actor=WHO)
        new = await here.stores.recorded_call()
        assert (await here.item(new.call_id))["relationship_id"] is None
    async with office(tmp_path) as here, at_work(here):
        await until_tied(here, new.call_id, "C-1")


async def test_a_store_that_fails_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complaints: Complaints
) -> None:
    """What could not be tied waits; a fault of ours costs its own calls only, and is logged."""
    monkeypatch.setattr(tying, "_AGAIN_S", 0.01)
    async with office(tmp_path) as here:
        await here.book.set("C-1", numbers=[CALLER], actor=WHO)
        tie, failures = here.book.tie, [StorageUnavailable("gone"), StorageUnavailable("still"), ValueError("a fault")]

        async def failing(call_ids: Sequence[str]) -> None:
            if call_ids and failures:
                raise failures.pop(0)
            await tie(call_ids)

        here.book.tie = failing  # type: ignore[method-assign]
        async with at_work(here) as worker:
            first = await here.stores.open_call()
            async with asyncio.timeout(10):
                while failures:
                    await asyncio.sleep(0.01)
            second = await here.stores.open_call()
            await until_tied(here, second.call_id, "C-1")
            worker.look_at(first.call_id)
            await until_tied(here, first.call_id, "C-1")
        assert ["internal error" in found for found in complaints.found] == [True]
        complaints.found.clear()


async def test_while_nobody_has_a_number_no_call_is_read(tmp_path: Path) -> None:
    """A house without relationships pays one look at an empty table."""
    async with office(tmp_path) as here, at_work(here):
        read: list[Any] = []

        async def noted(call_ids: Sequence[str]) -> int:
            read.append(call_ids)
            return 0

        here.book.tying.tie = noted  # type: ignore[method-assign]
        await here.stores.open_call()
        await here.book.set("C-1", name=NAME, actor=WHO)
        await here.stores.open_call()
        assert read == []


async def test_law_60_the_recorder_hears_the_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LAW-60: a feed that is silent for a week is red, until somebody tells something."""
    monkeypatch.setattr(tying, "_EVERY_S", 0.01)
    async with office(tmp_path) as here:
        await here.book.set("C-1", numbers=[OTHER], actor=WHO)
        here.stores.clock.advance(timedelta(days=7))
        async with at_work(here) as worker, asyncio.timeout(10):
            while worker.feed_level != "red":
                await asyncio.sleep(0.01)
            await here.book.set("C-1", actor=WHO)
            while worker.feed_level is not None:
                await asyncio.sleep(0.01)


def tables(rule_class: str, *classes: dict[str, str]) -> dict[str, Any]:
    """Return a configuration whose rules give calls a class."""
    rules = [{**rule, "retention_class": rule_class} for rule in TABLES["capture_rule"]]
    return {"capture_rule": rules, "retention_class": list(classes)}


UNMATCHED = {"name": "unmatched", "keep": "1y", "from": "call"}


@pytest.mark.parametrize(
    ("rule_class", "classes", "expected"),
    [
        ("unmatched", [UNMATCHED], ("unmatched", {"years": 1})),
        ("fortnight", [{"name": "fortnight", "keep": "14d", "from": "call"}], ("fortnight", {"days": 14})),
        # Of these the configuration says nothing but the name: until a party is known, two years from the call.
        ("customer", [{"name": "customer", "keep": "0d", "from": "relationship_end"}], ("unmatched", {"years": 2})),
        ("complaint", [{"name": "complaint", "keep": "0d", "from": "relationship_end"}], ("complaint", {"years": 2})),
    ],
)
def test_law_56_a_row_begins_with_the_class_of_nobodys_calls(
    rule_class: str, classes: list[dict[str, str]], expected: tuple[str, dict[str, int]]
) -> None:
    """LAW-56: every row has its class and its last day from the beginning, also where a class waits for a party."""

    @virtual
    async def story() -> None:
        house = HallHouse(**tables(rule_class, *classes))
        await hear_notice(house)
        new = house.item().new
        name, period = expected
        started = new.started_at.date()
        last = started.replace(year=started.year + period.get("years", 0)) + timedelta(days=period.get("days", 0))
        assert (new.retention_class, new.delete_on) == (name, last)

    story()
