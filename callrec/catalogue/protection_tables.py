"""Tables of the stop list, of holds and of restrictions.

What names a person is sealed under a key of each row's own, so that a stop outlives the erasure of whom it is about
(LAW-40); numbers are found by keyed hashes (LAW-44).
"""

from __future__ import annotations

from sqlalchemy import Column, Date, ForeignKey, Index, LargeBinary, String, Table, text

from callrec.catalogue.tables import UtcDateTime, metadata

stops = Table(
    "stops",
    metadata,
    Column("stop_id", String(36), primary_key=True),
    # {"number" or "ref", "reason"}; key and body are gone once the stop is removed.
    Column("key_id", String(36)),
    Column("body", LargeBinary),
    Column("lookup", LargeBinary(16)),
    Column("party_id", String(36)),
    Column("added_at", UtcDateTime, nullable=False),
    Column("added_by", String(64), nullable=False),
    Column("removed_at", UtcDateTime),
    Column("removed_by", String(64)),
)
Index(
    "stops_in_force",
    stops.c.stop_id,
    sqlite_where=text("removed_at IS NULL"),
)

# The numbers of a stopped party as they last were: they stay when the party itself is erased.
stop_numbers = Table(
    "stop_numbers",
    metadata,
    Column("stop_id", String(36), ForeignKey("stops.stop_id"), primary_key=True),
    Column("lookup", LargeBinary(16), primary_key=True),
    sqlite_with_rowid=False,
)

# Calls that were live when they were stopped: what they had stored by then may still be discarded (LAW-39).
stopped_calls = Table(
    "stopped_calls",
    metadata,
    Column("stop_id", String(36), ForeignKey("stops.stop_id"), primary_key=True),
    Column("call_id", String(36), primary_key=True),
    sqlite_with_rowid=False,
)

protections = Table(
    "protections",
    metadata,
    Column("protection_id", String(36), primary_key=True),
    # "legal_hold", "sar_hold" or "restricted"
    Column("kind", String(16), nullable=False),
    # New calls of this number, or of this party, come under it too; both null: only the frozen list (LAW-52).
    Column("lookup", LargeBinary(16)),
    Column("party_id", String(36)),
    Column("placed_by", String(64), nullable=False),
    Column("placed_at", UtcDateTime, nullable=False),
    Column("review_on", Date, nullable=False),
    Column("released_at", UtcDateTime),
    Column("released_by", String(64)),
    Column("key_id", String(36), nullable=False),
    # {"reason", "number" or "ref", and once released "release_reason", "calls"}
    Column("body", LargeBinary, nullable=False),
)

# Only of protections in force: a released one lets go of its calls, and its body keeps which they were.
protected_calls = Table(
    "protected_calls",
    metadata,
    Column("call_id", String(36), ForeignKey("calls.call_id"), primary_key=True),
    Column("protection_id", String(36), ForeignKey("protections.protection_id"), primary_key=True),
    sqlite_with_rowid=False,
)
Index("protected_calls_protection", protected_calls.c.protection_id)
