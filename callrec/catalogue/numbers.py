"""Running numbers of calls and events: contiguous, never reset, never given twice (design: "Events").

Event numbers are reserved in the tombstone ledger in blocks before use, so that a restored catalogue,
which has forgotten the last ones, goes on at the next block. A crash is told from a restore by the block and the run
that the catalogue itself last noted: after a crash it lags by one block at most, and never by a run.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from sqlalchemy import Connection, delete, func, insert, select

from callrec.catalogue.tables import calls, meta, outbox
from callrec.errors import CallrecError
from callrec.tasks import Tasks

log = logging.getLogger("callrec.catalogue.numbers")

BLOCK = 10_000
RUN, RUN_PENDING = "run", 2**62
"""The note of the newest run's ledger entry, and what it says while that is being made: newer than any."""
_RESERVE_PATIENCE_S = 0.3


class EventNumberLedger(Protocol):
    """Where blocks of event numbers are reserved; the tombstone ledger is one."""

    @property
    def reserved_upto(self) -> int:
        """Return the last number reserved, 0 if none."""
        ...

    @property
    def reserved_before(self) -> int:
        """Return the last number reserved before the newest block."""
        ...

    @property
    def last_run(self) -> int:
        """Return the number of the newest entry that says that a recorder began or ended, 0 if none."""
        ...

    async def reserve_events(self, upto: int) -> None:
        """Reserve all numbers up to this one; durable when it returns."""
        ...


_SKIPPED_FROM, _SKIPPED_UPTO = "skipped_from", "skipped_upto"


class NoLedger:
    """Without keys there is no ledger: numbers go on unreserved."""

    reserved_upto = 0
    reserved_before = 0
    last_run = 0

    async def reserve_events(self, upto: int) -> None:
        """Reserve nothing."""
        del upto


class RunningNumbers:
    """Gives numbers inside the writer's transaction; they count only once that is durable."""

    def __init__(self, ledger: EventNumberLedger) -> None:
        self._ledger = ledger
        self._call = self._kept_call = 0
        self._event = self._kept_event = 0
        self._noted = 0
        self._skipped = range(0)
        self._tasks = Tasks("event numbers")

    def load(self, connection: Connection, *, restored: bool) -> range | None:
        """Read where the numbers stand; return those skipped if the catalogue was restored from a backup."""
        notes = {row.name: row.value for row in connection.execute(select(meta))}
        last_call = connection.execute(select(func.max(calls.c.sequence))).scalar() or 0
        last_event = connection.execute(select(func.max(outbox.c.sequence))).scalar() or 0
        self._call = self._kept_call = max(last_call, notes.get("calls", 0))
        self._noted = notes.get("reserved", 0)
        upto = self._ledger.reserved_upto
        older = self._noted < self._ledger.reserved_before or notes.get(RUN, 0) < self._ledger.last_run
        skipped: range | None = None
        if upto > last_event and (restored or older):
            skipped = range(last_event + 1, upto + 1)
            set_meta(connection, _SKIPPED_FROM, skipped.start)
            set_meta(connection, _SKIPPED_UPTO, upto)
            last_event = upto
        self._skipped = skipped or range(notes.get(_SKIPPED_FROM, 0), notes.get(_SKIPPED_UPTO, -1) + 1)
        self._event = self._kept_event = last_event
        return skipped

    @property
    def last_event(self) -> int:
        """Return the number of the last durable event."""
        return self._kept_event

    def events_after(self, number: int) -> int:
        """Return how many events have a higher number; those that the last restore skipped were never given."""
        skipped = range(max(self._skipped.start, number + 1), min(self._skipped.stop, self._kept_event + 1))
        return max(0, self._kept_event - number - len(skipped))

    async def prepare(self, events: int) -> None:
        """Reserve the next block, in the background while half of this one is left."""
        upto = self._ledger.reserved_upto
        if self._event + events > upto:
            await self._reserve(self._event + events)
        elif self._event + events > upto - BLOCK // 2 and not len(self._tasks):
            self._tasks.start("reserve", self._reserve(upto + 1))

    async def _reserve(self, needed: int) -> None:
        upto = -(-needed // BLOCK) * BLOCK
        try:
            await asyncio.wait_for(self._ledger.reserve_events(upto), _RESERVE_PATIENCE_S)
        except (CallrecError, TimeoutError) as error:
            # A call is worth more than the block: only a restore could give such a number twice.
            log.warning("event numbers up to %d are not reserved in the ledger: %s", upto, error)

    def note(self, connection: Connection) -> None:
        """Write the reserved block into the catalogue."""
        upto = self._ledger.reserved_upto
        if upto != self._noted:
            set_meta(connection, "reserved", upto)

    def next_call(self) -> int:
        """Return the node's next call number."""
        self._call += 1
        return self._call

    def next_event(self) -> int:
        """Return the next event number."""
        self._event += 1
        return self._event

    def keep(self) -> None:
        """Count the numbers given: the transaction is durable."""
        self._kept_call, self._kept_event = self._call, self._event
        self._noted = self._ledger.reserved_upto

    def forget(self) -> None:
        """Take the numbers back: the transaction was undone."""
        self._call, self._event = self._kept_call, self._kept_event

    async def stop(self) -> None:
        """End what runs in the background."""
        await self._tasks.stop()


def set_meta(connection: Connection, name: str, value: int) -> None:
    """Set one number of the meta table."""
    connection.execute(delete(meta).where(meta.c.name == name))
    connection.execute(insert(meta), [{"name": name, "value": value}])
