"""One step of a request: the table is asked, and row, history, ledger entry and events change in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from callrec.catalogue.erasure import LedgerDue, owe
from callrec.catalogue.requests import (
    CallRow,
    HistoryRow,
    NoticeRow,
    RequestReader,
    RequestRow,
    RequestWrite,
    StoreRow,
    add_request,
    is_settled,
    state_of,
    write_request,
)
from callrec.catalogue.store import Tell
from callrec.catalogue.values import Event
from callrec.clock import rfc3339
from callrec.errors import ExitCode, OperatorError
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.request_file import clocks_of
from callrec.privacy.request_table import RequestAction, RequestInput, RequestState, is_open, take

_VERBS = {
    RequestAction.TELL_APPROVED: "approved",
    RequestAction.TELL_REFUSED: "refused",
    RequestAction.TELL_EXECUTED: "executed",
    RequestAction.TELL_COMPLETED: "completed",
}
LEDGER_KIND = "request"


@dataclass(frozen=True, slots=True)
class Changes:
    """What a step writes beside the state."""

    values: Mapping[str, Any] | None = None
    calls: Sequence[CallRow] | None = None
    stores: Sequence[StoreRow] = ()
    notices: Sequence[NoticeRow] = ()
    reason: str | None = None
    """What the event says: the ground of a refusal, or what keeps a part."""


NOTHING = Changes()


class Steps:
    """Takes requests from state to state."""

    def __init__(self, stores: PromiseStores) -> None:
        self._stores = stores

    @property
    def reader(self) -> RequestReader:
        """The requests as they are stored."""
        return RequestReader(self._stores.catalogue.rows)

    async def open(self, row: RequestRow, calls: Sequence[CallRow]) -> None:
        """Store a new request and tell of it; the ledger knows it by its random id."""
        history = HistoryRow(row.opened_at, row.opened_by, "new", row.state)
        due = LedgerDue(LEDGER_KIND, {"id": row.request_id, "what": "made"})
        write = RequestWrite(row.request_id, history=history, calls=calls, due=due)
        event = Event("request", "opened", row.request_id, self.event_data(row))

        def run(connection: Connection, tell: Tell) -> None:
            add_request(connection, row, write)
            tell(event)

        await self._stores.catalogue.transact(run, most_events=1)

    async def take(self, row: RequestRow, given: RequestInput, actor: str, changes: Changes = NOTHING) -> RequestRow:
        """Take one step of the table; return the request as it is then.

        Raises:
            OperatorError: with exit code 5 if the table has no such step, 75 if somebody else was faster; nothing was
                changed then.
        """
        step = take(RequestState(row.state), given)
        now = self._stores.now()
        values = {**(changes.values or {}), "state": step.to.value}
        if not is_open(step.to) and row.closed_at is None:
            values["closed_at"] = now
        if RequestAction.DROP_PLAN in step.actions:
            values |= {"plan": None}
        after = replace(row, **values)
        data = self.event_data(after, changes.reason)
        events = [Event("request", _VERBS[one], row.request_id, data) for one in step.actions if one in _VERBS]
        write = RequestWrite(
            row.request_id,
            values,
            HistoryRow(now, actor, given.value, step.to.value),
            changes.calls,
            changes.stores,
            changes.notices,
        )

        def run(connection: Connection, tell: Tell) -> bool:
            if state_of(connection, row.request_id) != row.state:
                return False
            _write(connection, write)
            for event in events:
                tell(event)
            return True

        if not await self._stores.catalogue.transact(run, most_events=len(events)):
            message = f"request {row.request_id}: somebody else has just changed it; look at it again"
            raise OperatorError(message, exit_code=ExitCode.BUSY)
        return after

    async def note(self, write: RequestWrite, events: Sequence[Event] = ()) -> None:
        """Store what is no step of the table: a tick, or an alert with its events."""

        def run(connection: Connection, tell: Tell) -> None:
            _write(connection, write)
            for event in events:
                tell(event)

        await self._stores.catalogue.transact(run, most_events=len(events))

    def event_data(self, row: RequestRow, reason: str | None = None) -> dict[str, Any]:
        """Return what an event says of a request: no name, no number."""
        settings = self._stores.settings()
        clocks = clocks_of(row, self._stores.zone, settings.privacy.bank_holidays)
        return {
            "id": row.request_id,
            "state": row.state,
            "reason": reason,
            "received_at": rfc3339(row.received_at),
            "promise_due_local_date": clocks.promise_due_local_date.isoformat(),
            "statutory_due_local_date": clocks.statutory_due_local_date.isoformat(),
        }


def _write(connection: Connection, write: RequestWrite) -> None:
    """Write a step of a request; the one that settles it lets the ledger forget its id.

    A completed request of which a store outside is not ticked yet is not settled: a restore that loses it tells so.
    """
    before = is_settled(connection, write.request_id)
    write_request(connection, write)
    if not before and is_settled(connection, write.request_id):
        owe(connection, LedgerDue(LEDGER_KIND, {"id": write.request_id, "what": "lifted"}))
