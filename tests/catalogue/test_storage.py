"""A broken disk is told at once, costs nothing but recordings, and is forgotten when it is back."""

# ruff: noqa: ASYNC110 - a state that tells nobody is looked at

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event

from callrec.catalogue import CallChange, CallEnd, Catalogue, Event, FindQuery, StateLock, StorageUnavailable
from callrec.catalogue.engine import SCHEMA_HEAD, alembic_config, migrate, schema_of
from callrec.catalogue.sealer import NoKeys
from callrec.catalogue.tables import metadata
from callrec.errors import ExitCode, OperatorError
from tests.catalogue.house import PATIENT, START, House, house


async def until_well(here: House) -> None:
    """Wait until the catalogue has recovered by itself."""
    async with asyncio.timeout(15):
        while here.catalogue.problem is not None:
            await asyncio.sleep(0.02)


async def test_a_locked_catalogue_is_told_within_the_patience(tmp_path: Path) -> None:
    """Somebody holds the database: a new call is told within half a second, and everything works again afterwards."""
    async with house(tmp_path, open_patience_s=0.3, patience_s=2.0) as here:
        await here.open_call()
        with closing(sqlite3.connect(tmp_path / "catalogue.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            begun = time.monotonic()
            with pytest.raises(StorageUnavailable):
                await here.open_call()
            assert time.monotonic() - begun < 1.0
            assert here.catalogue.problem is not None
            assert len((await here.catalogue.find(FindQuery())).items) == 1
            begun = time.monotonic()
            with pytest.raises(StorageUnavailable):
                await here.open_call()
            assert time.monotonic() - begun < 1.0
            other.execute("ROLLBACK")
        await until_well(here)
        new = await here.open_call()
        assert (await here.catalogue.get(new.call_id))["in_progress"]
        events = await here.catalogue.events_after(0)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))


async def test_a_change_that_began_tells_its_fate(tmp_path: Path) -> None:
    """What is under way when its time is up is neither lost nor written twice: its fate says what became of it."""
    async with house(tmp_path, open_patience_s=0.3, patience_s=0.3) as here:
        new = await here.open_call()
        with closing(sqlite3.connect(tmp_path / "catalogue.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            told = [Event("recording", "started", new.call_id)]
            with pytest.raises(StorageUnavailable) as late:
                await here.catalogue.change_call(new.call_id, CallChange(recording_id="r"), told)
            with pytest.raises(StorageUnavailable) as refused:
                await here.catalogue.change_call(new.call_id, CallChange(recording_id="never"), told)
            assert refused.value.fate is None
            assert late.value.fate is not None
            assert not late.value.fate.done()
            other.execute("ROLLBACK")
        async with asyncio.timeout(10):
            await late.value.fate
        await until_well(here)
        assert (await here.catalogue.get(new.call_id))["recording_id"] == "r"
        verbs = [(event.noun, event.verb) for event in await here.catalogue.events_after(0)]
        assert verbs.count(("recording", "started")) == 1


async def test_a_full_disk_is_told_and_recovered_from(tmp_path: Path) -> None:
    """No room for the row: the call is told, memory and store agree afterwards, no number is lost."""
    async with house(tmp_path) as here:
        new = await here.open_call()
        writer = here.catalogue._writer
        assert writer is not None

        def full(connection: sqlite3.Connection, record: object) -> None:
            del record
            connection.execute("PRAGMA max_page_count=1")

        event.listen(writer._engine, "connect", full)
        await writer.in_thread(writer._engine.dispose)
        with pytest.raises(StorageUnavailable, match="full"):
            await asyncio.gather(*(here.open_call() for _ in range(60)))
        large = CallChange(notice={"text": "x" * 200_000})
        with pytest.raises(StorageUnavailable, match="full"):
            await here.catalogue.end_call(new.call_id, CallEnd(START, "not_recorded", "busy", final=large))
        assert here.catalogue.problem is not None
        event.remove(writer._engine, "connect", full)
        await writer.in_thread(writer._engine.dispose)
        await until_well(here)
        await here.catalogue.end_call(new.call_id, CallEnd(START, "not_recorded", "busy"))
        assert (await here.catalogue.get(new.call_id))["outcome_reason"] == "busy"
        events = await here.catalogue.events_after(0, 1000)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))


