"""The rows of the catalogue as retention judges them, page by page in the order of their call ids.

A page is one short reading transaction, so that a sweep of a million rows takes the memory of one page and keeps
nobody from emptying the write-ahead log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, func, select

from callrec.catalogue.party_tables import contracts, parties
from callrec.catalogue.protection_tables import protected_calls, protections
from callrec.catalogue.readers import Read
from callrec.catalogue.request_tables import request_calls, requests
from callrec.catalogue.tables import calls

T = TypeVar("T")

A_PAGE = 500
"""Of more, a reading transaction would last longer; of fewer, a sweep."""
_IDS_A_STATEMENT = 500
_ERASE = "erase"
"""What a request's plan says of a call that goes."""

_ROWS = (
    select(
        calls.c.call_id,
        calls.c.started_at,
        calls.c.retention_class,
        calls.c.in_progress,
        calls.c.relationship_id,
        parties.c.kind,
        parties.c.ended_on,
        parties.c.confirmed_on,
    )
    .select_from(calls.outerjoin(parties, parties.c.party_id == calls.c.relationship_id))
    .where(calls.c.erasure.is_(None))
    .order_by(calls.c.call_id)
)


@dataclass(frozen=True, slots=True)
class PartyDates:
    """What is known of the party a call is tied to; no name, no number."""

    kind: str
    ended_on: date | None
    confirmed_on: date | None
    contract_ends: tuple[date | None, ...]


@dataclass(frozen=True, slots=True)
class RetentionRow:
    """What is stored of one call that is not erased, as far as it decides how long it stays."""

    call_id: str
    started_at: datetime
    retention_class: str | None
    in_progress: bool
    party: PartyDates | None
    holds: tuple[tuple[str, str], ...]
    """Id and kind of each hold and restriction in force."""
    request_id: str | None
    """The authorised request whose plan erases it."""


class RetentionRows:
    """Reads rows to be judged."""

    def __init__(self, read: Read, authorised: Collection[str]) -> None:
        """Read through `read`; a request in one of the states `authorised` erases what its plan names."""
        self._read = read
        self._authorised = sorted(authorised)

    async def pages(self, of: Callable[[RetentionRow], T], size: int = A_PAGE) -> AsyncIterator[list[T]]:
        """Return what is made of all rows that are not erased, in the order of their ids.

        Args:
            of: what makes it; it is called in the reader's thread, so that the event loop goes on.
            size: rows a page.

        Raises:
            StorageUnavailable: if the catalogue cannot be read in time.
        """
        after = ""
        while True:
            after, made = await self._read(partial(self._made, after, size, of))
            if not made:
                return
            yield made

    def _made(
        self, after: str, size: int, of: Callable[[RetentionRow], T], connection: Connection
    ) -> tuple[str, list[T]]:
        """Return the last id of a page, empty where there is none, and what is made of its rows."""
        rows = _judged(connection, _ROWS.where(calls.c.call_id > after).limit(size), self._authorised)
        return rows[-1].call_id if rows else "", [of(row) for row in rows]

    async def of(self, call_ids: Collection[str]) -> list[RetentionRow]:
        """Return those of the calls that are not erased; raises as `pages`."""
        found: list[RetentionRow] = []
        wanted = sorted(call_ids)
        for start in range(0, len(wanted), _IDS_A_STATEMENT):
            found += await self._page(_ROWS.where(calls.c.call_id.in_(wanted[start : start + _IDS_A_STATEMENT])))
        return found

    async def newest(self) -> datetime | None:
        """Return when the newest call began, None where there is none; raises as `pages`."""
        return await self._read(lambda connection: connection.scalar(select(func.max(calls.c.started_at))))

    async def _page(self, query: Select[Any]) -> list[RetentionRow]:
        return await self._read(lambda connection: _judged(connection, query, self._authorised))


def _judged(connection: Connection, query: Select[Any], authorised: Sequence[str]) -> list[RetentionRow]:
    rows = connection.execute(query).all()
    if not rows:
        return []
    ids = [row.call_id for row in rows]
    ends = _contract_ends(connection, {row.relationship_id for row in rows if row.kind is not None})
    holds = _holds(connection, ids)
    going = _requests(connection, ids, authorised)
    return [
        RetentionRow(
            row.call_id,
            row.started_at,
            row.retention_class,
            row.in_progress,
            None if row.kind is None else _party(row, ends),
            tuple(holds.get(row.call_id, ())),
            going.get(row.call_id),
        )
        for row in rows
    ]


def _requests(connection: Connection, ids: Sequence[str], authorised: Sequence[str]) -> dict[str, str]:
    """Return which authorised request erases which of the calls; ids are in order."""
    query = (
        select(request_calls.c.call_id, request_calls.c.request_id)
        .join(requests, requests.c.request_id == request_calls.c.request_id)
        .where(
            request_calls.c.call_id.between(ids[0], ids[-1]),
            request_calls.c.action == _ERASE,
            requests.c.state.in_(authorised),
        )
        .order_by(request_calls.c.request_id.desc())
    )
    return {row.call_id: row.request_id for row in connection.execute(query)}


def _party(row: Any, ends: dict[str, list[date | None]]) -> PartyDates:
    return PartyDates(row.kind, row.ended_on, row.confirmed_on, tuple(ends.get(row.relationship_id, ())))


def _contract_ends(connection: Connection, party_ids: Collection[str]) -> dict[str, list[date | None]]:
    ends: dict[str, list[date | None]] = {}
    for piece in _pieces(party_ids):
        query = select(contracts.c.party_id, contracts.c.ends_on).where(contracts.c.party_id.in_(piece))
        for row in connection.execute(query):
            ends.setdefault(row.party_id, []).append(row.ends_on)
    return ends


def _holds(connection: Connection, ids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """Return what is in force over the calls; ids are in order."""
    query = (
        select(protected_calls.c.call_id, protections.c.protection_id, protections.c.kind)
        .join(protections, protections.c.protection_id == protected_calls.c.protection_id)
        .where(protected_calls.c.call_id.between(ids[0], ids[-1]), protections.c.released_at.is_(None))
    )
    holds: dict[str, list[tuple[str, str]]] = {}
    for row in connection.execute(query):
        holds.setdefault(row.call_id, []).append((row.protection_id, row.kind))
    return holds


def _pieces(wanted: Iterable[str]) -> Iterator[list[str]]:
    ordered = sorted(wanted)
    for start in range(0, len(ordered), _IDS_A_STATEMENT):
        yield ordered[start : start + _IDS_A_STATEMENT]
