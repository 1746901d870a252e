"""The book of stops, holds and restrictions: the one door to what is never recorded and never erased.

It routes; stops stand in `stop_book`, holds in `hold_book`, what counts for calls in `wishes_in_force`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any

from callrec.privacy.hold_book import HoldBook, ReleaseHappened, Scope
from callrec.privacy.promise_people import Parties
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.protections import Hold
from callrec.privacy.stop_book import StopBook
from callrec.privacy.stop_list import StopList
from callrec.privacy.wishes_in_force import LiveCalls, WishesInForce


class ProtectionBook:
    """Stops, holds and restrictions of one node; each method returns a document for people and programs."""

    def __init__(
        self,
        stores: PromiseStores,
        stop_list: StopList,
        live: LiveCalls,
        *,
        parties: Parties | None = None,
        release_happened: ReleaseHappened | None = None,
    ) -> None:
        """Make the book.

        Args:
            stores: where it is kept.
            stop_list: what is asked for every call; it is not known until `load`.
            live: the calls that are going on.
            parties: the book of relationships; without it only numbers can be named.
            release_happened: told which calls a release let go.
        """
        self.in_force = WishesInForce(stores, stop_list, live)
        self._stops = StopBook(self.in_force, parties)
        self._holds = HoldBook(self.in_force, parties, release_happened)

    async def load(self) -> None:
        """Read what is in force, so that calls may be recorded; raises StorageUnavailable, OperatorError."""
        await self.in_force.load()

    async def look(self) -> None:
        """Look for what nobody told; to be called each second. Raises as `load`."""
        await self.in_force.look()

    # Stops

    async def stop_add(
        self,
        *,
        number: str | None = None,
        party: str | None = None,
        discard: bool = False,
        reason: str = "",
        actor: str,
    ) -> dict[str, Any]:
        """Record nobody of this number or party from now on; see `StopBook.add`."""
        return await self._stops.add(number=number, party=party, discard=discard, reason=reason, actor=actor)

    async def stop_list(self) -> dict[str, Any]:
        """Return the stops in force."""
        return await self._stops.show_all()

    async def stop_remove(self, stop_id: str, actor: str) -> dict[str, Any]:
        """Lift a stop; see `StopBook.remove`."""
        return await self._stops.remove(stop_id, actor)

    async def stop_discard(self, stop_id: str, actor: str) -> dict[str, Any]:
        """Discard what calls had stored when the stop ended their recording; see `StopBook.discard`."""
        return await self._stops.discard(stop_id, actor)

    # Holds and restrictions

    async def protect(  # noqa: PLR0913 - the fields of one hold, as the contract names them
        self,
        kind: str,
        *,
        ids: Sequence[str] = (),
        number: str | None = None,
        party: str | None = None,
        reason: str,
        review: date,
        actor: str,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """Place a hold or restriction; see `HoldBook.place`."""
        scope = Scope(tuple(ids), number, party)
        return await self._holds.place(
            kind, scope, reason=reason, review=review, actor=actor, idempotency_key=idempotency_key
        )

    async def list(self, kind: str | Collection[str]) -> dict[str, Any]:
        """Return the holds or restrictions in force of one kind, or of several."""
        return await self._holds.show_all({kind} if isinstance(kind, str) else kind)

    async def release(self, protection_id: str, actor: str, reason: str) -> dict[str, Any]:
        """Lift a hold or restriction; see `HoldBook.release`."""
        return await self._holds.release(protection_id, actor, reason)

    # For others

    def is_stopped(self, numbers: Sequence[str], party_id: str | None = None) -> bool:
        """Say whether one of these numbers (E.164) or this party is never recorded; nothing is waited for."""
        return self.in_force.stop_list.is_stopped(numbers, party_id)

    async def holds_of(self, call_ids: Collection[str]) -> dict[str, tuple[Hold, ...]]:
        """Return what protects calls now."""
        return await self._holds.holds_of(call_ids)

    def reviews(self) -> Sequence[dict[str, Any]]:
        """Return when each hold and restriction is to be looked at again, and how urgent that is."""
        return self._holds.reviews()

    def due_reviews(self) -> Sequence[dict[str, Any]]:
        """Return those reviews of which it is time, the next first."""
        return [review for review in self._holds.reviews() if review["level"] is not None]

    def known_ids(self) -> set[str]:
        """Return the ids of all stops, holds and restrictions in force."""
        return self.in_force.known_ids()
