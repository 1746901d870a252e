"""The catalogue's part of erasing: marks, stubs, and looking for what is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from callrec.catalogue.live import DELETE_PARTS_OF_CALL
from callrec.catalogue.numbers import set_meta
from callrec.catalogue.outbox import ERASED_NOUN, ERASED_VERB, INSERT_OUTBOX, Envelope, outbox_row
from callrec.catalogue.protection_tables import protected_calls, protections
from callrec.catalogue.sealer import Sealer
from callrec.catalogue.tables import calls, ledger_due, meta, name_index, number_index, outbox, parts
from callrec.catalogue.values import Event, Part
from callrec.catalogue.writer import Numbers, Step
from callrec.identifiers import new_id

ERASING = "erasing"
ERASED = "erased"
# What an erased row keeps (LAW-43, section 7): enough to count with, nothing to know anybody by.
_STUB_KEEPS = frozenset({"call_id", "direction", "outcome", "outcome_reason", "erasure", "month"})


@dataclass(frozen=True, slots=True)
class Target:
    """A call that is to be erased, and what belongs to it."""

    call_id: str
    recording_id: str | None
    identity_key_id: str | None
    audio_key_id: str | None
    in_progress: bool
    erased: bool
    started_at: datetime | None
    parts: tuple[Part, ...]
    held: bool = False
    """Whether a hold or restriction is over it: then nobody erases it."""

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Return the keys whose destruction makes the call unreadable."""
        return tuple(key for key in (self.identity_key_id, self.audio_key_id) if key is not None)


@dataclass(frozen=True, slots=True)
class LedgerDue:
    """A ledger entry that is owed: what it tells has happened already."""

    kind: str
    body: Mapping[str, Any]
    due_id: str = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class Teller:
    """What is needed to tell the world of an erasure."""

    now: datetime
    reason: str
    envelope: Callable[[Event], Envelope]
    sealer: Sealer


def targets(connection: Connection, call_ids: Sequence[str]) -> list[Target]:
    """Return the calls with their parts."""
    files: dict[str, list[Part]] = {}
    for row in connection.execute(select(parts).where(parts.c.call_id.in_(call_ids)).order_by(parts.c.number)):
        files.setdefault(row.call_id, []).append(Part(row.recording_id, row.number, row.path, row.segments, row.cut))
    held = set(connection.execute(_held(call_ids)).scalars())
    return [
        Target(
            row.call_id,
            row.recording_id,
            row.identity_key_id,
            row.audio_key_id,
            row.in_progress,
            row.erasure == ERASED,
            row.started_at,
            tuple(files.get(row.call_id, ())),
            row.call_id in held,
        )
        for row in connection.execute(select(calls).where(calls.c.call_id.in_(call_ids)))
    ]


def _held(call_ids: Sequence[str]) -> Select[tuple[str]]:
    return (
        select(protected_calls.c.call_id)
        .join(protections, protections.c.protection_id == protected_calls.c.protection_id)
        .where(protected_calls.c.call_id.in_(call_ids), protections.c.released_at.is_(None))
    )


def mark(connection: Connection, call_ids: Sequence[str]) -> None:
    """Mark rows as being erased."""
    connection.execute(
        update(calls).where(calls.c.call_id.in_(call_ids), calls.c.erasure.is_(None)).values(erasure=ERASING)
    )


def reduce(connection: Connection, numbers: Numbers, call_ids: Sequence[str], teller: Teller) -> None:
    """Reduce rows to their stubs and queue the events; rows that are stubs already are left alone."""
    query = select(calls).where(calls.c.call_id.in_(call_ids), calls.c.erasure.is_distinct_from(ERASED))
    rows = [dict(row) for row in (connection.execute(query)).mappings()]
    if not rows:
        return
    ids = [row["call_id"] for row in rows]
    references = _caller_refs(connection, ids)
    _keep_call_number(connection, rows)
    for table in (number_index, name_index, parts):
        connection.execute(delete(table).where(table.c.call_id.in_(ids)))
    for row in rows:
        connection.execute(update(calls).where(calls.c.call_id == row["call_id"]).values(_stub(row)))
    _stub_events(connection, ids, teller.now)
    events = [_recording_erased(row, teller) for row in rows if row["recording_id"] is not None]
    events.append(Event("subject", "erased", None, {"caller_refs": references, "call_ids": ids}))
    told = [outbox_row(teller.sealer, teller.envelope(event), event.data, numbers) for event in events]
    connection.execute(INSERT_OUTBOX, told)


