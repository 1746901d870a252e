"""What alembic runs: the connection is handed in by `callrec.catalogue.engine`."""

from __future__ import annotations

from alembic import context

from callrec.catalogue import (  # noqa: F401 - they join the metadata
    party_tables,
    protection_tables,
    request_tables,
    retention_tables,
)
from callrec.catalogue.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
