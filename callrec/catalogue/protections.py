"""Statements about the stop list, holds and restrictions.

Reading goes over the catalogue's readers; writing is a function inside the writer's transaction, in which the ledger
entry that tells of it is noted as owed, so that neither is ever without the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, exists, insert, literal, or_, select, update

from callrec.catalogue.erasure import LedgerDue, owe
from callrec.catalogue.parties import Rows, pieces
from callrec.catalogue.party_tables import parties, party_numbers
from callrec.catalogue.protection_tables import protected_calls, protections, stop_numbers, stopped_calls, stops
from callrec.catalogue.tables import calls, number_index

_IN_FORCE = stops.c.removed_at.is_(None)
_PLACED = protections.c.released_at.is_(None)


@dataclass(frozen=True, slots=True)
class StopRow:
    """A stop as it is stored."""

    stop_id: str
    key_id: str | None
    body: bytes | None
    lookup: bytes | None
    party_id: str | None
    added_at: datetime
    added_by: str
    removed_at: datetime | None = None
    removed_by: str | None = None


@dataclass(frozen=True, slots=True)
class ProtectionRow:
    """A hold or restriction as it is stored."""

    protection_id: str
    kind: str
    lookup: bytes | None
    party_id: str | None
    placed_by: str
    placed_at: datetime
    review_on: date
    key_id: str
    body: bytes
    released_at: datetime | None = None
    released_by: str | None = None


@dataclass(frozen=True, slots=True)
class ProtectedCall:
    """That a call is under a protection in force."""

    call_id: str
    protection_id: str
    kind: str


class ProtectionReader:
    """Reads stops and protections; raises StorageUnavailable as the catalogue does."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    # Stops

    async def stops(self) -> list[StopRow]:
        """Return the stops in force, the oldest first."""
        query = select(stops).where(_IN_FORCE).order_by(stops.c.added_at, stops.c.stop_id)
        return [StopRow(**row) for row in await self._rows(query)]

    async def stops_named(self, prefix: str) -> list[StopRow]:
        """Return up to two stops, removed ones too, whose id begins so."""
        query = select(stops).where(stops.c.stop_id.between(prefix, prefix + "g")).limit(2)
        return [StopRow(**row) for row in await self._rows(query)]

    async def stop_of(self, *, lookup: bytes | None = None, party_id: str | None = None) -> StopRow | None:
        """Return the stop in force of a number or of a party."""
        about = stops.c.lookup == lookup if party_id is None else stops.c.party_id == party_id
        rows = await self._rows(select(stops).where(_IN_FORCE, about).limit(1))
        return StopRow(**rows[0]) if rows else None

    async def kept_numbers(self) -> dict[str, set[bytes]]:
        """Return the numbers that stops of parties keep, by stop."""
        query = select(stop_numbers).join(stops, stops.c.stop_id == stop_numbers.c.stop_id).where(_IN_FORCE)
        found: dict[str, set[bytes]] = {}
        for row in await self._rows(query):
            found.setdefault(row["stop_id"], set()).add(row["lookup"])
        return found

    async def calls_stopped(self, stop_id: str) -> list[str]:
        """Return the calls that were live when a stop ended their recording."""
        query = select(stopped_calls.c.call_id).where(stopped_calls.c.stop_id == stop_id)
        return [row["call_id"] for row in await self._rows(query)]

    # Whose numbers

    async def numbers_held(self, party_ids: Collection[str], on: date) -> dict[str, set[bytes]]:
        """Return the numbers that parties hold on a day; a party that is not there any more has no entry."""
        found: dict[str, set[bytes]] = {}
        now = and_(party_numbers.c.since <= on, or_(party_numbers.c.until.is_(None), party_numbers.c.until > on))
        for piece in pieces(sorted(party_ids)):
            held_now = and_(party_numbers.c.party_id == parties.c.party_id, now)
            query = (
                select(parties.c.party_id, party_numbers.c.lookup)
                .select_from(parties.outerjoin(party_numbers, held_now))
                .where(parties.c.party_id.in_(piece))
            )
            for row in await self._rows(query):
                held = found.setdefault(row["party_id"], set())
                if row["lookup"] is not None:
                    held.add(row["lookup"])
        return found

    # Protections

    async def protections(self, kinds: Sequence[str]) -> list[ProtectionRow]:
        """Return the protections in force of these kinds, the oldest first."""
        query = (
            select(protections)
            .where(_PLACED, protections.c.kind.in_(kinds))
            .order_by(protections.c.placed_at, protections.c.protection_id)
        )
        return [ProtectionRow(**row) for row in await self._rows(query)]

    async def protections_named(self, prefix: str) -> list[ProtectionRow]:
        """Return up to two protections, released ones too, whose id begins so."""
        query = select(protections).where(protections.c.protection_id.between(prefix, prefix + "g")).limit(2)
        return [ProtectionRow(**row) for row in await self._rows(query)]

    async def calls_under(self, protection_ids: Collection[str]) -> dict[str, list[str]]:
        """Return the calls under protections, by protection."""
        found: dict[str, list[str]] = {one: [] for one in protection_ids}
        for piece in pieces(sorted(protection_ids)):
            query = select(protected_calls).where(protected_calls.c.protection_id.in_(piece))
            for row in await self._rows(query.order_by(protected_calls.c.call_id)):
                found[row["protection_id"]].append(row["call_id"])
        return found

    async def over(self, call_ids: Collection[str]) -> list[ProtectedCall]:
        """Return the protections in force over calls."""
        found: list[ProtectedCall] = []
        for piece in pieces(call_ids):
            found += [ProtectedCall(**row) for row in await self._rows(protecting(piece))]
        return found

    async def calls_of(self, *, lookup: bytes | None = None, party_id: str | None = None) -> list[str]:
        """Return the calls of an outside party's number, or of a party, that are not erased."""
        return [row["call_id"] for row in await self._rows(calls_named(lookup=lookup, party_id=party_id))]


