"""Verifying the store: every recording is read to its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.api.fake_recorder import FakePart, FakeRecording, item_of
from tests.api.serving import Served


async def lines(api: Served) -> list[dict[str, Any]]:
    reply = await api.client.post("/store/verify")
    assert reply.status_code == 200
    return [json.loads(line) for line in reply.text.splitlines()]


async def test_whole_cut_short_damaged_and_missing_recordings_are_told_apart(api: Served) -> None:
    """Each recording has one line with its state; a cut that the catalogue knows is no damage."""
    stored = {number: api.recorder.add_recording(item_of(number), sealed=number != 2) for number in range(1, 6)}
    damaged = bytearray(stored[3].parts[0].path.read_bytes())
    damaged[-40] ^= 1
    stored[3].parts[0].path.write_bytes(damaged)
    stored[4].parts[0].path.unlink()
    part = stored[5].parts[0]
    # Shortened to a cut part that claims to be cut: only the noted number of segments gives it away.
    part.path.write_bytes(part.path.read_bytes()[:-3000])
    noted = FakePart(part.path, part.segments, cut=True)
    api.recorder.stored[stored[5].call_id] = FakeRecording(
        stored[5].call_id, stored[5].recording_id, [noted], stored[5].audio_key
    )
    *told, last = await lines(api)
    assert [line["state"] for line in told] == ["whole", "cut", "damaged", "missing", "damaged"]
    assert last == {"done": True}
    assert "segments, expected" in told[4]["found"]


async def test_files_that_belong_to_nothing_are_told(api: Served) -> None:
    """A foreign file among the recordings gets a line of its own."""
    api.recorder.strays = [Path("/srv/recordings/holiday.jpg")]
    told = await lines(api)
    assert [(line.get("path"), line.get("state")) for line in told[:-1]] == [("/srv/recordings/holiday.jpg", "foreign")]
