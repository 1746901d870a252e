"""Deletion requests in SQL: read on any connection, written inside the writer's transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, func, insert, or_, select, update

from callrec.catalogue.erasure import LedgerDue, owe
from callrec.catalogue.request_tables import (
    request_alerts,
    request_calls,
    request_history,
    request_notices,
    request_stores,
    requests,
)
from callrec.catalogue.tables import audit, calls

Rows = Callable[[Select[Any]], Awaitable[list[dict[str, Any]]]]

MANY = 500
DISCLOSING = "recording.export"
"""The audit action by which somebody is given a recording."""


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request as it is stored; what names anybody is in the sealed body."""

    request_id: str
    kind: str
    state: str
    channel: str
    received_at: datetime
    opened_at: datetime
    opened_by: str
    key_id: str
    body: bytes
    identity_at: datetime | None = None
    verified_method: str | None = None
    verified_by: str | None = None
    verified_at: datetime | None = None
    approved_by: str | None = None
    approved_at: datetime | None = None
    plan_hash: str | None = None
    plan: str | None = None
    party_id: str | None = None
    ground: str | None = None
    extended_on: date | None = None
    executed_by: str | None = None
    executed_at: datetime | None = None
    completed_at: datetime | None = None
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call of a request: `found`, `erase`, `keep` or `erased`, and why."""

    call_id: str
    action: str
    reason: str


@dataclass(frozen=True, slots=True)
class StoreRow:
    """What one store says."""

    store: str
    state: str
    until: date | None = None
    at: datetime | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class AlertRow:
    """The last day on which a level of a clock was told."""

    clock: str
    level: str
    due: date
    day: date


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """Somebody who was given a call that is erased now."""

    recipient: str
    call_id: str
    disclosed_at: datetime


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One thing that happened to a request."""

    at: datetime
    actor: str
    input: str
    state: str


@dataclass(frozen=True, slots=True)
class CallState:
    """What a plan needs of one call's row."""

    call_id: str
    relationship_id: str | None
    retention_class: str | None
    started_at: datetime
    in_progress: bool


@dataclass(frozen=True, slots=True)
class RequestWrite:
    """What is written of a request in one transaction; None leaves what belongs to it as it is."""

    request_id: str
    values: Mapping[str, Any] = field(default_factory=dict)
    """Columns of its row."""
    history: HistoryRow | None = None
    calls: Sequence[CallRow] | None = None
    """All its calls anew."""
    stores: Sequence[StoreRow] = ()
    """Stores that report; the others stay."""
    notices: Sequence[NoticeRow] = ()
    alerts: Sequence[AlertRow] = ()
    due: LedgerDue | None = None


