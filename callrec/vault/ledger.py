"""The tombstone ledger: what was erased, so that not even a restored backup brings it back (LAW-48).

Append-only, hash-chained, signed, without personal data, and kept twice: in the state folder and outside it.
The outside copy is fsynced first. At start the longer of two agreeing chains wins; what does not verify is put
aside, never replayed, and a problem until somebody has accepted it. A checkpoint saves a start from reading every
entry again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callrec.clock import Clock, rfc3339
from callrec.vault.keyring_errors import LedgerUnavailable
from callrec.vault.ledger_checkpoint import EVERY, Checkpoint
from callrec.vault.ledger_copy import OutsideCopy, accept_asides, asides, put_aside
from callrec.vault.ledger_entries import PROMISES, Draft, Entry, make, signature_holds
from callrec.vault.ledger_file import START, LedgerFile, Verified
from callrec.vault.ledger_index import LedgerIndex

log = logging.getLogger("callrec.vault.ledger")

T = TypeVar("T")

_DOUBTS = {
    "altered": "entries were altered; what does not verify was put aside beside it",
    "cut": "is shorter than it was: entries at its end are gone",
    "rewritten": "is not the one that was signed before: entries were replaced",
    "from_backup": "was taken from a backup: what was erased after that may be back",
    "missing": "was missing and has begun anew",
}
_FOREIGN = PROMISES | {"intent", "destroyed", "copy", "reserved"}
"""What a copy that disagrees still has to say when somebody accepts the ledger: better erased twice than not."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry: what a restored or cut ledger is compared with."""

    n: int
    hash: str
    signature: str

    def as_document(self) -> dict[str, int | str]:
        """Return it as `status` and the retained `info` show it."""
        return asdict(self)


