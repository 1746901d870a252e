"""Calls with their parts and indices, outbox, audit chain.

Revision: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the first tables."""
    _calls()
    _orders_of_calls()
    _parts()
    _indices()
    _journals()


def _calls() -> None:
    op.create_table(
        "calls",
        sa.Column("call_id", sa.String(length=36), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column("call_reference", sa.String(length=8), nullable=True),
        sa.Column("recording_id", sa.String(length=36), nullable=True),
        sa.Column("identity_key_id", sa.String(length=36), nullable=True),
        sa.Column("audio_key_id", sa.String(length=36), nullable=True),
        sa.Column("identity", sa.LargeBinary(), nullable=True),
        sa.Column("in_progress", sa.Boolean(), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("outcome_reason", sa.String(length=32), nullable=True),
        sa.Column("cut", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recording_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("capture_rule", sa.String(length=64), nullable=True),
        sa.Column("retention_class", sa.String(length=64), nullable=True),
        sa.Column("delete_on", sa.Date(), nullable=True),
        sa.Column("relationship_id", sa.String(length=64), nullable=True),
        sa.Column("withheld", sa.Boolean(), nullable=False),
        sa.Column("withheld_reasons", sa.JSON(), nullable=True),
        sa.Column("cli_status", sa.String(length=32), nullable=True),
        sa.Column("cli_trust", sa.String(length=32), nullable=True),
        sa.Column("country", sa.String(length=2), nullable=True),
        sa.Column("number_type", sa.String(length=32), nullable=True),
        sa.Column("area", sa.String(length=64), nullable=True),
        sa.Column("flags", sa.JSON(), nullable=True),
        sa.Column("notice", sa.JSON(), nullable=True),
        sa.Column("legs", sa.JSON(), nullable=True),
        sa.Column("segments", sa.JSON(), nullable=True),
        sa.Column("erasure", sa.String(length=8), nullable=True),
        sa.Column("month", sa.String(length=7), nullable=True),
        sa.PrimaryKeyConstraint("call_id"),
        sa.UniqueConstraint("sequence"),
    )


def _orders_of_calls() -> None:
    op.create_index("calls_by_outcome", "calls", ["outcome", "started_at", "call_id"], unique=False)
    op.create_index("calls_by_recording", "calls", ["recording_id"], unique=False)
    op.create_index("calls_by_reference", "calls", ["call_reference"], unique=False)
    op.create_index(
        "calls_erasing",
        "calls",
        ["call_id"],
        unique=False,
        sqlite_where=sa.text("erasure = 'erasing'"),
        postgresql_where=sa.text("erasure = 'erasing'"),
    )
    op.create_index(
        "calls_in_progress",
        "calls",
        ["call_id"],
        unique=False,
        sqlite_where=sa.text("in_progress = 1"),
        postgresql_where=sa.text("in_progress"),
    )
    op.create_index("calls_newest", "calls", ["started_at", "call_id"], unique=False)


def _parts() -> None:
    op.create_table(
        "parts",
        sa.Column("recording_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("call_id", sa.String(length=36), nullable=False),
        sa.Column("path", sa.String(length=255), nullable=False),
        sa.Column("segments", sa.Integer(), nullable=True),
        sa.Column("cut", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["call_id"],
            ["calls.call_id"],
        ),
        sa.PrimaryKeyConstraint("recording_id", "number"),
    )
    op.create_index("parts_of_call", "parts", ["call_id"], unique=False)


def _indices() -> None:
    op.create_table(
        "name_index",
        sa.Column("word", sa.LargeBinary(length=16), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("call_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["call_id"],
            ["calls.call_id"],
        ),
        sa.PrimaryKeyConstraint("word", "started_at", "call_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("name_index_call", "name_index", ["call_id"], unique=False)
    op.create_table(
        "number_index",
        sa.Column("lookup", sa.LargeBinary(length=16), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("call_id", sa.String(length=36), nullable=False),
        sa.Column("last_four", sa.LargeBinary(length=16), nullable=True),
        sa.Column("outside", sa.Boolean(), nullable=False),
        sa.Column("caller_ref", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(
            ["call_id"],
            ["calls.call_id"],
        ),
        sa.PrimaryKeyConstraint("lookup", "started_at", "call_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("number_index_call", "number_index", ["call_id"], unique=False)
    op.create_index("number_index_last_four", "number_index", ["last_four", "started_at", "call_id"], unique=False)


def _journals() -> None:
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=True),
        sa.Column("key_id", sa.String(length=36), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("previous", sa.LargeBinary(length=32), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "ledger_due",
        sa.Column("due_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("due_id"),
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "outbox",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.Column("noun", sa.String(length=32), nullable=False),
        sa.Column("verb", sa.String(length=32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=True),
        sa.Column("call_id", sa.String(length=36), nullable=True),
        sa.Column("key_id", sa.String(length=36), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("sealed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
    )
    op.create_index("outbox_call", "outbox", ["call_id"], unique=False)
