"""The tombstone ledger: what was erased, so that not even a restored backup brings it back (LAW-48).

Append-only, hash-chained, signed, without personal data, and kept twice: in the state folder and outside it.
The outside copy is fsynced first. At start the longer of two agreeing chains wins; what does not verify is put
aside, never replayed, and a problem until somebody has looked.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callrec.clock import Clock, rfc3339
from callrec.vault.keyring_errors import LedgerUnavailable
from callrec.vault.ledger_entries import BEGINNING, Draft, Entry, make
from callrec.vault.ledger_file import Judged, LedgerFile, sync_folder

log = logging.getLogger("callrec.vault.ledger")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry: what a restored or cut ledger is compared with."""

    n: int
    hash: str
    signature: str


@dataclass(slots=True)
class _Index:
    """What must be known of all entries without reading them again."""

    intents: dict[str, Entry] = field(default_factory=dict)
    reserved: int = 0
    reserved_before: int = 0
    begun_after_loss: bool = False
    last_erasure: int = 0

    def add(self, entry: Entry) -> None:
        body: Any = entry.body
        if entry.kind in {"intent", "destroyed"}:
            self.last_erasure = entry.n
        match entry.kind:
            case "intent":
                self.intents[body["erasure_id"]] = entry
            case "completed":
                self.intents.pop(body["erasure_id"], None)
            case "reserved":
                self.reserved_before, self.reserved = self.reserved, max(self.reserved, body["upto"])
            case "begun":
                self.begun_after_loss = bool(body.get("after_loss"))
            case "accepted":
                self.begun_after_loss = False


