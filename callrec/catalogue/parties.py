"""Statements about outside parties: reading them, writing them, and the calls that belong to them.

Reading goes over the catalogue's readers, many at a time; writing is a function inside the writer's transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, literal, or_, select, tuple_, update
from sqlalchemy.types import LargeBinary, String

from callrec.catalogue.numbers import set_meta
from callrec.catalogue.party_tables import contracts, parties, party_names, party_numbers, party_orders, ties_due
from callrec.catalogue.tables import UtcDateTime, calls, meta, number_index
from callrec.catalogue.values import Tie

Rows = Callable[[Select[Any]], Awaitable[list[dict[str, Any]]]]
"""How queries are answered: `Catalogue.rows`."""

MANY = 200
"""How many parties, numbers or calls one statement names."""
_TOLD = "relationships"
_CLASSES = "classes"


@dataclass(frozen=True, slots=True)
class PartyRow:
    """A party as it is stored."""

    party_id: str
    ref_lookup: bytes
    kind: str
    started_on: date | None
    ended_on: date | None
    confirmed_on: date | None
    key_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class NumberRow:
    """One holder of one number, from `since` until the day before `until`."""

    lookup: bytes
    since: date
    until: date | None
    party_id: str


@dataclass(frozen=True, slots=True)
class ContractRow:
    """A contract of a party; its reference is sealed in the party's body."""

    party_id: str
    contract_id: str
    starts_on: date | None
    ends_on: date | None


@dataclass(frozen=True, slots=True)
class PartyWrite:
    """A party as it is to be stored, with all that hangs on it."""

    row: PartyRow
    is_new: bool
    words: tuple[bytes, ...]
    """Keyed hashes of the words of its name."""
    contracts: tuple[ContractRow, ...]
    histories: Mapping[bytes, Sequence[NumberRow]]
    """The whole history of each number that this touches; other holders' rows among them."""
    due: tuple[str, ...] = ()
    """Parties whose calls have to be looked at again."""


@dataclass(frozen=True, slots=True)
class CallOfNumber:
    """Where a walk over the calls of numbers stands."""

    lookup: bytes
    started_at: datetime
    call_id: str


@dataclass(frozen=True, slots=True)
class Order:
    """What was answered under an idempotency key."""

    order_key: bytes
    content: bytes
    party_id: str
    made_at: datetime
    answer: bytes


def pieces(wanted: Iterable[Any], size: int = MANY) -> Iterator[list[Any]]:
    """Return things in lists of at most `size`."""
    piece: list[Any] = []
    for one in wanted:
        piece.append(one)
        if len(piece) == size:
            yield piece
            piece = []
    if piece:
        yield piece


