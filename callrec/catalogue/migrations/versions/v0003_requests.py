"""Deletion requests and what belongs to them.

Revision: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    _requests()
    _what_belongs_to_them()


def _requests() -> None:
    op.create_table(
        "requests",
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_by", sa.String(length=64), nullable=False),
        sa.Column("identity_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("verified_method", sa.String(length=16), nullable=True),
        sa.Column("verified_by", sa.String(length=64), nullable=True),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("approved_by", sa.String(length=64), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("plan_hash", sa.String(length=64), nullable=True),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("party_id", sa.String(length=36), nullable=True),
        sa.Column("ground", sa.String(length=40), nullable=True),
        sa.Column("extended_on", sa.Date(), nullable=True),
        sa.Column("executed_by", sa.String(length=64), nullable=True),
        sa.Column("executed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("key_id", sa.String(length=36), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("request_id"),
    )
    op.create_index("requests_state", "requests", ["state", "received_at"], unique=False)


def _what_belongs_to_them() -> None:

    op.create_table(
        "request_calls",
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("call_id", sa.String(length=36), nullable=False),
        sa.Column("action", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        _of_request(),
        sa.PrimaryKeyConstraint("request_id", "call_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("request_calls_call", "request_calls", ["call_id"], unique=False)
    op.create_table(
        "request_alerts",
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("clock", sa.String(length=16), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("due", sa.Date(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        _of_request(),
        sa.PrimaryKeyConstraint("request_id", "clock", "level", "due"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "request_stores",
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("store", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("until", sa.Date(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("by", sa.String(length=64), nullable=True),
        _of_request(),
        sa.PrimaryKeyConstraint("request_id", "store"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "request_notices",
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("recipient", sa.String(length=64), nullable=False),
        sa.Column("call_id", sa.String(length=36), nullable=False),
        sa.Column("disclosed_at", sa.DateTime(timezone=True), nullable=False),
        _of_request(),
        sa.PrimaryKeyConstraint("request_id", "recipient", "call_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "request_history",
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("input", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        _of_request(),
        sa.PrimaryKeyConstraint("request_id", "number"),
        sqlite_with_rowid=False,
    )


def _of_request() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["request_id"], ["requests.request_id"])
