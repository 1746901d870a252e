"""An import on its way into the catalogue: all of it or nothing, without holding up a call.

Tens of thousands of parties in one transaction would keep the writer from the rows of new calls for seconds. So an
import is checked as a whole, stored as a whole under a key of its own, decided by one word, and then applied piece by
piece: before that word a crash leaves nothing of it, after it the next start completes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from callrec.catalogue.documents import SealedField
from callrec.catalogue.import_rows import ImportRows
from callrec.catalogue.parties import MANY, pieces
from callrec.identifiers import new_id
from callrec.privacy.number_history import Span
from callrec.privacy.party_changes import PartyChange
from callrec.privacy.party_store import PartyStore, Planned
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.retention_classes import Relationship
from callrec.privacy.retention_plan import Move
from callrec.privacy.ties import Parties
from callrec.privacy.tying import Tying

log = logging.getLogger("callrec.privacy.import")

_A_PIECE = 100
"""Parties a transaction: it takes about as long as ten new calls."""


class ImportRuns:
    """Foresees, applies and completes imports. Whoever calls it lets nobody else change parties meanwhile."""

    def __init__(self, stores: PromiseStores, parties: PartyStore, tying: Tying, lock: asyncio.Lock) -> None:
        self._stores = stores
        self._parties = parties
        self._tying = tying
        self._lock = lock
        self._rows = ImportRows(stores.catalogue)

    async def foresee(self, changes: Sequence[PartyChange]) -> dict[str, Any]:
        """Return what changes would do, and which calls would go on another day; nothing is changed.

        Raises:
            OperatorError: with exit code 2 if one of them cannot be.
        """
        counts = {"created": 0, "changed": 0, "unchanged": 0}
        planned, relationships = Planned(), dict[str, Relationship]()
        histories, due = dict[bytes, list[Span]](), dict[str, None]()
        for piece in pieces(changes, MANY):
            planned.parties.clear()  # no party comes twice
            for plan in await self._parties.plan(piece, self._stores.today(), planned):
                counts["created" if plan.before is None else "changed" if plan.changed else "unchanged"] += 1
                if plan.changed:
                    relationships[plan.after.party_id] = plan.after.relationship
                    histories |= plan.histories
                    due |= dict.fromkeys(plan.due)
        moves = await self._tying.moves(Parties(histories, relationships), list(due))
        return {**counts, "moves": [_move_document(move) for move in moves]}

    async def carry_out(self, changes: Sequence[PartyChange]) -> list[str]:
        """Apply changes that were foreseen; return the ids of the parties whose calls were looked at again.

        Raises:
            StorageUnavailable, KeysUnavailable: before it is decided nothing is changed; afterwards `resume` completes
                it.
        """
        import_id = new_id()
        key_id, key = await self._stores.keys.new_key("import")
        await self._rows.begin(import_id, key_id, self._stores.now())
        for start in range(0, len(changes), MANY):
            bodies = await asyncio.to_thread(self._sealed, import_id, key, changes[start : start + MANY], start)
            await self._rows.gather(import_id, bodies)
        await self._rows.decide(import_id)
        return await self._apply(import_id, key_id, key)

    async def resume(self) -> list[str]:
        """Complete every import that was decided, and drop one that was not; raises as `carry_out`."""
        touched: list[str] = []
        for row in await self._rows.all():
            key = (await self._stores.keys.load_many((row.key_id,))).get(row.key_id)
            if row.decided and key is not None:
                log.info("import %s is completed", row.import_id)
                touched += await self._apply(row.import_id, row.key_id, key)
            else:
                await self._rows.finish(row.import_id)
                await self._stores.keys.destroy((row.key_id,))
        return touched

    async def _apply(self, import_id: str, key_id: str, key: bytes) -> list[str]:
        touched: dict[str, None] = {}
        while waiting := await self._rows.next_of(import_id, _A_PIECE):
            changes = await asyncio.to_thread(self._opened, import_id, key, waiting)
            async with self._lock:
                plans = await self._parties.plan(changes, self._stores.today())
                done = [number for number, _ in waiting]
                await self._parties.write(plans, self._stores.today(), also=self._rows.applied(import_id, done))
            due = sorted({party_id for plan in plans if plan.changed for party_id in plan.due})
            if due:
                await self._tying.tie_parties(due)
            touched |= dict.fromkeys(due)
        await self._rows.finish(import_id)
        await self._stores.keys.destroy((key_id,))
        return list(touched)

    def _sealed(
        self, import_id: str, key: bytes, changes: Sequence[PartyChange], first: int
    ) -> list[tuple[int, bytes]]:
        return [
            (number, _field(import_id, number).seal(self._stores.keys, key, change.as_document()))
            for number, change in enumerate(changes, first)
        ]

    def _opened(self, import_id: str, key: bytes, waiting: Sequence[tuple[int, bytes]]) -> list[PartyChange]:
        opened = ((number, _field(import_id, number).open(self._stores.keys, key, body)) for number, body in waiting)
        return [PartyChange.of_document(document) for _, document in opened]


def _move_document(move: Move) -> dict[str, Any]:
    before, after = (None if day is None else day.isoformat() for day in (move.before, move.after))
    return {"call_id": move.call_id, "before": before, "after": after, "goes_now": move.goes_now}


def _field(import_id: str, number: int) -> SealedField:
    return SealedField("party_changes", f"{import_id}/{number}")
