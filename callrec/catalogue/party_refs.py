"""What people call a party: its reference, sealed in its row, opened for lists and events and kept at hand.

A call names its party by a random id, so that what is in clear says nothing about anybody.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Select, select

from callrec.catalogue.documents import SealedField
from callrec.catalogue.party_tables import parties
from callrec.catalogue.sealer import Sealer
from callrec.errors import IntegrityError

log = logging.getLogger("callrec.catalogue")

_AT_HAND = 4096
_A_STATEMENT = 500


class PartyRefs:
    """Opens references; those used last are kept, and a forgotten party's never."""

    def __init__(self, rows: Callable[[Select[Any]], Awaitable[list[dict[str, Any]]]], sealer: Sealer) -> None:
        self._rows = rows
        self._sealer = sealer
        self._known: OrderedDict[str, str] = OrderedDict()
        self._forgettings = 0

    async def of(self, party_ids: Iterable[str | None]) -> dict[str, str]:
        """Return the references of parties; one that is erased is left out.

        Raises:
            StorageUnavailable: if the catalogue cannot be read in time.
            KeysUnavailable: if the keyring cannot be read.
        """
        wanted = dict.fromkeys(party_id for party_id in party_ids if party_id is not None)
        found = {party_id: self._known[party_id] for party_id in wanted if party_id in self._known}
        for party_id in found:
            self._known.move_to_end(party_id)
        missing = [party_id for party_id in wanted if party_id not in found]
        for start in range(0, len(missing), _A_STATEMENT):
            found |= await self._read(missing[start : start + _A_STATEMENT])
        return found

    async def _read(self, party_ids: list[str]) -> dict[str, str]:
        forgettings = self._forgettings
        query = select(parties.c.party_id, parties.c.key_id, parties.c.body).where(parties.c.party_id.in_(party_ids))
        rows = await self._rows(query)
        keys = await self._sealer.load_many({row["key_id"] for row in rows})
        opened = {row["party_id"]: ref for row in rows if (ref := self._open(row, keys)) is not None}
        if forgettings == self._forgettings:  # else one of them may be gone
            self._known |= opened
            while len(self._known) > _AT_HAND:
                self._known.popitem(last=False)
        return opened

    def _open(self, row: Mapping[str, Any], keys: Mapping[str, bytes]) -> str | None:
        key = keys.get(row["key_id"])
        if key is None:
            return None
        try:
            return str(SealedField("parties", row["party_id"]).open(self._sealer, key, row["body"])["ref"])
        except IntegrityError as error:
            # One altered row must not hide all others of a list; the log tells.
            log.error("party %s: %s", row["party_id"], error)  # noqa: TRY400 - no trace wanted
            return None

    def forget(self, party_id: str) -> None:
        """Keep nothing of a party at hand."""
        self._forgettings += 1
        self._known.pop(party_id, None)
