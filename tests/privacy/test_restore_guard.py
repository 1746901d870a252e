"""Nothing is shown before the ledger is replayed, nor while it is in doubt; lost promises stop what they forbid."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from callrec.catalogue.erasure import LedgerDue
from callrec.catalogue.protections import StopRow, add_stop, remove_stop
from callrec.errors import ExitCode, OperatorError
from callrec.identifiers import new_id
from callrec.privacy import Reason
from callrec.privacy.restoring import differences
from callrec.recorder.restored import ReplayedOutbox, RestoreGuard
from callrec.vault.backup_restoring import MARKER
from callrec.vault.ledger_entries import Draft
from tests.catalogue.house import House, house


@asynccontextmanager
async def guarded(folder: Path, *, replay: bool = True) -> AsyncIterator[tuple[House, RestoreGuard]]:
    """Open the stores as a start does."""
    async with house(folder) as here:
        guard = RestoreGuard(here.catalogue, here.keyring, here.ledger, folder, here.recordings)
        if replay:
            await guard.before_replay()
            await here.eraser().resume()
            assert await guard.after_replay()
        yield here, guard
        await guard.end()


def code_of(guard: RestoreGuard) -> ExitCode | None:
    try:
        guard.check()
    except OperatorError as error:
        return error.exit_code
    return None


def made(kind: str, one: str) -> Draft:
    return Draft(kind, {"id": one, "what": "made"})


async def test_nothing_is_shown_before_the_ledger_is_replayed(tmp_path: Path) -> None:
    """Exit code 75 and an empty outbox until then; afterwards everything."""
    async with guarded(tmp_path, replay=False) as (here, guard):
        await here.recorded_call()
        outbox = ReplayedOutbox(_Stores(here, guard))
        assert code_of(guard) is ExitCode.BUSY
        assert guard.promises_blocked() is not None
        assert await outbox.pending(10) == []
        await guard.before_replay()
        await here.eraser().resume()
        assert await guard.after_replay()
        assert not await guard.after_replay()
        assert (code_of(guard), guard.promises_blocked()) == (None, None)
        assert len(await outbox.pending(10)) == 4


class _Stores:
    def __init__(self, here: House, guard: RestoreGuard) -> None:
        self.catalogue = here.catalogue
        self.guard: RestoreGuard | None = guard


async def test_without_keys_there_is_nothing_to_guard(tmp_path: Path) -> None:
    """Nothing stored can be read then; what is told of calls without keys is shown."""
    async with house(tmp_path) as here:
        guard = RestoreGuard(here.catalogue, None, None, tmp_path, here.recordings)
        await guard.before_replay()
        assert not await guard.after_replay()
        assert (code_of(guard), guard.lost_text) == (None, None)
        assert guard.promises_blocked() is not None
        await guard.hear({"signed_head": {"n": 1, "hash": "x", "signature": "y"}})
        await guard.end()
        with pytest.raises(OperatorError):
            await guard.accept("root")


@pytest.mark.parametrize("damage", ["missing", "cut", "altered"])
async def test_a_ledger_in_doubt_closes_the_store_until_it_is_accepted(tmp_path: Path, damage: str) -> None:
    """Exit code 5 over restarts, and after a person's word all is open again."""
    async with guarded(tmp_path) as (here, _):
        new = await here.recorded_call()
        await here.eraser().erase([new.call_id], reason=Reason.DELETE, authoriser="root")
    for path in (tmp_path / "ledger", tmp_path / "outside" / "ledger"):
        lines = path.read_bytes().splitlines(keepends=True)
        match damage:
            case "missing":
                path.unlink()
            case "cut":
                path.write_bytes(b"".join(lines[:2]))
            case _:
                path.write_bytes(b"".join(lines).replace(b'"intent"', b'"begun"', 1))
    for _ in range(2):
        async with guarded(tmp_path) as (_, guard):
            assert code_of(guard) is ExitCode.REFUSED
            assert guard.promises_blocked() is not None
    async with guarded(tmp_path) as (_, guard):
        assert await guard.accept("Jane Doe")
        assert (code_of(guard), guard.promises_blocked()) == (None, None)
    async with guarded(tmp_path) as (_, guard):
        assert code_of(guard) is None