async def test_a_missing_folder_stops_nothing(tmp_path: Path) -> None:
    """The catalogue opens all the same, says why it cannot be used, and works as soon as the folder is there."""
    folder = tmp_path / "later"
    catalogue = await Catalogue.open(folder / "catalogue.db", NoKeys(), PATIENT)
    assert catalogue.problem is not None
    with pytest.raises(StorageUnavailable):
        await catalogue.find(FindQuery())
    with pytest.raises(StorageUnavailable):
        await catalogue.tell([Event("system", "started")])
    folder.mkdir()
    async with asyncio.timeout(10):
        while catalogue.problem is not None:
            await asyncio.sleep(0.02)
    await catalogue.tell([Event("system", "started")])
    assert catalogue.outbox_size == 1
    await catalogue.close()


@pytest.mark.parametrize("content", [b"this is no database" * 500, b"SQLite format 3\x00" + bytes(4000)])
async def test_a_broken_catalogue_is_told_and_left_alone(tmp_path: Path, content: bytes) -> None:
    """Nothing is written over a file that is no catalogue."""
    path = tmp_path / "catalogue.db"
    path.write_bytes(content)
    with pytest.raises(StorageUnavailable):
        await Catalogue.open(path, NoKeys(), strict=True)
    catalogue = await Catalogue.open(path, NoKeys())
    assert catalogue.problem is not None
    await catalogue.close()
    assert path.read_bytes() == content


async def test_a_catalogue_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    """An old program does not touch a new schema."""
    async with house(tmp_path) as here:
        await here.open_call()
    with closing(sqlite3.connect(tmp_path / "catalogue.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(StorageUnavailable, match="newer"):
        await Catalogue.open(tmp_path / "catalogue.db", NoKeys(), strict=True)


async def test_the_catalogue_keeps_its_promises_to_the_disk(tmp_path: Path) -> None:
    """WAL, FULL, foreign keys and secure_delete hold on the connection that writes; readers cannot write."""
    async with house(tmp_path) as here:
        await here.open_call()
        writer = here.catalogue._writer
        assert writer is not None

        def read() -> dict[str, object]:
            with writer._engine.connect() as connection:
                names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout")
                return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}

        assert await writer.in_thread(read) == {
            "journal_mode": "wal",
            "synchronous": 2,
            "foreign_keys": 1,
            "secure_delete": 1,
            "busy_timeout": 5000,
        }
        query_only = await here.catalogue.read(lambda reader: reader.exec_driver_sql("PRAGMA query_only").scalar())
        assert query_only == 1
    assert (tmp_path / "catalogue.db").stat().st_mode & 0o077 == 0


def test_the_steps_of_the_schema_lead_to_its_tables(tmp_path: Path) -> None:
    """The migrations make exactly the tables the code uses, and the head is the one the code names."""
    path = tmp_path / "catalogue.db"
    migrate(path)
    assert schema_of(path) == SCHEMA_HEAD == ScriptDirectory.from_config(alembic_config()).get_current_head()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_one_recorder_for_each_state_folder(tmp_path: Path) -> None:
    """The second is stopped with exit code 75 and told which process holds it."""
    held = StateLock.acquire(tmp_path / "lock")
    with pytest.raises(OperatorError, match=str(os.getpid())) as caught:
        StateLock.acquire(tmp_path / "lock")
    assert caught.value.exit_code is ExitCode.BUSY
    held.release()
    StateLock.acquire(tmp_path / "lock").release()


def test_the_lock_is_not_inherited(tmp_path: Path) -> None:
    """A worker started by exec does not keep the folder locked after the recorder's death."""
    held = StateLock.acquire(tmp_path / "lock")
    program = [sys.executable, "-c", "print('begun', flush=True); input()"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(program, close_fds=False, text=True, **pipes) as child:  # type: ignore[call-overload]
        held.release()
        assert child.stdout is not None
        # The kernel closes the descriptor a moment after our side of the exec returns.
        assert child.stdout.readline() == "begun\n"
        StateLock.acquire(tmp_path / "lock").release()
        assert child.poll() is None
        child.communicate("\n")


def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A state folder that is not there is one sentence."""
    with pytest.raises(OperatorError, match="cannot be written") as caught:
        StateLock.acquire(tmp_path / "nowhere" / "lock")
    assert caught.value.exit_code is ExitCode.CONFIGURATION
