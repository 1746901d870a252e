"""One copy of the ledger on disk: read and judged at start, appended to at a known place."""

from __future__ import annotations

import filecmp
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from callrec.vault.ledger_entries import BEGINNING, Entry, parse

_LONGEST_LINE = 1 << 20
_PIECE = 1 << 20
_SIGNATURES_LOOKED_BACK = 10_000


@dataclass(frozen=True, slots=True)
class Verified:
    """A beginning of a file that is known to be good, so that judging goes on behind it."""

    n: int = 0
    hash: str = BEGINNING
    size: int = 0


START = Verified()


@dataclass(frozen=True, slots=True)
class Judged:
    """How far a file can be believed."""

    entries: int
    """How many entries verify, those known beforehand included."""
    head: Entry | None
    """The newest of them, None where none was read beyond what was known."""
    tail: bytes
    """What follows them and does not verify; a torn last line (a crash while writing) is left out."""


class LedgerFile:
    """A file of ledger lines, of which the first `size` bytes count."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0

    def judge(
        self, key: Ed25519PublicKey, seen: Callable[[Entry], None] | None = None, *, known: Verified = START
    ) -> Judged:
        """Read the file, check chain and signature, and remember how far it counts.

        Args:
            key: the node's.
            seen: is shown each entry of the chain; the last ones may turn out not to count.
            known: the beginning that needs no reading.

        Raises:
            OSError: if it cannot be read.
        """
        latest: deque[tuple[Entry, int]] = deque(maxlen=_SIGNATURES_LOOKED_BACK)
        n, previous, size = known.n, known.hash, known.size
        for line in self._lines(known.size):
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
        head, self.size = latest[-1] if latest else (None, known.size)
        return Judged(known.n if head is None else head.n, head, self._tail())

    def _lines(self, offset: int = 0) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                while line := file.readline(_LONGEST_LINE):
                    yield line
        except FileNotFoundError:
            return

    def digest(self, offset: int = 0, begun: hashlib._Hash | None = None, *, size: int | None = None) -> hashlib._Hash:
        """Return the SHA-256 over the bytes that count, or the first `size` ones, to be carried on.

        Args:
            offset: where to begin.
            begun: the digest of what lies before.
            size: where to end; a shorter file has the digest of what it has.
        """
        digest, left = begun or hashlib.sha256(), (self.size if size is None else size) - offset
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                while left > 0 and (piece := file.read(min(left, _PIECE))):
                    digest.update(piece)
                    left -= len(piece)
        except FileNotFoundError:
            return digest
        return digest

    def _tail(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(self.size)
                tail = file.read()
        except FileNotFoundError:
            return b""
        return tail if b"\n" in tail else b""

    def lines(self, offset: int = 0) -> Iterator[bytes]:
        """Return the lines that count, from an offset on."""
        left = self.size - offset
        for line in self._lines(offset):
            left -= len(line)
            if left < 0:
                return
            yield line

    def entries(self, offset: int = 0) -> Iterator[Entry]:
        """Return the entries that count, in order."""
        for line in self.lines(offset):
            if (entry := parse(line[:-1])) is None:
                return
            yield entry

    def line(self, n: int) -> Entry | None:
        """Return entry n of those that count; lines before it are passed over unread."""
        for number, line in enumerate(self.lines(), start=1):
            if number == n:
                return parse(line[:-1])
        return None

    def same_bytes(self, other: LedgerFile) -> bool:
        """Say whether two files are the same from end to end, whatever of them counts."""
        return self.path.exists() and other.path.exists() and filecmp.cmp(self.path, other.path, shallow=False)

    def is_beginning_of(self, other: LedgerFile) -> bool:
        """Say whether all of this file's bytes, up to a line's end, begin what counts of another; then they count."""
        whole = self.path.stat().st_size if self.path.exists() else 0
        if not 0 < whole <= other.size:
            return whole == 0
        kept, self.size = self.size, whole
        if other.begins_with(self) and self._ends_a_line():
            return True
        self.size = kept
        return False

    def _ends_a_line(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(self.size - 1)
            return file.read(1) == b"\n"

    def starts_with(self, other: LedgerFile) -> bool:
        """Say whether the bytes of this file, whatever of them counts, begin with what counts of another."""
        kept, self.size = self.size, self.path.stat().st_size if self.path.exists() else 0
        try:
            return self.begins_with(other)
        finally:
            self.size = kept

    def begins_with(self, other: LedgerFile) -> bool:
        """Say whether what counts of another file is the beginning of what counts of this one."""
        if other.size > self.size:
            return False
        left = other.size
        if not left:
            return True
        with self.path.open("rb") as mine, other.path.open("rb") as theirs:
            while left > 0:
                wanted = min(left, _PIECE)
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