class Ledger:
    """Appends from one thread of its own; the event loop never waits for its disks."""

    def __init__(self, local: LedgerFile, copy: Path | None, key: Ed25519PrivateKey, clock: Clock) -> None:
        self._local = local
        self._key = key
        self._public = key.public_key()
        self._copy = OutsideCopy(copy, self._public) if copy is not None else None
        self._clock = clock
        self._index = LedgerIndex()
        self._n = START.n
        self._previous = START.hash
        self._signature = ""
        self._digest = local.digest()
        self._saved = 0
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
        ledger = cls(LedgerFile(path), copy, key, clock)
        try:
            ledger._begin(fresh=fresh)
        except OSError as error:
            raise LedgerUnavailable(f"ledger {path}: cannot be read or written ({error})") from error
        return ledger

    # Opening

    def _begin(self, *, fresh: bool) -> None:
        checkpoint = Checkpoint.load(self._checkpoint_path, self._public)
        altered = self._judge_local(checkpoint)
        if self._copy is not None:
            try:
                self._take_in(self._copy.meet(self._local, self._verified))
            except OSError as error:
                self._copy.failed(error)
        if self._n == 0:
            self._enter([Draft("begun", {} if fresh else {"after_loss": True})], reach_copy=False)
        doubt = "altered" if altered else self._contradicted_by(checkpoint)
        if doubt is not None:
            self._doubt(doubt)
        self._save_checkpoint()

    def _judge_local(self, checkpoint: Checkpoint | None) -> bool:
        """Read what the checkpoint does not vouch for; return whether something had to be put aside."""
        known = self._begin_at(checkpoint)
        newest = [known.n]

        def seen(entry: Entry) -> None:
            self._index.add(entry)
            newest[0] = entry.n

        judged = self._local.judge(self._public, seen, known=known)
        if judged.tail:
            put_aside(self._local, judged)
        if newest[0] != judged.entries:
            # Some that were shown turned out not to be signed: the index knows too much.
            known, self._index = START, LedgerIndex()
            for entry in self._local.entries():
                self._index.add(entry)
        if judged.head is not None:
            self._n, self._previous, self._signature = judged.head.n, judged.head.hash, judged.head.signature
        self._digest = self._local.digest(known.size, self._digest) if known.size else self._local.digest()
        return bool(judged.tail)

    def _begin_at(self, checkpoint: Checkpoint | None) -> Verified:
        """Return the beginning that the checkpoint vouches for, if its bytes are still the same."""
        if checkpoint is None:
            return START
        digest = self._local.digest(size=checkpoint.size)
        if digest.hexdigest() != checkpoint.sha256:
            return START
        self._index, self._digest, self._saved = checkpoint.index, digest, checkpoint.n
        self._n, self._previous, self._signature = checkpoint.n, checkpoint.hash, checkpoint.signature
        return Verified(checkpoint.n, checkpoint.hash, checkpoint.size)

    def _take_in(self, lines: bytes) -> None:
        """Complete the ledger from its copy, which was verified."""
        if not lines:
            return
        log.warning("ledger %s is behind its outside copy and is completed from it", self._local.path)
        before = self._local.size
        self._local.append(lines)
        self._digest.update(lines)
        for entry in self._local.entries(before):
            self._index.add(entry)
            self._n, self._previous, self._signature = entry.n, entry.hash, entry.signature

    def _contradicted_by(self, checkpoint: Checkpoint | None) -> str | None:
        """Return what the checkpoint bears witness of: it was made of a ledger that is not this one."""
        if checkpoint is None or self._saved == checkpoint.n:
            return None
        return self._contradicted(Head(checkpoint.n, checkpoint.hash, checkpoint.signature))

    def _contradicted(self, witness: Head) -> str | None:
        if witness.n > self._n:
            return "cut"
        entry = self._local.line(witness.n)
        return None if entry is not None and entry.hash == witness.hash else "rewritten"

    @property
    def _checkpoint_path(self) -> Path:
        return self._local.path.with_name(f"{self._local.path.name}.checkpoint")

    @property
    def _verified(self) -> Verified:
        return Verified(self._n, self._previous, self._local.size)

    def _save_checkpoint(self, due: int = EVERY) -> None:
        """Save one where so many entries have no other; a disk that is full only makes the next start slower."""
        if self._n - self._saved < due:
            return
        sha256 = self._digest.hexdigest()
        checkpoint = Checkpoint(self._n, self._previous, self._signature, self._local.size, sha256, self._index)
        try:
            checkpoint.save(self._checkpoint_path, self._key)
        except OSError as error:
            log.warning("ledger checkpoint %s: cannot be written (%s)", self._checkpoint_path, error)
        else:
            self._saved = self._n

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
            entries = self._enter(drafts, reach_copy=reach_copy)
            # Also where a run begins and ends: the checkpoint of a short ledger bears witness all the same.
            self._save_checkpoint(EVERY if entries[-1].kind != "run" else 1)
            return entries

    def _enter(self, drafts: Sequence[Draft], *, reach_copy: bool) -> list[Entry]:
        entries = self._make(drafts)
        data = b"".join(entry.line() for entry in entries)
        if self._copy is not None:
            self._copy.append(data, self._local, self._verified, must=reach_copy)
        self._local.append(data)
        self._digest.update(data)
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

    # Doubt

    async def doubt(self, what: str) -> None:
        """Enter that something is wrong with the ledger itself: one of `altered, cut, rewritten, from_backup, missing`.

        Raises:
            LedgerUnavailable: if it was not entered.
        """
        await self._in_thread(lambda: self._doubt_safely(what))

    def _doubt_safely(self, what: str) -> None:
        with self._lock:
            self._doubt(what)

    def _doubt(self, what: str) -> None:
        if what not in self._index.doubts:
            log.error("ledger %s: %s", self._local.path, _DOUBTS[what])
            self._enter([Draft("doubt", {"what": what})], reach_copy=False)

    async def compare(self, witness: Head) -> str | None:
        """Compare with a head that was signed before, as a broker kept it; doubt the ledger if it is not in it.

        Returns what is wrong, None if nothing is, or if the head is not this node's.

        Raises:
            LedgerUnavailable: if the ledger cannot be read or the doubt not be entered.
        """
        if not signature_holds(witness.hash, witness.signature, self._public):
            log.warning("a signed head of the ledger that is not this node's was found and is not used")
            return None
        what = await self._in_thread(lambda: self._contradicted(witness))
        if what is not None:
            await self.doubt(what)
        return what

    async def accept(self, authoriser: str) -> list[str]:
        """Accept the ledger as it is and promises as lost; return what was accepted, in sentences.

        What an outside copy that disagrees says was erased is erased as well.

        Args:
            authoriser: whose word it is; an account name in the ledger's closed characters.

        Raises:
            LedgerUnavailable: if it was not entered.
        """
        return await self._in_thread(lambda: self._accept(authoriser))

    def _accept(self, authoriser: str) -> list[str]:
        with self._lock:
            found = [*self.problems, *(f"lost: {kind} {one}" for kind, ids in self.lost.items() for one in ids)]
            drafts: list[Draft] = []
            if self._copy is not None and self._copy.forked:
                foreign = self._copy.foreign(self._local)
                drafts = [Draft(entry.kind, entry.body) for entry in foreign if entry.kind in _FOREIGN]
                self._copy.give_way()
            self._enter([*drafts, Draft("accepted", {"authoriser": authoriser})], reach_copy=False)
            for file in (self._local, self._copy.file if self._copy else None):
                if file is not None:
                    accept_asides(file.path)
            return found

    # What it says

    @property
    def reserved_upto(self) -> int:
        """Return the last event number reserved, 0 if none."""
        return self._index.reserved

    @property
    def reserved_before(self) -> int:
        """Return the last event number reserved before the newest block."""
        return self._index.reserved_before

    @property
    def last_run(self) -> int:
        """Return the number of the newest entry that says that a recorder began or ended, 0 if none."""
        return self._index.last_run

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

    @property
    def live(self) -> Mapping[str, Sequence[str]]:
        """Return the ids of promises that were made and not lifted, by kind."""
        return {kind: list(ids) for kind, ids in self._index.live.items() if ids}

    @property
    def lost(self) -> Mapping[str, Sequence[str]]:
        """Return those that the catalogue lacks and that nobody has entered again or accepted, by kind."""
        return {kind: list(ids) for kind, ids in self._index.lost.items() if ids}

    @property
    def copies(self) -> Mapping[str, str]:
        """Return when each copy of keyring and catalogue that still exists was made (RFC 3339), by its id."""
        return dict(self._index.copies)

    async def entries(self, kinds: frozenset[str]) -> list[Entry]:
        """Return all entries of some kinds, in order."""
        return await self._in_thread(lambda: [entry for entry in self._local.entries() if entry.kind in kinds])

    @property
    def head(self) -> Head:
        """Return the newest entry's number, hash and signature."""
        return Head(self._n, self._previous, self._signature)

    @property
    def in_doubt(self) -> str | None:
        """Return why the ledger cannot be relied on to know all that was erased; None while it can."""
        doubts = ["missing"] if self._index.begun_after_loss else []
        found = [_DOUBTS[doubt] for doubt in (*doubts, *self._index.doubts)]
        if self._copy is not None and self._copy.forked:
            found.append(f"it and its copy {self._copy.file.path} disagree; erasing waits")
        return f"ledger {self._local.path}: {'; '.join(found)}" if found else None

    @property
    def problems(self) -> list[str]:
        """Return what a person must look at, in sentences; empty when all is well."""
        copy = self._copy
        found = [copy.problem] if copy is not None and copy.problem is not None else []
        if (doubt := self.in_doubt) is not None:
            found.append(f"{doubt}; find, play and export are refused until `callrec backup accept --reason`")
        for path in (self._local.path, *([copy.file.path] if copy is not None else [])):
            found += [f"ledger: unsigned or altered entries were put aside in {aside}" for aside in asides(path)]
        return found

    def public_key(self) -> bytes:
        """Return the 32 bytes of the Ed25519 key that entries are verified with."""
        return self._public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=True)
