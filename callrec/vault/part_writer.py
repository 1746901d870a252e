"""Writes one part of a recording: encrypted from its first byte, never continued, every counter used once."""

from __future__ import annotations

import base64
import binascii
import fcntl
import os
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from callrec.errors import PeerError
from callrec.identifiers import RandomBytes
from callrec.vault.atomic_file import sync_folder
from callrec.vault.recording_format import (
    SALT_LENGTH,
    TAG_LENGTH,
    Header,
    derive_part_key,
    encode_frame,
    segment_nonce,
    split_records,
)

UNSYNCED_LIMIT = 1 << 20
"""Bytes of ciphertext kept until they are synced, to be written again if the sync fails; five seconds are 180 KiB."""


@dataclass(frozen=True, slots=True)
class PartSpec:
    """What a writer needs for one part, and nothing that opens another."""

    recording_id: str
    part: int
    path: Path
    """Where the part grows; ends in `.partial`."""
    salt: bytes
    key: bytes = field(repr=False)

    @property
    def sealed_path(self) -> Path:
        """Return the name of the part once it is ended."""
        return self.path.with_suffix(".crec")

    def to_wire(self) -> dict[str, Any]:
        """Return the spec as a JSON object, for the worker's control socket."""
        return {
            "recording_id": self.recording_id,
            "part": self.part,
            "path": str(self.path),
            "salt": base64.b64encode(self.salt).decode(),
            "key": base64.b64encode(self.key).decode(),
        }

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> PartSpec:
        """Return the spec that a JSON object holds.

        Raises:
            PeerError: if it is malformed.
        """
        try:
            salt, key = (base64.b64decode(wire[name], validate=True) for name in ("salt", "key"))
            return cls(str(wire["recording_id"]), int(wire["part"]), Path(wire["path"]), salt, key)
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise PeerError("found a malformed part specification on the control socket") from None


class PartSource:
    """Gives out the parts of one recording, each with a fresh salt and so a key of its own."""

    def __init__(self, recording_id: str, audio_key: bytes, directory: Path, random: RandomBytes) -> None:
        self.recording_id = recording_id
        self._audio_key = audio_key
        self._directory = directory
        self._random = random
        self._folder: Path | None = None
        self._part = 0

    def next_part(self, now_utc: datetime) -> PartSpec:
        """Return the next part; all lie in the folder of the UTC date on which the first was asked for."""
        if self._folder is None:
            self._folder = self._directory / now_utc.astimezone(UTC).strftime("%Y/%m/%d")
        self._part += 1
        salt = self._random(SALT_LENGTH)
        key = derive_part_key(self._audio_key, salt, self.recording_id, self._part)
        return PartSpec(
            self.recording_id, self._part, part_path(self._folder, self.recording_id, self._part), salt, key
        )


def part_path(folder: Path, recording_id: str, part: int, *, sealed: bool = False) -> Path:
    """Return where a part lies in its folder."""
    return folder / f"{recording_id}.{part}.{'crec' if sealed else 'partial'}"


@dataclass(frozen=True, slots=True)
class SealedPart:
    """A part that is ended, synced and under its final name."""

    recording_id: str
    part: int
    path: Path
    segments: int
    """Segments with the last one; the catalogue keeps this number."""
    size: int
    """Bytes of the file."""
    started_at_ns: int


class _State(Enum):
    OPEN = auto()
    FINISHED = auto()
    PUBLISHED = auto()
    CLOSED = auto()


