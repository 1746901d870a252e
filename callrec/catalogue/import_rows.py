"""Statements about imports of parties: gathered, decided, applied piece by piece, finished."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from callrec.catalogue.party_tables import party_changes, party_imports
from callrec.catalogue.store import Store

_GATHERING, _APPLYING = "gathering", "applying"


@dataclass(frozen=True, slots=True)
class ImportRow:
    """An import that has begun."""

    import_id: str
    key_id: str
    decided: bool
    """True: it is to be completed; False: nothing of it counts."""


class ImportRows:
    """Reads and writes imports; every method raises StorageUnavailable where the catalogue cannot be used."""

    def __init__(self, catalogue: Store) -> None:
        self._catalogue = catalogue

    async def begin(self, import_id: str, key_id: str, now: datetime) -> None:
        """Note an import whose changes will be sealed under a key."""
        row = {"import_id": import_id, "state": _GATHERING, "made_at": now, "key_id": key_id}
        await self._catalogue.transact(lambda connection, _: connection.execute(insert(party_imports), [row]))

    async def gather(self, import_id: str, bodies: Sequence[tuple[int, bytes]]) -> None:
        """Store sealed changes with their numbers."""
        rows = [{"import_id": import_id, "number": number, "body": body} for number, body in bodies]
        await self._catalogue.transact(lambda connection, _: connection.execute(insert(party_changes), rows))

    async def decide(self, import_id: str) -> None:
        """From now on the import is to be completed."""
        statement = update(party_imports).where(party_imports.c.import_id == import_id).values(state=_APPLYING)
        await self._catalogue.transact(lambda connection, _: connection.execute(statement))

    async def next_of(self, import_id: str, limit: int) -> list[tuple[int, bytes]]:
        """Return the next changes that are not applied yet, with their numbers."""
        query = (
            select(party_changes.c.number, party_changes.c.body)
            .where(party_changes.c.import_id == import_id)
            .order_by(party_changes.c.number)
            .limit(limit)
        )
        return [(row["number"], row["body"]) for row in await self._catalogue.rows(query)]

    @staticmethod
    def applied(import_id: str, numbers: Sequence[int]) -> Callable[[Connection], None]:
        """Return what notes, inside the transaction that applies them, that changes are applied."""

        def run(connection: Connection) -> None:
            connection.execute(
                delete(party_changes).where(
                    party_changes.c.import_id == import_id, party_changes.c.number.in_(list(numbers))
                )
            )

        return run

    async def finish(self, import_id: str) -> None:
        """Forget an import, applied or not."""

        def run(connection: Connection, tell: object) -> None:
            del tell
            connection.execute(delete(party_changes).where(party_changes.c.import_id == import_id))
            connection.execute(delete(party_imports).where(party_imports.c.import_id == import_id))

        await self._catalogue.transact(run)

    async def all(self) -> list[ImportRow]:
        """Return the imports that are not finished."""
        rows = await self._catalogue.rows(select(party_imports).order_by(party_imports.c.made_at))
        return [ImportRow(row["import_id"], row["key_id"], row["state"] == _APPLYING) for row in rows]
