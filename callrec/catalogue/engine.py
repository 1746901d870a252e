"""The two engines of the catalogue: one writer, and readers that cannot write. Also the steps of the schema."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool, QueuePool

from callrec.catalogue.errors import StorageUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

SCHEMA_HEAD = "0004"
BUSY_TIMEOUT_S = 5
READERS = 3
_LOG_PATIENCE_S = 0.1
_MIGRATIONS = Path(__file__).with_name("migrations")

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    f"busy_timeout={BUSY_TIMEOUT_S * 1000}",
    "foreign_keys=ON",
    "secure_delete=ON",
    "temp_store=MEMORY",
    # Only where the checkpoints beside the commits (checkpoints.py) are left behind: 64 MiB.
    "wal_autocheckpoint=16384",
    # A log that grew in a storm becomes smaller again; one of a usual size keeps it, for growing takes longer: 32 MiB.
    "journal_size_limit=33554432",
)


def _on_connect(*, read_only: bool) -> Any:
    def prepare(connection: Any, record: Any) -> None:
        del record
        # We say BEGIN ourselves: the driver's own way upgrades a read to a write, which loses updates.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (*_PRAGMAS, "query_only=ON") if read_only else _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return prepare


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def writer_engine(path: Path) -> Engine:
    """Return the engine with the one connection that writes."""
    engine = _pooled(path, 1)
    event.listen(engine, "connect", _on_connect(read_only=False))
    event.listen(engine, "begin", _begin_immediate)
    return engine


def reader_engine(path: Path) -> Engine:
    """Return the engine whose connections only read."""
    engine = _pooled(path, READERS)
    event.listen(engine, "connect", _on_connect(read_only=True))
    event.listen(engine, "begin", _begin)
    return engine


def _pooled(path: Path, connections: int) -> Engine:
    return create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        # A connection goes from thread to thread, but never has two at a time.
        connect_args={"check_same_thread": False},
    )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What came of bringing the write-ahead log into the file."""

    busy: bool
    """Whether somebody prevented it."""
    pages: int
    """How many pages the log has."""
    written: int
    """How many of them are in the file."""


def checkpoint(path: Path, mode: Literal["PASSIVE", "TRUNCATE"]) -> Checkpoint:
    """Bring the log into the file, as far as nobody is in the way; TRUNCATE waits a little, and cuts it off. Blocking.

    On a connection of its own, of the file that is there now, with little patience: a checkpoint that empties the log
    holds up the writer for as long as it waits.

    Raises:
        sqlite3.Error: if the disk does not take it.
    """
    with closing(sqlite3.connect(path, timeout=_LOG_PATIENCE_S)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        busy, pages, written = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return Checkpoint(bool(busy), pages, written)


def schema_of(path: Path) -> str | None:
    """Return the step of the schema a file has, None where it has none; takes half a millisecond.

    Raises:
        StorageUnavailable: if the file is there and cannot be read, or is no database.
    """
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise StorageUnavailable(f"catalogue {path}: cannot be read ({error})") from error
    except sqlite3.DatabaseError as error:
        raise StorageUnavailable(f"catalogue {path}: is broken ({error}); restore it from a backup") from error
    return None if row is None else str(row[0])


def migrate(path: Path) -> None:
    """Bring the schema up to date; blocking, so run in a thread.

    Raises:
        StorageUnavailable: if the file cannot be written, is broken, or was made by a newer version.
    """
    found = schema_of(path)
    if found == SCHEMA_HEAD:
        return
    if found is not None and found > SCHEMA_HEAD:
        raise StorageUnavailable(
            f"catalogue {path}: has schema {found}, this version knows up to {SCHEMA_HEAD}; install the newer callrec"
        )
    try:
        # Ours alone from the first byte on, whatever the umask.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        _run_steps(path)
    except OSError as error:
        raise StorageUnavailable(f"catalogue {path}: cannot be written ({error.strerror})") from error
    except Exception as error:
        raise StorageUnavailable(f"catalogue {path}: its schema cannot be brought up to date ({error})") from error


def _run_steps(path: Path) -> None:
    engine = create_engine(URL.create("sqlite", database=str(path)), poolclass=NullPool)
    event.listen(engine, "connect", _on_connect(read_only=False))
    event.listen(engine, "begin", _begin_immediate)
    try:
        with engine.connect() as connection:
            from alembic import command  # noqa: PLC0415  a fifth of a second that only a new schema pays

            command.upgrade(alembic_config(connection), "head")
    finally:
        engine.dispose()


def alembic_config(connection: Connection | None = None) -> Config:
    """Return alembic's configuration; the steps are data of this package."""
    from alembic.config import Config  # noqa: PLC0415  as above

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