def calls_named(*, lookup: bytes | None, party_id: str | None) -> Select[Any]:
    """Return the query for the calls of an outside party's number, or of a party, that are not erased."""
    if party_id is not None:
        return select(calls.c.call_id).where(calls.c.relationship_id == party_id, calls.c.erasure.is_(None))
    return (
        select(calls.c.call_id)
        .select_from(number_index.join(calls, calls.c.call_id == number_index.c.call_id))
        .where(number_index.c.lookup == lookup, number_index.c.outside.is_(True), calls.c.erasure.is_(None))
        .distinct()
    )


def protecting(call_ids: Sequence[str]) -> Select[Any]:
    """Return the query for what protects calls now: call_id, protection_id, kind; not more calls than a page has."""
    return (
        select(protected_calls.c.call_id, protections.c.protection_id, protections.c.kind)
        .join(protections, protections.c.protection_id == protected_calls.c.protection_id)
        .where(protected_calls.c.call_id.in_(call_ids), _PLACED)
        .order_by(protections.c.protection_id)
    )


# Inside the writer's transaction


def add_stop(connection: Connection, row: StopRow, numbers: Collection[bytes], due: LedgerDue) -> None:
    """Store a stop, the numbers it keeps of a party, and the ledger entry that is owed for it."""
    connection.execute(insert(stops), asdict(row))
    keep_numbers(connection, {row.stop_id: numbers})
    owe(connection, due)


def keep_numbers(connection: Connection, numbers: Mapping[str, Collection[bytes]]) -> None:
    """Store the numbers that stops of parties keep, in place of those they kept."""
    for stop_id, lookups in numbers.items():
        connection.execute(delete(stop_numbers).where(stop_numbers.c.stop_id == stop_id))
        if lookups:
            rows = [{"stop_id": stop_id, "lookup": lookup} for lookup in sorted(lookups)]
            connection.execute(insert(stop_numbers), rows)


