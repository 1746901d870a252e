"""Tables of retention: each run with what came of it, what it still has to delete, and who approved which plan.

They name nobody: random ids, account names, sums and hashes.
"""

from __future__ import annotations

from sqlalchemy import Column, Date, ForeignKey, Index, Integer, String, Table, Text

from callrec.catalogue.tables import UtcDateTime, metadata

retention_runs = Table(
    "retention_runs",
    metadata,
    Column("run_id", String(36), primary_key=True),
    # gathering, deleting, done or refused
    Column("state", String(16), nullable=False),
    Column("actor", String(64), nullable=False),
    # The local date by which the rows were judged; an interrupted run goes on by it.
    Column("day", Date, nullable=False),
    Column("begun_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("hash", String(64)),
    Column("rows", Integer, nullable=False),
    Column("to_delete", Integer, nullable=False),
    Column("deleted", Integer, nullable=False),
    # Held, tied anew or asked for by a request since the run began: left alone.
    Column("spared", Integer, nullable=False),
    # Keys are gone, but not all could be read back yet; the erasing order completes it.
    Column("unverified", Integer, nullable=False),
    # Why it did not run, in one sentence.
    Column("problem", Text),
)
Index("retention_runs_begun", retention_runs.c.begun_at)
Index("retention_runs_day", retention_runs.c.day)

# What a run was permitted to delete and has not yet: a run that was cut off deletes this and no other.
retention_due = Table(
    "retention_due",
    metadata,
    Column("run_id", String(36), ForeignKey("retention_runs.run_id"), primary_key=True),
    Column("call_id", String(36), primary_key=True),
    sqlite_with_rowid=False,
)

retention_approvals = Table(
    "retention_approvals",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("approved_by", String(64), nullable=False),
    Column("approved_at", UtcDateTime, nullable=False),
)
