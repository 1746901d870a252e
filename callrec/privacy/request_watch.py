"""The eyes on the clocks of requests: what is due is told once, and the file of a request ends in its time.

An alert and its event are stored in one transaction, so that no outage, restart or crash loses one or tells it twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from callrec.catalogue.requests import AlertRow, RequestRow, RequestWrite, forget_requests
from callrec.catalogue.values import Event
from callrec.privacy.alerts import Alert, AlertClock, Level, Told, look
from callrec.privacy.clocks import local_date
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.request_steps import Steps
from callrec.privacy.request_table import RequestState
from callrec.privacy.request_views import Standing, check_document
from callrec.privacy.requests import RequestBook
from callrec.settings import CalendarPeriod
from callrec.vault.ledger_entries import Draft

log = logging.getLogger("callrec.privacy.requests")

FILE_KEPT = CalendarPeriod(years=2)
"""How long the file of a request proves that it was answered (LAW-45)."""
ROLE = "dpo"
"""Whose alerts these are (LAW-76)."""
_NOTHING_KNOWN = {"open": 0, "overdue": 0, "next_due": None}


class RequestWatch:
    """Looks at the clocks of every request; `look` may be called as often as one likes."""

    def __init__(self, stores: PromiseStores, book: RequestBook) -> None:
        self._stores = stores
        self._book = book
        self._steps = Steps(stores)
        self._lock = asyncio.Lock()
        self._summary: Mapping[str, Any] = _NOTHING_KNOWN

    @property
    def summary(self) -> Mapping[str, Any]:
        """What `status` says, as of the last look: `open`, `overdue` and `next_due`."""
        return self._summary

    async def look(self) -> int:
        """Tell what is due now; return how many alerts were told.

        Raises:
            StorageUnavailable: if it cannot be told now; it is told at the next look.
        """
        async with self._lock:
            standings = await self._book.standings()
            told = await self._book.reader.told([standing.row.request_id for standing in standings])
            count = 0
            for standing in standings:
                count += await self._tell(standing, told.get(standing.row.request_id, []))
            document = check_document(standings)
            self._summary = {name: document[name] for name in _NOTHING_KNOWN}
            return count

    async def _tell(self, standing: Standing, before: list[AlertRow]) -> int:
        told = [Told(AlertClock(one.clock), Level(one.level), one.due, one.day) for one in before]
        alerts = look(standing.facts, told, standing.now, standing.zone).alerts
        if not alerts:
            return 0
        row = standing.row
        rows = [AlertRow(one.told.clock.value, one.told.level.value, one.told.due, one.told.day) for one in alerts]
        events = [self._event(row, alert) for alert in alerts]
        await self._steps.note(RequestWrite(row.request_id, alerts=rows), events)
        for alert in alerts:
            log.warning(
                "request %s: %s clock %s after %d days (%s)",
                row.request_id,
                alert.told.clock,
                alert.told.level,
                alert.age_days,
                alert.waiting,
            )
        return len(alerts)

    def _event(self, row: RequestRow, alert: Alert) -> Event:
        data = {
            **self._steps.event_data(row, alert.waiting.value),
            "clock": alert.told.clock.value,
            "level": alert.level.value,
            "age_days": alert.age_days,
            "role": ROLE,
        }
        return Event("request", alert.verb, row.request_id, data)

    async def expire(self) -> int:
        """Erase the files of requests that were closed two years ago; return how many (LAW-45).

        Raises:
            CallrecError: if a store cannot be used; the next time does it.
        """
        today, zone = self._stores.today(), self._stores.zone
        roughly = self._stores.now() - timedelta(days=365)
        waiting = await self._book.reader.outstanding()
        due = [
            row
            for row in await self._book.reader.closed_before(roughly)
            if row.state != RequestState.COMPLETED or row.request_id not in waiting
            if row.closed_at is not None and FILE_KEPT.after(local_date(row.closed_at, zone)) <= today
        ]
        if due:
            ids = [row.request_id for row in due]
            # First of all, and outside too: no restored backup may bring a file back (LAW-48).
            await self._stores.tombstones.append([_destroyed(row) for row in due], reach_copy=True)
            # Then the key: a crash in between leaves rows that nobody can read, which the next time removes.
            await self._stores.keys.destroy([row.key_id for row in due])
            await self._stores.catalogue.transact(lambda connection, _: forget_requests(connection, ids))
            await self._stores.catalogue.truncate_log()
        return len(due)


def _destroyed(row: RequestRow) -> Draft:
    return Draft("destroyed", {"request_id": row.request_id, "key_ids": [row.key_id], "reason": "retention"})
