"""The SIP traces of calls on disk: a file a call, sealed under the call's identity key (issue: trace; design: "Keys").

A file is a sequence of chunks: four bytes of length, then a sealed value (`callrec.vault.sealing`) of compressed JSON.
Destroying the identity key is enough to make a trace unreadable; the file goes as well. What a kill cut off in the
middle of a chunk is left out: a trace is a help to a person, and no proof.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from callrec.errors import IntegrityError
from callrec.vault.sealing import open_sealed, seal

FOLDER = "traces"
"""Below `[paths] state`."""
_LENGTH = struct.Struct(">I")
_LARGEST_CHUNK = 16 << 20
_REMEMBERED = 10_000
_SUFFIX = ".trace"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class TracedMessage:
    """One SIP message as it went over the wire, but for what is blanked."""

    at_us: int
    """Microseconds since 1970."""
    sent: bool
    """True: by us."""
    transport: str
    ours: str
    """Our address, `host:port`."""
    theirs: str
    text: str
    """Its bytes as Latin-1."""


@dataclass(frozen=True, slots=True)
class TraceOwner:
    """Whose a trace is: its age counts from the beginning of the call."""

    call_id: str
    started_at: datetime
    key: bytes = field(repr=False)
    """The call's identity key."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What is kept of a call's signalling."""

    messages: tuple[TracedMessage, ...]
    left_out: int
    """Messages beyond the limit of a call, or of all calls."""


class TraceFiles:
    """The folder of traces. Blocking: call it in a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._removed: dict[str, None] = {}
        """Calls whose traces were removed lately: what of them still waits in memory is not written any more."""

    def append(self, owner: TraceOwner, chunk: int, messages: Sequence[TracedMessage], left_out: int) -> None:
        """Add a chunk to a call's trace. Raises OSError.

        Args:
            owner: whose.
            chunk: its number, from 0 on; bound in, so that no chunk takes the place of another.
            messages: blanked already.
            left_out: messages left out so far.
        """
        call_id, started_at = owner.call_id, owner.started_at
        if call_id in self._removed:
            return
        document = {"messages": [asdict(message) for message in messages], "left_out": left_out}
        packed = zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 6)
        sealed = seal(owner.key, packed, table=FOLDER, row=call_id, field=str(chunk))
        folder = self._folder / started_at.strftime("%Y-%m-%d")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{call_id}{_SUFFIX}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, _LENGTH.pack(len(sealed)) + sealed)
        finally:
            os.close(descriptor)
        os.utime(path, (started_at.timestamp(), started_at.timestamp()))

    def read(self, call_id: str, key: bytes) -> Trace | None:
        """Return a call's trace, None where there is none.

        Raises:
            IntegrityError: if a chunk was altered or the key is another.
        """
        paths = self.find([call_id])
        if not paths:
            return None
        messages: list[TracedMessage] = []
        left_out = 0
        for number, sealed in enumerate(_chunks(paths[0].read_bytes())):
            packed = open_sealed(key, sealed, table=FOLDER, row=call_id, field=str(number))
            document = json.loads(_unpacked(packed, call_id))
            messages += [TracedMessage(**message) for message in document["messages"]]
            left_out = document["left_out"]
        return Trace(tuple(messages), left_out)

    def find(self, call_ids: Iterable[str]) -> list[Path]:
        """Return the files of these calls."""
        names = [f"{call_id}{_SUFFIX}" for call_id in call_ids]
        return [path for folder in self._days() for name in names if (path := folder / name).exists()]

    def remove(self, call_ids: Iterable[str]) -> set[str]:
        """Remove the traces of these calls; return of which there were any. Raises OSError."""
        call_ids = list(call_ids)
        self._removed |= dict.fromkeys(call_ids)
        while len(self._removed) > _REMEMBERED:
            del self._removed[next(iter(self._removed))]
        removed: set[str] = set()
        for path in self.find(call_ids):
            with suppress(FileNotFoundError):
                path.unlink()
                removed.add(path.stem)
        return removed

    def age_out(self, before: datetime, most_bytes: int) -> int:
        """Remove traces of calls that began before an instant, and the oldest ones beyond a size; return how many.

        Raises OSError.
        """
        found = []
        for folder in self._days():
            for path in folder.glob(f"*{_SUFFIX}"):
                with suppress(FileNotFoundError):  # erased meanwhile
                    status = path.stat()
                    found.append((status.st_mtime, status.st_size, path))
        found.sort(key=lambda one: one[0], reverse=True)
        total = removed = 0
        for began, size, path in found:
            total += size
            if began < before.timestamp() or total > most_bytes:
                path.unlink(missing_ok=True)
                removed += 1
        for folder in self._days():
            with suppress(OSError):  # not empty
                folder.rmdir()
        return removed

    def _days(self) -> list[Path]:
        with suppress(FileNotFoundError):
            return sorted(path for path in self._folder.iterdir() if _DAY.fullmatch(path.name))
        return []


def _chunks(data: bytes) -> Iterable[bytes]:
    """Give the whole chunks of a file."""
    place = 0
    while place + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        if place + length > len(data):
            return
        yield data[place : place + length]
        place += length


def _unpacked(packed: bytes, call_id: str) -> bytes:
    unpacking = zlib.decompressobj()
    data = unpacking.decompress(packed, _LARGEST_CHUNK)
    if unpacking.unconsumed_tail:
        raise IntegrityError(f"trace of {call_id}: a chunk is larger than {_LARGEST_CHUNK} bytes")
    return data