class PartyReader:
    """Reads parties and their calls; raises StorageUnavailable as the catalogue does."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def by_refs(self, ref_lookups: Collection[bytes]) -> list[PartyRow]:
        """Return the parties that go by these references."""
        return await self._parties(parties.c.ref_lookup, ref_lookups)

    async def by_ids(self, party_ids: Collection[str]) -> list[PartyRow]:
        """Return the parties with these ids."""
        return await self._parties(parties.c.party_id, party_ids)

    async def _parties(self, column: Any, wanted: Collection[Any]) -> list[PartyRow]:
        found: list[PartyRow] = []
        for piece in pieces(wanted):
            found += [PartyRow(**row) for row in await self._rows(select(parties).where(column.in_(piece)))]
        return found

    async def histories(self, lookups: Collection[bytes]) -> dict[bytes, list[NumberRow]]:
        """Return who holds and held these numbers, in order of time."""
        found: dict[bytes, list[NumberRow]] = {}
        for row in await self._numbers(party_numbers.c.lookup, lookups):
            found.setdefault(row.lookup, []).append(row)
        return found

    async def numbers_of(self, party_ids: Collection[str]) -> list[NumberRow]:
        """Return every number these parties hold or held."""
        return await self._numbers(party_numbers.c.party_id, party_ids)

    async def _numbers(self, column: Any, wanted: Collection[Any]) -> list[NumberRow]:
        found: list[NumberRow] = []
        for piece in pieces(wanted):
            query = select(party_numbers).where(column.in_(piece)).order_by(party_numbers.c.since)
            found += [NumberRow(**row) for row in await self._rows(query)]
        return found

    async def contracts_of(self, party_ids: Collection[str]) -> dict[str, list[ContractRow]]:
        """Return the contracts of parties."""
        found: dict[str, list[ContractRow]] = {}
        for piece in pieces(party_ids):
            query = select(contracts).where(contracts.c.party_id.in_(piece)).order_by(contracts.c.starts_on)
            for row in await self._rows(query):
                found.setdefault(row["party_id"], []).append(ContractRow(**row))
        return found

    async def named(self, words: Sequence[bytes]) -> list[str]:
        """Return the parties whose name has every one of these words."""
        if not words:
            return []
        word, party_id = party_names.c.word, party_names.c.party_id
        query = (
            select(party_id)
            .where(word.in_(words))
            .group_by(party_id)
            .having(func.count() == len(set(words)))
            .order_by(party_id)
        )
        return [row["party_id"] for row in await self._rows(query)]

    async def order(self, order_key: bytes) -> Order | None:
        """Return what was answered under an idempotency key."""
        rows = await self._rows(select(party_orders).where(party_orders.c.order_key == order_key))
        return Order(**rows[0]) if rows else None

    async def any_numbers(self) -> bool:
        """Say whether any party has a number: without one no call has to be looked at."""
        return bool(await self._rows(select(party_numbers.c.party_id).limit(1)))

    async def last_told(self) -> date | None:
        """Return the local date on which relationships were last told, None if they never were."""
        rows = await self._rows(select(meta.c.value).where(meta.c.name == _TOLD))
        return date.fromordinal(rows[0]["value"]) if rows else None

    async def due(self) -> list[str]:
        """Return the next parties whose calls have to be looked at again."""
        query = select(ties_due.c.party_id).order_by(ties_due.c.party_id).limit(MANY)
        return [row["party_id"] for row in await self._rows(query)]

    async def leftovers(self, party_id: str) -> list[str]:
        """Return what is still there of a party, as words for a report; empty when all is gone."""
        left = []
        for table in (parties, party_numbers, party_names, contracts, party_orders, ties_due):
            query = select(func.count().label("rows")).where(table.c.party_id == party_id)
            if count := (await self._rows(query))[0]["rows"]:
                left.append(f"{count} rows in {table.name}")
        query = select(func.count().label("rows")).where(calls.c.relationship_id == party_id)
        if count := (await self._rows(query))[0]["rows"]:
            left.append(f"{count} calls that name it")
        return left

    # Their calls

    async def count_calls(self, party_id: str) -> int:
        """Return how many calls belong to a party."""
        query = select(func.count().label("calls")).where(
            calls.c.relationship_id == party_id, calls.c.erasure.is_(None)
        )
        (row,) = await self._rows(query)
        return int(row["calls"])

    async def calls_tied(self, party_ids: Sequence[str], after: tuple[str, str], limit: int) -> list[tuple[str, str]]:
        """Return the next calls that belong to any of the parties, as pairs of party and call."""
        here = tuple_(literal(after[0], String()), literal(after[1], String()))
        query = (
            select(calls.c.relationship_id, calls.c.call_id)
            .where(calls.c.relationship_id.in_(party_ids), tuple_(calls.c.relationship_id, calls.c.call_id) > here)
            .order_by(calls.c.relationship_id, calls.c.call_id)
            .limit(limit)
        )
        return [(row["relationship_id"], row["call_id"]) for row in await self._rows(query)]

    async def calls_of_numbers(
        self, lookups: Sequence[bytes], after: CallOfNumber | None, limit: int
    ) -> list[CallOfNumber]:
        """Return the next calls whose outside party had any of the numbers."""
        index = number_index.c
        query = select(index.lookup, index.started_at, index.call_id).where(
            index.lookup.in_(lookups), index.outside.is_(True)
        )
        if after is not None:
            here = tuple_(
                literal(after.lookup, LargeBinary()),
                literal(after.started_at, UtcDateTime()),
                literal(after.call_id, String()),
            )
            query = query.where(tuple_(index.lookup, index.started_at, index.call_id) > here)
        query = query.order_by(index.lookup, index.started_at, index.call_id).limit(limit)
        return [CallOfNumber(**row) for row in await self._rows(query)]

    async def newest_calls(self, limit: int) -> list[str]:
        """Return the newest calls that are there."""
        query = select(calls.c.call_id).where(calls.c.erasure.is_(None)).order_by(calls.c.sequence.desc()).limit(limit)
        return [row["call_id"] for row in await self._rows(query)]

    async def all_calls(self, after: str, limit: int) -> list[str]:
        """Return the next calls that are there, in the order of their ids."""
        query = select(calls.c.call_id).where(calls.c.call_id > after, calls.c.erasure.is_(None))
        return [row["call_id"] for row in await self._rows(query.order_by(calls.c.call_id).limit(limit))]

    async def classes_followed(self) -> int | None:
        """Return the mark of the retention classes by which all calls were last looked at."""
        rows = await self._rows(select(meta.c.value).where(meta.c.name == _CLASSES))
        return rows[0]["value"] if rows else None

    async def call_rows(self, call_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the rows of calls that are neither erased nor being erased."""
        names = ("call_id", "started_at", "direction", "withheld", "capture_rule", "retention_class", "delete_on")
        columns = [calls.c[name] for name in (*names, "relationship_id", "in_progress", "identity_key_id", "identity")]
        found: list[dict[str, Any]] = []
        for piece in pieces(call_ids):
            found += await self._rows(select(*columns).where(calls.c.call_id.in_(piece), calls.c.erasure.is_(None)))
        return found

    async def outside_lookups(self, call_ids: Sequence[str]) -> dict[str, list[bytes]]:
        """Return the keyed hashes of the outside party's numbers of calls."""
        found: dict[str, list[bytes]] = {}
        index = number_index.c
        for piece in pieces(call_ids):
            query = select(index.call_id, index.lookup).where(index.call_id.in_(piece), index.outside.is_(True))
            for row in await self._rows(query):
                found.setdefault(row["call_id"], []).append(row["lookup"])
        return found