def _caller_refs(connection: Connection, ids: Sequence[str]) -> list[str]:
    index = number_index.c
    query = select(index.caller_ref).where(index.call_id.in_(ids), index.caller_ref.is_not(None)).distinct()
    return sorted((connection.execute(query)).scalars())


def _keep_call_number(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Remember the highest call number: a stub has none, and none is given twice."""
    highest = max((row["sequence"] or 0 for row in rows), default=0)
    known = (connection.execute(select(meta.c.value).where(meta.c.name == "calls"))).scalar() or 0
    if highest > known:
        set_meta(connection, "calls", highest)


def _stub(row: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {name: None for name in row if name not in _STUB_KEEPS}
    started_at: datetime | None = row["started_at"]
    month = row["month"] if started_at is None else started_at.strftime("%Y-%m")
    return values | {"erasure": ERASED, "month": month, "in_progress": False, "cut": False, "withheld": False}


def _stub_events(connection: Connection, ids: Sequence[str], now: datetime) -> None:
    connection.execute(
        update(outbox)
        .where(outbox.c.call_id.in_(ids))
        .values(
            noun=ERASED_NOUN, verb=ERASED_VERB, at=now, subject=None, call_id=None, key_id=None, body=None, sealed=False
        )
    )


def _recording_erased(row: Mapping[str, Any], teller: Teller) -> Event:
    data = {"call_id": row["call_id"], "recording_id": row["recording_id"], "reason": teller.reason}
    return Event("recording", "erased", row["call_id"], data)


def discard_steps(call_id: str, due: LedgerDue) -> list[Step]:
    """Return the steps that forget a call's parts and note the owed ledger entry."""
    row = {"due_id": due.due_id, "kind": due.kind, "body": dict(due.body)}
    return [Step(DELETE_PARTS_OF_CALL, [{"b_call_id": call_id}], rank=1), Step(_INSERT_DUE, [row])]


_INSERT_DUE = insert(ledger_due)


def owe(connection: Connection, due: LedgerDue) -> None:
    """Note a ledger entry that is owed for what this transaction changes."""
    connection.execute(_INSERT_DUE, [{"due_id": due.due_id, "kind": due.kind, "body": dict(due.body)}])


def due_entries(connection: Connection) -> list[LedgerDue]:
    """Return the owed ledger entries: what was made comes before what was lifted."""
    rows = connection.execute(select(ledger_due).order_by(ledger_due.c.due_id).limit(1000))
    due = [LedgerDue(row.kind, row.body, row.due_id) for row in rows]
    return sorted(due, key=lambda entry: entry.body.get("what") == "lifted")


def paid(connection: Connection, due_ids: Sequence[str]) -> None:
    """Forget owed entries that are in the ledger now."""
    connection.execute(delete(ledger_due).where(ledger_due.c.due_id.in_(due_ids)))


def leftovers(connection: Connection, call_ids: Sequence[str]) -> list[str]:
    """Return what an erased call still has in the catalogue."""
    left: list[str] = []
    for row in connection.execute(select(calls).where(calls.c.call_id.in_(call_ids))).mappings():
        kept = [name for name in row if name not in _STUB_KEEPS and row[name] not in (None, False)]
        if kept or row["erasure"] != ERASED:
            left.append(f"call {row['call_id']} still has {', '.join(kept) or 'no erased mark'}")
    for table in (number_index, name_index, parts, outbox):
        query = select(func.count()).select_from(table).where(table.c.call_id.in_(call_ids))
        if count := connection.execute(query).scalar():
            left.append(f"{count} rows in {table.name}")
    return left
