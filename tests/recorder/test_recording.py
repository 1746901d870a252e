"""What is known of a recording when its call has ended: only parts of which there is something."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from callrec.media import Sealed
from callrec.media.events import Part
from callrec.recorder.recording import LiveRecording
from callrec.recorder.timeline import Timeline

STARTED = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)
RECORDING = "0190a1b2-0000-5000-8000-000000000001"


async def test_a_worker_lost_before_it_wrote_anything_leaves_no_part(tmp_path: Path) -> None:
    """The row names the part of the replacement only: with a file that was never there nothing could be exported."""
    folder = tmp_path / "2026" / "11" / "25"
    folder.mkdir(parents=True)
    lost, whole = folder / f"{RECORDING}.1.partial", folder / f"{RECORDING}.2.crec"
    whole.write_bytes(b"sealed")
    recording = LiveRecording(RECORDING, STARTED, Timeline(0.0), tmp_path)
    first = Part(1, str(lost), sealed=False, segments=0, bytes=0)
    second = Part(2, str(whole), sealed=True, segments=4, bytes=6)
    recording.finish(Sealed("call", RECORDING, (first, second), 2_000, 100))
    await recording.settle()
    assert [part.number for part in recording.parts()] == [2]