def note_stopped(connection: Connection, stop_id: str, call_ids: Iterable[str]) -> None:
    """Store which live calls a stop ended the recording of."""
    known = set(connection.execute(select(stopped_calls.c.call_id).where(stopped_calls.c.stop_id == stop_id)).scalars())
    if new := [{"stop_id": stop_id, "call_id": one} for one in dict.fromkeys(call_ids) if one not in known]:
        connection.execute(insert(stopped_calls), new)


def remove_stop(connection: Connection, stop_id: str, at: datetime, by: str, due: LedgerDue) -> bool:
    """Lift a stop: what it knew of a person goes, that it was there stays; False if it is lifted already."""
    lifted = connection.execute(
        update(stops)
        .where(stops.c.stop_id == stop_id, _IN_FORCE)
        .values(removed_at=at, removed_by=by, key_id=None, body=None, lookup=None, party_id=None)
    )
    if not lifted.rowcount:
        return False
    for table in (stop_numbers, stopped_calls):
        connection.execute(delete(table).where(table.c.stop_id == stop_id))
    owe(connection, due)
    return True


def mark_stopped(connection: Connection, call_ids: Sequence[str]) -> None:
    """Give ended calls whose stored audio was discarded the outcome that says why."""
    connection.execute(
        update(calls)
        .where(calls.c.call_id.in_(call_ids), calls.c.erasure.is_(None), calls.c.in_progress.is_(False))
        .values(outcome="not_recorded", outcome_reason="stop_list", cut=False)
    )


def add_protection(connection: Connection, row: ProtectionRow, call_ids: Sequence[str], due: LedgerDue) -> list[str]:
    """Store a protection over calls, and the ledger entry that is owed for it.

    Returns the calls that it protects: one whose erasure has begun is gone already.
    """
    connection.execute(insert(protections), asdict(row))
    here: list[str] = []
    for piece in pieces(dict.fromkeys(call_ids)):
        there = select(calls.c.call_id).where(calls.c.call_id.in_(piece), calls.c.erasure.is_(None))
        here += connection.execute(there).scalars()
    if here:
        rows = [{"call_id": call_id, "protection_id": row.protection_id} for call_id in here]
        connection.execute(insert(protected_calls), rows)
    owe(connection, due)
    return here


def release(connection: Connection, row: ProtectionRow, due: LedgerDue) -> bool:
    """Lift a protection and let go of its calls; False if it is lifted already."""
    lifted = connection.execute(
        update(protections)
        .where(protections.c.protection_id == row.protection_id, _PLACED)
        .values(released_at=row.released_at, released_by=row.released_by, body=row.body)
    )
    if not lifted.rowcount:
        return False
    connection.execute(delete(protected_calls).where(protected_calls.c.protection_id == row.protection_id))
    owe(connection, due)
    return True


def extend(connection: Connection) -> int:
    """Bring calls that came since under the protections whose rule names their number or party (LAW-52).

    One statement for each rule, so that none of them ever walks through the calls of everybody.

    Returns how many came under one.
    """
    rules = select(protections.c.protection_id, protections.c.lookup, protections.c.party_id).where(
        _PLACED, or_(protections.c.lookup.is_not(None), protections.c.party_id.is_not(None))
    )
    return sum(_extend(connection, *rule) for rule in connection.execute(rules).all())


def _extend(connection: Connection, protection_id: str, lookup: bytes | None, party_id: str | None) -> int:
    known = exists(literal(1)).where(
        protected_calls.c.call_id == calls.c.call_id, protected_calls.c.protection_id == protection_id
    )
    new = calls_named(lookup=lookup, party_id=party_id).add_columns(literal(protection_id)).where(~known)
    return connection.execute(insert(protected_calls).from_select(["call_id", "protection_id"], new)).rowcount
