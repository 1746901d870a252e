"""Outside parties, their numbers and contracts, and retention runs.

Revision: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    _parties()
    _changes_of_parties()
    _calls_of_a_party()
    _retention()


def _parties() -> None:
    op.create_table(
        "parties",
        sa.Column("party_id", sa.String(length=36), nullable=False),
        sa.Column("ref_lookup", sa.LargeBinary(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("started_on", sa.Date(), nullable=True),
        sa.Column("ended_on", sa.Date(), nullable=True),
        sa.Column("confirmed_on", sa.Date(), nullable=True),
        sa.Column("key_id", sa.String(length=36), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("party_id"),
        sa.UniqueConstraint("ref_lookup"),
    )
    op.create_table(
        "party_numbers",
        sa.Column("lookup", sa.LargeBinary(length=16), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("until", sa.Date(), nullable=True),
        sa.Column("party_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["party_id"], ["parties.party_id"]),
        sa.PrimaryKeyConstraint("lookup", "since"),
        sqlite_with_rowid=False,
    )
    op.create_index("party_numbers_party", "party_numbers", ["party_id"], unique=False)
    op.create_table(
        "party_names",
        sa.Column("word", sa.LargeBinary(length=16), nullable=False),
        sa.Column("party_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["party_id"], ["parties.party_id"]),
        sa.PrimaryKeyConstraint("word", "party_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("party_names_party", "party_names", ["party_id"], unique=False)
    op.create_table(
        "contracts",
        sa.Column("party_id", sa.String(length=36), nullable=False),
        sa.Column("contract_id", sa.String(length=36), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=True),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["party_id"], ["parties.party_id"]),
        sa.PrimaryKeyConstraint("party_id", "contract_id"),
        sqlite_with_rowid=False,
    )


def _changes_of_parties() -> None:
    op.create_table(
        "party_orders",
        sa.Column("order_key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("content", sa.LargeBinary(length=16), nullable=False),
        sa.Column("party_id", sa.String(length=36), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["party_id"], ["parties.party_id"]),
        sa.PrimaryKeyConstraint("order_key"),
    )
    op.create_index("party_orders_made", "party_orders", ["made_at"], unique=False)
    op.create_index("party_orders_party", "party_orders", ["party_id"], unique=False)
    op.create_table(
        "ties_due",
        sa.Column("party_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("party_id"),
    )
    op.create_table(
        "party_imports",
        sa.Column("import_id", sa.String(length=36), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("import_id"),
    )
    op.create_table(
        "party_changes",
        sa.Column("import_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["import_id"], ["party_imports.import_id"]),
        sa.PrimaryKeyConstraint("import_id", "number"),
        sqlite_with_rowid=False,
    )


def _calls_of_a_party() -> None:
    op.create_index(
        "calls_by_relationship",
        "calls",
        ["relationship_id", "call_id"],
        unique=False,
        sqlite_where=sa.text("relationship_id IS NOT NULL"),
        postgresql_where=sa.text("relationship_id IS NOT NULL"),
    )


def _retention() -> None:
    op.create_table(
        "retention_runs",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hash", sa.String(length=64), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("to_delete", sa.Integer(), nullable=False),
        sa.Column("deleted", sa.Integer(), nullable=False),
        sa.Column("spared", sa.Integer(), nullable=False),
        sa.Column("unverified", sa.Integer(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index("retention_runs_begun", "retention_runs", ["begun_at"], unique=False)
    op.create_index("retention_runs_day", "retention_runs", ["day"], unique=False)
    op.create_table(
        "retention_due",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("call_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["retention_runs.run_id"]),
        sa.PrimaryKeyConstraint("run_id", "call_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "retention_approvals",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("approved_by", sa.String(length=64), nullable=False),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )
