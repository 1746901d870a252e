"""What a writer that died leaves is taken up, and nothing that lives is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path

import pytest

from callrec.errors import IntegrityError
from callrec.vault.part_reader import RecordingReader, verify
from callrec.vault.part_writer import PartWriter
from callrec.vault.recording_format import HEADER_LENGTH, Mark, encode_mark
from callrec.vault.recovery import Found, Recovered, find_parts, parts_left, recover
from callrec.vault.rendering import render, summarise
from tests.vault.recording_support import (
    AUDIO_KEY,
    RECORDING,
    STARTED_AT,
    STARTED_AT_NS,
    open_recording,
    part_source,
    stream,
    voice,
)

SECOND = b"".join(packet.encode() for packet in stream(voice(1)))
OTHER = "c4a7f6b2-90d1-4e0f-b1c8-2f3e4d5c6b7a"


def left_behind(directory: Path, segments: int = 3, recording_id: str = RECORDING) -> Path:
    """Return a part whose writer is gone."""
    writer = PartWriter(part_source(directory, recording_id).next_part(STARTED_AT), STARTED_AT_NS)
    for _ in range(segments):
        writer.append(SECOND)
    writer.close()
    return writer.spec.path


def only(recovered: list[Recovered]) -> Recovered:
    assert len(recovered) == 1
    return recovered[0]


def test_a_cut_part_is_made_whole_up_to_its_last_segment(tmp_path: Path) -> None:
    """A part cut within a segment keeps every byte, gets its final name, and says how much of it is authentic."""
    path = left_behind(tmp_path)
    os.truncate(path, path.stat().st_size - 10)
    content = path.read_bytes()
    part = only(recover(tmp_path, STARTED_AT))
    assert (part.recording_id, part.part, part.found) == (RECORDING, 1, Found.CUT)
    assert part.path == path.with_suffix(".crec")
    assert part.path.read_bytes() == content
    assert part.segments == 2
    assert part.size == len(content)
    assert 0 < part.left_over < len(SECOND) + 30
    assert part.started_at_ns == STARTED_AT_NS
    assert not path.exists()
    verified = verify([part.path], AUDIO_KEY, RECORDING)
    assert verified.cut
    assert verified.parts[0].end.segments == part.segments
    assert recover(tmp_path, STARTED_AT) == []


def test_a_part_that_was_only_not_renamed_is_sealed(tmp_path: Path) -> None:
    """A crash between the last segment and the rename loses nothing."""
    writer = PartWriter(part_source(tmp_path).next_part(STARTED_AT), STARTED_AT_NS)
    writer.append(SECOND)
    writer.finish(encode_mark(Mark.END, 1_000_000))
    writer.close()
    part = only(recover(tmp_path, STARTED_AT))
    assert part.sealed
    assert (part.segments, part.left_over) == (2, 0)
    assert not verify([part.path], AUDIO_KEY, RECORDING).cut


def test_a_part_whose_writer_lives_is_not_touched(tmp_path: Path) -> None:
    """Recovery leaves a part alone while its lock is held, and takes it up once it is free."""
    writer = PartWriter(part_source(tmp_path).next_part(STARTED_AT), STARTED_AT_NS)
    writer.append(SECOND)
    assert recover(tmp_path, STARTED_AT) == []
    writer.append(SECOND)
    writer.close()
    assert only(recover(tmp_path, STARTED_AT)).segments == 2


@pytest.mark.parametrize("size", [0, 10, HEADER_LENGTH - 1, HEADER_LENGTH, HEADER_LENGTH + 20])
def test_a_part_without_audio_is_removed(tmp_path: Path, size: int) -> None:
    """A part without a whole header or a whole segment is removed, and that is told."""
    path = left_behind(tmp_path, segments=1)
    os.truncate(path, size)
    part = only(recover(tmp_path, STARTED_AT))
    assert (part.found, part.segments, part.duration_ms) == (Found.EMPTY, 0, 0)
    assert not path.exists()


def test_what_is_no_part_is_left_for_a_person(tmp_path: Path) -> None:
    """A file that is no part, or another one than its name says, stays where it is and is told."""
    foreign = left_behind(tmp_path)
    foreign.write_bytes(b"\0" * 5000)
    renamed = left_behind(tmp_path, recording_id=OTHER)
    renamed.rename(renamed.with_name(f"{OTHER}.2.partial"))
    found = recover(tmp_path, STARTED_AT)
    assert [part.found for part in found] == [Found.DAMAGED] * 2
    assert all(part.path.exists() and part.problem for part in found)


def test_a_name_that_is_taken_is_not_overwritten(tmp_path: Path) -> None:
    """A `.partial` beside a `.crec` of the same part replaces nothing."""
    path = left_behind(tmp_path)
    final = path.with_suffix(".crec")
    final.write_bytes(b"kept")
    assert only(recover(tmp_path, STARTED_AT)).found is Found.DAMAGED
    assert final.read_bytes() == b"kept"
    assert path.exists()


def test_a_nascent_part_is_removed_once_it_is_old(tmp_path: Path) -> None:
    """A `.new` file of a writer that died in its first moment goes, one of this moment stays."""
    folder = tmp_path / "2026/11/22"
    folder.mkdir(parents=True)
    nascent = folder / f"{RECORDING}.1.new"
    nascent.write_bytes(b"")
    os.utime(nascent, (STARTED_AT.timestamp(), STARTED_AT.timestamp()))
    assert recover(tmp_path, STARTED_AT) == []
    assert nascent.exists()
    assert recover(tmp_path, STARTED_AT + timedelta(minutes=2)) == []
    assert not nascent.exists()


def test_no_directory_is_nothing_to_recover(tmp_path: Path) -> None:
    """A recordings directory that was not made yet holds nothing."""
    assert recover(tmp_path / "none", STARTED_AT) == []


def test_all_parts_of_a_recording_are_found(tmp_path: Path) -> None:
    """The parts of one recording are found by its id and the date of its start, in order, under either name."""
    source = part_source(tmp_path)
    paths = []
    for number in range(11):
        writer = PartWriter(source.next_part(STARTED_AT), STARTED_AT_NS)
        if number % 2:
            paths.append(writer.seal().path)
        else:
            writer.close()
            paths.append(writer.spec.path)
    left_behind(tmp_path, recording_id=OTHER)
    assert find_parts(tmp_path, RECORDING, STARTED_AT) == paths


def test_many_parts_are_taken_up_quickly(tmp_path: Path) -> None:
    """Two hundred parts of dead writers among two thousand sealed ones: all are found."""
    for number in range(200):
        left_behind(tmp_path, 1, f"0b9d2c1e-5a47-4f7e-8a32-{number:012x}")
    folder = tmp_path / "2026/11/21"
    folder.mkdir()
    for number in range(2000):
        (folder / f"1b9d2c1e-5a47-4f7e-8a32-{number:012x}.1.crec").touch()
    assert len(recover(tmp_path, STARTED_AT)) == 200


WRITER = """
    import sys, time
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from tests.vault.recording_support import *
    source = part_source(Path(sys.argv[1]))
    writer = PartWriter(source.next_part(STARTED_AT), STARTED_AT_NS)
    count = 0
    while True:
        packets = stream(voice(0.5, count), first_us=count * 500_000, sequence=count * 25, timestamp=count * 4000)
        writer.append(b"".join(packet.encode() for packet in packets))
        count += 1
        print(count, flush=True)
