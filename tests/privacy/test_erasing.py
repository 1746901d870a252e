"""What is erased is gone from every store, and a crash between any two steps is completed by the next start."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from callrec.catalogue import AuditEntry, CallEnd, CallIdentity, CallNotFound, Event, FindQuery, NewCall
from callrec.errors import ExitCode, OperatorError
from callrec.identifiers import new_id
from callrec.privacy import Reason, Step
from callrec.vault.keyring_errors import KeyDestroyed, LedgerUnavailable
from callrec.vault.trace_files import TracedMessage, TraceOwner
from tests.catalogue.house import CALLER, NAME, OTHER, OURS, House, files_with, house, spellings


class Plug(BaseException):
    """The plug is pulled: nothing after it happens, no handler runs."""


def pulls_the_plug(after: Step) -> Any:
    """Return a hook that does so after one step."""

    def hook(step: Step) -> None:
        if step is after:
            raise Plug

    return hook


def sealed_identity(folder: Path, call_id: str) -> bytes:
    """Return the sealed blob of a row as it lies in the file."""
    with closing(sqlite3.connect(folder / "catalogue.db")) as connection:
        return bytes(connection.execute("SELECT identity FROM calls WHERE call_id = ?", (call_id,)).fetchone()[0])


async def assert_gone(here: House, new: NewCall, sealed: bytes) -> None:
    """Assert that nothing of a call can be read anywhere."""
    for key_id in (new.identity_key_id, new.audio_key_id):
        with pytest.raises(KeyDestroyed):
            await here.keyring.load(key_id or "")
    assert here.files_of(new) == []
    with pytest.raises(CallNotFound):
        await here.catalogue.get(new.call_id)
    assert (await here.catalogue.find(FindQuery(number=CALLER))).items == []
    assert (await here.catalogue.find(FindQuery(text="jane"))).items == []
    assert await here.catalogue.recordings_of(new.call_id) is None
    assert await here.catalogue.state_of(new.call_id) == "erased"
    assert here.ledger.open_intents == []
    assert await here.catalogue.leftovers([new.call_id]) == []
    needles = [*spellings(CALLER), *spellings(OURS), NAME.encode(), b"Neill", sealed]
    assert files_with(here.folder, needles) == []


async def erase(here: House, *call_ids: str, hook: Any = None) -> list[Any]:
    """Erase calls as an operator does."""
    return await here.eraser(hook).erase(call_ids, reason=Reason.DELETE, authoriser="root")


async def test_an_erased_call_is_gone(tmp_path: Path) -> None:
    """Keys, files, row, indices and sealed bytes are gone; month, direction and outcome remain."""
    async with house(tmp_path) as here:
        new = await here.recorded_call()
        kept = await here.recorded_call(identity=CallIdentity(network_number=OTHER))
        sealed = sealed_identity(tmp_path, new.call_id)
        keys = here.keys[new.call_id]
        message = TracedMessage(0, True, "udp", "127.0.0.1:5060", "127.0.0.2:5060", f"INVITE sip:{OTHER}@pbx SIP/2.0")
        here.traces.append(TraceOwner(new.call_id, new.started_at, keys.identity_key), 0, [message], 0)
        here.traces.append(TraceOwner(kept.call_id, kept.started_at, keys.identity_key), 0, [message], 0)
        (result,) = await erase(here, new.call_id)
        assert result.verified
        assert dict(result.stores) == {
            "ledger": "entered",
            "keyring": "erased",
            "recordings": "erased",
            "traces": "erased",
            "catalogue": "erased",
        }
        assert [path.stem for path in here.traces.find([new.call_id, kept.call_id])] == [kept.call_id]
        assert len(here.files_of(kept)) == 2
        for path in here.files_of(kept):
            path.unlink()
        await assert_gone(here, new, sealed)
        assert (await here.catalogue.get(kept.call_id))["network_number"] == OTHER
    with closing(sqlite3.connect(tmp_path / "catalogue.db")) as connection:
        connection.row_factory = sqlite3.Row
        row = dict(connection.execute("SELECT * FROM calls WHERE call_id = ?", (new.call_id,)).fetchone())
    assert {name: value for name, value in row.items() if value not in {None, 0}} == {
        "call_id": new.call_id,
        "direction": "inbound",
        "outcome": "recorded",
        "outcome_reason": "complete",
        "erasure": "erased",
        "month": "2026-11",
    }


async def test_everything_before_the_log_is_emptied_would_be_found(tmp_path: Path) -> None:
    """The scan sees what lies in the write-ahead log: without erasing it finds the sealed bytes."""
    async with house(tmp_path) as here:
        new = await here.recorded_call()
        sealed = sealed_identity(tmp_path, new.call_id)
        assert files_with(tmp_path, [sealed])


async def test_events_of_an_erased_call_are_stubs(tmp_path: Path) -> None:
    """Their numbers stay, their contents go, and every consumer is told to forget."""
    async with house(tmp_path) as here:
        new = await here.recorded_call()
        (before, *_) = await here.catalogue.events_after(0)
        reference = before.document["data"]["caller_ref"]
        recording_id = (await here.catalogue.get(new.call_id))["recording_id"]
        await erase(here, new.call_id)
        events = await here.catalogue.events_after(0)
    assert [event.sequence for event in events] == list(range(1, 7))
    for stub in events[:4]:
        assert (stub.noun, stub.verb, stub.document["data"]) == ("event", "erased", {})
        assert "subject" not in stub.document
    assert events[0].document["id"] == before.document["id"]
    erased, forget = events[4:]
    assert (erased.noun, erased.verb) == ("recording", "erased")
    assert erased.document["data"] == {"call_id": new.call_id, "recording_id": recording_id, "reason": "delete"}
    assert (forget.noun, forget.verb) == ("subject", "erased")
    assert forget.document["data"] == {"caller_refs": [reference], "call_ids": [new.call_id]}


async def test_the_audit_chain_stays_whole(tmp_path: Path) -> None:
    """Erasing a key erases what an entry said about the person, not that it was made."""
    async with house(tmp_path) as here:
        new = await here.recorded_call()
        await here.catalogue.record_audit(AuditEntry("alice", "play", new.call_id, {"note": "x"}))
        await erase(here, new.call_id)
        assert await here.catalogue.verify_audit() == 1
        (entry,) = await here.catalogue.audit_entries()
        assert (entry["action"], entry["detail"]) == ("play", None)


async def test_the_ledger_holds_nothing_personal(tmp_path: Path) -> None:
    """LAW-43: random ids, reasons and times only."""
    async with house(tmp_path) as here:
        new = await here.recorded_call()
        await here.eraser().erase([new.call_id], reason=Reason.REQUEST, authoriser="jane doe +441632960001")
        entries = await here.ledger.entries(frozenset({"intent", "completed"}))
    assert [entry.kind for entry in entries] == ["intent", "completed"]
    assert entries[0].body["targets"][0]["call_id"] == new.call_id
    for text in (tmp_path / "ledger").read_text(), (tmp_path / "outside" / "ledger").read_text():
        assert CALLER not in text
        assert OURS not in text


@pytest.mark.parametrize("step", list(Step))
async def test_a_plug_pulled_after_any_step_is_made_good(tmp_path: Path, step: Step) -> None:
    """The next start completes it, once: no event is told twice, nothing is left readable."""
    async with house(tmp_path) as here:
        new = await here.recorded_call()
        sealed = sealed_identity(tmp_path, new.call_id)
        with pytest.raises(Plug):
            await erase(here, new.call_id, hook=pulls_the_plug(step))
    async with house(tmp_path) as again:
        results = await again.eraser().resume()
        assert [result.verified for result in results] == ([] if step is Step.COMPLETED else [True])
        await assert_gone(again, new, sealed)
        told = [(e.noun, e.verb) for e in await again.catalogue.events_after(0)]
        assert told.count(("subject", "erased")) == told.count(("recording", "erased")) == 1
        assert await again.eraser().resume() == []


async def test_a_plug_pulled_again_and_again_is_made_good(tmp_path: Path) -> None:
    """A crash in the completing itself is completed by the start after it."""
    async with house(tmp_path) as here:
        new = await here.recorded_call()
        sealed = sealed_identity(tmp_path, new.call_id)
        with pytest.raises(Plug):
            await erase(here, new.call_id, hook=pulls_the_plug(Step.INTENT))
    for step in list(Step)[1:-1]:
        async with house(tmp_path) as again:
            with pytest.raises(Plug):
                await again.eraser(pulls_the_plug(step)).resume()
    async with house(tmp_path) as last:
        await last.eraser().resume()
        await assert_gone(last, new, sealed)


async def test_erasing_may_be_repeated(tmp_path: Path) -> None:
    """A second time, and for what never was, there is nothing there; no event is told anew."""
    async with house(tmp_path) as here:
        new = await here.recorded_call()
        await erase(here, new.call_id)
        events = here.catalogue.last_event
        results = await erase(here, new.call_id, new_id())
        assert [set(result.stores.values()) for result in results] == [{"not_present"}, {"not_present"}]
        assert here.catalogue.last_event == events


async def test_many_calls_go_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More calls than one intent holds are all erased, and nobody else's."""
    async with house(tmp_path) as here:
        kept = await here.recorded_call(identity=CallIdentity(network_number=OTHER))
        monkeypatch.setattr("callrec.privacy.erasing._CALLS_AN_INTENT", 16)
        mine = [await here.recorded_call() for _ in range(50)]
        found = await here.catalogue.find(FindQuery(number=CALLER, outside_only=True, limit=1000))
        assert len(found.items) == 50
        results = await erase(here, *(item["call_id"] for item in found.items))
        assert all(result.verified for result in results)
        assert (await here.catalogue.find(FindQuery())).items[0]["call_id"] == kept.call_id
        assert len(here.files_of(kept)) == 2
        for new in mine:
            assert await here.catalogue.state_of(new.call_id) == "erased"