class RequestReader:
    """Reads requests; raises StorageUnavailable."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def named(self, prefix: str) -> list[RequestRow]:
        """Return at most two requests whose id begins so."""
        # Ids are hexadecimal digits and hyphens, all of which sort before "g".
        query = select(requests).where(requests.c.request_id.between(prefix, prefix + "g")).limit(2)
        return [RequestRow(**row) for row in await self._rows(query)]

    async def all(self, *, open_only: bool = False) -> list[RequestRow]:
        """Return the requests, the first received first."""
        return [RequestRow(**row) for row in await self._rows(all_requests(open_only=open_only))]

    async def running(self) -> list[RequestRow]:
        """Return the requests of which something may still be due, the first received first."""
        return [RequestRow(**row) for row in await self._rows(running_requests())]

    async def in_states(self, states: Collection[str]) -> list[RequestRow]:
        """Return the requests in some states, the first received first."""
        query = select(requests).where(requests.c.state.in_(sorted(states))).order_by(requests.c.received_at)
        return [RequestRow(**row) for row in await self._rows(query)]

    async def closed_before(self, instant: datetime, limit: int = 100) -> list[RequestRow]:
        """Return requests that were closed before an instant."""
        query = select(requests).where(requests.c.closed_at < instant).order_by(requests.c.closed_at).limit(limit)
        return [RequestRow(**row) for row in await self._rows(query)]

    async def keeping(self, call_ids: Collection[str], states: Collection[str]) -> list[RequestRow]:
        """Return the requests in some states that keep one of these calls."""
        found: dict[str, RequestRow] = {}
        for piece in _pieces(call_ids):
            query = (
                select(requests)
                .join(request_calls, request_calls.c.request_id == requests.c.request_id)
                .where(
                    request_calls.c.call_id.in_(piece),
                    request_calls.c.action == "keep",
                    requests.c.state.in_(sorted(states)),
                )
                .distinct()
            )
            found |= {row["request_id"]: RequestRow(**row) for row in await self._rows(query)}
        return sorted(found.values(), key=lambda row: row.received_at)

    async def calls_of(self, request_id: str) -> list[CallRow]:
        """Return the calls of a request, by id."""
        of = request_calls.c
        query = select(of.call_id, of.action, of.reason).where(of.request_id == request_id).order_by(of.call_id)
        return [CallRow(**row) for row in await self._rows(query)]

    async def counts(self, request_ids: Collection[str]) -> dict[str, int]:
        """Return how many calls each request has."""
        found: dict[str, int] = {}
        for piece in _pieces(request_ids):
            of = request_calls.c
            query = select(of.request_id, func.count().label("calls")).where(of.request_id.in_(piece))
            found |= {row["request_id"]: row["calls"] for row in await self._rows(query.group_by(of.request_id))}
        return found

    async def stores_of(self, request_id: str) -> list[StoreRow]:
        """Return what each store of a request says, by name."""
        of = request_stores.c
        query = select(of.store, of.state, of.until, of.at, of.by).where(of.request_id == request_id).order_by(of.store)
        return [StoreRow(**row) for row in await self._rows(query)]

    async def outstanding(self) -> dict[str, list[str]]:
        """Return the stores that have not reported yet, by request."""
        found: dict[str, list[str]] = {}
        for row in await self._rows(outstanding_stores()):
            found.setdefault(row["request_id"], []).append(row["store"])
        return found

    async def told(self, request_ids: Collection[str]) -> dict[str, list[AlertRow]]:
        """Return which alerts were told of requests."""
        found: dict[str, list[AlertRow]] = {}
        for piece in _pieces(request_ids):
            for row in await self._rows(select(request_alerts).where(request_alerts.c.request_id.in_(piece))):
                alert = AlertRow(row["clock"], row["level"], row["due"], row["day"])
                found.setdefault(row["request_id"], []).append(alert)
        return found

    async def notices_of(self, request_id: str) -> list[NoticeRow]:
        """Return who is to be told, the first disclosure first."""
        of = request_notices.c
        query = select(of.recipient, of.call_id, of.disclosed_at).where(of.request_id == request_id)
        return [NoticeRow(**row) for row in await self._rows(query.order_by(of.disclosed_at, of.recipient))]

    async def history_of(self, request_id: str) -> list[HistoryRow]:
        """Return what happened to a request, in order."""
        of = request_history.c
        query = select(of.at, of.actor, of.input, of.state).where(of.request_id == request_id).order_by(of.number)
        return [HistoryRow(**row) for row in await self._rows(query)]

    async def call_states(self, call_ids: Collection[str]) -> list[CallState]:
        """Return those of the calls that are not erased."""
        found: list[CallState] = []
        columns = [calls.c[name] for name in CallState.__slots__]
        for piece in _pieces(call_ids):
            query = select(*columns).where(calls.c.call_id.in_(piece), calls.c.erasure.is_(None))
            found += [CallState(**row) for row in await self._rows(query)]
        return found

    async def disclosures(self, call_ids: Collection[str]) -> list[NoticeRow]:
        """Return who was given these calls, from the audit chain: its clear columns outlive the call's key."""
        found: dict[tuple[str, str], NoticeRow] = {}
        for piece in _pieces(call_ids):
            query = select(audit.c.actor, audit.c.subject, audit.c.at).where(
                audit.c.action == DISCLOSING, audit.c.subject.in_(piece)
            )
            for row in await self._rows(query.order_by(audit.c.number)):
                key = (row["actor"], row["subject"])
                found.setdefault(key, NoticeRow(row["actor"], row["subject"], row["at"]))
        return list(found.values())


