"""Who is never recorded, and whose calls nobody may erase, as it stands in memory: asked for every call. Pure.

A number is compared before the policy for withheld numbers drops it, and nothing is waited for. As long as the list is
not known, everybody counts as being on it: recording fails closed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from callrec.catalogue.indexing import keyed_hash

NOBODY: frozenset[str] = frozenset()
NONE: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class People:
    """Some people: by the keyed hashes of their numbers, and as parties."""

    numbers: frozenset[bytes] = NONE
    parties: frozenset[str] = NOBODY

    def has(self, lookups: Iterable[bytes], party_id: str | None) -> bool:
        """Say whether one of the numbers, or the party, is among them."""
        return party_id in self.parties or not self.numbers.isdisjoint(lookups)


@dataclass(frozen=True, slots=True)
class Wishes:
    """Everything that counts for calls to come."""

    stopped: People = People()
    held: People = People()
    """People whose new calls come under a hold or restriction (LAW-52)."""


@dataclass(slots=True)
class StopList:
    """The wishes in force; whoever changes them puts the new ones in whole."""

    _number_key: bytes | None = field(default=None, repr=False)
    _wishes: Wishes = Wishes()
    new_calls: bool = False
    """Whether a call began whose numbers a hold names, and is not brought under it yet."""

    @property
    def known(self) -> bool:
        """Say whether the list was loaded; until then no call may be recorded."""
        return self._number_key is not None

    @property
    def wishes(self) -> Wishes:
        """Return the wishes in force."""
        return self._wishes

    def take(self, number_key: bytes, wishes: Wishes) -> None:
        """Take wishes into force, at once and for every call."""
        self._number_key, self._wishes = number_key, wishes

    def is_stopped(self, numbers: Iterable[str], party_id: str | None = None) -> bool:
        """Say whether somebody who speaks with one of these numbers, or this party, is never recorded (LAW-39)."""
        if self._number_key is None:
            return True
        return self._wishes.stopped.has(self._lookups(self._number_key, numbers), party_id)

    def is_held(self, numbers: Iterable[str], party_id: str | None = None) -> bool:
        """Say whether a call with one of these numbers, or this party, comes under a hold or restriction."""
        if self._number_key is None:
            return False
        return self._wishes.held.has(self._lookups(self._number_key, numbers), party_id)

    @staticmethod
    def _lookups(key: bytes, numbers: Iterable[str]) -> list[bytes]:
        return [keyed_hash(key, number) for number in numbers]
