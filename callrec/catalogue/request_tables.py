"""Tables of deletion requests: how each stands, what it is about, and what was told of it.

Who asks, and free text, are sealed under a key of each request's own, so that the file of a request can be erased,
too (LAW-45). What is in clear names nobody: `request check` reads it without any key.
"""

from __future__ import annotations

from sqlalchemy import Column, Date, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from callrec.catalogue.tables import UtcDateTime, metadata

requests = Table(
    "requests",
    metadata,
    Column("request_id", String(36), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("state", String(32), nullable=False),
    Column("channel", String(16), nullable=False),
    # Stored once, immutable (LAW-16).
    Column("received_at", UtcDateTime, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("opened_by", String(64), nullable=False),
    Column("identity_at", UtcDateTime),
    Column("verified_method", String(16)),
    Column("verified_by", String(64)),
    Column("verified_at", UtcDateTime),
    Column("approved_by", String(64)),
    Column("approved_at", UtcDateTime),
    Column("plan_hash", String(64)),
    # Random ids only: calls, parties, holds.
    Column("plan", Text),
    # The party that goes with its calls, a random id.
    Column("party_id", String(36)),
    Column("ground", String(40)),
    Column("extended_on", Date),
    Column("executed_by", String(64)),
    Column("executed_at", UtcDateTime),
    Column("completed_at", UtcDateTime),
    # When nothing could happen to it any more; its file is kept two years from then (LAW-45).
    Column("closed_at", UtcDateTime),
    Column("key_id", String(36), nullable=False),
    # Who asks, what is searched by, and the words of a refusal, an extension or a withdrawal; JSON.
    Column("body", LargeBinary, nullable=False),
)
Index("requests_state", requests.c.state, requests.c.received_at)

# `found` until it is approved, then `erase` or `keep` as its plan says, `erased` once it is gone.
request_calls = Table(
    "request_calls",
    metadata,
    Column("request_id", String(36), ForeignKey("requests.request_id"), primary_key=True),
    Column("call_id", String(36), primary_key=True),
    Column("action", String(8), nullable=False),
    Column("reason", String(32), nullable=False),
    sqlite_with_rowid=False,
)
Index("request_calls_call", request_calls.c.call_id)

# The last day on which each level of each clock was told, so that none is told twice.
request_alerts = Table(
    "request_alerts",
    metadata,
    Column("request_id", String(36), ForeignKey("requests.request_id"), primary_key=True),
    Column("clock", String(16), primary_key=True),
    Column("level", String(16), primary_key=True),
    Column("due", Date, primary_key=True),
    Column("day", Date, nullable=False),
    sqlite_with_rowid=False,
)

request_stores = Table(
    "request_stores",
    metadata,
    Column("request_id", String(36), ForeignKey("requests.request_id"), primary_key=True),
    Column("store", String(80), primary_key=True),
    # erased, not_present, failed, beyond_use, ticked or outstanding
    Column("state", String(16), nullable=False),
    Column("until", Date),
    Column("at", UtcDateTime),
    Column("by", String(64)),
    sqlite_with_rowid=False,
)

# Whom to tell that what they were given is erased (LAW-38): account names of this machine.
request_notices = Table(
    "request_notices",
    metadata,
    Column("request_id", String(36), ForeignKey("requests.request_id"), primary_key=True),
    Column("recipient", String(64), primary_key=True),
    Column("call_id", String(36), primary_key=True),
    Column("disclosed_at", UtcDateTime, nullable=False),
    sqlite_with_rowid=False,
)

request_history = Table(
    "request_history",
    metadata,
    Column("request_id", String(36), ForeignKey("requests.request_id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("input", String(32), nullable=False),
    Column("state", String(32), nullable=False),
    sqlite_with_rowid=False,
)
