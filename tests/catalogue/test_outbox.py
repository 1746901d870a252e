"""Events: in the same transaction as their change, in order, never lost, never with a number."""

# ruff: noqa: ASYNC240 - tests look at small local files

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from callrec.catalogue import CallIdentity, Event, NumbersMode
from tests.catalogue.house import CALLER, NAME, OURS, house, spellings


async def test_a_document_is_a_cloud_event(tmp_path: Path) -> None:
    """The envelope is CloudEvents 1.0 with a sequence of twenty digits."""
    async with house(tmp_path) as here:
        new = await here.recorded_call()
        started, *_, ended = await here.catalogue.pending()
    assert started.document["specversion"] == "1.0"
    assert started.document["source"] == "callrec/rec1"
    assert started.document["type"] == "com.callrec.call.started.v1"
    assert started.document["subject"] == new.call_id
    assert started.document["sequence"] == "00000000000000000001"
    assert started.document["data"]["sequence"] == 1
    assert started.document["data"]["outcome"] is None
    assert ended.document["data"]["outcome_reason"] == "complete"
    assert (ended.noun, ended.verb) == ("call", "ended")


@pytest.mark.parametrize(
    ("mode", "shown"),
    [(NumbersMode.HASH, None), (NumbersMode.LAST4, "*0001"), (NumbersMode.FULL, CALLER)],
)
async def test_numbers_are_as_configured_and_names_never(tmp_path: Path, mode: NumbersMode, shown: str | None) -> None:
    """`[mqtt] numbers` says what is told; the caller's reference is the same in each, and no name is ever told."""
    async with house(tmp_path, numbers=mode) as here:
        await here.recorded_call(identity=CallIdentity(network_number=CALLER, called_number=OURS, display_name=NAME))
        for event in await here.catalogue.pending():
            assert event.document["data"]["network_number"] == shown
            assert len(event.document["data"]["caller_ref"]) == 32
            text = json.dumps(event.document)
            assert "Neill" not in text
            assert "display_name" not in text
            if mode is NumbersMode.HASH:
                assert not any(form.decode() in text for form in spellings(CALLER))


async def test_the_same_caller_has_the_same_reference(tmp_path: Path) -> None:
    """Consumers can join a caller's calls, in either direction, without knowing the number."""
    async with house(tmp_path) as here:
        await here.open_call()
        await here.open_call(direction="outbound", identity=CallIdentity(called_number=CALLER))
        await here.open_call(identity=CallIdentity(network_number=OURS))
        await here.open_call(withheld=True, identity=CallIdentity(called_number=OURS))
        references = [event.document["data"]["caller_ref"] for event in await here.catalogue.pending()]
    assert references[0] == references[1] is not None
    assert references[2] not in {None, references[0]}
    assert references[3] is None


async def test_events_are_pending_until_published(tmp_path: Path) -> None:
    """`mark_published` moves on, never back, and survives a restart; published events can still be read."""
    async with house(tmp_path) as here:
        await here.recorded_call()
        assert here.catalogue.outbox_size == 4
        await here.catalogue.mark_published(3)
        await here.catalogue.mark_published(2)
        ids = [event.document["id"] for event in await here.catalogue.events_after(0)]
    async with house(tmp_path) as again:
        assert again.catalogue.outbox_size == 1
        assert [event.sequence for event in await again.catalogue.pending()] == [4]
        assert [event.document["id"] for event in await again.catalogue.events_after(0)] == ids


async def test_waiting_ends_with_the_next_event(tmp_path: Path) -> None:
    """A publisher sleeps until there is something to publish."""
    async with house(tmp_path) as here:
        await here.catalogue.wait_for_events(-1)
        waiting = asyncio.ensure_future(here.catalogue.wait_for_events(0))  # noqa: TID251 - one task of a test
        await asyncio.sleep(0)
        assert not waiting.done()
        await here.open_call()
        await asyncio.wait_for(waiting, 2)


async def test_events_about_no_call_are_told(tmp_path: Path) -> None:
    """They are sealed under the node key and come back whole."""
    async with house(tmp_path) as here:
        await here.catalogue.tell([Event("system", "started", None, {"version": "0.1.0-unmistakable"})])
        (event,) = await here.catalogue.pending()
        assert event.document["data"] == {"version": "0.1.0-unmistakable"}
        assert "subject" not in event.document
        assert all(b"unmistakable" not in path.read_bytes() for path in tmp_path.glob("catalogue.db*"))


