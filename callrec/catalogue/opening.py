"""Opening sealed identities, many at a time and off the event loop."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from callrec.catalogue.items import Row
from callrec.catalogue.sealer import Sealer
from callrec.errors import IntegrityError

log = logging.getLogger("callrec.catalogue")

_FEW = 8


async def open_identities(sealer: Sealer, rows: Sequence[Row]) -> list[dict[str, Any] | None]:
    """Return each row's identity, None where its key is gone or was never there, or it does not verify."""
    keys = await sealer.load_many({row["identity_key_id"] for row in rows if row["identity"] is not None})
    if len(rows) <= _FEW:
        return [_open(sealer, row, keys) for row in rows]
    return await asyncio.to_thread(lambda: [_open(sealer, row, keys) for row in rows])


def _open(sealer: Sealer, row: Row, keys: Mapping[str, bytes]) -> dict[str, Any] | None:
    key = keys.get(row["identity_key_id"])
    if row["identity"] is None or key is None:
        return None
    try:
        plain = sealer.open_sealed(key, row["identity"], table="calls", row=row["call_id"], field="identity")
    except IntegrityError as error:
        # One altered row must not hide all others of a list; the log tells, `store verify` fails.
        log.error("call %s: %s", row["call_id"], error)  # noqa: TRY400 - no trace wanted
        return None
    identity: dict[str, Any] = json.loads(plain)
    return identity