def all_requests(*, open_only: bool) -> Select[Any]:
    """Return the query for requests, the first received first; an open one can still become something else."""
    query = select(requests).order_by(requests.c.received_at, requests.c.request_id)
    return query.where(requests.c.closed_at.is_(None)) if open_only else query


def running_requests() -> Select[Any]:
    """Return the query for requests that are open, or completed but for a store that has not reported yet."""
    waiting = select(request_stores.c.request_id).where(request_stores.c.state == "outstanding")
    unticked = and_(requests.c.state == "completed", requests.c.request_id.in_(waiting))
    running = or_(requests.c.closed_at.is_(None), unticked)
    return select(requests).where(running).order_by(requests.c.received_at, requests.c.request_id)


def outstanding_stores() -> Select[Any]:
    """Return the query for the stores that have not reported yet."""
    of = request_stores.c
    return select(of.request_id, of.store).where(of.state == "outstanding").order_by(of.request_id, of.store)


# Inside the writer's transaction


def add_request(connection: Connection, row: RequestRow, write: RequestWrite) -> None:
    """Store a new request with what belongs to it."""
    connection.execute(insert(requests), asdict(row))
    write_request(connection, write)


def write_request(connection: Connection, write: RequestWrite) -> None:
    """Store what a request has become."""
    if write.values:
        connection.execute(update(requests).where(requests.c.request_id == write.request_id).values(dict(write.values)))
    if write.calls is not None:
        _replace(connection, request_calls, write.request_id, write.calls)
    for store in write.stores:
        of = request_stores.c
        mine = (of.request_id == write.request_id, of.store == store.store)
        connection.execute(delete(request_stores).where(*mine))
        connection.execute(insert(request_stores), {"request_id": write.request_id, **asdict(store)})
    for alert in write.alerts:
        _note_alert(connection, write.request_id, alert)
    if write.notices:
        _replace(connection, request_notices, write.request_id, write.notices)
    if write.history is not None:
        _add_history(connection, write.request_id, write.history)
    if write.due is not None:
        owe(connection, write.due)


def _replace(connection: Connection, table: Any, request_id: str, rows: Sequence[Any]) -> None:
    connection.execute(delete(table).where(table.c.request_id == request_id))
    if rows:
        connection.execute(insert(table), [{"request_id": request_id, **asdict(row)} for row in rows])


def _note_alert(connection: Connection, request_id: str, alert: AlertRow) -> None:
    of = request_alerts.c
    same = (of.request_id == request_id, of.clock == alert.clock, of.level == alert.level, of.due == alert.due)
    connection.execute(delete(request_alerts).where(*same))
    connection.execute(insert(request_alerts), {"request_id": request_id, **asdict(alert)})


def _add_history(connection: Connection, request_id: str, row: HistoryRow) -> None:
    of = request_history.c
    last = connection.execute(select(func.max(of.number)).where(of.request_id == request_id)).scalar() or 0
    connection.execute(insert(request_history), {"request_id": request_id, "number": last + 1, **asdict(row)})


def state_of(connection: Connection, request_id: str) -> str | None:
    """Return the state a request has at this moment of the transaction."""
    return connection.execute(select(requests.c.state).where(requests.c.request_id == request_id)).scalar()


def is_settled(connection: Connection, request_id: str) -> bool:
    """Say whether nothing can happen to a request any more: it is closed, and every store has reported."""
    row = connection.execute(select(requests.c.closed_at).where(requests.c.request_id == request_id)).first()
    waiting = select(request_stores.c.store).where(
        request_stores.c.request_id == request_id, request_stores.c.state == "outstanding"
    )
    return row is not None and row.closed_at is not None and connection.execute(waiting.limit(1)).first() is None


def forget_requests(connection: Connection, request_ids: Sequence[str]) -> None:
    """Remove requests and all that belongs to them; their keys are destroyed already."""
    for table in (request_calls, request_alerts, request_stores, request_notices, request_history, requests):
        connection.execute(delete(table).where(table.c.request_id.in_(request_ids)))


def _pieces(wanted: Collection[str]) -> Iterator[list[str]]:
    ids = list(dict.fromkeys(wanted))
    for start in range(0, len(ids), MANY):
        yield ids[start : start + MANY]
