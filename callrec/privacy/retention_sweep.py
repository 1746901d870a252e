"""Every row of the catalogue as the verdict sees it, one page in memory at a time; the verdict itself is `judge`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from callrec.catalogue.retention_rows import PartyDates, RetentionRow, RetentionRows
from callrec.privacy.clocks import local_date
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.protections import Hold, Protection
from callrec.privacy.request_table import RequestState
from callrec.privacy.retention import RowFacts, Verdict, judge
from callrec.privacy.retention_classes import PartyKind, Relationship, RetentionPolicy
from callrec.privacy.retention_plan import Summary, Tally, goes

AUTHORISED = frozenset(
    {
        RequestState.AUTHORISED,
        RequestState.PARTLY_REFUSED,
        RequestState.EXECUTING,
        RequestState.VERIFYING,
        RequestState.LEGAL_HOLD,
        RequestState.SAR_HOLD,
    }
)
"""States of a request in which what its plan erases is the request's to erase."""
MOST_HELD = 20_000
"""So many ids are kept in memory from looking to deleting, a few megabytes; for more all rows are read twice."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Reads and judges rows; every method raises StorageUnavailable if the catalogue cannot be read in time."""

    stores: PromiseStores

    @property
    def policy(self) -> RetentionPolicy:
        """The classes in force."""
        return RetentionPolicy.of(self.stores.settings().retention_class)

    @property
    def _rows(self) -> RetentionRows:
        return RetentionRows(self.stores.catalogue.read, AUTHORISED)

    async def facts(self) -> AsyncIterator[list[RowFacts]]:
        """Return all rows that are not erased, in the order of their call ids, page by page."""
        zone = self.stores.zone
        async for page in self._rows.pages(lambda row: facts_of(row, zone)):
            yield page

    async def verdicts(self, day: date, policy: RetentionPolicy, tally: Tally) -> AsyncIterator[list[Verdict]]:
        """Return the verdicts on all rows on a local date, each tallied on its way."""
        zone = self.stores.zone
        async for page in self._rows.pages(lambda row: judge(facts_of(row, zone), policy, day)):
            yield list(tally.passing(page))

    async def judge(self, call_ids: Collection[str], day: date) -> list[Verdict]:
        """Return the verdicts on those of the calls that are not erased."""
        policy, zone = self.policy, self.stores.zone
        return [judge(facts_of(row, zone), policy, day) for row in await self._rows.of(call_ids)]

    async def gather(self, day: date) -> tuple[Summary, list[str] | None]:
        """Return the sums and the hash of a run of a local date, and what it would delete.

        The list is None where it has more than `MOST_HELD` calls.
        """
        tally = Tally()
        going: list[str] | None = []
        async for page in self.verdicts(day, self.policy, tally):
            if going is not None:
                going += [verdict.call_id for verdict in page if goes(verdict)]
                going = going if len(going) <= MOST_HELD else None
        return tally.summary, going

    async def newest(self) -> datetime | None:
        """Return when the newest call began, None where there is none."""
        return await self._rows.newest()


def facts_of(row: RetentionRow, zone: ZoneInfo) -> RowFacts:
    """Return what the verdict depends on, from what is stored."""
    return RowFacts(
        row.call_id,
        local_date(row.started_at, zone),
        row.retention_class,
        None if row.party is None else _relationship(row.party),
        tuple(Hold(hold_id, Protection(kind)) for hold_id, kind in row.holds),
        row.request_id,
        row.in_progress,
    )


def _relationship(party: PartyDates) -> Relationship:
    return Relationship(PartyKind(party.kind), party.ended_on, party.contract_ends, party.confirmed_on)
