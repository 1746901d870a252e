"""Reads recordings: a segment at a time, nothing before it is verified, a cut part said to be cut."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from callrec.errors import IntegrityError
from callrec.vault.part_framing import scan_frames
from callrec.vault.recording_format import (
    FIELDS_LENGTH,
    FRAME_LENGTH,
    HEADER_LENGTH,
    Header,
    Record,
    decode_frame,
    decode_records,
    derive_part_key,
    frame_is_possible,
    segment_nonce,
    verify_header,
)

ZEROS = bytes(16)
"""What a power cut can leave in place of ciphertext; sixteen of them do not come by chance."""


@dataclass(frozen=True, slots=True)
class PartEnd:
    """How a part ended, known once it has been read to its end."""

    cut: bool
    """The part has no last segment: it is authentic up to here, and what followed is missing."""
    segments: int
    """Segments that were verified; fewer than the catalogue noted means that the part was shortened."""
    left_over: int
    """Bytes behind the last whole segment, not used."""


class PartReader:
    """One part. Its header is verified when it is made; its segments as they are read."""

    def __init__(self, file: BinaryIO, name: str, audio_key: bytes, recording_id: str) -> None:
        """Read and verify the header of an open file.

        Raises:
            IntegrityError: if it is no part of this recording, or was changed, or the key is another.
        """
        self.name = name
        self._file = file
        data = os.pread(file.fileno(), HEADER_LENGTH, 0)
        try:
            self.header, self._cipher = _verified_header(data, audio_key, recording_id)
        except IntegrityError as error:
            raise IntegrityError(f"{name}: {error}") from None
        self._fields = data[:FIELDS_LENGTH]
        self.end: PartEnd | None = None
        self.position = HEADER_LENGTH

    @property
    def size(self) -> int:
        """Return the bytes of the file."""
        return os.fstat(self._file.fileno()).st_size

    def segments(self, first: int = 1) -> Iterator[bytes]:
        """Yield the plaintext of each segment, from a given one (counted from 1) on; then `end` is known.

        Raises:
            IntegrityError: if a segment does not verify; those before it are authentic.
        """
        counter, offset = self._skip_to(first)
        self._file.seek(offset)
        while True:
            self.position = offset
            frame = self._file.read(FRAME_LENGTH)
            if len(frame) < FRAME_LENGTH:
                return self._ends(counter, len(frame))
            length, last = decode_frame(frame)
            if length == 0:
                return self._ends(counter, self.size - offset)
            if not frame_is_possible(length, last=last):
                raise self._damaged(counter, f"has an impossible length of {length}")
            sealed = self._file.read(length)
            if len(sealed) < length:
                return self._ends(counter, FRAME_LENGTH + len(sealed))
            plaintext = self._open(sealed, counter, last=last)
            if plaintext is None:
                if self._torn(sealed, offset):
                    return self._ends(counter, self.size - offset)
                raise self._damaged(counter, "does not verify: it was changed, moved, repeated or damaged")
            offset += FRAME_LENGTH + length
            if last:
                self._sealed(counter, offset)
                yield plaintext
                return None
            yield plaintext
            counter += 1

    def _skip_to(self, first: int) -> tuple[int, int]:
        """Return the counter and offset of a segment; the frames before it are believed, its own counter is not."""
        offset = HEADER_LENGTH
        for counter in range(1, first):
            frame = os.pread(self._file.fileno(), FRAME_LENGTH, offset)
            length, last = decode_frame(frame) if len(frame) == FRAME_LENGTH else (0, False)
            if last or length == 0:
                raise IntegrityError(f"{self.name}: found {counter} segments or fewer, expected segment {first}")
            offset += FRAME_LENGTH + length
        return first, offset

    def _open(self, sealed: bytes, counter: int, *, last: bool) -> bytes | None:
        try:
            return self._cipher.decrypt(segment_nonce(counter, last=last), sealed, self._fields)
        except InvalidTag:
            return None

    def _torn(self, sealed: bytes, offset: int) -> bool:
        """Return whether a segment that does not verify is what a power cut leaves (section 6 of the format)."""
        return ZEROS in sealed and not scan_frames(self._file.fileno(), offset).sealed

    def _sealed(self, counter: int, offset: int) -> None:
        left_over = self.size - offset
        if left_over:
            raise IntegrityError(f"{self.name}: found {left_over} bytes behind the last segment, expected none")
        self.position = offset
        self.end = PartEnd(cut=False, segments=counter, left_over=0)

    def _ends(self, counter: int, left_over: int) -> None:
        self.end = PartEnd(cut=True, segments=counter - 1, left_over=left_over)

    def _damaged(self, counter: int, what: str) -> IntegrityError:
        return IntegrityError(
            f"{self.name}: segment {counter} {what}; the {counter - 1} before it are authentic. "
            "Take the file from a backup"
        )


def _verified_header(data: bytes, audio_key: bytes, recording_id: str) -> tuple[Header, AESGCM]:
    header = Header.parse(data)
    if UUID(recording_id) != UUID(header.recording_id):
        raise IntegrityError(f"found a part of recording {header.recording_id}, expected {recording_id}")
    cipher = AESGCM(derive_part_key(audio_key, header.salt, header.recording_id, header.part))
    verify_header(data, cipher)
    return header, cipher


class RecordingReader:
    """All parts of one recording, in order; memory does not grow with its length."""

    def __init__(self, paths: Sequence[Path], audio_key: bytes, recording_id: str) -> None:
        """Open the parts, in any order, and verify their headers.

        Raises:
            IntegrityError: if a part is not of this recording or there twice, was changed, or the key is another.
            FileNotFoundError: if a part is missing, under `.partial` as well as under `.crec`.
        """
        self.recording_id = recording_id
        self._files = ExitStack()
        try:
            self.parts = _in_order([self._open(path, audio_key) for path in paths], recording_id)
        except BaseException:
            self._files.close()
            raise
        numbers = {part.header.part for part in self.parts}
        self.missing_parts = tuple(sorted(set(range(1, max(numbers))) - numbers))
        """Numbers of parts that are not there; a worker that died before its first packet leaves one."""

    def _open(self, path: Path, audio_key: bytes) -> PartReader:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            # A part that was sealed since its path was looked up has its final name now.
            if path.suffix != ".partial":
                raise
            file = path.with_suffix(".crec").open("rb")
        self._files.enter_context(file)
        return PartReader(file, path.name, audio_key, self.recording_id)

    @property
    def started_at_ns(self) -> int:
        """Return when the first part started, in nanoseconds since 1970-01-01T00:00:00Z."""
        return self.parts[0].header.started_at_ns

    @property
    def cut(self) -> bool:
        """Return whether the end of the recording is missing; known once its last part has been read."""
        return self.parts[-1].end is None or self.parts[-1].end.cut

    @property
    def size(self) -> int:
        """Return the bytes of all parts."""
        return sum(part.size for part in self.parts)

    @property
    def position(self) -> int:
        """Return how many of those bytes have been read and verified, for progress."""
        return sum(part.position for part in self.parts)

    def segments(self) -> Iterator[tuple[PartReader, bytes]]:
        """Yield each part with the plaintext of each of its segments.

        Raises:
            IntegrityError: if a segment does not verify.
        """
        for part in self.parts:
            for plaintext in part.segments():
                yield part, plaintext

    def records(self) -> Iterator[tuple[PartReader, Record]]:
        """Yield each part with each of its records.

        Raises:
            IntegrityError: if a segment does not verify or a record is malformed.
        """
        for part, plaintext in self.segments():
            for record in decode_records(plaintext):
                yield part, record

    def close(self) -> None:
        """Close the files."""
        self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _in_order(parts: list[PartReader], recording_id: str) -> list[PartReader]:
    if not parts:
        raise IntegrityError(f"recording {recording_id}: found no part, expected at least one")
    numbers = [part.header.part for part in parts]
    if len(set(numbers)) != len(numbers):
        raise IntegrityError(f"recording {recording_id}: found a part twice among {sorted(numbers)}")
    return sorted(parts, key=lambda part: part.header.part)


@dataclass(frozen=True, slots=True)
class VerifiedPart:
    """A part whose every segment verifies."""

    path: Path
    part: int
    end: PartEnd


@dataclass(frozen=True, slots=True)
class VerifiedRecording:
    """A recording whose every segment verifies."""

    parts: tuple[VerifiedPart, ...]
    missing_parts: tuple[int, ...]

    @property
    def cut(self) -> bool:
        """Return whether the end of the recording is missing."""
        return self.parts[-1].end.cut


def verify(paths: Sequence[Path], audio_key: bytes, recording_id: str) -> VerifiedRecording:
    """Read all of a recording and return what was found; for `store verify`.

    The caller compares each part's number of segments with the one in the catalogue: a cut part cannot know it.

    Raises:
        IntegrityError: if anything does not verify.
        FileNotFoundError: if a part is missing.
    """
    with RecordingReader(paths, audio_key, recording_id) as reader:
        by_name = {path.name: path for path in paths}
        for _ in reader.records():
            pass
        parts = tuple(
            VerifiedPart(by_name[part.name], part.header.part, part.end)
            for part in reader.parts
            if part.end is not None  # every part has been read to its end here
        )
        return VerifiedRecording(parts, reader.missing_parts)