# Inside the writer's transaction


def write_parties(connection: Connection, writes: Sequence[PartyWrite], lasting: Sequence[str], told_on: date) -> None:
    """Store parties with their numbers, names and contracts, and note that relationships were told.

    Args:
        connection: inside a transaction of the writer.
        writes: parties of which something is new, each once.
        lasting: those of which nothing is new, but that they last.
        told_on: the local date.
    """
    new = [asdict(write.row) for write in writes if write.is_new]
    known = [write.row for write in writes if not write.is_new]
    if new:
        connection.execute(insert(parties), new)
    if known:
        connection.execute(_UPDATE_PARTY, [{**asdict(row), "b_party_id": row.party_id} for row in known])
        for table in (party_names, contracts):
            connection.execute(delete(table).where(table.c.party_id.in_([row.party_id for row in known])))
    _write_numbers(connection, writes)
    names = [{"word": word, "party_id": write.row.party_id} for write in writes for word in set(write.words)]
    if names:
        connection.execute(insert(party_names), names)
    if rows := [asdict(row) for write in writes for row in write.contracts]:
        connection.execute(insert(contracts), rows)
    _note_due(connection, {party_id for write in writes for party_id in write.due})
    _confirm(connection, lasting, told_on)
    set_meta(connection, _TOLD, told_on.toordinal())


_UPDATE_PARTY = (
    update(parties)
    .where(parties.c.party_id == bindparam("b_party_id"))
    .values({column.name: bindparam(column.name) for column in parties.columns if not column.primary_key})
)


def _write_numbers(connection: Connection, writes: Sequence[PartyWrite]) -> None:
    histories = {lookup: rows for write in writes for lookup, rows in write.histories.items()}
    for piece in pieces(histories):
        connection.execute(delete(party_numbers).where(party_numbers.c.lookup.in_(piece)))
    if rows := [asdict(row) for history in histories.values() for row in history]:
        connection.execute(insert(party_numbers), rows)


def _confirm(connection: Connection, party_ids: Sequence[str], told_on: date) -> None:
    """Note that these relationships last: somebody has just said so (LAW-60)."""
    for piece in pieces(party_ids):
        lasting = or_(parties.c.confirmed_on.is_(None), parties.c.confirmed_on < told_on)
        connection.execute(
            update(parties)
            .where(parties.c.party_id.in_(piece), lasting, parties.c.ended_on.is_(None))
            .values(confirmed_on=told_on)
        )


def note_classes_followed(connection: Connection, mark: int) -> None:
    """Note by which retention classes all calls were looked at."""
    set_meta(connection, _CLASSES, mark)


def _note_due(connection: Connection, party_ids: Collection[str]) -> None:
    """Note whose calls have to be looked at again."""
    settle(connection, party_ids)
    if party_ids:
        connection.execute(insert(ties_due), [{"party_id": party_id} for party_id in sorted(party_ids)])


def settle(connection: Connection, party_ids: Collection[str]) -> None:
    """Note that the calls of these parties were looked at."""
    for piece in pieces(sorted(party_ids)):
        connection.execute(delete(ties_due).where(ties_due.c.party_id.in_(piece)))


def write_ties(connection: Connection, ties: Sequence[Tie]) -> None:
    """Tie calls to parties; an erased one stays what it is."""
    if ties:
        connection.execute(
            _UPDATE_TIE,
            [
                {
                    "b_call_id": tie.call_id,
                    "relationship_id": tie.party_id,
                    "retention_class": tie.retention_class,
                    "delete_on": tie.delete_on,
                }
                for tie in ties
            ],
        )


_UPDATE_TIE = (
    update(calls)
    .where(calls.c.call_id == bindparam("b_call_id"), calls.c.erasure.is_(None))
    .values({name: bindparam(name) for name in ("relationship_id", "retention_class", "delete_on")})
)


def write_order(connection: Connection, order: Order, forget_before: datetime) -> None:
    """Keep an answer under its idempotency key, and forget those that nobody will ask for again."""
    connection.execute(
        delete(party_orders).where(
            or_(party_orders.c.order_key == order.order_key, party_orders.c.made_at < forget_before)
        )
    )
    connection.execute(insert(party_orders), [asdict(order)])


def forget_party(connection: Connection, party_id: str) -> None:
    """Remove a party and all that hangs on it, and note that its calls have to be looked at again."""
    for table in (party_orders, party_names, contracts, party_numbers, parties):
        connection.execute(delete(table).where(table.c.party_id == party_id))
    _note_due(connection, {party_id})