class Ledger:
    """Appends from one thread of its own; the event loop never waits for its disks."""

    def __init__(self, local: LedgerFile, copy: LedgerFile | None, key: Ed25519PrivateKey, clock: Clock) -> None:
        self._local = local
        self._copy = copy
        self._key = key
        self._clock = clock
        self._index = _Index()
        self._n = 0
        self._previous = BEGINNING
        self._signature = ""
        self._forked = False
        self._copy_is_same = False
        self._completed_from_copy = False
        self._copy_problem: str | None = None
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "ledger")

    @classmethod
    def open(cls, path: Path, copy: Path | None, signing_key: bytes, clock: Clock, *, fresh: bool = True) -> Ledger:
        """Open or begin the ledger.

        Args:
            path: the ledger in the state folder.
            copy: the copy outside it, None for none.
            signing_key: the keyring's system key `signing`.
            clock: what dates entries.
            fresh: True if the store is new; otherwise a ledger found nowhere is a problem.

        Raises:
            LedgerUnavailable: if the ledger in the state folder can be neither read nor begun.
        """
        key = Ed25519PrivateKey.from_private_bytes(signing_key)
        ledger = cls(LedgerFile(path), LedgerFile(copy) if copy else None, key, clock)
        try:
            ledger._begin(fresh=fresh)
        except OSError as error:
            raise LedgerUnavailable(f"ledger {path}: cannot be read or written ({error})") from error
        return ledger

    def _begin(self, *, fresh: bool) -> None:
        head = self._judge_local()
        if self._copy is not None:
            try:
                self._copy.path.parent.mkdir(parents=True, exist_ok=True)
                self._judge_copy(self._copy)
            except OSError as error:
                self._copy_failed(error)
        if self._local.size and (head is None or self._completed_from_copy):
            head = self._read_index()
        if head is not None:
            self._n, self._previous, self._signature = head.n, head.hash, head.signature
        else:
            self._append([Draft("begun", {} if fresh else {"after_loss": True})], reach_copy=False)

    def _judge_local(self) -> Entry | None:
        """Read the ledger in one pass where all of it counts; return its newest entry."""
        read: list[int] = [0]

        def seen(entry: Entry) -> None:
            self._index.add(entry)
            read[0] = entry.n

        judged = self._local.judge(self._key.public_key(), seen)
        # Compared before anything is put aside: a copy with the same bytes needs no second judging.
        self._copy_is_same = self._copy is not None and not judged.tail and self._copy.same_bytes(self._local)
        if judged.tail:
            _put_aside(self._local, judged)
        if read[0] != judged.entries:
            return self._read_index()
        return judged.head

    def _judge_copy(self, copy: LedgerFile) -> None:
        if self._copy_is_same:
            copy.size = self._local.size
            return
        judged = copy.judge(self._key.public_key())
        if judged.tail:
            _put_aside(copy, judged)
        self._reconcile(copy)

    def _read_index(self) -> Entry | None:
        self._index, head = _Index(), None
        for entry in self._local.entries():
            self._index.add(entry)
            head = entry
        return head

    def _reconcile(self, copy: LedgerFile) -> None:
        """Let the longer of two agreeing chains win; of two that disagree, change neither."""
        if copy.size > self._local.size and copy.begins_with(self._local):
            log.warning("ledger %s is behind its outside copy and is completed from it", self._local.path)
            self._local.append(copy.read_from(self._local.size))
            self._completed_from_copy = True
        elif not self._local.begins_with(copy):
            self._forked = True

    # Appending

    async def append(self, drafts: Sequence[Draft], *, reach_copy: bool) -> list[Entry]:
        """Enter something; durable when this returns, the outside copy first.

        Args:
            drafts: what to enter, together.
            reach_copy: True refuses if the outside copy cannot be written (erasing waits then);
                otherwise the copy is caught up later.

        Raises:
            LedgerUnavailable: if it was not entered.
            ValueError: if an entry may hold something about a person.
        """
        return await self._in_thread(lambda: self._append(drafts, reach_copy=reach_copy))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except OSError as error:
            raise LedgerUnavailable(f"ledger {self._local.path}: cannot be written ({error})") from error

    def _append(self, drafts: Sequence[Draft], *, reach_copy: bool) -> list[Entry]:
        with self._lock:
            entries = self._make(drafts)
            data = b"".join(entry.line() for entry in entries)
            self._append_to_copy(data, reach_copy=reach_copy)
            self._local.append(data)
            for entry in entries:
                self._index.add(entry)
            self._n, self._previous, self._signature = entries[-1].n, entries[-1].hash, entries[-1].signature
            return entries

    def _make(self, drafts: Sequence[Draft]) -> list[Entry]:
        n, previous, at = self._n, self._previous, rfc3339(self._clock.now())
        entries: list[Entry] = []
        for draft in drafts:
            entry = make(draft, n + 1, previous, at, self._key)
            n, previous = entry.n, entry.hash
            entries.append(entry)
        return entries

    def _append_to_copy(self, data: bytes, *, reach_copy: bool) -> None:
        copy = self._copy
        if copy is None:
            return
        if self._forked:
            if reach_copy:
                raise LedgerUnavailable(
                    f"ledger {self._local.path} and {copy.path} disagree; nothing is erased until then"
                )
            return
        try:
            self._write_copy(copy, data)
        except OSError as error:
            self._copy_failed(error)
            if reach_copy:
                raise LedgerUnavailable(
                    f"ledger copy {copy.path}: cannot be written ({error}); erasing waits"
                ) from error

    def _write_copy(self, copy: LedgerFile, data: bytes) -> None:
        """Catch the copy up and add to it. What the copy has beyond the ledger was never entered and is cut off."""
        copy.size = min(copy.size, self._local.size)
        if copy.path.exists() and copy.path.stat().st_size >= copy.size:
            copy.append(self._local.read_from(copy.size) + data if copy.size < self._local.size else data)
        else:
            copy.path.parent.mkdir(parents=True, exist_ok=True)
            copy.replace((self._local.read_from(0) if self._local.size else b"") + data)
        self._copy_problem = None

    def _copy_failed(self, error: OSError) -> None:
        path = self._copy.path if self._copy is not None else None
        if self._copy_problem is None:
            log.error("ledger copy %s: %s", path, error)
        self._copy_problem = f"ledger copy {path}: cannot be written ({error.strerror or error}); erasing waits for it"

    # What it says

    @property
    def reserved_upto(self) -> int:
        """Return the last event number reserved, 0 if none."""
        return self._index.reserved

    @property
    def reserved_before(self) -> int:
        """Return the last event number reserved before the newest block."""
        return self._index.reserved_before

    async def reserve_events(self, upto: int) -> None:
        """Reserve all event numbers up to this one; raises LedgerUnavailable."""
        if upto > self._index.reserved:
            await self.append([Draft("reserved", {"upto": upto})], reach_copy=False)

    @property
    def open_intents(self) -> list[Entry]:
        """Return the erasures that were begun and not completed, in order."""
        with self._lock:
            return list(self._index.intents.values())

    @property
    def last_erasure(self) -> int:
        """Return the number of the newest entry that says something is to go, 0 if none."""
        return self._index.last_erasure

    async def entries(self, kinds: frozenset[str]) -> list[Entry]:
        """Return all entries of some kinds, in order."""
        return await self._in_thread(lambda: [entry for entry in self._local.entries() if entry.kind in kinds])

    @property
    def head(self) -> Head:
        """Return the newest entry's number, hash and signature."""
        return Head(self._n, self._previous, self._signature)

    @property
    def problems(self) -> list[str]:
        """Return what a person must look at, in sentences; empty when all is well."""
        found: list[str] = []
        if self._copy_problem is not None:
            found.append(self._copy_problem)
        if self._forked and self._copy is not None:
            found.append(f"ledger {self._local.path} and its copy {self._copy.path} disagree; erasing waits")
        if self._index.begun_after_loss:
            found.append(f"ledger {self._local.path}: was missing and has begun anew; restore it, then accept it")
        for file in (self._local, self._copy):
            found += [f"ledger: unsigned or altered entries were put aside in {aside}" for aside in _asides(file)]
        return found

    def public_key(self) -> bytes:
        """Return the 32 bytes of the Ed25519 key that entries are verified with."""
        return self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=True)


def _put_aside(file: LedgerFile, judged: Judged) -> None:
    """Keep what does not verify beside the ledger, where it is never replayed, and cut it off."""
    number = len(_asides(file)) + 1
    aside = LedgerFile(file.path.with_name(f"{file.path.name}.altered-{number}"))
    aside.append(judged.tail)
    sync_folder(file.path.parent)
    file.append(b"")
    log.error("ledger %s: what follows entry %d does not verify; it is in %s", file.path, judged.entries, aside.path)


def _asides(file: LedgerFile | None) -> list[Path]:
    if file is None:
        return []
    try:
        return sorted(file.path.parent.glob(f"{file.path.name}.altered-*"))
    except OSError:
        return []
