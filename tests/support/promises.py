"""The stores that promises are kept in, over a whole small store, and a book of relationships to try."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from callrec.catalogue import CallIdentity, NewCall
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.relationships import Relationships
from callrec.settings import Settings, build
from tests.catalogue.house import OURS, House, house

WHO = "jo"
RULE: dict[str, Any] = {
    "name": "inbound",
    "direction": "inbound",
    "controller": "Better Comms (VOIP) Ltd",
    "purpose": "training_and_monitoring",
    "lawful_basis": "legitimate_interests",
    "assessment_ref": "LIA-2026-01",
    "notice": "training-and-monitoring",
    "retention_class": "unmatched",
}
TABLES: dict[str, Any] = {
    "capture_rule": [RULE],
    "retention_class": [{"name": "unmatched", "keep": "2y", "from": "call"}],
}


def settings_of(**tables: Any) -> Settings:
    """Return a small configuration."""
    return build({**TABLES, **tables}, base=Path("/nowhere"))


def stores_of(here: House, settings: Settings | None = None) -> PromiseStores:
    """Return what the books write to."""
    known = settings or settings_of()
    return PromiseStores(here.catalogue, here.clock, lambda: known, here.keyring, here.ledger, here.eraser())


@dataclass
class Office:
    """A store with a book of relationships, and calls to put into it."""

    stores: House
    book: Relationships
    calls: dict[str, NewCall] = field(default_factory=dict)

    async def call(self, number: str, day: str | date = "2026-11-20", **changes: Any) -> str:
        """Store a call of an outside number on a day, and tie it as the recorder does; return its id."""
        identity = CallIdentity(network_number=number, presentation_number=number, called_number=OURS)
        on = date.fromisoformat(day) if isinstance(day, str) else day
        started = datetime.combine(on, time(12, 0), UTC)
        given = {"identity": identity, "started_at": started, **changes}
        new = await self.stores.recorded_call(**given)
        await self.book.tying.tie([new.call_id])
        self.calls[new.call_id] = new
        return new.call_id

    async def item(self, call_id: str) -> dict[str, Any]:
        """Return a call as people see it."""
        return await self.stores.catalogue.get(call_id)

    async def tied(self, call_id: str) -> tuple[Any, ...]:
        """Return a call's party, its class and the day it goes."""
        item = await self.item(call_id)
        return item["relationship_id"], item["retention_class"], item["delete_on"]


@asynccontextmanager
async def office(folder: Path, settings: Settings | None = None) -> AsyncIterator[Office]:
    """Open a store with a book of relationships in a folder, new or old."""
    async with house(folder) as here:
        yield Office(here, Relationships(stores_of(here, settings)))