async def test_an_unrecorded_call_can_be_erased(tmp_path: Path) -> None:
    """Without audio there is no file to remove and no recording to tell of."""
    async with house(tmp_path) as here:
        new = await here.open_call(audio_key_id=None)
        await here.catalogue.end_call(new.call_id, CallEnd(new.started_at, "not_recorded", "busy"))
        (result,) = await erase(here, new.call_id)
        assert result.stores["recordings"] == "not_present"
        assert result.verified
        told = [(e.noun, e.verb) for e in await here.catalogue.events_after(0)]
        assert ("recording", "erased") not in told
        assert ("subject", "erased") in told


async def test_a_call_in_progress_is_refused(tmp_path: Path) -> None:
    """It is told with exit code 75, and nothing of the whole request was done."""
    async with house(tmp_path) as here:
        done = await here.recorded_call()
        live = await here.open_call()
        with pytest.raises(OperatorError, match="still in progress") as caught:
            await erase(here, done.call_id, live.call_id)
        assert caught.value.exit_code is ExitCode.BUSY
        assert await here.keyring.load(done.audio_key_id or "")
        assert len(here.files_of(done)) == 2


async def test_without_the_outside_ledger_nothing_is_erased(tmp_path: Path) -> None:
    """Erasing waits for the outside copy, and nothing is half done meanwhile."""
    async with house(tmp_path) as here:
        new = await here.recorded_call()
        shutil.rmtree(tmp_path / "outside")
        (tmp_path / "outside").write_text("in the way")
        with pytest.raises(LedgerUnavailable):
            await erase(here, new.call_id)
        assert (await here.catalogue.get(new.call_id))["network_number"] == CALLER
        assert await here.keyring.load(new.audio_key_id or "")
        (tmp_path / "outside").unlink()
        (result,) = await erase(here, new.call_id)
        assert result.verified


