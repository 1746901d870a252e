"""The write-ahead log goes into the file beside the commits: none of them waits for it, and the log stays small."""

# ruff: noqa: ASYNC110 - a state that tells nobody is looked at

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from callrec.catalogue import Catalogue, FindQuery
from callrec.catalogue import checkpoints as checkpoints_module
from callrec.catalogue.checkpoints import MOST_PAGES, Checkpoints
from callrec.catalogue.engine import checkpoint
from tests.catalogue.house import PATIENCE_S, PATIENT, House, house

PAGE = 4096
MIB = 1 << 20
SQLITES_OWN_LIMIT = 1_000
"""Pages after which SQLite by itself makes a commit bring the log into the file."""


def checkpoints_of(here: House) -> Checkpoints:
    assert here.catalogue._checkpoints is not None
    return here.catalogue._checkpoints


async def without_its_task(here: House) -> Checkpoints:
    """Return the checkpoints, which come only when the test asks from now on."""
    checkpoints = checkpoints_of(here)
    await checkpoints._tasks.stop()
    return checkpoints


async def grow(here: House, mib: int) -> None:
    """Write so much, a mebibyte a commit."""
    table = "CREATE TABLE IF NOT EXISTS filler (bytes BLOB)"
    await here.catalogue.transact(lambda connection, _: connection.exec_driver_sql(table))
    insert = f"INSERT INTO filler VALUES (randomblob({MIB}))"
    for _ in range(mib):
        await here.catalogue.transact(lambda connection, _: connection.exec_driver_sql(insert))


@contextmanager
def no_file_may_grow_beyond(size: int) -> Iterator[None]:
    """Refuse what would make a file of this process larger, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_no_commit_brings_the_log_into_the_file(tmp_path: Path) -> None:
    """NOT-13: a row is durable before its call is answered, and waits for no page but its own."""
    file, log = tmp_path / "catalogue.db", tmp_path / "catalogue.db-wal"
    async with house(tmp_path) as here:
        checkpoints = await without_its_task(here)
        await checkpoints.truncate(PATIENCE_S)
        before = file.stat().st_size
        await grow(here, 6)
        assert log.stat().st_size > SQLITES_OWN_LIMIT * PAGE
        assert file.stat().st_size == before
        await checkpoints.look()
        assert file.stat().st_size > before + 5 * MIB
        size = log.stat().st_size
        await grow(here, 3)
        assert log.stat().st_size == size  # it began anew


async def test_the_log_of_a_storm_stays_bounded(tmp_path: Path) -> None:
    """Whoever writes without a pause fills no disk with the log: commits beside each checkpoint do not prevent it."""
    log = tmp_path / "catalogue.db-wal"
    async with house(tmp_path) as here:
        checkpoints = await without_its_task(here)
        largest = 0
        for _ in range(64):
            await asyncio.gather(checkpoints.look(), grow(here, 1))
            largest = max(largest, log.stat().st_size)
        assert largest < MOST_PAGES * PAGE + 8 * MIB  # less than SQLite's own limit would let it be


async def test_a_log_that_grew_large_becomes_smaller_again(tmp_path: Path) -> None:
    """After a reader that kept it from beginning anew for long, it is cut to 32 MiB."""
    log = tmp_path / "catalogue.db-wal"
    async with house(tmp_path) as here:
        checkpoints = await without_its_task(here)
        await grow(here, 40)
        assert log.stat().st_size > 36 * MIB
        await checkpoints.look()
        await here.open_call()
        assert log.stat().st_size <= 32 * MIB


async def test_the_log_stays_bounded_when_checkpoints_do_not_come(tmp_path: Path) -> None:
    """Their thread hangs: SQLite's own limit is there still."""
    async with house(tmp_path) as here:
        await without_its_task(here)
        await grow(here, 96)
        assert (tmp_path / "catalogue.db-wal").stat().st_size < 72 * MIB


async def test_a_checkpoint_that_finds_no_room_is_told_and_loses_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAIL-1: the disk is full: `status` says so, rows go on into the log, and nothing is missing afterwards."""
    monkeypatch.setattr(checkpoints_module, "EVERY_S", 0.1)
    async with house(tmp_path) as here:
        await grow(here, 4)  # so much room the log has
        await checkpoints_of(here).truncate(PATIENCE_S)
        with no_file_may_grow_beyond((tmp_path / "catalogue.db").stat().st_size):
            calls = [(await here.open_call()).call_id for _ in range(20)]
            async with asyncio.timeout(PATIENCE_S):
                while here.catalogue.log_problem is None:
                    await asyncio.sleep(0.02)
            assert str(tmp_path / "catalogue.db") in here.catalogue.log_problem
            calls.append((await here.open_call()).call_id)
            assert here.catalogue.problem is None
        async with asyncio.timeout(PATIENCE_S):
            while here.catalogue.log_problem is not None:
                await asyncio.sleep(0.02)
    catalogue = await Catalogue.open(tmp_path / "catalogue.db", here.keyring, PATIENT, strict=True)
    found = {item["call_id"] for item in (await catalogue.find(FindQuery(limit=100))).items}
    await catalogue.close()
    assert found >= set(calls)


async def test_a_reader_keeps_the_log_from_being_emptied_and_nobody_waits(tmp_path: Path) -> None:
    """LAW-43: whoever erases is told that the log could not be emptied, and tries again; afterwards it is empty."""
    async with house(tmp_path) as here:
        await here.open_call()
        with closing(sqlite3.connect(tmp_path / "catalogue.db", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM calls").fetchone()
            await here.open_call()
            assert not await here.catalogue.truncate_log()
        assert await here.catalogue.truncate_log()
        assert (tmp_path / "catalogue.db-wal").stat().st_size == 0


async def test_a_closed_catalogue_leaves_no_log(tmp_path: Path) -> None:
    """Everything is in the file after a stop: a copy of it alone is whole."""
    async with house(tmp_path) as here:
        new = await here.open_call()
    assert not (tmp_path / "catalogue.db-wal").exists()
    assert checkpoint(tmp_path / "catalogue.db", "PASSIVE").pages <= 0
    with closing(sqlite3.connect(tmp_path / "catalogue.db")) as connection:
        assert connection.execute("SELECT call_id FROM calls").fetchall() == [(new.call_id,)]


async def test_emptying_the_log_waits_no_longer_than_its_patience(tmp_path: Path) -> None:
    """A disk that does not answer in a checkpoint keeps nobody."""
    async with house(tmp_path) as here:
        checkpoints = checkpoints_of(here)
        async with checkpoints._one_at_a_time:
            with pytest.raises(TimeoutError):
                await checkpoints.truncate(0.1)
