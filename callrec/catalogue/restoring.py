"""How the catalogue tells that it is older than the ledger, and what it lacks of what the ledger names.

Each run of a recorder is entered in the ledger and noted here. A note older than the ledger's newest run, or a copy
of which the note was taken away, is a catalogue that somebody restored, by whatever means.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, column, inspect, select, table

from callrec.catalogue.numbers import RUN, RUN_PENDING, set_meta

_ROWS = {
    "request": ("requests", "request_id"),
    "stop": ("stops", "stop_id"),
    "hold": ("protections", "protection_id"),
    "restriction": ("protections", "protection_id"),
}
"""Where the promise of each kind of ledger entry is kept."""
_ENDED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "requests": ("closed_at", ()),
    "stops": ("removed_at", ()),
    "protections": ("released_at", ("kind",)),
}
"""The column that says when one ended, and what tells its kind."""
_IDS_A_STATEMENT = 500


def note_run(connection: Connection, entry: int | None) -> None:
    """Note the ledger entry of the run that has begun or ended; None while it is being entered."""
    set_meta(connection, RUN, RUN_PENDING if entry is None else entry)


def mark_copy(path: Path) -> None:
    """Take the note of the run out of a copy, so that it is known as one wherever it is put. Blocking.

    Raises:
        sqlite3.Error: if it cannot be written.
    """
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM meta WHERE name = ?", (RUN,))
        connection.commit()


def missing_promises(connection: Connection, live: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return those of the promises that the catalogue has no row of, by kind and in order."""
    tables = set(inspect(connection).get_table_names())
    missing: dict[str, list[str]] = {}
    for kind, ids in live.items():
        name, key = _ROWS.get(kind, ("", ""))
        known = _known(connection, name, key, ids) if name in tables else set()
        if name and (lacking := [one for one in ids if one not in known]):
            missing[kind] = lacking
    return missing


def promises_in_force(connection: Connection) -> dict[str, list[str]]:
    """Return the ids of all promises that the catalogue keeps now, by kind."""
    tables = set(inspect(connection).get_table_names())
    found: dict[str, list[str]] = {}
    for kind, (name, key) in _ROWS.items():
        if name not in tables:
            continue
        ended, more = _ENDED[name]
        rows = table(name, column(key), column(ended), *map(column, more))
        query = select(rows.c[key]).where(rows.c[ended].is_(None)).order_by(rows.c[key])
        if more:
            restricts = rows.c.kind == "restricted"
            query = query.where(restricts if kind == "restriction" else ~restricts)
        if ids := list(connection.execute(query).scalars()):
            found[kind] = ids
    return found


def _known(connection: Connection, name: str, key: str, ids: Sequence[str]) -> set[str]:
    rows = table(name, column(key))
    known: set[str] = set()
    for start in range(0, len(ids), _IDS_A_STATEMENT):
        query = select(rows.c[key]).where(rows.c[key].in_(ids[start : start + _IDS_A_STATEMENT]))
        known.update(connection.execute(query).scalars())
    return known
