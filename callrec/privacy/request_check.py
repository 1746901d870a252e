"""What is due of the requests, read from the catalogue as it lies: no recorder, and no key, is needed.

A systemd timer asks it daily, so that a stopped recorder forgets no deadline.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import StaticPool

from callrec.catalogue.requests import RequestRow, outstanding_stores, running_requests
from callrec.clock import Clock, SystemClock
from callrec.errors import OperatorError
from callrec.privacy.request_file import clocks_of
from callrec.privacy.request_views import Standing, check_document, unticked
from callrec.settings import Settings

CATALOGUE = "catalogue.db"
_PATIENCE_S = 5.0


def check_stored(settings: Settings, clock: Clock | None = None) -> dict[str, Any]:
    """Return the document of `request check`; a store without a catalogue has no request.

    Raises:
        OperatorError: with exit code 1 if the catalogue cannot be read.
    """
    clock = clock or SystemClock.of_environment(test_node=settings.node.test)
    path = settings.paths.state / CATALOGUE
    if not path.exists():
        return check_document([])
    try:
        with _reading(path) as connection:
            return check_document(_standings(connection, settings, clock))
    except (sqlite3.Error, DatabaseError) as error:
        reason = getattr(error, "orig", None) or error
        raise OperatorError(
            f"catalogue {path}: cannot be read ({reason}); start the recorder once, or ask as its user"
        ) from None


def _standings(connection: Connection, settings: Settings, clock: Clock) -> list[Standing]:
    zone, now, region = ZoneInfo(settings.org.timezone), clock.now(), settings.privacy.bank_holidays
    waiting: dict[str, list[str]] = {}
    for row in connection.execute(outstanding_stores()).mappings():
        waiting.setdefault(row["request_id"], []).append(row["store"])
    rows = [RequestRow(**row) for row in connection.execute(running_requests()).mappings()]
    return [
        Standing(row, clocks_of(row, zone, region), unticked(waiting.get(row.request_id, ())), now, zone)
        for row in rows
    ]


@contextmanager
def _reading(path: Path) -> Iterator[Connection]:
    """Open the file without any right to change it.

    Where nobody has it open and its folder cannot be written, SQLite can only be told that nothing will change it.
    """
    with closing(_open(path)) as raw:
        engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
        with engine.connect() as connection:
            yield connection


def _open(path: Path) -> sqlite3.Connection:
    for more in ("", "&immutable=1"):
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro{more}", uri=True, timeout=_PATIENCE_S)
        try:
            connection.execute("SELECT count(*) FROM requests").fetchone()
        except sqlite3.OperationalError as error:
            connection.close()
            log_there = path.with_name(f"{path.name}-wal").exists()
            if more or log_there or "no such table" in str(error):
                raise
        else:
            return connection
    raise AssertionError("internal error: neither opened nor refused")
