"""Tables of outside parties: who they are to us, whose number was whose from when to when, contracts, imports.

Name, reference and numbers of a party are sealed under a key of its own; numbers and words of names are found by
keyed hashes (LAW-44). Dates and kinds are in clear: retention reads them for every row.
"""

from __future__ import annotations

from sqlalchemy import Column, Date, ForeignKey, Index, Integer, LargeBinary, String, Table

from callrec.catalogue.tables import UtcDateTime, metadata

parties = Table(
    "parties",
    metadata,
    Column("party_id", String(36), primary_key=True),
    Column("ref_lookup", LargeBinary(16), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("started_on", Date),
    Column("ended_on", Date),
    # When somebody, or the feed, last said that the relationship lasts (LAW-60).
    Column("confirmed_on", Date),
    Column("key_id", String(36), nullable=False),
    # {"ref", "name", "numbers": [E.164], "contracts": {contract_id: reference}}
    Column("body", LargeBinary, nullable=False),
)

# A number has one holder at a time: from `since` on, until the day before `until`; the first of all days is "ever".
party_numbers = Table(
    "party_numbers",
    metadata,
    Column("lookup", LargeBinary(16), primary_key=True),
    Column("since", Date, primary_key=True),
    Column("until", Date),
    Column("party_id", String(36), ForeignKey("parties.party_id"), nullable=False),
    sqlite_with_rowid=False,
)
Index("party_numbers_party", party_numbers.c.party_id)

party_names = Table(
    "party_names",
    metadata,
    Column("word", LargeBinary(16), primary_key=True),
    Column("party_id", String(36), ForeignKey("parties.party_id"), primary_key=True),
    sqlite_with_rowid=False,
)
Index("party_names_party", party_names.c.party_id)

contracts = Table(
    "contracts",
    metadata,
    Column("party_id", String(36), ForeignKey("parties.party_id"), primary_key=True),
    Column("contract_id", String(36), primary_key=True),
    Column("starts_on", Date),
    Column("ends_on", Date),
    sqlite_with_rowid=False,
)

# What was asked under an idempotency key, and the answer it had, sealed under the party's key.
party_orders = Table(
    "party_orders",
    metadata,
    Column("order_key", LargeBinary(16), primary_key=True),
    Column("content", LargeBinary(16), nullable=False),
    Column("party_id", String(36), ForeignKey("parties.party_id"), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("answer", LargeBinary, nullable=False),
)
Index("party_orders_party", party_orders.c.party_id)
Index("party_orders_made", party_orders.c.made_at)

# Parties whose calls have to be looked at again; a crash in the middle of it leaves them here.
ties_due = Table(
    "ties_due",
    metadata,
    Column("party_id", String(36), primary_key=True),
)

# An import is checked, stored whole, and only then applied piece by piece: a crash in the middle completes it.
party_imports = Table(
    "party_imports",
    metadata,
    Column("import_id", String(36), primary_key=True),
    # "gathering" or "applying"
    Column("state", String(16), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("key_id", String(36), nullable=False),
)
party_changes = Table(
    "party_changes",
    metadata,
    Column("import_id", String(36), ForeignKey("party_imports.import_id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