async def test_numbers_are_reserved_before_use(tmp_path: Path) -> None:
    """No event has a number that the ledger has not reserved."""
    async with house(tmp_path) as here:
        await here.open_call()
        assert here.ledger.reserved_upto == 10_000


async def test_a_crash_skips_no_number(tmp_path: Path) -> None:
    """The files of a recorder that died without closing go on with the next number."""
    async with house(tmp_path / "a") as here:
        await here.recorded_call()
        shutil.copytree(tmp_path / "a", tmp_path / "b")
    async with house(tmp_path / "b") as again:
        await again.open_call()
        assert [event.sequence for event in await again.catalogue.events_after(0)] == [1, 2, 3, 4, 5]


async def test_a_crash_between_reserving_and_noting_skips_no_number(tmp_path: Path) -> None:
    """The ledger is one block ahead of the catalogue: that is a crash, not a restore."""
    async with house(tmp_path) as here:
        await here.open_call()
        await here.ledger.reserve_events(20_000)
    async with house(tmp_path) as again:
        await again.open_call()
        assert [event.sequence for event in await again.catalogue.events_after(0)] == [1, 2]


async def test_after_a_restore_numbers_go_on_at_the_next_block(tmp_path: Path) -> None:
    """A catalogue older than the ledger gives no number twice, and tells which it skipped."""
    async with house(tmp_path) as here:
        await here.open_call()
    async with house(tmp_path, restored=True) as again:
        await again.open_call()
        first, told, later = await again.catalogue.events_after(0)
        assert (first.sequence, told.sequence, later.sequence) == (1, 10_001, 10_002)
        assert (told.noun, told.verb) == ("system", "recovered")
        assert told.document["data"] == {"skipped_from": 2, "skipped_upto": 10_000}


async def test_numbers_that_a_restore_skipped_do_not_wait_to_be_published(tmp_path: Path) -> None:
    """What `status` shows as waiting are events, also after a later start."""
    async with house(tmp_path) as here:
        await here.open_call()
    async with house(tmp_path, restored=True) as restored:
        await restored.open_call()
        assert restored.catalogue.outbox_size == 3
    async with house(tmp_path) as again:
        assert again.catalogue.outbox_size == 3
        await again.catalogue.mark_published(1)
        assert again.catalogue.outbox_size == 2
        await again.catalogue.mark_published(10_002)
        assert again.catalogue.outbox_size == 0


async def test_an_old_catalogue_is_noticed_by_itself(tmp_path: Path) -> None:
    """Two blocks behind the ledger can only be a restore."""
    async with house(tmp_path) as here:
        await here.open_call()
        await here.ledger.reserve_events(20_000)
        await here.ledger.reserve_events(30_000)
    async with house(tmp_path) as again:
        assert [event.sequence for event in await again.catalogue.events_after(1)] == [30_001]


PROGRAM = """
import asyncio, pathlib, sys
from tests.catalogue.house import house

async def main():
    async with house(pathlib.Path(sys.argv[1])) as here:
        published = here.catalogue.published
        while True:
            await here.recorded_call()
            for event in await here.catalogue.events_after(published):
                print(event.sequence, event.document["id"], flush=True)
                published = event.sequence
            if published % 3 == 0:
                await here.catalogue.mark_published(published)

asyncio.run(main())
"""


@pytest.mark.parametrize("rounds", [3, pytest.param(50, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
def test_a_kill_between_commit_and_publish_loses_nothing(tmp_path: Path, rounds: int) -> None:
    """kill -9 at any moment: every number is published, in order, and a repeated one has the same id."""
    ids: dict[int, str] = {}
    for _ in range(rounds):
        before = max(ids, default=0)
        command = [sys.executable, "-c", PROGRAM, tmp_path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(17)]
            os.kill(process.pid, signal.SIGKILL)
            lines += [line for line in process.stdout if line.endswith("\n")]
        numbers = []
        for line in lines:
            sequence, event_id = line.split()
            numbers.append(int(sequence))
            assert ids.setdefault(int(sequence), event_id) == event_id
        assert numbers == sorted(numbers)
        assert numbers[0] <= before + 1
    assert sorted(ids) == list(range(1, max(ids) + 1))