async def test_a_file_that_cannot_be_removed_is_told_and_removed_later(tmp_path: Path) -> None:
    """The result says `failed`, the audio is unreadable all the same, and `resume` completes it."""
    async with house(tmp_path) as here:
        new = await here.recorded_call()
        sealed = sealed_identity(tmp_path, new.call_id)
        stubborn = here.files_of(new)[0]
        stubborn.unlink()
        stubborn.mkdir()
        (result,) = await erase(here, new.call_id)
        assert (result.verified, result.stores["keyring"], result.stores["recordings"]) == (False, "erased", "failed")
        assert result.problem
        with pytest.raises(KeyDestroyed):
            await here.keyring.load(new.audio_key_id or "")
        with pytest.raises(CallNotFound):
            await here.catalogue.get(new.call_id)
        stubborn.rmdir()
        (later,) = await here.eraser().resume()
        assert later.verified
        await assert_gone(here, new, sealed)


async def test_a_reader_that_holds_the_log_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted bytes live in the log while somebody reads: the erasure is not called complete before they are gone."""
    monkeypatch.setattr("callrec.privacy.erasing._LOG_TRIES", 2)
    async with house(tmp_path, patience_s=15.0) as here:
        new = await here.recorded_call()
        sealed = sealed_identity(tmp_path, new.call_id)
        with closing(sqlite3.connect(tmp_path / "catalogue.db", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM calls").fetchone()
            (result,) = await erase(here, new.call_id)
            assert not result.verified
            reader.execute("ROLLBACK")
        (later,) = await here.eraser().resume()
        assert later.verified
        await assert_gone(here, new, sealed)


@pytest.mark.parametrize("restored", ["keyring.db", "catalogue.db", "recordings", "all"])
async def test_a_restored_store_does_not_bring_it_back(tmp_path: Path, restored: str) -> None:
    """LAW-48: back up, erase, restore, start: the ledger is replayed and the erased stay erased."""
    live, backup = tmp_path / "live", tmp_path / "backup"
    async with house(live) as here:
        new = await here.recorded_call()
    shutil.copytree(live, backup)
    async with house(live) as here:
        sealed = sealed_identity(live, new.call_id)
        await erase(here, new.call_id)
    for name in ("keyring.db", "catalogue.db", "recordings") if restored == "all" else (restored,):
        source, target = backup / name, live / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)
    async with house(live) as again:
        await again.eraser().resume()
        for key_id in (new.identity_key_id, new.audio_key_id):
            with pytest.raises(KeyDestroyed):
                await again.keyring.load(key_id or "")
        with pytest.raises(CallNotFound):
            await again.catalogue.get(new.call_id)
        if restored != "recordings":
            await assert_gone(again, new, sealed)


# Discarding audio while the row stays


async def test_an_opt_out_discards_the_audio_and_keeps_the_row(tmp_path: Path) -> None:
    """The audio key is destroyed and the files are gone; number and row stay; ledger and world know."""
    async with house(tmp_path) as here:
        new, recording_id = await live_recording(here)
        await here.eraser().discard_audio(new.call_id, new.audio_key_id or "", recording_id)
        with pytest.raises(KeyDestroyed):
            await here.keyring.load(new.audio_key_id or "")
        assert here.files_of(new) == []
        await here.catalogue.end_call(new.call_id, CallEnd(new.started_at, "not_recorded", "opt_out"))
        item = await here.catalogue.get(new.call_id)
        assert (item["recording_id"], item["network_number"]) == (None, CALLER)
        assert await here.catalogue.recordings_of(new.call_id) is None
        (entry,) = await here.ledger.entries(frozenset({"destroyed"}))
        assert entry.body["key_ids"] == [new.audio_key_id]
        assert entry.body["reason"] == "opt_out"
        told = [(e.noun, e.verb) for e in await here.catalogue.events_after(0)]
        assert told == [("call", "started"), ("recording", "started"), ("recording", "erased")]


async def live_recording(here: House) -> tuple[NewCall, str]:
    """Return a call in progress that has stored something."""
    from callrec.catalogue import CallChange, Part  # noqa: PLC0415 - only here

    new = await here.open_call()
    recording_id = new_id()
    path = f"{new.started_at:%Y/%m/%d}/{recording_id}.1.partial"
    (here.recordings / path).parent.mkdir(parents=True, exist_ok=True)
    (here.recordings / path).write_bytes(b"ciphertext")
    change = CallChange(
        recording_id=recording_id, recording_started_at=new.started_at, parts=(Part(recording_id, 1, path),)
    )
    await here.catalogue.change_call(new.call_id, change, [Event("recording", "started", new.call_id)])
    return new, recording_id


async def test_an_opt_out_does_not_wait_for_the_ledger(tmp_path: Path) -> None:
    """It destroys first and is entered as soon as it can be, also after a restart."""
    async with house(tmp_path) as here:
        new, recording_id = await live_recording(here)
        append = here.ledger._append

        def fail(*_: Any, **__: Any) -> Any:
            raise OSError("full")

        here.ledger._append = fail  # type: ignore[method-assign]
        await here.eraser().discard_audio(new.call_id, new.audio_key_id or "", recording_id)
        here.ledger._append = append  # type: ignore[method-assign]
        assert await here.ledger.entries(frozenset({"destroyed"})) == []
        assert await here.keyring.existing([new.audio_key_id or ""]) == set()
    async with house(tmp_path) as again:
        await again.eraser().resume()
        assert len(await again.ledger.entries(frozenset({"destroyed"}))) == 1
        assert await again.catalogue.ledger_due() == []
        await again.eraser().resume()
        assert len(await again.ledger.entries(frozenset({"destroyed"}))) == 1


async def test_a_crash_right_after_the_key_is_made_good(tmp_path: Path) -> None:
    """The key is gone, row and file do not know: the next start discards the rest."""
    async with house(tmp_path) as here:
        new, _ = await live_recording(here)
        await here.keyring.destroy([new.audio_key_id or ""])
    async with house(tmp_path) as again:
        await again.eraser().resume()
        assert again.files_of(new) == []
        assert await again.catalogue.recordings_of(new.call_id) is None
        assert len(await again.ledger.entries(frozenset({"destroyed"}))) == 1
        (row,) = await again.catalogue.in_progress()
        assert row.call_id == new.call_id


async def test_a_restored_keyring_does_not_bring_an_opt_out_back(tmp_path: Path) -> None:
    """What a caller declined stays declined, whatever is restored."""
    live, backup = tmp_path / "live", tmp_path / "backup"
    async with house(live) as here:
        new, recording_id = await live_recording(here)
    shutil.copytree(live, backup)
    async with house(live) as here:
        await here.eraser().resume()
        await here.eraser().discard_audio(new.call_id, new.audio_key_id or "", recording_id)
        await here.catalogue.end_call(new.call_id, CallEnd(new.started_at, "not_recorded", "opt_out"))
    for name in ("keyring.db", "catalogue.db"):
        shutil.copy(backup / name, live / name)
    shutil.copytree(backup / "recordings", live / "recordings", dirs_exist_ok=True)
    async with house(live) as again:
        await again.eraser().resume()
        assert await again.keyring.existing([new.audio_key_id or ""]) == set()
        assert again.files_of(new) == []
        assert await again.catalogue.recordings_of(new.call_id) is None


PROGRAM = """
import asyncio, os, pathlib, signal, sys
from callrec.privacy import Reason
from tests.catalogue.house import house