class PartWriter:
    """One part, from its creation to its seal; belongs to one thread and blocks on the disk.

    After an OSError the ciphertext that could not be written is retained, `pending` is true, and `retry` writes it
    again, byte for byte at its place; nothing else may be appended before that has succeeded.
    """

    def __init__(self, spec: PartSpec, started_at_ns: int) -> None:
        """Create the part with its header.

        Raises:
            OSError: if it cannot be made; FileExistsError if a part of this number exists (a key is never used twice).
        """
        self.spec = spec
        self._header = Header(spec.recording_id, spec.part, started_at_ns, spec.salt)
        self._fields = self._header.fields()
        self._cipher = AESGCM(spec.key)
        self._counter = 0
        self._state = _State.OPEN
        self._pending: deque[tuple[int, bytes]] = deque()
        self._unsynced: deque[tuple[int, bytes]] = deque()
        self._unsynced_size = 0
        self._folders_to_sync = _make_folders(spec.path.parent)
        header = self._header.sealed(self._cipher)
        self._fd = _create(spec, header)
        self._size = len(header)
        self._retain(0, header)

    @property
    def pending(self) -> bool:
        """Return whether ciphertext waits for its write to be repeated."""
        return bool(self._pending)

    @property
    def size(self) -> int:
        """Return the bytes of the part, pending ones with them."""
        return self._size

    @property
    def segments(self) -> int:
        """Return how many segments have been encrypted."""
        return self._counter

    def fileno(self) -> int:
        """Return the descriptor of the part, for a sync of the file system it lies on."""
        return self._fd

    def append(self, records: bytes) -> None:
        """Encrypt whole records as one segment, or as several if they are more than one holds, and write them.

        The records are taken even if this raises: their ciphertext is then pending.

        Raises:
            OSError: if the disk refused them.
        """
        if self._state is not _State.OPEN or self._pending:
            raise RuntimeError(
                f"internal error: a part is appended to while {self._state.name}, pending {self.pending}"
            )
        for run in split_records(records):
            self._encrypt(run, last=False)
        self._write_pending()

    def retry(self) -> None:
        """Write what is pending again, byte for byte at its place.

        Raises:
            OSError: if the disk still refuses it.
        """
        self._write_pending()

    def sync(self) -> None:
        """Make durable what was written.

        Raises:
            OSError: if that failed; what was written since the last sync is then pending, for the kernel may have
                dropped it.
        """
        try:
            os.fdatasync(self._fd)
            self.sync_folders()
        except OSError:
            self.sync_failed()
            raise
        self.synced()

    def sync_folders(self) -> None:
        """Make the part's name durable; needed once.

        Raises:
            OSError: if that failed; it may be repeated.
        """
        while self._folders_to_sync:
            sync_folder(self._folders_to_sync[-1])
            self._folders_to_sync.pop()

    def synced(self) -> None:
        """Note that all that was written so far is durable, because somebody synced the whole file system."""
        self._unsynced.clear()
        self._unsynced_size = 0

    def sync_failed(self) -> None:
        """Note that a sync of the whole file system failed: what was written since the last is pending again."""
        self._pending = deque(sorted({*self._unsynced, *self._pending}))
        self.synced()

    def finish(self, records: bytes = b"") -> None:
        """Write the last records and the last segment, without making them durable.

        Raises:
            OSError: if the disk refused them; `retry` writes them again.
        """
        if self._state is _State.OPEN:
            *runs, final = split_records(records) or [b""]
            for run in runs:
                self._encrypt(run, last=False)
            self._encrypt(final, last=True)
            self._state = _State.FINISHED
        self._write_pending()

    def publish(self, *, synced: bool = False) -> SealedPart:
        """Give the finished part its final name, durably, and close it.

        Args:
            synced: the caller has synced the file system since `finish`, and syncs the folders afterwards.

        Raises:
            OSError: if a step failed; the call may be repeated.
        """
        if self._state not in (_State.FINISHED, _State.PUBLISHED):
            raise RuntimeError(f"internal error: a part is published while {self._state.name}")
        if self._state is _State.FINISHED:
            self._write_pending()
            if not synced:
                self.sync()
            self.spec.path.rename(self.spec.sealed_path)
            self._state = _State.PUBLISHED
        if not synced:
            sync_folder(self.spec.path.parent)
        self._release()
        spec = self.spec
        path, started_at_ns = spec.sealed_path, self._header.started_at_ns
        return SealedPart(spec.recording_id, spec.part, path, self._counter, self._size, started_at_ns)

    def seal(self, records: bytes = b"") -> SealedPart:
        """Write the last segment, sync, rename and sync the folder; may be repeated after an OSError.

        Raises:
            OSError: if a step failed.
        """
        if self._state in (_State.OPEN, _State.FINISHED):
            self.finish(records)
        return self.publish()

    def close(self) -> None:
        """Let go of the part as it is: the part ends at its last whole segment and is found by recovery."""
        if self._state is not _State.CLOSED:
            self._release()

    def discard(self) -> None:
        """Remove the part, under whichever name it has, and close it.

        Raises:
            OSError: if it could not be removed.
        """
        self.spec.path.unlink(missing_ok=True)
        self.spec.sealed_path.unlink(missing_ok=True)
        self.close()

    def _release(self) -> None:
        self._state = _State.CLOSED
        self._pending.clear()
        self.synced()
        os.close(self._fd)

    def _encrypt(self, plaintext: bytes, *, last: bool) -> None:
        """Take the next counter; from here on this ciphertext is the only one that may be written under it."""
        self._counter += 1
        frame = encode_frame(len(plaintext) + TAG_LENGTH, last=last)
        sealed = frame + self._cipher.encrypt(segment_nonce(self._counter, last=last), plaintext, self._fields)
        self._pending.append((self._size, sealed))
        self._size += len(sealed)

    def _write_pending(self) -> None:
        while self._pending:
            offset, data = self._pending[0]
            _write_at(self._fd, data, offset)
            self._pending.popleft()
            self._retain(offset, data)

    def _retain(self, offset: int, data: bytes) -> None:
        self._unsynced.append((offset, data))
        self._unsynced_size += len(data)
        while self._unsynced_size > UNSYNCED_LIMIT:
            self._unsynced_size -= len(self._unsynced.popleft()[1])


def _create(spec: PartSpec, header: bytes) -> int:
    """Make the file, locked before it has its name, so that recovery never sees it without its lock."""
    nascent = spec.path.with_suffix(".new")
    if spec.sealed_path.exists():
        raise FileExistsError(f"part {spec.part} exists already, and its key is never used twice: {spec.sealed_path}")
    nascent.unlink(missing_ok=True)
    fd = os.open(nascent, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _write_at(fd, header, 0)
        os.link(nascent, spec.path)
    except BaseException:
        os.close(fd)
        nascent.unlink(missing_ok=True)
        raise
    nascent.unlink(missing_ok=True)
    return fd


def _make_folders(folder: Path) -> list[Path]:
    """Make the folder and those above it; return those to sync, the deepest first."""
    made = [folder]
    missing = folder
    while not missing.exists():
        missing = missing.parent
        made.append(missing)
    for each in reversed(made):
        each.mkdir(mode=0o700, exist_ok=True)  # `parents=True` would give those above other rights
    return made


def _write_at(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
