"""Recordings in the formats that people take away: WAV, FLAC, MP3, Opus, and the packets as pcapng."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile  # type: ignore[import-untyped]  # publishes no types

from callrec.vault.atomic_file import atomic_file
from callrec.vault.canvas import Samples
from callrec.vault.export_order import ExportFormat
from callrec.vault.part_reader import RecordingReader
from callrec.vault.pcapng import PcapngWriter
from callrec.vault.recording_format import CodecEntry, Direction, Mark, PacketRecord, parse_codec_map
from callrec.vault.rendering import Renderer, Summary, summarise

Progress = Callable[[int, int], None]
"""Takes the bytes of the recording read so far, and all of them."""

_COPY = 1 << 20
_FULL_SCALE = 32768


@dataclass(frozen=True, slots=True)
class _Encoding:
    """How libsndfile names a format."""

    container: str
    subtype: str
    lossless: bool = False


# What loses anyway is given samples as fractions: libsndfile 1.2.2 makes noise of two channels of 16 bits in MP3.
# Opus is given 8 kHz: every decoder plays it at 48 kHz all the same (RFC 7845 5.1), while resampling before encoding
# was measured to cost twice the CPU and three times the size for the same voice.
_ENCODINGS = {
    ExportFormat.FLAC: _Encoding("FLAC", "PCM_16", lossless=True),
    ExportFormat.MP3: _Encoding("MP3", "MPEG_LAYER_III"),
    ExportFormat.OPUS: _Encoding("OGG", "OPUS"),
}


def export_file(reader: RecordingReader, form: ExportFormat, path: Path, progress: Progress | None = None) -> Summary:
    """Write a recording to a path, which names all of it or stays as it was.

    Raises:
        IntegrityError: if the recording does not verify.
        OSError: if the file cannot be written.
    """
    with atomic_file(path) as fd:
        return export_to(reader, form, fd, progress)


def export_to(reader: RecordingReader, form: ExportFormat, fd: int, progress: Progress | None = None) -> Summary:
    """Write a recording to a descriptor, which may be a pipe, from its current position on.

    Raises:
        IntegrityError: if the recording does not verify; what was written before is authentic but not all.
        OSError: if the descriptor cannot be written to.
    """
    told = progress or _silent
    match form:
        case ExportFormat.WAV:
            return _write_wav(reader, fd, told)
        case ExportFormat.PCAPNG:
            return _write_pcapng(reader, fd, told)
        case _:
            with _seekable(fd) as target:
                return _write_encoded(reader, _ENCODINGS[form], target, told)


def _silent(done: int, total: int) -> None:
    """Tell nobody."""


def _blocks(reader: RecordingReader, renderer: Renderer, progress: Progress) -> Iterator[Samples]:
    for block in renderer.blocks():
        progress(reader.position, reader.size)
        yield block


def _write_wav(reader: RecordingReader, fd: int, progress: Progress) -> Summary:
    """Write 16-bit stereo; a pipe needs its length first, which costs reading the recording twice."""
    seekable = _is_file(fd)
    start = os.lseek(fd, 0, os.SEEK_CUR) if seekable else 0
    length = 0 if seekable else summarise(reader).length
    renderer = Renderer(reader)
    _write(fd, _wav_header(length, renderer.rate))
    for block in _blocks(reader, renderer, progress):
        _write(fd, block.astype("<i2", copy=False).tobytes())
    if seekable:
        os.pwrite(fd, _wav_header(renderer.summary.length, renderer.rate), start)
    return renderer.summary


def _wav_header(samples: int, rate: int) -> bytes:
    """Return the 44 bytes before the samples of a stereo PCM file; a length beyond 4 GiB is told as the most."""
    frame = 4
    size = min(samples * frame, 0xFFFF_FFFF - 36)
    riff = struct.pack("<4sI4s", b"RIFF", size + 36, b"WAVE")
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, rate, rate * frame, frame, 16)
    return riff + form + struct.pack("<4sI", b"data", size)


def _write_encoded(reader: RecordingReader, encoding: _Encoding, fd: int, progress: Progress) -> Summary:
    renderer = Renderer(reader)
    # libsndfile takes a descriptor; Python file objects would need callbacks, which MemoryDenyWriteExecute forbids.
    with soundfile.SoundFile(
        fd,
        "w",
        samplerate=renderer.rate,
        channels=2,
        format=encoding.container,
        subtype=encoding.subtype,
        closefd=False,
    ) as file:
        for block in _blocks(reader, renderer, progress):
            file.write(block if encoding.lossless else block / np.float32(_FULL_SCALE))
    return renderer.summary


@dataclass(slots=True)
class _Session:
    """The codec maps as they stand, and whether the capture has been told."""

    codecs: dict[Direction, tuple[CodecEntry, ...]] = field(
        default_factory=lambda: dict.fromkeys(Direction, (CodecEntry(8, "PCMA", 8000), CodecEntry(0, "PCMU", 8000)))
    )
    told: bool = False

    def learn(self, body: bytes) -> None:
        """Take in a codec map."""
        direction, entries = parse_codec_map(body)
        if self.codecs[direction] != entries:
            self.codecs[direction] = entries
            self.told = False


def _write_pcapng(reader: RecordingReader, fd: int, progress: Progress) -> Summary:
    session = _Session()
    with os.fdopen(fd, "wb", closefd=False) as file:
        writer = PcapngWriter(file, reader.recording_id)
        for count, (part, record) in enumerate(reader.records()):
            at_us = part.header.started_at_ns // 1000 + record.offset_us
            if not isinstance(record, PacketRecord):
                if record.mark is Mark.CODECS:
                    session.learn(record.body)
                continue
            if not session.told:
                writer.session(at_us, session.codecs[Direction.OUTSIDE], session.codecs[Direction.OURS])
                session.told = True
            writer.packet(record.direction, at_us, record.packet)
            if count % 10_000 == 0:
                progress(reader.position, reader.size)
    return summarise(reader)


def _is_file(fd: int) -> bool:
    return stat.S_ISREG(os.fstat(fd).st_mode)


@contextmanager
def _seekable(fd: int) -> Iterator[int]:
    """Give a descriptor that libsndfile can seek in; for a pipe that is memory, copied once all is written."""
    if _is_file(fd):
        yield fd
        return
    memory = os.memfd_create("export", os.MFD_CLOEXEC)
    try:
        yield memory
        os.lseek(memory, 0, os.SEEK_SET)
        while data := os.read(memory, _COPY):
            _write(fd, data)
    finally:
        os.close(memory)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
