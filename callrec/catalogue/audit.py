"""The audit chain: who did what. The chain runs over ciphertext, so erasing a call's key leaves it whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from callrec.catalogue.items import Row, pack
from callrec.catalogue.sealer import Sealer
from callrec.catalogue.tables import audit
from callrec.catalogue.values import AuditEntry
from callrec.clock import rfc3339
from callrec.errors import IntegrityError

_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Link:
    """An entry of the chain: its number and its hash."""

    number: int
    hash: bytes


BEGINNING = Link(0, bytes(32))
"""What the first entry follows."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry with the time and the key its row needs."""

    entry: AuditEntry
    at: datetime
    key_id: str | None
    key: bytes | None


def _hash(row: Mapping[str, Any]) -> bytes:
    """Return the hash of an entry: over the one before, the clear fields and the sealed body."""
    clear = [row["number"], rfc3339(row["at"]), row["actor"], row["action"], row["subject"], row["key_id"]]
    body: bytes = row["body"] or b""
    text = json.dumps(clear, separators=(",", ":")).encode()
    return hashlib.sha256(row["previous"] + len(text).to_bytes(4, "big") + text + body).digest()


def add(connection: Connection, draft: Draft, sealer: Sealer) -> int:
    """Add an entry inside the writer's transaction; return its number. Without any key it holds no detail."""
    newest = select(audit.c.number, audit.c.hash).order_by(audit.c.number.desc()).limit(1)
    last = connection.execute(newest).one_or_none()
    number = 1 if last is None else last.number + 1
    body: bytes | None = None
    if draft.key is not None:
        plain = pack(draft.entry.detail)
        body = sealer.seal(draft.key, plain, table="audit", row=str(number), field="body")
    row = {
        "number": number,
        # Milliseconds: what is hashed is what is stored.
        "at": draft.at.replace(microsecond=draft.at.microsecond // 1000 * 1000),
        "actor": draft.entry.actor,
        "action": draft.entry.action,
        "subject": draft.entry.subject,
        "key_id": draft.key_id,
        "body": body,
        "previous": BEGINNING.hash if last is None else last.hash,
    }
    connection.execute(insert(audit), [row | {"hash": _hash(row)}])
    return int(number)


def rows(connection: Connection, after: int, limit: int) -> list[dict[str, Any]]:
    """Return entries as they are stored, in order."""
    query = select(audit).where(audit.c.number > after).order_by(audit.c.number).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]


async def read(found: Sequence[Row], sealer: Sealer) -> list[dict[str, Any]]:
    """Return entries with their details opened; None where the key is gone."""
    keys = await sealer.load_many({row["key_id"] for row in found if row["key_id"] is not None})
    return [
        {
            "number": row["number"],
            "at": rfc3339(row["at"]),
            "actor": row["actor"],
            "action": row["action"],
            "subject": row["subject"],
            "detail": _detail(row, keys, sealer),
        }
        for row in found
    ]


def _detail(row: Row, keys: Mapping[str, bytes], sealer: Sealer) -> dict[str, Any] | None:
    key = sealer.system_key("node") if row["key_id"] is None else keys.get(row["key_id"])
    if key is None or row["body"] is None:
        return None
    plain = sealer.open_sealed(key, row["body"], table="audit", row=str(row["number"]), field="body")
    detail: dict[str, Any] = json.loads(plain)
    return detail


def verify_some(connection: Connection, checked: Link) -> Link:
    """Check the next thousand entries, each against the one before; return the last, `checked` where none is left.

    Raises:
        IntegrityError: at the first that does not follow.
    """
    previous, number = checked.hash, checked.number
    for row in rows(connection, number, _CHUNK):
        number += 1
        if row["number"] != number or row["previous"] != previous or row["hash"] != _hash(row):
            raise IntegrityError(f"audit entry {number}: found a break in the chain, expected an unaltered entry")
        previous = row["hash"]
    return Link(number, previous)
