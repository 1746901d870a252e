"""A part is written once, byte for byte, whatever the disk does."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.errors import PeerError
from callrec.vault.part_reader import RecordingReader
from callrec.vault.part_writer import PartSpec, PartWriter
from callrec.vault.recording_format import (
    OURS,
    OUTSIDE,
    PACKET_LIMIT,
    SEGMENT_LIMIT,
    CodecEntry,
    Direction,
    Mark,
    MarkRecord,
    PacketRecord,
    Record,
    codec_map_body,
    decode_records,
    encode_mark,
    encode_packet,
    gap_body,
    parse_codec_map,
    parse_gap,
    split_records,
)
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


def new_writer(directory: Path) -> PartWriter:
    return PartWriter(part_source(directory).next_part(STARTED_AT), STARTED_AT_NS)


def plaintexts(path: Path) -> list[bytes]:
    with RecordingReader([path], AUDIO_KEY, RECORDING) as reader:
        return [plaintext for _, plaintext in reader.segments()]


def test_a_sealed_part_gives_back_what_was_appended(tmp_path: Path) -> None:
    """What was appended is read again, the file has its final name, mode 0600 and the folder of its UTC date."""
    writer = new_writer(tmp_path)
    writer.append(SECOND)
    sealed = writer.seal(encode_mark(Mark.END, 1_000_000, b"bye"))
    assert sealed.path == tmp_path / f"2026/11/22/{RECORDING}.1.crec"
    assert [path.name for path in sealed.path.parent.iterdir()] == [sealed.path.name]
    assert sealed.path.stat().st_mode & 0o777 == 0o600
    assert all(folder.stat().st_mode & 0o777 == 0o700 for folder in list(sealed.path.parents)[:3])
    assert sealed.size == sealed.path.stat().st_size
    assert sealed.segments == 2
    assert plaintexts(sealed.path) == [SECOND, encode_mark(Mark.END, 1_000_000, b"bye")]


def test_nothing_readable_is_on_the_disk(tmp_path: Path) -> None:
    """The file holds no run of the voice that was written to it, while it grows as well as sealed."""
    writer = new_writer(tmp_path)
    writer.append(SECOND)
    payloads = [packet.payload for packet in stream(voice(1))]
    growing = writer.spec.path.read_bytes()
    sealed = writer.seal().path.read_bytes()
    assert not any(payload[:16] in growing or payload[:16] in sealed for payload in payloads)


def test_every_part_has_its_own_key(tmp_path: Path) -> None:
    """Two parts of one recording have different salts and keys, and lie in the folder of the first."""
    source = part_source(tmp_path)
    first, second = source.next_part(STARTED_AT), source.next_part(STARTED_AT.replace(day=23))
    assert (first.part, second.part) == (1, 2)
    assert first.path.parent == second.path.parent
    assert first.salt != second.salt
    assert first.key != second.key
    assert first.key.hex() not in repr(first)


def test_a_spec_goes_over_the_wire_as_json(tmp_path: Path) -> None:
    """A part specification is the same after JSON, and a malformed one raises PeerError."""
    spec = part_source(tmp_path).next_part(STARTED_AT)
    assert PartSpec.from_wire(json.loads(json.dumps(spec.to_wire()))) == spec
    for broken in ({}, spec.to_wire() | {"salt": "§"}, spec.to_wire() | {"part": "x"}, spec.to_wire() | {"path": None}):
        with pytest.raises(PeerError):
            PartSpec.from_wire(broken)


def test_a_key_is_never_used_twice(tmp_path: Path) -> None:
    """A second writer for the same part is refused while it grows and once it is sealed."""
    spec = part_source(tmp_path).next_part(STARTED_AT)
    writer = PartWriter(spec, STARTED_AT_NS)
    before = spec.path.read_bytes()
    with pytest.raises(FileExistsError):
        PartWriter(spec, STARTED_AT_NS)
    assert spec.path.read_bytes() == before
    writer.seal()
    with pytest.raises(FileExistsError):
        PartWriter(spec, STARTED_AT_NS)
    assert [path.suffix for path in spec.path.parent.iterdir()] == [".crec"]


def test_more_than_a_segment_becomes_several(tmp_path: Path) -> None:
    """Records beyond the limit are split between records, never within one."""
    records = b"".join(packet.encode() for packet in stream(voice(8)))
    writer = new_writer(tmp_path)
    writer.append(records)
    found = plaintexts(writer.seal().path)
    assert b"".join(found) == records
    assert len(found) > 2
    assert all(len(plaintext) <= SEGMENT_LIMIT for plaintext in found)


def test_a_datagram_of_absurd_length_is_not_stored() -> None:
    """A packet beyond the limit gives no record, so that no peer can break a segment."""
    assert encode_packet(OUTSIDE, 0, bytes(PACKET_LIMIT + 1)) == b""
    assert len(encode_packet(OURS, 0, bytes(PACKET_LIMIT))) == PACKET_LIMIT + 11


packets = st.builds(PacketRecord, st.sampled_from(Direction), st.integers(0, 2**64 - 1), st.binary(max_size=400))
marks = st.builds(MarkRecord, st.sampled_from(Mark), st.integers(0, 2**64 - 1), st.binary(max_size=100))


@given(st.lists(packets | marks, max_size=300))
def test_records_come_back_as_they_went(records: list[Record]) -> None:
    """Any records, encoded, split into segments and decoded, are the same records."""
    runs = split_records(b"".join(record.encode() for record in records))
    assert all(0 < len(run) <= SEGMENT_LIMIT for run in runs)
    assert [record for run in runs for record in decode_records(run)] == records


entries = st.builds(
    CodecEntry,
    st.integers(0, 127),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20),
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
)


@given(st.sampled_from(Direction), st.lists(entries, max_size=10), st.integers(0, 2**64 - 1), st.text(max_size=30))
def test_bodies_come_back_as_they_went(direction: Direction, codecs: list[CodecEntry], end: int, why: str) -> None:
    """Codec maps and gaps, encoded and parsed, are the same."""
    assert parse_codec_map(codec_map_body(direction, codecs)) == (direction, tuple(codecs))
    assert parse_gap(gap_body(end, why)) == (end, why)


# --- disks that fail -----------------------------------------------------------------------------------------------


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Make writes beyond a size fail, as a full disk does: in the middle of a segment."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)


def test_a_segment_that_failed_is_written_again_byte_for_byte(tmp_path: Path) -> None:
    """On a full disk half a segment is written; the retry completes it at its place with the same bytes."""
    twin = new_writer(tmp_path / "twin")
    writer = new_writer(tmp_path / "full")
    for each in (twin, writer):
        each.append(SECOND)
    twin.append(SECOND)
    with file_size_limit(writer.size + 1000):
        with pytest.raises(OSError, match="File too large") as caught:
            writer.append(SECOND)
        assert caught.value.errno == errno.EFBIG
        assert writer.pending
        half = writer.spec.path.read_bytes()
        with pytest.raises(OSError, match="File too large"):
            writer.retry()
        with pytest.raises(RuntimeError):
            writer.append(SECOND)
    writer.retry()
    assert not writer.pending
    whole = writer.spec.path.read_bytes()
    assert whole.startswith(half[: writer.size])
    assert len(half) < len(whole)
    assert whole == twin.spec.path.read_bytes()
    assert plaintexts(writer.seal(SECOND).path) == [SECOND, SECOND, SECOND]


def test_a_part_on_a_full_disk_ends_at_its_last_whole_segment(tmp_path: Path) -> None:
    """If the retry never succeeds, the part is closed, and what was whole is read, said to be cut."""
    writer = new_writer(tmp_path)
    writer.append(SECOND)
    with file_size_limit(writer.size + 1000), pytest.raises(OSError, match="File too large"):
        writer.append(SECOND)
    writer.close()
    with open_recording([writer.spec.path]) as reader:
        assert [plaintext for _, plaintext in reader.segments()] == [SECOND]
        assert reader.cut


def test_a_seal_that_failed_may_be_repeated(tmp_path: Path) -> None:
    """A disk that is full at the seal gets the last segment later, once."""
    writer = new_writer(tmp_path)
    writer.append(SECOND)
    with file_size_limit(writer.size):
        for _ in range(3):
            with pytest.raises(OSError, match="File too large"):
                writer.seal(SECOND)
    sealed = writer.seal(SECOND)
    assert sealed.segments == 2
    assert plaintexts(sealed.path) == [SECOND, SECOND]


def test_a_sync_that_failed_makes_everything_since_the_last_pending(tmp_path: Path) -> None:
    """After a failed sync the kernel may have dropped what was written: it is written again, the same bytes."""
    writer = new_writer(tmp_path)
    writer.append(SECOND)
    writer.sync()
    durable = writer.size
    writer.append(SECOND)
    whole = writer.spec.path.read_bytes()
    writer.sync_failed()
    os.truncate(writer.spec.path, durable)  # what such a kernel does
    assert writer.pending
    writer.retry()
    assert writer.spec.path.read_bytes() == whole


def test_a_discarded_part_is_gone(tmp_path: Path) -> None:
    """Discarding removes the part whatever its name."""
    writer = new_writer(tmp_path)
    writer.append(SECOND)
    writer.discard()
    assert list(writer.spec.path.parent.iterdir()) == []


def test_a_full_file_system_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    """On a file system that really fills up, the retry succeeds once there is room (needs root for a tmpfs)."""
    if os.geteuid() != 0:
        pytest.xfail("mounting a small tmpfs needs root; RLIMIT_FSIZE covers the same path")
    script = textwrap.dedent(
        """
        import ctypes, errno, os, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[2])
        from tests.vault.test_recording_writer import SECOND, new_writer, plaintexts
        libc = ctypes.CDLL(None, use_errno=True)
        CLONE_NEWNS, MS_PRIVATE_REC = 0x20000, 0x44000
        if libc.unshare(CLONE_NEWNS) or libc.mount(None, b"/", None, MS_PRIVATE_REC, None):
            sys.exit(77)
        if libc.mount(b"tmpfs", os.fsencode(sys.argv[1]), b"tmpfs", 0, b"size=128k"):
            sys.exit(77)
        directory = Path(sys.argv[1])
        writer = new_writer(directory)
        (directory / "ballast").write_bytes(bytes(60_000))
        count = 0
        try:
            while True:
                count += 1
                writer.append(SECOND)
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
        assert writer.pending and count > 2
        (directory / "ballast").unlink()
        writer.retry()
        assert plaintexts(writer.seal(SECOND).path) == [SECOND] * (count + 1)
        """
    )
    command = [sys.executable, "-c", script, str(tmp_path), str(Path(__file__).parents[2])]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if result.returncode == 77:
        pytest.xfail("this container may not mount; RLIMIT_FSIZE covers the same path")
    assert result.returncode == 0, result.stderr
