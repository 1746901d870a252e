"""What a row looks like to people and programs: the contract's item, and the data of an event."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from callrec.catalogue.indexing import IndexKeys, caller_ref, keyed_hash, outside_number
from callrec.catalogue.values import CallIdentity, Item, NumbersMode
from callrec.clock import rfc3339

Row = Mapping[str, Any]
Identity = Mapping[str, Any]

NUMBER_FIELDS = ("network_number", "presentation_number", "called_number", "diverting_number")
_CLEAR_FIELDS = (
    "call_id",
    "recording_id",
    "call_reference",
    "sequence",
    "in_progress",
    "outcome",
    "outcome_reason",
    "cut",
    "direction",
)
_TIMES = ("started_at", "answered_at", "ended_at", "recording_started_at")
_AFTER_NUMBERS = ("cli_status", "cli_trust", "country", "number_type", "area")


def identity_document(identity: CallIdentity, keys: IndexKeys | None) -> dict[str, Any]:
    """Return what is sealed of an identity; a hidden number only as the policy says (CLI-12)."""
    document = {name: value for name, value in asdict(identity).items() if value}
    hidden = document.pop("hidden_number", None)
    sealed = document.pop("hidden_sealed", False)
    if hidden and keys is not None:
        document["hidden_hash"] = keyed_hash(keys.number, hidden).hex()
        if sealed:
            document["hidden_number"] = hidden
    return document


def pack(document: Mapping[str, Any]) -> bytes:
    """Return a document as compact JSON; half a character in it must not cost the whole row."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")


def item_of(row: Row, identity: Identity | None, ref: str | None = None) -> Item:
    """Return a row as the contract's item.

    Args:
        row: the row.
        identity: None where its key is gone or was never there.
        ref: what people call the party it belongs to.
    """
    known = identity or {}
    item: Item = {name: row[name] for name in _CLEAR_FIELDS}
    for name in _TIMES:
        item[name] = _time(row[name])
    item["duration_seconds"] = _seconds(row["started_at"], row["ended_at"])
    for name in ("network_number", "presentation_number", "presentation_other", "called_number", "diverting_number"):
        item[name] = known.get(name)
    item["withheld"] = row["withheld"]
    item["withheld_reasons"] = row["withheld_reasons"] or []
    for name in _AFTER_NUMBERS:
        item[name] = row[name]
    item["flags"] = row["flags"] or []
    item["display_name"] = known.get("display_name")
    item["relationship_id"] = ref
    item["capture_rule"] = row["capture_rule"]
    item["retention_class"] = row["retention_class"]
    item["delete_on"] = None if row["delete_on"] is None else row["delete_on"].isoformat()
    item["holds"] = []
    item["notice"] = row["notice"]
    item["legs"] = row["legs"] or []
    item["segments"] = row["segments"] or []
    return item


def _time(instant: datetime | None) -> str | None:
    return None if instant is None else rfc3339(instant)


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    if start is None or end is None:
        return None
    return round((end - start).total_seconds(), 3)


def event_data(item: Item, mode: NumbersMode, caller_ref_key: bytes | None) -> dict[str, Any]:
    """Return the data of an event about a call: the item without name, its numbers as `[mqtt] numbers` says.

    Under `hash` every number is null and the outside party is `caller_ref`, `country` and `number_type`;
    under `last4` a number is `*` and its last four digits; under `full` it is E.164.
    """
    data = {name: value for name, value in item.items() if name != "display_name"}
    for name in NUMBER_FIELDS:
        data[name] = shown(item[name], mode)
    if mode is not NumbersMode.FULL:
        # It may hold a name or digits that are no E.164 number.
        data["presentation_other"] = None
    number = None if item["withheld"] else outside_number(item["direction"], item)
    data["caller_ref"] = None if number is None or caller_ref_key is None else caller_ref(caller_ref_key, number)
    return data


def shown(number: str | None, mode: NumbersMode) -> str | None:
    """Return a number as events may carry it."""
    if number is None or mode is NumbersMode.HASH:
        return None
    return number if mode is NumbersMode.FULL else f"*{number[-4:]}"
