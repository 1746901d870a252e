"""One call's row: durable before the call's 200, and never lost, whatever becomes of the disk meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any, Protocol

from callrec.catalogue.errors import CallKnown, CallNotFound, StorageUnavailable
from callrec.catalogue.values import CallChange, CallEnd, Event, NewCall
from callrec.errors import CallrecError
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

    async def keep_end(self, new: NewCall, end: CallEnd, events: Sequence[Event] = ()) -> None:
        """Keep how a call ended, and what is to be told of it."""


def merged(first: CallChange, second: CallChange) -> CallChange:
    """Return two changes as one; the second wins, flags and parts add up."""
    changes: dict[str, Any] = {}
    for field in fields(CallChange):
        later = getattr(second, field.name)
        if field.name == "add_flags":
            changes["add_flags"] = _flags(first.add_flags, second.add_flags, but=second.drop_flags)
        elif field.name == "drop_flags":
            changes["drop_flags"] = _flags(first.drop_flags, second.drop_flags, but=second.add_flags)
        elif field.name == "parts":
            changes[field.name] = tuple(dict.fromkeys(getattr(first, field.name) + later))
        elif later is not None:
            changes[field.name] = later
    return replace(first, **changes)


def _flags(first: tuple[str, ...], second: tuple[str, ...], *, but: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*(flag for flag in first if flag not in but), *second)))


def _without_recording(change: CallChange) -> CallChange:
    return replace(change, recording_id=None, recording_started_at=None, parts=())


class Row:
    """The row of one call; changes are written in order, several at once where they came together."""

    def __init__(self, rows: CallRows, reserve: Reserve, new: NewCall, tasks: Tasks) -> None:
        self._rows = rows
        self._reserve = reserve
        self._new = new
        self._tasks = tasks
        self._change: CallChange | None = None
        self._events: list[Event] = []
        self._known = CallChange()
        """All changes so far: the end repeats them, for one of them may have been lost on its way to the disk."""
        self._writing: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[bool] | None = None
        self._ending = False
        self.sequence: int | None = None

    @property
    def call_id(self) -> str:
        """Return the call's id."""
        return self._new.call_id

    @property
    def new(self) -> NewCall:
        """Return the call as it began."""
        return self._new

    def open(self, *events: Event) -> asyncio.Task[bool]:
        """Begin to write the row; the task returns whether it is durable within the limit.

        Where it is not, the call is kept in the reserve journal, and is entered later. A journal that does not answer
        either must not keep the call waiting: it goes on by itself.
        """
        self._opening = self._tasks.start(f"open-row/{self.call_id}", self._open(events))
        return self._opening

    async def _open(self, events: Sequence[Event]) -> bool:
        try:
            self.sequence = await asyncio.wait_for(self._rows.open_call(self._new, events), ROW_LIMIT_S)
        except (CallrecError, TimeoutError) as error:
            why = error or "too slow"
            log.warning("call %s: its row is not durable (%s): it goes on unrecorded", self.call_id, why)
            self._tasks.start(f"reserve/{self.call_id}", self._reserve.keep_open(self._new))
            return False
        self._write_soon()
        return True

    def change(self, change: CallChange, *events: Event) -> None:
        """Write a change and its events soon, in order."""
        if self._ending:
            return  # the end has taken all there was
        self._known = merged(self._known, change)
        self._change = change if self._change is None else merged(self._change, change)
        self._events.extend(events)
        self._write_soon()

    def forget_recording(self) -> None:
        """Let no later write bring back a recording that is being discarded."""
        self._known = _without_recording(self._known)
        self._change = None if self._change is None else _without_recording(self._change)

    def _write_soon(self) -> None:
        """Begin to write what has gathered; a row that is not there yet is waited for."""
        if self._change is None or self.sequence is None or self._ending:
            return
        if self._writing is None or self._writing.done():
            self._writing = self._tasks.start(f"row/{self.call_id}", self._write())

    async def _write(self) -> None:
        """Write what has gathered; what cannot be written stays and goes with the next change or the end."""
        while self._change is not None:
            change, events = self._change, self._events
            self._change, self._events = None, []
            try:
                await _decided(self._rows.change_call(self.call_id, change, events))
            except CallrecError:
                self._change = change if self._change is None else merged(change, self._change)
                self._events = events + self._events
                return

    async def end(self, end: CallEnd, events: Sequence[Event]) -> bool:
        """Close the row with all that is known of the call; return whether the catalogue has it.

        Where it has not, the reserve journal keeps the end, and it is entered later.
        """
        self._ending = True
        await self._wait_for_writing()
        end = replace(end, final=merged(self._known, end.final))
        told = [*self._events, *events]
        try:
            await asyncio.wait_for(self._close(end, told), _END_LIMIT_S)
        except (CallrecError, TimeoutError) as error:
            log.warning("call %s: its end waits in the reserve journal (%s)", self.call_id, error or "too slow")
            await self._reserve.keep_end(self._new, end, told)
            return False
        return True

    async def _wait_for_writing(self) -> None:
        """Let what is being written arrive first: two writes of one row must not overtake each other."""
        if self._opening is not None:
            await asyncio.wait({self._opening}, timeout=_END_LIMIT_S)
        if self._writing is not None:
            await asyncio.wait({self._writing})  # what has begun must not be told twice

    async def _close(self, end: CallEnd, events: Sequence[Event]) -> None:
        try:
            await _decided(self._rows.end_call(self.call_id, end, events))
        except CallNotFound:
            # It could not be written when the call began.
            with suppress(CallKnown):  # it was under way, and has arrived
                await _decided(self._rows.open_call(self._new, [Event("call", "started", self.call_id)]))
            await _decided(self._rows.end_call(self.call_id, end, events))


async def _decided(work: Awaitable[object]) -> None:
    """Wait for a write; one that had begun when its time was up is waited for until its disk answers.

    The reserve journal lies on the same disk: nothing is lost by waiting, and nothing is told twice.

    Raises:
        StorageUnavailable: if it was not written, and will not be.
    """
    try:
        await work
    except StorageUnavailable as error:
        if error.fate is None:
            raise
        await error.fate
