"""Keyed indices: how a number or a name is found without being stored (design: "Keys, and what erasing means").

Nothing here keeps a plain hash of a number: ten thousand million of them are tried in minutes (LAW-44).
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from callrec.catalogue.sealer import Sealer

LOOKUP_BYTES = 16
LAST_DIGITS = 4

_OUTSIDE_OF_INBOUND = ("network_number", "presentation_number")
_OUTSIDE_OF_OUTBOUND = ("called_number",)
_NUMBER_FIELDS = ("network_number", "presentation_number", "called_number", "diverting_number")


@dataclass(frozen=True, slots=True)
class IndexKeys:
    """The keys of the indices, each random and on its own."""

    number: bytes
    last_four: bytes
    name: bytes
    caller_ref: bytes

    @classmethod
    def of(cls, sealer: Sealer) -> IndexKeys | None:
        """Return the keys, or None where there are none."""
        names = ("index", "index_last4", "index_name", "caller_ref")
        keys = [key for name in names if (key := sealer.system_key(name)) is not None]
        return cls(*keys) if len(keys) == len(names) else None


def keyed_hash(key: bytes, text: str) -> bytes:
    """Return the first 128 bits of HMAC-SHA256."""
    return hmac.digest(key, text.encode(), hashlib.sha256)[:LOOKUP_BYTES]


def caller_ref(key: bytes, number: str) -> str:
    """Return the name that events use for a number: the same for the same number, and no way back without the key."""
    return keyed_hash(key, number).hex()


def outside_fields(direction: str) -> tuple[str, ...]:
    """Return which number fields are the outside party's; of a call between our own, none.

    A diverting number is neither: it belongs to whoever forwarded the call, not to the one who spoke.
    """
    match direction:
        case "outbound":
            return _OUTSIDE_OF_OUTBOUND
        case "internal":
            return ()
        case _:
            return _OUTSIDE_OF_INBOUND


def outside_number(direction: str, identity: Mapping[str, Any]) -> str | None:
    """Return the outside party's number; of two, the one the person shows."""
    for name in reversed(outside_fields(direction)):
        if number := identity.get(name):
            return str(number)
    return None


def number_rows(
    keys: IndexKeys, call_id: str, started_at: datetime, direction: str, identity: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the index rows of a call: one for each different number, the outside party's first."""
    ours = [name for name in _NUMBER_FIELDS if name not in outside_fields(direction)]
    wanted: dict[str, bool] = {}
    for name in (*outside_fields(direction), *ours):
        if number := identity.get(name):
            wanted.setdefault(str(number), name not in ours)
    rows = []
    last_seen: set[str] = set()
    for number, outside in wanted.items():
        last = number[-LAST_DIGITS:]
        rows.append(
            {
                "lookup": keyed_hash(keys.number, number),
                "started_at": started_at,
                "call_id": call_id,
                # Once for each call, so that a search by last digits shows no call twice.
                "last_four": None if last in last_seen else keyed_hash(keys.last_four, last),
                "outside": outside,
                "caller_ref": caller_ref(keys.caller_ref, number) if outside else None,
            }
        )
        last_seen.add(last)
    if hidden := identity.get("hidden_hash"):
        rows.append(_hidden_row(bytes.fromhex(hidden), call_id, started_at))
    return rows


def _hidden_row(lookup: bytes, call_id: str, started_at: datetime) -> dict[str, Any]:
    """Return the row of a withheld caller under `keyed_hash` or `sealed`: no reference leaves the store (CLI-12)."""
    return {
        "lookup": lookup,
        "started_at": started_at,
        "call_id": call_id,
        "last_four": None,
        "outside": True,
        "caller_ref": None,
    }


def name_words(name: str) -> list[str]:
    """Return the words of a name as they are compared: no accents, no case, no punctuation, each once."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
    words = "".join(c if c.isalnum() else " " for c in plain.replace("'", "")).split()
    return list(dict.fromkeys(words))


def name_rows(keys: IndexKeys, call_id: str, started_at: datetime, name: str | None) -> list[dict[str, Any]]:
    """Return the index rows of a name: one keyed hash for each word."""
    return [
        {"word": keyed_hash(keys.name, word), "started_at": started_at, "call_id": call_id}
        for word in name_words(name or "")
    ]
