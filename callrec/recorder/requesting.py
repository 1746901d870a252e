"""Keeps deletion requests going while the recorder runs: what was cut off, what is due, and what nobody may forget."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.protection_book import ProtectionBook
from callrec.privacy.relationships import Relationships
from callrec.privacy.request_watch import RequestWatch
from callrec.privacy.requests import RequestBook
from callrec.recorder.rounds import keep_on
from callrec.recorder.stores import Stores
from callrec.recorder.tools import Tools

_EVERY_S = 1.0
_LOOKS = 15
"""Looks at the clocks are so many rounds apart; an alert is due at 08:00, and this is soon enough."""
_SELDOM = 3600
"""So many rounds apart are looks at what ends in years."""


def make_requests(
    tools: Tools, stores: PromiseStores, relationships: Relationships, protections: ProtectionBook
) -> RequestBook:
    """Return the book of requests over the recorder's stores, its live calls and its backups."""

    def beyond_use_until(erased_at: datetime, zone: ZoneInfo) -> date | None:
        backups = tools.stores.backups
        return None if backups is None else backups.beyond_use_until(erased_at, zone)

    return RequestBook(
        stores,
        relationships,
        protections.holds_of,
        protections.in_force.live,
        beyond_use_until=beyond_use_until,
    )


class RequestKeeping:
    """Turns the pages of the book; `run` does it until it is cancelled."""

    def __init__(self, stores: Stores, book: RequestBook, watch: RequestWatch) -> None:
        self._stores = stores
        self._book = book
        self._watch = watch
        self._restarted = False
        self._round = 0

    async def run(self) -> None:
        """Keep requests for ever; a round that fails does not end the next."""
        await keep_on(self.turn, _EVERY_S, "requests")

    async def turn(self) -> None:
        """Do one round.

        Raises:
            CallrecError: if a store cannot be used; the next round does it.
        """
        if self._round % _LOOKS == 0:
            # The clocks first: they need no key and no ledger.
            await self._watch.look()
        self._round += 1
        if not self._may_erase:
            return
        if not self._restarted:
            await self._book.restart()
            self._restarted = True
        await self._book.carry_on_unfinished()
        if self._round % _SELDOM == 1:
            await self._book.look_for_released()
            await self._watch.expire()

    @property
    def _may_erase(self) -> bool:
        """Whether what the last run left is put right: the ledger is replayed before anything goes on."""
        guard = self._stores.guard
        return self._stores.eraser is not None and (guard is None or guard.replayed)
