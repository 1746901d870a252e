"""The keyring's own SQLite file and the one thread that touches it, with group commit.

Wrapped keys live here and nowhere else (design: "Keys, and what erasing means").
`secure_delete` overwrites what is deleted; journal mode DELETE leaves no log of old pages behind.
"""

from __future__ import annotations

import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from callrec.vault.keyring_errors import KeysUnavailable

log = logging.getLogger("callrec.vault.keyring")

T = TypeVar("T")

BUSY_TIMEOUT_S = 5.0
_MOST_JOBS_A_COMMIT = 512
_MOST_IDS_A_STATEMENT = 500

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS keys (
  key_id TEXT PRIMARY KEY,
  purpose TEXT NOT NULL,
  wrapped BLOB NOT NULL,
  spare INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS keys_spare ON keys (key_id) WHERE spare = 1;
"""


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A row of the keyring."""

    key_id: str
    purpose: str
    wrapped: bytes
    spare: bool = False


@dataclass(slots=True)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    future: Future[Any]
    writes: bool


class KeyringStore:
    """Runs jobs on the keyring's database in one thread; jobs that wait together share one commit."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="keyring", daemon=True)
        self._thread.start()

    def read(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue a job that changes nothing, so that it also works while the disk takes no writes."""
        return self._submit(work, writes=False)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue a job; its future is done when the job is durable, or fails with KeysUnavailable."""
        return self._submit(work, writes=True)

    def write_alone(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue a job that is all there is to do; if it fails, nothing of it is kept."""

        def all_or_nothing(connection: sqlite3.Connection) -> T:
            connection.execute("SAVEPOINT alone")
            try:
                return work(connection)
            except BaseException:
                connection.execute("ROLLBACK TO alone")
                raise

        return self._submit(all_or_nothing, writes=True)

    def _submit(self, work: Callable[[sqlite3.Connection], T], *, writes: bool) -> Future[T]:
        future: Future[T] = Future()
        if self._closed:
            future.set_exception(KeysUnavailable("the keyring is closed"))
        else:
            self._jobs.put(_Job(work, future, writes))
        return future

    def close(self) -> None:
        """Finish what is queued and end the thread."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            self._thread.join()

    def _run(self) -> None:
        going_on = True
        while going_on:
            jobs, going_on = self._next_jobs()
            if jobs:
                self._commit_together(jobs)
        if self._connection is not None:
            self._connection.close()

    def _next_jobs(self) -> tuple[list[_Job], bool]:
        jobs: list[_Job] = []
        item = self._jobs.get()
        while item is not None:
            if item.future.set_running_or_notify_cancel():
                jobs.append(item)
            if len(jobs) >= _MOST_JOBS_A_COMMIT or self._jobs.empty():
                return jobs, True
            item = self._jobs.get()
        return jobs, False

    def _commit_together(self, jobs: list[_Job]) -> None:
        results: list[tuple[_Job, Any, BaseException | None]] = []
        try:
            connection = self._connection or self._connect()
            connection.execute("BEGIN IMMEDIATE" if any(job.writes for job in jobs) else "BEGIN")
            results = [_run_one(connection, job) for job in jobs]
            connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self._give_up(jobs, error)
            return
        for job, result, failure in results:
            if failure is not None:
                job.future.set_exception(failure)
            else:
                job.future.set_result(result)

    def _connect(self) -> sqlite3.Connection:
        os.close(os.open(self._path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=BUSY_TIMEOUT_S)
        for pragma in ("journal_mode=DELETE", "synchronous=EXTRA", "secure_delete=ON", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        self._connection = connection
        return connection

    def _give_up(self, jobs: Sequence[_Job], error: Exception) -> None:
        """Tell every waiting job, and begin anew with a fresh connection: the disk may come back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        message = f"keyring {self._path}: cannot be read or written ({error})"
        log.error("%s", message)
        for job in jobs:
            job.future.set_exception(KeysUnavailable(message))


def _run_one(connection: sqlite3.Connection, job: _Job) -> tuple[_Job, Any, BaseException | None]:
    """Run one job; what is its own fault fails it alone, what is the disk's fails the commit."""
    try:
        return job, job.work(connection), None
    except sqlite3.Error:
        raise
    except Exception as error:  # handed to whoever waits for this job
        return job, None, error


def create_schema(connection: sqlite3.Connection) -> None:
    """Make the tables where they are missing."""
    for statement in SCHEMA.split(";"):
        if statement.strip():
            connection.execute(statement)


def has_schema(connection: sqlite3.Connection) -> bool:
    """Return whether this is a keyring, and not an empty file."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is not None


def read_meta(connection: sqlite3.Connection, name: str) -> bytes | None:
    """Return a value of the meta table."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return None if row is None else bytes(row[0])


def write_meta(connection: sqlite3.Connection, name: str, value: bytes) -> None:
    """Set a value of the meta table."""
    connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))


def insert_keys(connection: sqlite3.Connection, keys: Iterable[WrappedKey]) -> None:
    """Add wrapped keys."""
    rows = [(key.key_id, key.purpose, key.wrapped, int(key.spare)) for key in keys]
    connection.executemany("INSERT INTO keys (key_id, purpose, wrapped, spare) VALUES (?, ?, ?, ?)", rows)


def select_keys(connection: sqlite3.Connection, key_ids: Sequence[str]) -> list[WrappedKey]:
    """Return those of the keys that exist."""
    found: list[WrappedKey] = []
    for start in range(0, len(key_ids), _MOST_IDS_A_STATEMENT):
        chunk = key_ids[start : start + _MOST_IDS_A_STATEMENT]
        marks = ",".join("?" * len(chunk))
        # Only question marks are put into the text.
        statement = f"SELECT key_id, purpose, wrapped, spare FROM keys WHERE key_id IN ({marks})"  # noqa: S608
        found += [
            WrappedKey(row[0], row[1], bytes(row[2]), bool(row[3])) for row in connection.execute(statement, chunk)
        ]
    return found


def delete_keys(connection: sqlite3.Connection, key_ids: Sequence[str]) -> None:
    """Delete keys; `secure_delete` overwrites them in the file."""
    connection.executemany("DELETE FROM keys WHERE key_id = ?", [(key_id,) for key_id in key_ids])


def select_page(connection: sqlite3.Connection, after: str, limit: int) -> list[WrappedKey]:
    """Return the keys whose ids follow one, in order."""
    statement = "SELECT key_id, purpose, wrapped, spare FROM keys WHERE key_id > ? ORDER BY key_id LIMIT ?"
    rows = connection.execute(statement, (after, limit))
    return [WrappedKey(row[0], row[1], bytes(row[2]), bool(row[3])) for row in rows]


def replace_wrapped(connection: sqlite3.Connection, wrapped: Sequence[tuple[bytes, str]]) -> None:
    """Store keys as they are wrapped now, each with its id."""
    connection.executemany("UPDATE keys SET wrapped = ? WHERE key_id = ?", wrapped)


def mark_taken(connection: sqlite3.Connection, key_ids: Sequence[str]) -> None:
    """Note that these keys belong to calls now."""
    connection.executemany("UPDATE keys SET spare = 0 WHERE key_id = ?", [(key_id,) for key_id in key_ids])


def select_spare(connection: sqlite3.Connection) -> list[str]:
    """Return the keys that are not known to belong to a call."""
    return [row[0] for row in connection.execute("SELECT key_id FROM keys WHERE spare = 1")]
