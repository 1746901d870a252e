"""A house with the books that deletion requests need, over real stores."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from callrec.clock import ManualClock
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.protection_book import ProtectionBook
from callrec.privacy.relationships import Relationships
from callrec.privacy.request_execution import BeyondUseUntil, Point, no_copies
from callrec.privacy.requests import RequestBook
from callrec.privacy.stop_list import StopList
from callrec.privacy.wishes_in_force import LiveStop
from callrec.settings import Settings
from tests.catalogue.house import CALLER, House, house

RECEIVED = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)


@dataclass
class NobodySpeaks:
    """No call is live; what was to be stopped is noted."""

    stopped: list[str] = field(default_factory=list)

    def speaking(self, people: StopList) -> list[str]:
        """Return nobody."""
        del people
        return []

    def held(self, people: StopList) -> list[str]:
        """Return nobody."""
        del people
        return []

    def stop(self, call_ids: Sequence[str], *, discard: bool) -> list[LiveStop]:
        """Note what was to be stopped."""
        assert discard
        self.stopped += call_ids
        return []

    def protect(self, call_ids: Sequence[str], *, on: bool = True) -> None:
        """Protect nothing."""
        del call_ids, on


@dataclass
class Office:
    """The stores with their books."""

    stores: House
    relationships: Relationships
    protections: ProtectionBook
    requests: RequestBook
    live: NobodySpeaks

    @property
    def clock(self) -> ManualClock:
        """Return the clock of the house."""
        return self.stores.clock

    async def opened(self, number: str = CALLER, **more: Any) -> str:
        """Take a request in; return its id."""
        given = {"channel": "email", "received_at": RECEIVED, "actor": "alice", **more}
        return str((await self.requests.new(number=number, **given))["id"])

    async def approved(self, **more: Any) -> str:
        """Take a request in, verify and approve it; return its id."""
        request_id = await self.opened(**more)
        await self.requests.verify(request_id, "account", actor="alice")
        await self.requests.approve(request_id, "bob")
        return request_id

    async def executed(self, **more: Any) -> dict[str, Any]:
        """Take a request in and carry it out; return what it shows."""
        return await self.requests.execute(await self.approved(**more), "bob")

    async def events(self) -> list[tuple[str, str]]:
        """Return the noun and verb of every event about a request."""
        events = await self.stores.catalogue.events_after(0, 10_000)
        return [(event.noun, event.verb) for event in events if event.noun == "request"]


def settings(here: House, **privacy: Any) -> Settings:
    """Return a configuration over the folders of a house."""
    paths = {"recordings": str(here.recordings), "state": str(here.folder)}
    return Settings.model_validate({"paths": paths, "privacy": privacy})


def _no_hook(point: Point) -> None:
    del point


@asynccontextmanager
async def office(
    folder: Path,
    *,
    now: datetime = NOW,
    hook: Callable[[Point], None] = _no_hook,
    eraser_hook: Any = None,
    beyond_use_until: BeyondUseUntil = no_copies,
    privacy: dict[str, Any] | None = None,
) -> AsyncIterator[Office]:
    """Open stores and books in a folder, new or old, and close them again."""
    async with house(folder) as here:
        if here.clock.now() < now:
            here.clock.advance(now - here.clock.now())
        eraser = here.eraser(eraser_hook)
        given = settings(here, **(privacy or {}))
        stores = PromiseStores(here.catalogue, here.clock, lambda: given, here.keyring, here.ledger, eraser)
        relationships, live = Relationships(stores), NobodySpeaks()
        book: RequestBook | None = None

        async def released(call_ids: Sequence[str]) -> None:
            assert book is not None
            await book.release_happened(call_ids)

        protections = ProtectionBook(stores, StopList(), live, parties=relationships, release_happened=released)
        book = RequestBook(
            stores, relationships, protections.holds_of, live, beyond_use_until=beyond_use_until, hook=hook
        )
        await protections.load()
        yield Office(here, relationships, protections, book, live)


def in_days(days: int) -> timedelta:
    """Return whole days."""
    return timedelta(days=days)
