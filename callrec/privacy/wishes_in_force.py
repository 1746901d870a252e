"""Keeps the stop list in memory true: loaded at start, changed at once, and looked after while parties' numbers change.

A stop of a party counts for the numbers that the party holds now. Those are kept with the stop, so that it still counts
when the party itself is erased (LAW-40).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from callrec.catalogue.indexing import IndexKeys
from callrec.catalogue.protections import ProtectionReader, ProtectionRow, StopRow, extend, keep_numbers
from callrec.errors import ExitCode, OperatorError
from callrec.privacy.alerts import Level
from callrec.privacy.promise_people import Whom
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.protections import Protection
from callrec.privacy.stop_list import People, StopList, Wishes
from callrec.privacy.watch_levels import hold_review_level

KINDS = (Protection.LEGAL_HOLD, Protection.ACCESS_HOLD, Protection.RESTRICTION)
"""What a person places; a legal obligation comes from a retention class."""


@dataclass(frozen=True, slots=True)
class LiveStop:
    """What a stop did to one live call."""

    call_id: str
    left: bool
    """Something it stored is still there, and may be discarded."""
    discarded: bool


class LiveCalls(Protocol):
    """The calls that are going on."""

    def speaking(self, people: StopList) -> list[str]:
        """Return the calls of which a party is stopped."""
        ...

    def held(self, people: StopList) -> list[str]:
        """Return the calls whose numbers a hold names."""
        ...

    def stop(self, call_ids: Sequence[str], *, discard: bool) -> list[LiveStop]:
        """End the recording of those that are live, and discard what they stored if that is asked."""
        ...

    def protect(self, call_ids: Sequence[str], *, on: bool = True) -> None:
        """Let nobody discard what these calls store, or let it be discarded again."""
        ...


@dataclass(slots=True)
class WishesInForce:
    """The stop list in memory, and what it is made of."""

    stores: PromiseStores
    stop_list: StopList
    live: LiveCalls
    _stops: dict[str, StopRow] = field(default_factory=dict)
    _placed: dict[str, ProtectionRow] = field(default_factory=dict)
    _kept: dict[str, set[bytes]] = field(default_factory=dict)
    """The numbers that stops of parties keep, by stop."""
    _held: dict[str, set[bytes]] = field(default_factory=dict)
    """The numbers that parties hold now, by party."""
    _owes: bool = False
    """Whether the ledger does not know yet of something that was made or lifted."""

    @property
    def reader(self) -> ProtectionReader:
        """Return what reads the stores."""
        return ProtectionReader(self.stores.catalogue.rows)

    @property
    def index_keys(self) -> IndexKeys:
        """Return the keys by which numbers are found.

        Raises:
            OperatorError: with exit code 7 where there is no keyring.
        """
        keys = IndexKeys.of(self.stores.keys)
        if keys is None:
            raise OperatorError("the keyring lacks its index keys; restore it", exit_code=ExitCode.INTEGRITY)
        return keys

    # In memory

    def add_stop(self, row: StopRow, numbers: set[bytes]) -> None:
        """Let a stop count from now on."""
        self._stops[row.stop_id] = row
        if row.party_id is not None:
            self._kept[row.stop_id] = numbers
            self._held[row.party_id] = numbers
        self._take()

    def remove_stop(self, stop_id: str) -> None:
        """Let a stop count no longer."""
        self._stops.pop(stop_id, None)
        self._kept.pop(stop_id, None)
        self._take()

    def place(self, row: ProtectionRow, numbers: set[bytes]) -> None:
        """Let a hold count from now on."""
        self._placed[row.protection_id] = row
        if row.party_id is not None:
            self._held[row.party_id] = numbers
        self._take()

    def release(self, protection_id: str) -> None:
        """Let a hold count no longer."""
        self._placed.pop(protection_id, None)
        self._take()

    def known_ids(self) -> set[str]:
        """Return the ids of all stops, holds and restrictions in force."""
        return {*self._stops, *self._placed}

    def only(self, whom: Whom, numbers: set[bytes]) -> StopList:
        """Return a list on which nobody else stands: to find the calls that one wish is about."""
        lookups = numbers if whom.lookup is None else {*numbers, whom.lookup}
        people = People(frozenset(lookups), frozenset() if whom.party_id is None else frozenset({whom.party_id}))
        alone = StopList()
        alone.take(self.index_keys.number, Wishes(people, people))
        return alone

    def reviews(self) -> list[tuple[ProtectionRow, Level | None]]:
        """Return the protections in force and how urgent the review of each is, the next first (LAW-52)."""
        today = self.stores.today()
        rows = sorted(self._placed.values(), key=lambda row: (row.review_on, row.protection_id))
        return [(row, hold_review_level(row.review_on, today)) for row in rows]

    def _take(self) -> None:
        stopped = People(self._numbers(self._stops), frozenset(_parties(self._stops)))
        held = People(self._numbers(self._placed), frozenset(_parties(self._placed)))
        self.stop_list.take(self.index_keys.number, Wishes(stopped, held))

    def _numbers(self, rows: Mapping[str, StopRow | ProtectionRow]) -> frozenset[bytes]:
        found: set[bytes] = set()
        for name, row in rows.items():
            if row.lookup is not None:
                found.add(row.lookup)
            if row.party_id is not None:
                found |= self._held.get(row.party_id, self._kept.get(name, set()))
        return frozenset(found)

    # From the stores

    async def load(self) -> None:
        """Read everything that is in force; until this has succeeded no call is recorded.

        Raises:
            StorageUnavailable: if the catalogue cannot be read.
            OperatorError: with exit code 7 where there is no keyring.
        """
        reader = self.reader
        self._stops = {row.stop_id: row for row in await reader.stops()}
        self._placed = {row.protection_id: row for row in await reader.protections([kind.value for kind in KINDS])}
        self._kept = await reader.kept_numbers()
        self._held = await reader.numbers_held(self._parties(), self.stores.today())
        self._take()
        await self.extend()

    async def look(self) -> None:
        """Look whether anything changed that nobody told: numbers of parties, calls that came under a hold.

        Raises:
            StorageUnavailable: if a store cannot be used; look again.
        """
        if not self.stop_list.known:
            await self.load()
        if self._owes:
            await self.pay_ledger()
        if parties := self._parties():
            await self._look_at_numbers(parties)
        if self.stop_list.new_calls:
            self.stop_list.new_calls = False
            try:
                await self.extend()
            except BaseException:
                self.stop_list.new_calls = True
                raise

    async def _look_at_numbers(self, parties: set[str]) -> None:
        held = await self.reader.numbers_held(parties, self.stores.today())
        if held == self._held:
            return
        await self.keep_numbers(held)
        self._held = held
        self._take()
        self.live.stop(self.live.speaking(self.stop_list), discard=False)
        self.live.protect(self.live.held(self.stop_list))

    async def keep_numbers(self, held: Mapping[str, set[bytes]]) -> None:
        """Keep with each stop of a party the numbers it holds; those of an erased party stay as they were."""
        changed: dict[str, set[bytes]] = {}
        for row in self._stops.values():
            numbers = held.get(row.party_id or "")
            if numbers is not None and numbers != self._kept.get(row.stop_id):
                changed[row.stop_id] = numbers
        if changed:
            await self.stores.catalogue.transact(lambda connection, _: keep_numbers(connection, changed))
            self._kept |= changed

    async def pay_ledger(self) -> None:
        """Let the ledger know what was made and lifted; what has to wait is paid by a later look, or by the next start.

        A wish counts without the ledger too: that would only tell of a restored catalogue which has forgotten it.
        """
        self._owes = True
        if self.stores.eraser is not None:
            self._owes = not await self.stores.eraser.pay_ledger()

    async def extend(self) -> None:
        """Bring calls that came since under the holds that name their number or party (LAW-52)."""
        if any(row.lookup is not None or row.party_id is not None for row in self._placed.values()):
            await self.stores.catalogue.transact(lambda connection, _: extend(connection))

    async def numbers_of(self, party_id: str | None, on: date) -> set[bytes]:
        """Return the numbers that a party holds."""
        if party_id is None:
            return set()
        return (await self.reader.numbers_held((party_id,), on)).get(party_id, set())

    def _parties(self) -> set[str]:
        return {*_parties(self._stops), *_parties(self._placed)}


def _parties(rows: Mapping[str, StopRow | ProtectionRow]) -> list[str]:
    return [row.party_id for row in rows.values() if row.party_id is not None]
