"""One call's row: durable before the call's 200, and never lost, whatever becomes of the disk meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, Protocol

from callrec.catalogue.errors import CallNotFound, StorageUnavailable
from callrec.catalogue.values import CallChange, CallEnd, Event, NewCall
from callrec.tasks import Tasks

log = logging.getLogger("callrec.rows")

ROW_LIMIT_S = 0.5
"""A row that takes longer lets its call go on unrecorded (design: the way of a call)."""
_END_LIMIT_S = 6.0


class CallRows(Protocol):
    """What a row needs of the catalogue."""

    async def open_call(self, new: NewCall, events: Sequence[Event] = ()) -> int:
        """Write a new row and return the call's running number."""

    async def change_call(self, call_id: str, change: CallChange, events: Sequence[Event] = ()) -> None:
        """Change a row."""

    async def end_call(self, call_id: str, end: CallEnd, events: Sequence[Event] = ()) -> None:
        """Close a row."""


class Reserve(Protocol):
    """What a row needs of the reserve journal."""

    async def keep_open(self, new: NewCall) -> None:
        """Keep a call that begins."""

    async def keep_end(self, new: NewCall, end: CallEnd) -> None:
        """Keep how a call ended."""


def merged(first: CallChange, second: CallChange) -> CallChange:
    """Return two changes as one; the second wins, flags and parts add up."""
    changes: dict[str, Any] = {}
    for field in fields(CallChange):
        later = getattr(second, field.name)
        if field.name in ("add_flags", "parts"):
            changes[field.name] = getattr(first, field.name) + later
        elif later is not None:
            changes[field.name] = later
    return replace(first, **changes)


class Row:
    """The row of one call; changes are written in order, several at once where they came together."""

    def __init__(self, rows: CallRows, reserve: Reserve, new: NewCall, tasks: Tasks) -> None:
        self._rows = rows
        self._reserve = reserve
        self._new = new
        self._tasks = tasks
        self._change: CallChange | None = None
        self._events: list[Event] = []
        self._writing: asyncio.Task[None] | None = None
        self.sequence: int | None = None

    @property
    def call_id(self) -> str:
        """Return the call's id."""
        return self._new.call_id

    @property
    def new(self) -> NewCall:
        """Return the call as it began."""
        return self._new

    async def open(self, events: Sequence[Event]) -> bool:
        """Write the row; return whether it is durable within the limit.

        Where it is not, the call is kept in the reserve journal, and is entered later.
        """
        try:
            self.sequence = await asyncio.wait_for(self._rows.open_call(self._new, events), ROW_LIMIT_S)
        except (StorageUnavailable, TimeoutError) as error:
            why = error or "too slow"
            log.warning("call %s: its row is not durable (%s): it goes on unrecorded", self.call_id, why)
            await self._reserve.keep_open(self._new)
            return False
        return True

    def change(self, change: CallChange, *events: Event) -> None:
        """Write a change and its events soon, in order."""
        self._change = change if self._change is None else merged(self._change, change)
        self._events.extend(events)
        if self.sequence is not None and (self._writing is None or self._writing.done()):
            self._writing = self._tasks.start(f"row/{self.call_id}", self._write())

    async def _write(self) -> None:
        """Write what has gathered; what cannot be written stays and goes with the next change or the end."""
        while self._change is not None:
            change, events = self._change, self._events
            self._change, self._events = None, []
            try:
                await self._rows.change_call(self.call_id, change, events)
            except StorageUnavailable:
                self._change = change if self._change is None else merged(change, self._change)
                self._events = events + self._events
                return

    async def end(self, end: CallEnd, events: Sequence[Event]) -> bool:
        """Close the row with all that has not been written yet; return whether the catalogue has it.

        Where it has not, the reserve journal keeps the end, and it is entered later.
        """
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=ROW_LIMIT_S)
        if self._change is not None:
            end = replace(end, final=merged(self._change, end.final))
        try:
            await asyncio.wait_for(self._close(end, [*self._events, *events]), _END_LIMIT_S)
        except (StorageUnavailable, TimeoutError) as error:
            log.warning("call %s: its end waits in the reserve journal (%s)", self.call_id, error or "too slow")
            await self._reserve.keep_end(self._new, end)
            return False
        return True

    async def _close(self, end: CallEnd, events: Sequence[Event]) -> None:
        try:
            await self._rows.end_call(self.call_id, end, events)
        except CallNotFound:
            # It could not be written when the call began.
            await self._rows.open_call(self._new, [Event("call", "started", self.call_id)])
            await self._rows.end_call(self.call_id, end, events)
