"""The tables of the catalogue, in SQL that SQLite and PostgreSQL both take.

Clear columns hold nothing that names a person; `identity` and event and audit bodies are sealed.
A change here needs a migration: `tests/catalogue/test_storage.py` compares the two. Only the migrations make tables and
know how PostgreSQL says an index's condition: said here, every start would load that dialect as well.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    text,
)
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware in Python, always UTC in the store."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return what is stored.

        Raises:
            ValueError: if the instant has no offset.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"found {value} without an offset, expected an aware instant")
        utc = value.astimezone(UTC)
        # SQLite keeps text; one form without an offset sorts as time does.
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return an aware instant."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()
# Nothing is NULL, not the word "null".
Json = JSON(none_as_null=True)


calls = Table(
    "calls",
    metadata,
    Column("call_id", String(36), primary_key=True),
    Column("sequence", BigInteger, unique=True),
    Column("call_reference", String(8)),
    Column("recording_id", String(36)),
    Column("identity_key_id", String(36)),
    Column("audio_key_id", String(36)),
    Column("identity", LargeBinary),
    Column("in_progress", Boolean, nullable=False),
    Column("direction", String(8), nullable=False),
    Column("outcome", String(16)),
    Column("outcome_reason", String(32)),
    Column("cut", Boolean, nullable=False),
    Column("started_at", UtcDateTime),
    Column("answered_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("recording_started_at", UtcDateTime),
    Column("capture_rule", String(64)),
    Column("retention_class", String(64)),
    Column("delete_on", Date),
    Column("relationship_id", String(64)),
    Column("withheld", Boolean, nullable=False),
    Column("withheld_reasons", Json),
    Column("cli_status", String(32)),
    Column("cli_trust", String(32)),
    Column("country", String(2)),
    Column("number_type", String(32)),
    Column("area", String(64)),
    Column("flags", Json),
    Column("notice", Json),
    Column("legs", Json),
    Column("segments", Json),
    # null, "erasing" or "erased"; an erased row is its anonymous stub: month, direction and outcome.
    Column("erasure", String(8)),
    Column("month", String(7)),
)
Index("calls_newest", calls.c.started_at, calls.c.call_id)
Index("calls_by_outcome", calls.c.outcome, calls.c.started_at, calls.c.call_id)
Index("calls_by_recording", calls.c.recording_id)
Index("calls_by_reference", calls.c.call_reference)
Index(
    "calls_by_relationship",
    calls.c.relationship_id,
    calls.c.call_id,
    sqlite_where=text("relationship_id IS NOT NULL"),
)
Index(
    "calls_in_progress",
    calls.c.call_id,
    sqlite_where=text("in_progress = 1"),
)
Index(
    "calls_erasing",
    calls.c.call_id,
    sqlite_where=text("erasure = 'erasing'"),
)

parts = Table(
    "parts",
    metadata,
    Column("recording_id", String(36), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("call_id", String(36), ForeignKey("calls.call_id"), nullable=False),
    Column("path", String(255), nullable=False),
    Column("segments", Integer),
    Column("cut", Boolean, nullable=False),
)
Index("parts_of_call", parts.c.call_id)

# Newest first for one number needs no sort: the keyed hash, then the time, are the table's own order.
number_index = Table(
    "number_index",
    metadata,
    Column("lookup", LargeBinary(16), primary_key=True),
    Column("started_at", UtcDateTime, primary_key=True),
    Column("call_id", String(36), ForeignKey("calls.call_id"), primary_key=True),
    Column("last_four", LargeBinary(16)),
    Column("outside", Boolean, nullable=False),
    Column("caller_ref", String(32)),
    sqlite_with_rowid=False,
)
Index("number_index_last_four", number_index.c.last_four, number_index.c.started_at, number_index.c.call_id)
Index("number_index_call", number_index.c.call_id)

name_index = Table(
    "name_index",
    metadata,
    Column("word", LargeBinary(16), primary_key=True),
    Column("started_at", UtcDateTime, primary_key=True),
    Column("call_id", String(36), ForeignKey("calls.call_id"), primary_key=True),
    sqlite_with_rowid=False,
)
Index("name_index_call", name_index.c.call_id)

outbox = Table(
    "outbox",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", String(36), nullable=False),
    Column("noun", String(32), nullable=False),
    Column("verb", String(32), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("subject", String(64)),
    # The call whose identity key seals the body; null under the node key.
    Column("call_id", String(36)),
    Column("key_id", String(36)),
    Column("body", LargeBinary),
    Column("sealed", Boolean, nullable=False),
)
Index("outbox_call", outbox.c.call_id)

audit = Table(
    "audit",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(64)),
    Column("key_id", String(36)),
    Column("body", LargeBinary),
    Column("previous", LargeBinary(32), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
)

# Ledger entries that are owed: what was destroyed first is entered as soon as it can be.
ledger_due = Table(
    "ledger_due",
    metadata,
    Column("due_id", String(36), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("body", Json, nullable=False),
)

meta = Table(
    "meta",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
