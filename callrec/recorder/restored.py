"""What a restore makes doubtful: nothing is shown before the ledger is replayed, nor while the ledger is in doubt.

Two things are watched. The ledger itself: missing, cut, rewritten or altered, nobody knows any more what was erased,
so find, play and export are refused until a person accepts it. And promises that the ledger names and the catalogue
lacks: a stop that is not known cannot be kept, so calls pass unrecorded and retention deletes nothing until each is
entered again or accepted. Calls go on in both cases.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import select

from callrec.catalogue import Catalogue
from callrec.catalogue.numbers import RUN, RUN_PENDING, set_meta
from callrec.catalogue.restoring import missing_promises, note_run, promises_in_force
from callrec.catalogue.tables import meta
from callrec.catalogue.values import AuditEntry, StoredEvent
from callrec.errors import CallrecError, ExitCode, OperatorError
from callrec.privacy.restoring import revived
from callrec.vault.backup_restoring import forget_marker, read_marker
from callrec.vault.backup_verifying import erased_recordings
from callrec.vault.keyring import Keyring
from callrec.vault.ledger import Head, Ledger
from callrec.vault.ledger_entries import PROMISES, Draft
from callrec.vault.restored_files import changed_recordings, remove_files

log = logging.getLogger("callrec.restored")

ACCEPT = "callrec backup accept --reason TEXT"
_IDS_AN_ENTRY = 500
_SWEPT = "swept"


@dataclass
class RestoreGuard:
    """Watches over the stores of one recorder; without a ledger, that is without keys, there is nothing to watch."""

    catalogue: Catalogue
    keyring: Keyring | None
    ledger: Ledger | None
    state: Path
    recordings: Path
    _replayed: bool = False
    _sweeping: asyncio.Lock = field(default_factory=asyncio.Lock)

    # What is asked of it

    def check(self) -> None:
        """Let somebody find, play or export.

        Raises:
            OperatorError: 5 while the ledger is in doubt, 75 until it is replayed.
        """
        if self.ledger is None:
            return
        if (doubt := self.ledger.in_doubt) is not None:
            message = f"{doubt}; nobody knows what was erased: look at it, then {ACCEPT}"
            raise OperatorError(message, exit_code=ExitCode.REFUSED)
        if not self._replayed:
            message = "what was erased is not yet compared with the stores; try again, `callrec status` says what waits"
            raise OperatorError(message, exit_code=ExitCode.BUSY)

    @property
    def replayed(self) -> bool:
        """Whether the stores are as new as the ledger: before that nothing of them leaves this machine."""
        return self._replayed or self.ledger is None

    @property
    def lost(self) -> Mapping[str, Sequence[str]]:
        """Return the promises that the ledger names and the catalogue lacks, by kind."""
        return self.ledger.lost if self.ledger is not None else {}

    @property
    def lost_text(self) -> str | None:
        """Say which promises are lost; None if none is."""
        if not self.lost:
            return None
        named = ", ".join(f"{kind} {one}" for kind, ids in self.lost.items() for one in ids)
        return (
            f"the ledger names what the restored catalogue lacks: {named}; enter each again, or {ACCEPT}; "
            "calls pass unrecorded and retention deletes nothing until then"
        )

    def promises_blocked(self) -> str | None:
        """Say why nothing may be deleted by itself now: a hold might be unknown. None if it may."""
        if self.ledger is None:
            return "the ledger is not open; `callrec status` says why"
        if self.ledger.in_doubt is not None:
            return f"{self.ledger.in_doubt}; look at it, then {ACCEPT}"
        if self.lost_text is not None:
            return self.lost_text
        return None if self._replayed else "the stores are not yet compared with the ledger; try again"

    # At start

    async def before_replay(self) -> None:
        """Compare how far the stores were brought with how far the ledger reaches: it never ends earlier.

        Raises:
            CallrecError: if a store cannot be used; try again later.
        """
        if self.ledger is None or self.keyring is None or self._replayed:
            return
        noted = await self._note(RUN)
        applied = (await self.keyring.applied_entry(), await self.catalogue.applied_entry())
        newest = max(*applied, noted if noted != RUN_PENDING else 0)
        if newest > self.ledger.head.n and self.ledger.in_doubt is None:
            await self.ledger.doubt("cut")
        marker = await asyncio.to_thread(read_marker, self.state)
        if marker is not None and marker["ledger"] == "from_backup":
            await self.ledger.doubt("from_backup")

    async def _note(self, name: str) -> int:
        rows = await self.catalogue.rows(select(meta.c.value).where(meta.c.name == name))
        return int(rows[0]["value"]) if rows else 0

    async def after_replay(self) -> bool:
        """Look for lost promises, note that a run has begun, and let the stores be shown; True the first time.

        Raises:
            CallrecError: if a store cannot be used; try again later.
        """
        if self.ledger is None or self._replayed:
            return False
        await self._find_lost(self.ledger)
        await self._find_revived(self.ledger)
        await self._note_run("started")
        await self._take_in_restore()
        self._replayed = True
        return True

    async def _take_in_restore(self) -> None:
        """Write a restore by command into the audit trail, which could not be written when it was made."""
        marker = await asyncio.to_thread(read_marker, self.state)
        if marker is None:
            return
        detail = {"set": marker["set"], "ledger": marker["ledger"]}
        await self.catalogue.record_audit(AuditEntry(str(marker["by"]), "backup.restore", None, detail))
        await asyncio.to_thread(forget_marker, self.state)

    async def _find_lost(self, ledger: Ledger) -> None:
        live = {kind: list(ids) for kind, ids in ledger.live.items()}
        missing = await self.catalogue.read(lambda connection: missing_promises(connection, live))
        for kind, ids in missing.items():
            new = [one for one in ids if one not in ledger.lost.get(kind, ())]
            for start in range(0, len(new), _IDS_AN_ENTRY):
                entry = Draft("lost", {"kind": kind, "ids": new[start : start + _IDS_AN_ENTRY]})
                await ledger.append([entry], reach_copy=False)
        if self.lost_text is not None:
            log.error("%s", self.lost_text)

    async def _find_revived(self, ledger: Ledger) -> None:
        """Tell of promises that were lifted and are in force again: they do no harm, but nobody wants them any more."""
        in_force = await self.catalogue.read(promises_in_force)
        known = {one for ids in ledger.live.values() for one in ids}
        if known.issuperset(one for ids in in_force.values() for one in ids):
            return
        entries = await ledger.entries(PROMISES)
        lifted = {entry.body["id"] for entry in entries if entry.body["what"] == "lifted"}
        for kind, ids in revived(in_force, lifted).items():
            log.warning(
                "the restored catalogue keeps what was lifted after its backup: %s %s; lift each again",
                kind,
                ", ".join(ids),
            )

    async def _note_run(self, what: str) -> None:
        """Enter in the ledger that a run has begun or ended, and note it in the catalogue.

        The catalogue says so first: a crash between the two must not look like a restore.
        """
        assert self.ledger is not None, "internal error: a run is noted without a ledger"
        await self.catalogue.transact(lambda connection, _: note_run(connection, None))
        (entry,) = await self.ledger.append([Draft("run", {"what": what})], reach_copy=False)
        await self.catalogue.transact(lambda connection, _: note_run(connection, entry.n))

    async def end(self) -> None:
        """Note that the run has ended, so that a catalogue copied during it is known as older."""
        if self.ledger is None or not self._replayed or self.catalogue.problem is not None:
            return
        try:
            await self._note_run("ended")
        except CallrecError as error:
            log.warning("the end of this run could not be noted: %s", error)

    # Files that came back

    async def sweep(self) -> int:
        """Remove files of erased recordings that a restore of the files alone brought back; return how many.

        Only folders that changed since the last sweep are read. Without its key a file cannot be heard, so this may
        run while calls go on.

        Raises:
            CallrecError: if the catalogue cannot be read.
            OSError: if a file cannot be removed.
        """
        async with self._sweeping:
            begun, since = int(time.time()), await self._note(_SWEPT)
            names = await asyncio.to_thread(changed_recordings, self.recordings, since)
            known = await self.catalogue.known_paths(names)
            strays = [name for name in names if name not in known]
            removed = await asyncio.to_thread(self._remove, strays) if strays else 0
            await self.catalogue.transact(lambda connection, _: set_meta(connection, _SWEPT, begun))
        if removed:
            log.warning("%d files of erased recordings had come back and were removed again", removed)
        return removed

    def _remove(self, strays: list[str]) -> int:
        erased = erased_recordings(self.state / "ledger")
        return remove_files(self.recordings, strays, erased)

    # The broker's word

    async def hear(self, info: Mapping[str, Any]) -> None:
        """Compare the ledger with the signed head that a broker kept from before; a form of words proves nothing."""
        head = _head_of(info.get("signed_head"))
        if self.ledger is None or head is None:
            return
        try:
            what = await self.ledger.compare(head)
        except CallrecError as error:
            log.warning("the ledger could not be compared with the signed head at the broker: %s", error)
            return
        if what is not None:
            log.error("the ledger was %s: the broker keeps the signed head of entry %d", what, head.n)

    # A person's word

    async def accept(self, actor: str) -> list[str]:
        """Accept the ledger as it is and lost promises as lost; return what was accepted, in sentences.

        Raises:
            OperatorError: if there is no ledger.
            LedgerUnavailable: if it could not be entered.
        """
        if self.ledger is None:
            message = "the ledger is not open, so nothing can be accepted; `callrec status` says why"
            raise OperatorError(message, exit_code=ExitCode.INTEGRITY)
        return await self.ledger.accept(f"account:{re.sub('[^A-Za-z0-9_.-]', '_', actor)[:64]}")


class Guarded(Protocol):
    """Stores with a guard."""

    catalogue: Catalogue
    guard: RestoreGuard | None


class ReplayedOutbox:
    """The outbox as the broker may see it: empty until the ledger is replayed."""

    def __init__(self, stores: Guarded) -> None:
        self._stores = stores

    async def pending(self, limit: int, /) -> Sequence[StoredEvent]:
        """Return the next events to publish, in order; none while a restored one might be about somebody erased."""
        guard = self._stores.guard
        if guard is not None and not guard.replayed:
            return []
        return await self._stores.catalogue.pending(limit)

    async def mark_published(self, upto: int, /) -> None:
        """Note that every event up to this number is published."""
        await self._stores.catalogue.mark_published(upto)


def _head_of(document: object) -> Head | None:
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except ValueError:
            return None
    match document:
        case {"n": int(n), "hash": str(digest), "signature": str(signature)}:
            return Head(n, digest, signature)
        case _:
            return None
