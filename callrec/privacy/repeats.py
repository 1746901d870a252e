"""What is made under an `Idempotency-Key` has an id that follows from it: sent again, it is found, not made again.

So a request or a hold whose answer was lost exists once, even where the recorder was restarted in between, and
nothing has to be stored for it. The id is a keyed hash that says nothing to whoever lacks the node's key (LAW-43).
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import date, timedelta
from uuid import UUID

_CONTEXT = "callrec repeat 1"
_A_DAY = timedelta(days=1)


def repeat_ids(node_key: bytes, what: str, actor: str, idempotency_key: str, today: date) -> tuple[str, str]:
    """Return the id of what is made under a key today, and the one it has if it was made yesterday.

    The date is part of it: a key that somebody takes again after years names something new, never the same id again,
    under which the ledger may know something that was destroyed.

    Args:
        node_key: the node's own key.
        what: what is made, such as `request`.
        actor: who asks; another's key is another key.
        idempotency_key: as it was sent.
        today: a date that every part of the node agrees on: UTC.
    """
    ids = (_id(node_key, f"{_CONTEXT}\n{what}\n{day}\n{actor}\n{idempotency_key}") for day in (today, today - _A_DAY))
    now, before = ids
    return now, before


def _id(key: bytes, text: str) -> str:
    """Return a UUID of version 8 (RFC 9562 5.8)."""
    digest = bytearray(hmac.digest(key, text.encode(), hashlib.sha256)[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return str(UUID(bytes=bytes(digest)))
