"""The stop list, holds and restrictions.

Revision: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    _stops()
    _protections()


def _stops() -> None:
    op.create_table(
        "stops",
        sa.Column("stop_id", sa.String(length=36), nullable=False),
        sa.Column("key_id", sa.String(length=36), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("lookup", sa.LargeBinary(length=16), nullable=True),
        sa.Column("party_id", sa.String(length=36), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("added_by", sa.String(length=64), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed_by", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("stop_id"),
    )
    op.create_index(
        "stops_in_force",
        "stops",
        ["stop_id"],
        unique=False,
        sqlite_where=sa.text("removed_at IS NULL"),
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    for name, column in (
        ("stop_numbers", sa.Column("lookup", sa.LargeBinary(length=16), nullable=False)),
        ("stopped_calls", sa.Column("call_id", sa.String(length=36), nullable=False)),
    ):
        op.create_table(
            name,
            sa.Column("stop_id", sa.String(length=36), nullable=False),
            column,
            sa.ForeignKeyConstraint(["stop_id"], ["stops.stop_id"]),
            sa.PrimaryKeyConstraint("stop_id", column.name),
            sqlite_with_rowid=False,
        )


def _protections() -> None:
    op.create_table(
        "protections",
        sa.Column("protection_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("lookup", sa.LargeBinary(length=16), nullable=True),
        sa.Column("party_id", sa.String(length=36), nullable=True),
        sa.Column("placed_by", sa.String(length=64), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("review_on", sa.Date(), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("released_by", sa.String(length=64), nullable=True),
        sa.Column("key_id", sa.String(length=36), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("protection_id"),
    )
    op.create_table(
        "protected_calls",
        sa.Column("call_id", sa.String(length=36), nullable=False),
        sa.Column("protection_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.call_id"]),
        sa.ForeignKeyConstraint(["protection_id"], ["protections.protection_id"]),
        sa.PrimaryKeyConstraint("call_id", "protection_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("protected_calls_protection", "protected_calls", ["protection_id"], unique=False)
