"""One copy of the ledger on disk: read and judged at start, appended to at a known place."""

from __future__ import annotations

import filecmp
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from callrec.vault.ledger_entries import BEGINNING, Entry, parse

_LONGEST_LINE = 1 << 20
_SIGNATURES_LOOKED_BACK = 10_000


@dataclass(frozen=True, slots=True)
class Judged:
    """How far a file can be believed."""

    entries: int
    size: int
    """Bytes of the entries that verify."""
    head: Entry | None
    tail: bytes
    """What follows them and does not verify; a torn last line (a crash while writing) is left out."""


class LedgerFile:
    """A file of ledger lines, of which the first `size` bytes count."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0

    def judge(self, key: Ed25519PublicKey, seen: Callable[[Entry], None] | None = None) -> Judged:
        """Read the file, check chain and signature, and remember how far it counts.

        Args:
            key: the node's.
            seen: is shown each entry of the chain; the last ones may turn out not to count.

        Raises:
            OSError: if it cannot be read.
        """
        latest: deque[tuple[Entry, int]] = deque(maxlen=_SIGNATURES_LOOKED_BACK)
        n, previous, size = 0, BEGINNING, 0
        for line in self._lines():
            entry = parse(line[:-1]) if line.endswith(b"\n") else None
            if entry is None or not entry.follows(n, previous):
                break
            n, previous, size = entry.n, entry.hash, size + len(line)
            latest.append((entry, size))
            if seen is not None:
                seen(entry)
        # One good signature vouches for all before it, so the newest one decides.
        while latest and not latest[-1][0].signed_by(key):
            latest.pop()
        head, self.size = latest[-1] if latest else (None, 0)
        return Judged(0 if head is None else head.n, self.size, head, self._tail())

    def _lines(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                while line := file.readline(_LONGEST_LINE):
                    yield line
        except FileNotFoundError:
            return

    def _tail(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(self.size)
                tail = file.read()
        except FileNotFoundError:
            return b""
        return tail if b"\n" in tail else b""

    def entries(self) -> Iterator[Entry]:
        """Return the entries that count, in order."""
        left = self.size
        for line in self._lines():
            left -= len(line)
            if left < 0 or (entry := parse(line[:-1])) is None:
                return
            yield entry

    def same_bytes(self, other: LedgerFile) -> bool:
        """Say whether two files are the same from end to end, whatever of them counts."""
        return self.path.exists() and other.path.exists() and filecmp.cmp(self.path, other.path, shallow=False)

    def begins_with(self, other: LedgerFile) -> bool:
        """Say whether what counts of another file is the beginning of what counts of this one."""
        if other.size > self.size:
            return False
        left = other.size
        if not left:
            return True
        with self.path.open("rb") as mine, other.path.open("rb") as theirs:
            while left > 0:
                wanted = min(left, 1 << 20)
                if mine.read(wanted) != theirs.read(wanted):
                    return False
                left -= wanted
        return True

    def read_from(self, offset: int) -> bytes:
        """Return the bytes that count from an offset on."""
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(self.size - offset)

    def append(self, data: bytes) -> None:
        """Write after what counts, cutting off anything else; durable when this returns.

        Raises:
            OSError: if it cannot be written; then what counts is as before.
        """
        fresh = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size < self.size:
                raise OSError(f"found fewer than the {self.size} bytes written before")
            os.ftruncate(descriptor, self.size)
            _write_all(descriptor, data, self.size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if fresh:
            sync_folder(self.path.parent)
        self.size += len(data)

    def replace(self, data: bytes) -> None:
        """Write the whole file anew beside the old one and put it in its place; durable when this returns."""
        aside = self.path.with_name(self.path.name + ".new")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_all(descriptor, data, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        aside.rename(self.path)
        sync_folder(self.path.parent)
        self.size = len(data)


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