"""


@pytest.mark.parametrize("segments", [1, 7, 40])
def test_a_killed_writer_loses_at_most_the_segment_it_wrote(tmp_path: Path, segments: int) -> None:
    """After kill -9 every segment whose append had returned is there, and its audio is exact."""
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path), str(Path(__file__).parents[2])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = 0
        while told < segments:
            told = int(process.stdout.readline())
        assert recover(tmp_path, STARTED_AT) == []
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
        process.wait(30)
    told = int(rest[-1]) if rest else told
    part = only(recover(tmp_path, STARTED_AT))
    assert part.found is Found.CUT
    assert told <= part.segments <= told + 1
    with open_recording([part.path]) as reader:
        rendering = render(reader)
        assert reader.cut
    assert rendering.summary.duration_ms == part.segments * 500
    assert rendering.summary.outside.counters.lost == 0


def test_the_next_part_goes_on_where_a_killed_one_ended(tmp_path: Path) -> None:
    """A recording of a cut and a sealed part is one recording with a gap between them."""
    source = part_source(tmp_path)
    first = PartWriter(source.next_part(STARTED_AT), STARTED_AT_NS)
    first.append(SECOND)
    first.close()
    second = PartWriter(source.next_part(STARTED_AT), STARTED_AT_NS + 2_000_000_000)
    second.append(SECOND)
    sealed = second.seal(encode_mark(Mark.END, 1_000_000)).path
    cut = only(recover(tmp_path, STARTED_AT)).path
    with open_recording([sealed, cut]) as reader:
        summary = summarise(reader)
    assert [(span.start_ms, span.end_ms, str(span.state)) for span in summary.segments] == [
        (0, 1000, "recorded"),
        (1000, 2000, "gap"),
        (2000, 3000, "recorded"),
    ]
    assert not summary.cut


def test_a_part_of_another_recording_is_refused(tmp_path: Path) -> None:
    """Parts of two recordings are not read as one."""
    mine, other = left_behind(tmp_path), left_behind(tmp_path, recording_id=OTHER)
    with pytest.raises(IntegrityError, match=OTHER):
        RecordingReader([mine, other], AUDIO_KEY, RECORDING)


def test_a_part_sealed_between_look_up_and_opening_is_read(tmp_path: Path) -> None:
    """A path that was `.partial` when it was looked up is opened under its final name."""
    path = left_behind(tmp_path)
    recover(tmp_path, STARTED_AT)
    with open_recording([path]) as reader:
        assert len(list(reader.segments())) == 3


def test_what_has_its_final_name_is_described_and_left_as_it_is(tmp_path: Path) -> None:
    """A crash between the final name and the row: every part of the recording is found, in order, and none altered."""
    source = part_source(tmp_path)
    cut = PartWriter(source.next_part(STARTED_AT), STARTED_AT_NS)
    cut.append(SECOND)
    cut.close()
    recover(tmp_path, STARTED_AT)
    whole = PartWriter(source.next_part(STARTED_AT), STARTED_AT_NS)
    whole.append(SECOND)
    whole.seal()
    left_behind(tmp_path, recording_id=OTHER)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.crec")}
    left = parts_left(tmp_path, {RECORDING: STARTED_AT})
    assert [(part.part, part.found) for part in left[RECORDING] or ()] == [(1, Found.CUT), (2, Found.SEALED)]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.crec")} == before
    assert parts_left(tmp_path, {RECORDING: STARTED_AT}) == left
    assert parts_left(tmp_path, {RECORDING: STARTED_AT + timedelta(days=40)}) == {RECORDING: []}


def test_a_damaged_part_under_its_final_name_is_never_removed(tmp_path: Path) -> None:
    """Whatever became of a file that was told to be there, a person must be able to look at it."""
    path = left_behind(tmp_path).rename(next(tmp_path.rglob("*.partial")).with_suffix(".crec"))
    os.truncate(path, HEADER_LENGTH + 3)
    (part,) = parts_left(tmp_path, {RECORDING: STARTED_AT})[RECORDING] or []
    assert (part.found, part.segments) == (Found.DAMAGED, 0)
    assert path.exists()


def test_a_recording_whose_writer_lives_is_not_described_yet(tmp_path: Path) -> None:
    """What a writer still keeps counts: nothing is said of its recording until it has let go."""
    writer = PartWriter(part_source(tmp_path).next_part(STARTED_AT), STARTED_AT_NS)
    writer.append(SECOND)
    assert parts_left(tmp_path, {RECORDING: STARTED_AT}) == {RECORDING: None}
    writer.append(SECOND)
    writer.close()
    (part,) = parts_left(tmp_path, {RECORDING: STARTED_AT})[RECORDING] or []
    assert (part.found, part.segments) == (Found.CUT, 2)
