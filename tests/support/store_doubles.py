"""The stores of a hall in memory: each may be slow, refuse, or come back."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from callrec.catalogue.errors import CallNotFound, StorageUnavailable
from callrec.catalogue.values import AuditEntry, CallChange, CallEnd, Event, NewCall
from callrec.identifiers import new_id
from callrec.recorder.rows import merged
from callrec.vault.keyring import CallKeys
from callrec.vault.keyring_errors import KeysUnavailable


@dataclass
class Kept:
    """A row: how it began, what became of it, how it ended."""

    new: NewCall
    change: CallChange = field(default_factory=CallChange)
    end: CallEnd | None = None
    events: list[str] = field(default_factory=list)


class CatalogueDouble:
    """Has what a row needs of the catalogue; a row that is opened or ended twice fails the test."""

    def __init__(self) -> None:
        self.rows: dict[str, Kept] = {}
        self.delay_s = 0.005
        self.fails = False
        self.problem = self.log_problem = None
        self.faults: list[str] = []
        self.audited: list[AuditEntry] = []

    async def record_audit(self, entry: AuditEntry) -> None:
        await self._write()
        self.audited.append(entry)

    async def _write(self) -> None:
        fails = self.fails
        await asyncio.sleep(self.delay_s)
        if fails or self.fails:
            raise StorageUnavailable("the disk is blocked")

    async def open_call(self, new: NewCall, events: Sequence[Event] = ()) -> int:
        await self._write()
        if new.call_id in self.rows:
            self.faults.append("a row is opened twice")
        self.rows[new.call_id] = Kept(new, events=[f"{event.noun}/{event.verb}" for event in events])
        return len(self.rows)

    async def change_call(self, call_id: str, change: CallChange, events: Sequence[Event] = ()) -> None:
        await self._write()
        row = self._row(call_id)
        if row.end is not None:
            self.faults.append("a row is changed after its end")
        row.change = merged(row.change, change)
        row.events += [f"{event.noun}/{event.verb}" for event in events]

    async def end_call(self, call_id: str, end: CallEnd, events: Sequence[Event] = ()) -> None:
        await self._write()
        row = self._row(call_id)
        if row.end is not None:
            self.faults.append("a row is ended twice")
        row.end = end
        row.change = merged(row.change, end.final)
        row.events += [f"{event.noun}/{event.verb}" for event in events]

    def _row(self, call_id: str) -> Kept:
        if call_id not in self.rows:
            raise CallNotFound(call_id)
        return self.rows[call_id]

    def forget_audio(self, call_id: str) -> None:
        """Take the recording off a row, as discarding does."""
        row = self.rows.get(call_id)
        if row is not None:
            row.change = CallChange(answered_at=row.change.answered_at, notice=row.change.notice, legs=row.change.legs)
            row.events.append("recording/erased")


class JournalDouble:
    """The reserve journal: what it keeps counts as a row."""

    def __init__(self) -> None:
        self.opened: dict[str, NewCall] = {}
        self.ended: dict[str, CallEnd] = {}
        self.told: dict[str, list[str]] = {}
        self._kept: dict[str, tuple[NewCall, CallEnd, Sequence[Event]]] = {}
        self.delay_s = 0.0

    @property
    def used(self) -> int:
        return len(self.opened) + len(self.ended)

    async def keep_open(self, new: NewCall) -> None:
        await asyncio.sleep(self.delay_s)
        self.opened[new.call_id] = new

    async def keep_end(self, new: NewCall, end: CallEnd, events: Sequence[Event] = ()) -> None:
        await asyncio.sleep(self.delay_s)
        self.ended[new.call_id] = end
        self._kept[new.call_id] = new, end, events
        self.told[new.call_id] = [f"{event.noun}/{event.verb}" for event in events]

    async def replay(self, catalogue: CatalogueDouble) -> int:
        """Enter what waits, each call once, as the journal does."""
        count = self.used
        for call_id, new in list(self.opened.items()):
            if call_id not in catalogue.rows:
                await catalogue.open_call(new, [Event("call", "started", call_id)])
            del self.opened[call_id]
        for call_id, (new, end, events) in list(self._kept.items()):
            if call_id not in catalogue.rows:
                await catalogue.open_call(new, [Event("call", "started", call_id)])
            if catalogue.rows[call_id].end is None:
                await catalogue.end_call(call_id, end, events)
            del self._kept[call_id], self.ended[call_id]
        return count


class KeyringDouble:
    """Gives out keys, and notes which are destroyed."""

    def __init__(self) -> None:
        self.empty = False
        self.blocked = False
        self.destroyed: set[str] = set()
        self.problem: str | None = None

    def keep_ready(self) -> None:
        pass

    def take_call_keys(self) -> CallKeys:
        if self.empty:
            raise KeysUnavailable("the pool is dry")
        return CallKeys(new_id(), secrets.token_bytes(32), new_id(), secrets.token_bytes(32))

    async def destroy(self, key_ids: Sequence[str]) -> None:
        await asyncio.sleep(0.005)
        if self.blocked:
            raise KeysUnavailable("the keyring's disk is blocked")
        self.destroyed.update(key_ids)


class EraserDouble:
    """Discards audio as the eraser does: the key, then the row."""

    def __init__(self, catalogue: CatalogueDouble, keyring: KeyringDouble) -> None:
        self._catalogue, self._keyring = catalogue, keyring

    async def discard_audio(self, call_id: str, audio_key_id: str, recording_id: str | None, *, reason: Any) -> None:
        await self._keyring.destroy([audio_key_id])
        if self._catalogue.fails:
            raise StorageUnavailable("the disk is blocked")
        self._catalogue.forget_audio(call_id)

    async def resume(self) -> list[Any]:
        return []