async def main():
    async with house(pathlib.Path(sys.argv[1])) as here:
        await here.eraser().resume()
        print("ready", flush=True)
        await here.eraser().erase(sys.argv[2:], reason=Reason.DELETE, authoriser="root")
        print("erased", flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("rounds", [3, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(1200)])])
async def test_a_kill_at_any_moment_is_all_or_nothing(tmp_path: Path, rounds: int) -> None:
    """kill -9 during erasure: afterwards every call of the request is erased, or none is."""
    for n in range(rounds):
        folder = tmp_path / str(n)
        async with house(folder) as here:
            mine = [await here.recorded_call() for _ in range(3)]
        kill_while_erasing(folder, [new.call_id for new in mine], delay_s=0.0006 * (n % 40))
        async with house(folder) as again:
            await again.eraser().resume()
            states = {await again.catalogue.state_of(new.call_id) for new in mine}
            keys = await again.keyring.existing(key or "" for new in mine for key in (new.audio_key_id,))
            files = [path for new in mine[:1] for path in again.files_of(new)]
            assert (states, len(keys), len(files)) in [({"erased"}, 0, 0), ({"ended"}, 3, 6)]
            assert again.ledger.open_intents == []
            events = await again.catalogue.events_after(0)
            assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        shutil.rmtree(folder)


def kill_while_erasing(folder: Path, call_ids: list[str], delay_s: float) -> None:
    """Start an erasure in a process of its own and kill it after a moment."""
    command = [sys.executable, "-c", PROGRAM, str(folder), *call_ids]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            process.wait(delay_s)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
