"""What a start makes of calls that the recorder's death cut off."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from callrec.catalogue.values import CallChange, CallEnd, NewCall
from callrec.identifiers import recording_id_of
from callrec.privacy.erasing import Reason
from callrec.recorder.recording import FLAG_RECORDING_ENDED
from callrec.recorder.startup import end_interrupted, recover_recordings
from callrec.vault.part_writer import PartSource, PartWriter
from tests.catalogue.house import START, House, house
from tests.vault.recording_support import stream, voice

HEARD = {"id": "training-and-monitoring", "version": 1, "completed": True}
LATER = START + timedelta(days=3)


def leave_audio(here: House, new: NewCall, began: datetime) -> None:
    """Write what a media worker leaves of a recording when it is killed with the recorder."""
    key = here.keys[new.call_id].audio_key
    source = PartSource(recording_id_of(new.call_id), key, here.recordings, os.urandom)
    writer = PartWriter(source.next_part(began), int(began.timestamp() * 1e9))
    writer.append(b"".join(packet.encode() for packet in stream(voice(0.4))))
    writer.close()


async def start(here: House) -> None:
    """Do what a start does with calls that are in progress."""
    await recover_recordings(here.recordings, LATER)

    async def discard(call_id: str, audio_key_id: str, recording_id: str) -> None:
        await here.eraser().discard_audio(call_id, audio_key_id, recording_id, reason=Reason.NOT_TO_BE_KEPT)

    assert await end_interrupted(here.catalogue, here.recordings, LATER, discard=discard) == 0


def files(here: House) -> list[Path]:
    return [path for path in here.recordings.rglob("*") if path.is_file()]


async def told(here: House, call_id: str) -> list[str]:
    events = await here.catalogue.events_after(0, 1000)
    return [f"{event.noun}/{event.verb}" for event in events if event.document.get("subject") == call_id]


@pytest.mark.parametrize("after", [timedelta(seconds=9), timedelta(hours=15)])
async def test_a_recording_whose_beginning_was_never_written_down_finds_its_call(
    tmp_path: Path, after: timedelta
) -> None:
    """The state disk blocks after the notice, a recording begins, kill -9: its audio is kept, cut, with its call.

    Also where midnight lies between the call's beginning and the recording's.
    """
    async with house(tmp_path) as here:
        new = await here.open_call()
        await here.catalogue.change_call(new.call_id, CallChange(notice=HEARD))
        leave_audio(here, new, new.started_at + after)
        await start(here)
        item = await here.catalogue.get(new.call_id)
        assert (item["outcome_reason"], item["cut"], item["recording_id"]) == (
            "cut",
            True,
            recording_id_of(new.call_id),
        )
        assert datetime.fromisoformat(item["recording_started_at"]) == new.started_at + after
        assert item["answered_at"] == item["recording_started_at"]
        assert [segment["state"] for segment in item["segments"]] == ["recorded"]
        (path,) = files(here)
        assert await here.catalogue.known_paths([str(path.relative_to(here.recordings))])
        assert (await told(here, new.call_id))[1:] == [
            "call/answered", "recording/started", "recording/sealed", "call/ended",
        ]  # fmt: skip


async def test_audio_without_evidence_of_its_notice_is_destroyed(tmp_path: Path) -> None:
    """NOT-2, NOT-14: the disk blocked in the notice already; nothing proves that it was heard, so nothing is kept."""
    async with house(tmp_path) as here:
        new = await here.open_call()
        leave_audio(here, new, new.started_at + timedelta(seconds=9))
        await start(here)
        item = await here.catalogue.get(new.call_id)
        assert (item["outcome_reason"], item["recording_id"]) == ("notice_incomplete", None)
        assert files(here) == []
        assert await here.keyring.load_many([new.audio_key_id or ""]) == {}
        assert "recording/erased" in await told(here, new.call_id)


async def test_audio_that_was_declined_while_the_disk_blocked_goes_at_the_start(tmp_path: Path) -> None:
    """NOT-17: the key is destroyed, then the recorder dies; the file that no row names goes with the next start."""
    async with house(tmp_path) as here:
        new = await here.open_call()
        await here.catalogue.change_call(new.call_id, CallChange(notice=HEARD))
        leave_audio(here, new, new.started_at + timedelta(seconds=9))
        await here.keyring.destroy([new.audio_key_id or ""])
        await recover_recordings(here.recordings, LATER)
        await here.eraser().resume()
        await start(here)
        assert files(here) == []
        item = await here.catalogue.get(new.call_id)
        assert item["recording_id"] is None


async def test_audio_that_was_declined_and_could_not_be_destroyed_goes_at_the_start(tmp_path: Path) -> None:
    """NOT-17: the keyring's disk blocked until the kill; the row says opt_out, and the next start keeps its word."""
    async with house(tmp_path) as here:
        new = await here.recorded_call()
        other = await here.open_call()
        recording_id = (await here.catalogue.get(new.call_id))["recording_id"]
        change = CallChange(recording_id=recording_id_of(other.call_id), recording_started_at=START)
        await here.catalogue.change_call(other.call_id, change)
        leave_audio(here, other, other.started_at)
        await recover_recordings(here.recordings, LATER)
        await here.catalogue.end_call(other.call_id, CallEnd(START, "not_recorded", "opt_out"))
        eraser = here.eraser()
        await eraser.resume()
        item = await here.catalogue.get(other.call_id)
        assert (item["outcome_reason"], item["recording_id"]) == ("opt_out", None)
        assert await here.keyring.load_many([other.audio_key_id or ""]) == {}
        assert len(await here.keyring.load_many([new.audio_key_id or ""])) == 1
        assert {path.name.partition(".")[0] for path in files(here)} == {recording_id}
        await eraser.resume()
        assert (await told(here, other.call_id)).count("recording/erased") == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, "abandoned_in_notice"),
        ({"notice": HEARD}, "not_answered"),
        ({"notice": HEARD, "answered_at": START}, "opt_out"),
    ],
)
async def test_a_call_without_audio_is_told_by_what_its_row_says(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    """Nothing stored: one outcome, and no recording is named."""
    async with house(tmp_path) as here:
        new = await here.open_call()
        await here.catalogue.change_call(new.call_id, CallChange(**change))
        await start(here)
        item = await here.catalogue.get(new.call_id)
        assert (item["in_progress"], item["outcome_reason"], item["recording_id"]) == (False, reason, None)


async def test_law_39_a_recording_that_a_stop_had_sealed_stays_cut(tmp_path: Path) -> None:
    """LAW-39: kill -9 while a stopped call goes on: its sealed part is whole, and the end of the call is missing."""
    async with house(tmp_path) as here:
        new = await here.open_call()
        began = new.started_at + timedelta(seconds=9)
        known = CallChange(
            notice=HEARD,
            answered_at=began,
            recording_started_at=began,
            recording_id=recording_id_of(new.call_id),
            add_flags=(FLAG_RECORDING_ENDED,),
        )
        await here.catalogue.change_call(new.call_id, known)
        key = here.keys[new.call_id].audio_key
        source = PartSource(recording_id_of(new.call_id), key, here.recordings, os.urandom)
        writer = PartWriter(source.next_part(began), int(began.timestamp() * 1e9))
        writer.append(b"".join(packet.encode() for packet in stream(voice(0.4))))
        writer.seal()
        await start(here)
        item = await here.catalogue.get(new.call_id)
        assert (item["outcome"], item["outcome_reason"], item["cut"]) == ("recorded", "cut", True)
