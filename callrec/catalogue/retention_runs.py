"""What is stored of retention runs: how each stands, what it may still delete, and who approved which plan."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, update

from callrec.catalogue.retention_tables import retention_approvals, retention_due, retention_runs

Rows = Callable[[Select[Any]], Awaitable[list[dict[str, Any]]]]


class RunState(StrEnum):
    """Where a run stands."""

    GATHERING = "gathering"
    """It was permitted, and notes what it may delete; nothing is deleted yet."""
    DELETING = "deleting"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run."""

    run_id: str
    state: str
    actor: str
    day: date
    """The local date by which the rows were judged."""
    begun_at: datetime
    ended_at: datetime | None = None
    hash: str | None = None
    """Of the plan, None where it was not even made."""
    rows: int = 0
    to_delete: int = 0
    deleted: int = 0
    spared: int = 0
    unverified: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """A plan that somebody approved."""

    hash: str
    approved_by: str
    approved_at: datetime


class RunReader:
    """Reads runs and approvals; every method raises StorageUnavailable if the catalogue cannot be read in time."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def last(self) -> RunRow | None:
        """Return the newest run, refused or not."""
        return await self._first(_runs().limit(1))

    async def named(self, run_id: str) -> RunRow:
        """Return the run of an id that is known to be there."""
        run = await self._first(_runs().where(retention_runs.c.run_id == run_id))
        assert run is not None, "internal error: a retention run is not stored"
        return run

    async def unfinished(self) -> RunRow | None:
        """Return the run that was cut off, if there is one."""
        open_states = (RunState.GATHERING.value, RunState.DELETING.value)
        return await self._first(_runs().where(retention_runs.c.state.in_(open_states)).limit(1))

    async def ran_on(self, day: date, actor: str) -> bool:
        """Say whether somebody's run was begun on a local date."""
        query = select(retention_runs.c.run_id).where(retention_runs.c.day == day, retention_runs.c.actor == actor)
        return bool(await self._rows(query.limit(1)))

    async def due(self, run_id: str, limit: int) -> list[str]:
        """Return the next calls that a run may delete, in the order of their ids."""
        of = retention_due.c
        query = select(of.call_id).where(of.run_id == run_id).order_by(of.call_id).limit(limit)
        return [row["call_id"] for row in await self._rows(query)]

    async def last_approval(self) -> ApprovalRow | None:
        """Return what was approved last."""
        query = select(retention_approvals).order_by(retention_approvals.c.approved_at.desc()).limit(1)
        rows = await self._rows(query)
        return ApprovalRow(**rows[0]) if rows else None

    async def approvals(self) -> set[str]:
        """Return the hashes of all plans that were ever approved."""
        return {row["hash"] for row in await self._rows(select(retention_approvals.c.hash))}

    async def _first(self, query: Select[Any]) -> RunRow | None:
        rows = await self._rows(query)
        return RunRow(**rows[0]) if rows else None


def _runs() -> Select[Any]:
    columns = [retention_runs.c[field.name] for field in fields(RunRow)]
    return select(*columns).order_by(retention_runs.c.begun_at.desc(), retention_runs.c.run_id.desc())


def add_run(connection: Connection, row: RunRow) -> None:
    """Store a new run."""
    connection.execute(insert(retention_runs), [asdict(row)])


def note_due(connection: Connection, run_id: str, call_ids: Sequence[str]) -> None:
    """Note calls that a run may delete."""
    if call_ids:
        connection.execute(insert(retention_due), [{"run_id": run_id, "call_id": call_id} for call_id in call_ids])


def change_run(connection: Connection, run_id: str, **values: Any) -> None:
    """Store how a run stands now."""
    connection.execute(update(retention_runs).where(retention_runs.c.run_id == run_id).values(**values))


def settle_due(connection: Connection, run_id: str, call_ids: Sequence[str], sums: dict[str, int]) -> None:
    """Note that a run is through with these calls, and add to its sums what became of them."""
    of = retention_due.c
    connection.execute(delete(retention_due).where(of.run_id == run_id, of.call_id.in_(call_ids)))
    added = {name: retention_runs.c[name] + more for name, more in sums.items()}
    connection.execute(update(retention_runs).where(retention_runs.c.run_id == run_id).values(**added))


def drop_run(connection: Connection, run_id: str) -> None:
    """Remove a run that had not deleted anything, with what it noted."""
    connection.execute(delete(retention_due).where(retention_due.c.run_id == run_id))
    connection.execute(delete(retention_runs).where(retention_runs.c.run_id == run_id))


def approve_plan(connection: Connection, row: ApprovalRow) -> None:
    """Store an approval; of the same plan the newest counts."""
    connection.execute(delete(retention_approvals).where(retention_approvals.c.hash == row.hash))
    connection.execute(insert(retention_approvals), [asdict(row)])