async def test_promises_that_the_catalogue_lacks_are_lost_until_entered_again(tmp_path: Path) -> None:
    """They are named, they block, each new one takes the place of one, and the next start knows the same."""
    stop, request = new_id(), new_id()
    async with guarded(tmp_path) as (here, _):
        await here.ledger.append([made("stop", stop), made("request", request)], reach_copy=False)
    async with guarded(tmp_path) as (here, guard):
        assert guard.lost == {"stop": [stop], "request": [request]}
        assert stop in (guard.lost_text or "")
        assert guard.promises_blocked() == guard.lost_text
        assert code_of(guard) is None
        await here.ledger.append([made("stop", new_id())], reach_copy=False)
        assert guard.lost == {"request": [request]}
        await guard.accept("root")
        assert (guard.lost, guard.lost_text) == ({}, None)


async def test_a_promise_that_was_lifted_is_not_lost(tmp_path: Path) -> None:
    """The ledger knows that nobody needs to keep it."""
    async with guarded(tmp_path) as (here, _):
        await here.ledger.append([made("hold", "h1"), Draft("hold", {"id": "h1", "what": "lifted"})], reach_copy=False)
    async with guarded(tmp_path) as (_, guard):
        assert guard.lost == {}


async def test_what_was_lifted_after_a_backup_is_named_when_it_is_in_force_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A stop of a restored catalogue that the ledger knows as lifted: it counts, and the log says so."""
    live, stop, kept = tmp_path / "live", new_id(), new_id()
    async with guarded(live) as (here, _):
        for one in (stop, kept):
            row = StopRow(one, None, None, b"0123456789abcdef", None, here.clock.now(), "root")
            due = LedgerDue("stop", {"id": one, "what": "made"})
            await here.catalogue.transact(lambda connection, _, row=row, due=due: add_stop(connection, row, [], due))
        await here.eraser().pay_ledger()
    shutil.copy(live / "catalogue.db", tmp_path / "backup.db")
    async with guarded(live) as (here, _):
        due = LedgerDue("stop", {"id": stop, "what": "lifted"})
        await here.catalogue.transact(
            lambda connection, _: remove_stop(connection, stop, here.clock.now(), "root", due)
        )
        await here.eraser().pay_ledger()
    async with guarded(live):
        assert "lifted after its backup" not in caplog.text
    shutil.copy(tmp_path / "backup.db", live / "catalogue.db")
    async with guarded(live):
        assert f"lifted after its backup: stop {stop};" in caplog.text
    assert differences(live / "catalogue.db", [live / "ledger"]).revived == {"stop": [stop]}


async def test_a_ledger_taken_from_a_backup_is_in_doubt(tmp_path: Path) -> None:
    """What was erased after the backup nobody knows; told once, and the marker of the restore is gone."""
    async with guarded(tmp_path):
        pass
    (tmp_path / MARKER).write_text('{"set": "one", "swapped": true, "ledger": "from_backup", "by": "alice"}')
    async with guarded(tmp_path) as (here, guard):
        assert code_of(guard) is ExitCode.REFUSED
        assert "taken from a backup" in (here.ledger.in_doubt or "")
        assert not (tmp_path / MARKER).exists()
        (entry,) = await here.catalogue.audit_entries()
        assert (entry["actor"], entry["action"]) == ("alice", "backup.restore")


async def test_stores_that_are_newer_than_the_ledger_prove_that_it_was_cut(tmp_path: Path) -> None:
    """No broker and no checkpoint is needed: keyring and catalogue note how far they were brought."""
    async with guarded(tmp_path) as (here, _):
        for _ in range(3):
            new = await here.recorded_call()
            await here.eraser().erase([new.call_id], reason=Reason.DELETE, authoriser="root")
    for path in (tmp_path / "ledger", tmp_path / "outside" / "ledger"):
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:4]))
    async with guarded(tmp_path) as (here, guard):
        assert code_of(guard) is ExitCode.REFUSED
        assert "shorter" in (here.ledger.in_doubt or "")


async def test_the_catalogues_note_of_the_last_run_proves_that_the_ledger_was_cut(tmp_path: Path) -> None:
    """Nothing was erased and the checkpoint is gone as well: the note is witness enough."""
    async with guarded(tmp_path):
        pass
    old = (tmp_path / "ledger").read_bytes().splitlines(keepends=True)[:2]
    (tmp_path / "ledger.checkpoint").unlink()
    for path in (tmp_path / "ledger", tmp_path / "outside" / "ledger"):
        path.write_bytes(b"".join(old))
    async with guarded(tmp_path) as (_, guard):
        assert code_of(guard) is ExitCode.REFUSED


async def test_the_brokers_signed_head_closes_the_store_when_the_ledger_was_cut(tmp_path: Path) -> None:
    """And one that fits, or is no head at all, changes nothing."""
    async with guarded(tmp_path) as (here, _):
        await here.ledger.reserve_events(10_000)
        head = here.ledger.head.as_document()
    old = (tmp_path / "ledger").read_bytes()
    async with guarded(tmp_path) as (here, guard):
        await guard.hear({"signed_head": head})
        for nonsense in ({}, {"signed_head": None}, {"signed_head": "x"}, {"signed_head": {"n": "1"}}):
            await guard.hear(nonsense)
        assert code_of(guard) is None
        newer = here.ledger.head.as_document()
    for path in (tmp_path / "ledger", tmp_path / "outside" / "ledger"):
        path.write_bytes(old)
    async with house(tmp_path) as here:
        guard = RestoreGuard(here.catalogue, here.keyring, here.ledger, tmp_path, here.recordings)
        await guard.hear({"signed_head": {**newer, "n": int(newer["n"])}})
        assert code_of(guard) is ExitCode.REFUSED


@pytest.mark.parametrize("back", ["file", "folder"])
async def test_files_of_erased_recordings_that_came_back_are_removed(tmp_path: Path, back: str) -> None:
    """A restore of the files alone: the others stay."""
    live, copy = tmp_path / "live", tmp_path / "copy"
    async with guarded(live) as (here, guard):
        gone, kept = await here.recorded_call(), await here.recorded_call()
        await guard.sweep()
        shutil.copytree(here.recordings, copy)
        await here.eraser().erase([gone.call_id], reason=Reason.DELETE, authoriser="root")
        assert len(list(here.recordings.rglob("*.crec"))) == 2
    if back == "folder":
        shutil.rmtree(live / "recordings")
    shutil.copytree(copy, live / "recordings", dirs_exist_ok=True)
    async with guarded(live) as (here, guard):
        assert await guard.sweep() == 2
        assert len(here.files_of(kept)) == 2
        assert await guard.sweep() == 0


async def test_a_crash_of_a_run_is_no_restore(tmp_path: Path) -> None:
    """Event numbers have no hole, wherever the last run died."""
    async with guarded(tmp_path / "a") as (here, _):
        await here.recorded_call()
        shutil.copytree(tmp_path / "a", tmp_path / "b")
    async with guarded(tmp_path / "b") as (here, _):
        await here.recorded_call()
        assert [event.sequence for event in await here.catalogue.events_after(0)] == list(range(1, 9))


async def test_a_crash_while_a_run_is_noted_is_no_restore(tmp_path: Path) -> None:
    """The catalogue notes first that a run begins: between that and the ledger's entry nothing looks older."""
    async with guarded(tmp_path) as (here, guard):
        await here.recorded_call()
        note = here.catalogue.transact
        notes = []

        async def once(run: Any, **options: Any) -> Any:
            notes.append(run)
            return await note(run, **options) if len(notes) == 1 else None

        here.catalogue.transact = once  # type: ignore[method-assign]
        await guard.end()
        assert len(notes) == 2
    async with guarded(tmp_path) as (here, _):
        await here.recorded_call()
        assert [event.sequence for event in await here.catalogue.events_after(4)] == [5, 6, 7, 8]
