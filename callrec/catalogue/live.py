"""Rows in the making: what a call's next change writes, worked out in memory without reading the row again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, delete, insert, or_, update
from sqlalchemy.sql.dml import Update

from callrec.catalogue.indexing import IndexKeys, name_rows, number_rows
from callrec.catalogue.items import identity_document, item_of, pack
from callrec.catalogue.sealer import Sealer
from callrec.catalogue.tables import calls, name_index, number_index, parts
from callrec.catalogue.values import CallChange, CallEnd, CallIdentity, Item, NewCall, Part
from callrec.catalogue.writer import Parameters, Step

IDENTITY_NOT_KEPT = "identity_not_kept"
_DISCARDED = frozenset({"opt_out", "stop_list"})
"""Why a recording is destroyed while its row stays."""

INSERT_CALL = insert(calls)
INSERT_NUMBERS = insert(number_index)
INSERT_NAMES = insert(name_index)
INSERT_PARTS = insert(parts)
DELETE_NUMBERS = delete(number_index).where(number_index.c.call_id == bindparam("b_call_id"))
DELETE_NAMES = delete(name_index).where(name_index.c.call_id == bindparam("b_call_id"))
DELETE_PART = delete(parts).where(
    parts.c.recording_id == bindparam("b_recording_id"), parts.c.number == bindparam("b_number")
)
DELETE_PARTS_OF_CALL = delete(parts).where(parts.c.call_id == bindparam("b_call_id"))


@dataclass(slots=True)
class LiveCall:
    """A row as it stands in memory, and the open identity of it."""

    row: dict[str, Any]
    identity: dict[str, Any] | None
    key: bytes | None
    ref: str | None = None
    """What people call the party it belongs to."""

    @property
    def call_id(self) -> str:
        """Return the call's id."""
        return str(self.row["call_id"])

    def item(self) -> Item:
        """Return the call as the contract shows it."""
        return item_of(self.row, self.identity, self.ref)


@dataclass(frozen=True, slots=True)
class RowMaker:
    """Makes rows and steps, sealing what is personal."""

    sealer: Sealer
    keys: IndexKeys | None

    def opened(self, new: NewCall, key: bytes | None) -> tuple[LiveCall, Parameters, list[Step]]:
        """Return a new call, its row, and the steps that store it; without a key it keeps no number and no name."""
        row = _new_row(new)
        call = LiveCall(row, None, key)
        if key is None:
            row["identity_key_id"] = None
            row["flags"] = [*dict.fromkeys((*new.flags, IDENTITY_NOT_KEPT))]
        stored = dict(row)
        steps = [Step(INSERT_CALL, [stored], rank=0)]
        if key is not None:
            stored["identity"] = self._seal_identity(call, new.identity)
            steps += self._index_steps(call)
        return call, stored, steps

    def changed(self, call: LiveCall, change: CallChange) -> list[Step]:
        """Change a call in memory and return the steps that do so in the store."""
        values = {name: value for name in _PLAIN_CHANGES if (value := getattr(change, name)) is not None}
        for name in ("legs", "segments"):
            if (given := getattr(change, name)) is not None:
                values[name] = [dict(one) for one in given]
        if change.notice is not None:
            values["notice"] = dict(change.notice)
        if change.add_flags or change.drop_flags:
            kept = (flag for flag in call.row["flags"] or () if flag not in change.drop_flags)
            values["flags"] = [*dict.fromkeys((*kept, *change.add_flags))]
        steps: list[Step] = []
        if change.identity is not None and call.key is not None:
            values["identity"] = self._seal_identity(call, change.identity)
            forget = [{"b_call_id": call.call_id}]
            steps += [Step(DELETE_NUMBERS, forget, rank=1), Step(DELETE_NAMES, forget, rank=1)]
            steps += self._index_steps(call)
        return steps + self.updated(call, values) + part_steps(call.call_id, change.parts)

    def ended(self, call: LiveCall, end: CallEnd) -> list[Step]:
        """End a call in memory and return the steps that do so in the store.

        A recording that began and of which nothing is left was none: the row names it no longer. One that somebody
        declined is named until it is destroyed.
        """
        nothing_left = end.outcome == "not_recorded" and end.outcome_reason not in _DISCARDED
        steps = self.changed(call, replace(end.final, parts=()) if nothing_left else end.final)
        values: dict[str, Any] = {
            "in_progress": False,
            "ended_at": end.ended_at,
            "outcome": end.outcome,
            "outcome_reason": end.outcome_reason,
            "cut": end.cut,
        }
        if nothing_left and call.row["recording_id"] is not None:
            values |= {"recording_id": None, "recording_started_at": None, "segments": None}
            steps.append(Step(DELETE_PARTS_OF_CALL, [{"b_call_id": call.call_id}], rank=1))
        return steps + self.updated(call, values)

    def updated(self, call: LiveCall, values: dict[str, Any]) -> list[Step]:
        """Set columns in memory and return the step that does so in the store."""
        if not values:
            return []
        call.row |= values
        return [Step(_update_of(tuple(sorted(values))), [{"b_call_id": call.call_id, **values}])]

    def _seal_identity(self, call: LiveCall, identity: CallIdentity) -> bytes:
        if call.key is None:
            raise LookupError("an identity cannot be sealed without its key")
        call.identity = identity_document(identity, self.keys)
        return self.sealer.seal(call.key, pack(call.identity), table="calls", row=call.call_id, field="identity")

    def _index_steps(self, call: LiveCall) -> list[Step]:
        if self.keys is None or call.identity is None:
            return []
        started_at, direction = call.row["started_at"], call.row["direction"]
        numbers = number_rows(self.keys, call.call_id, started_at, direction, call.identity)
        names = name_rows(self.keys, call.call_id, started_at, call.identity.get("display_name"))
        return [Step(INSERT_NUMBERS, numbers), Step(INSERT_NAMES, names)]


_PLAIN_CHANGES = (
    "answered_at",
    "recording_started_at",
    "recording_id",
    "audio_key_id",
    "capture_rule",
    "retention_class",
    "delete_on",
    "relationship_id",
)


def _new_row(new: NewCall) -> dict[str, Any]:
    row = dict.fromkeys(column.name for column in calls.columns)
    for name in row:
        if name != "identity" and hasattr(new, name):
            row[name] = getattr(new, name)
    row["withheld_reasons"] = list(new.withheld_reasons)
    row["flags"] = list(new.flags)
    row["in_progress"] = True
    row["cut"] = False
    return row


def part_steps(call_id: str, changed: Iterable[Part]) -> list[Step]:
    """Return the steps that put parts in the place of older ones of the same number."""
    gone: list[Parameters] = []
    rows: list[Parameters] = []
    for part in changed:
        gone.append({"b_recording_id": part.recording_id, "b_number": part.number})
        rows.append(
            {
                "recording_id": part.recording_id,
                "number": part.number,
                "call_id": call_id,
                "path": part.path,
                "segments": part.segments,
                "cut": part.cut,
            }
        )
    return [Step(DELETE_PART, gone, rank=1), Step(INSERT_PARTS, rows)] if rows else []


@lru_cache(maxsize=256)
def _update_of(columns: tuple[str, ...]) -> Update:
    """Return the one statement that sets these columns; an erased row stays what it is."""
    return (
        update(calls)
        .where(
            calls.c.call_id == bindparam("b_call_id"),
            or_(calls.c.erasure.is_(None), calls.c.erasure != "erased"),
        )
        .values({name: bindparam(name) for name in columns})
    )
