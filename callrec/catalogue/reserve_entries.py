"""Calls as JSON and back, for the reserve journal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import Any

from callrec.catalogue.items import pack
from callrec.catalogue.values import CallChange, CallEnd, CallIdentity, Event, NewCall, Part

_INSTANTS = ("started_at", "answered_at", "recording_started_at", "ended_at")
_DATES = ("delete_on",)
_TUPLES = ("withheld_reasons", "flags", "add_flags", "drop_flags", "legs", "segments", "sip_call_ids")


def without_identity(call: ReservedCall) -> ReservedCall:
    """Return a call without what is personal, for where no key is at hand."""
    new, end = call.new, call.end
    bare = replace(
        new, identity=CallIdentity(), identity_key_id=None, audio_key_id=None, country=None, number_type=None, area=None
    )
    return replace(call, new=bare, end=None if end is None else replace(end, final=replace(end.final, identity=None)))


@dataclass(frozen=True, slots=True)
class ReservedCall:
    """A call that waits: how it began, how it ended if it has, and what its end tells."""

    new: NewCall
    end: CallEnd | None = None
    events: tuple[Event, ...] = ()


def encode(call: ReservedCall) -> bytes:
    """Return a call that waits as JSON."""
    end = None if call.end is None else _plain(asdict(call.end))
    return pack({"new": _plain(asdict(call.new)), "end": end, "events": [_plain(asdict(one)) for one in call.events]})


def decode(data: bytes) -> ReservedCall:
    """Return what `encode` was given."""
    document = json.loads(data)
    new = _fields(document["new"])
    new["identity"] = CallIdentity(**_fields(new["identity"]))
    end = None if document["end"] is None else _end(document["end"])
    return ReservedCall(NewCall(**new), end, tuple(Event(**event) for event in document.get("events", ())))


def _end(document: Mapping[str, Any]) -> CallEnd:
    end = _fields(document)
    final = _fields(end["final"])
    if final["identity"] is not None:
        final["identity"] = CallIdentity(**_fields(final["identity"]))
    final["parts"] = tuple(Part(**part) for part in final["parts"])
    return CallEnd(**{**end, "final": CallChange(**final)})


def _plain(value: Any) -> Any:
    match value:
        case datetime() | date():
            return value.isoformat()
        case Mapping():
            return {name: _plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case _:
            return value


def _fields(document: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(document)
    for name, value in fields.items():
        if value is None:
            continue
        if name in _INSTANTS:
            fields[name] = datetime.fromisoformat(value)
        elif name in _DATES:
            fields[name] = date.fromisoformat(value)
        elif name in _TUPLES:
            fields[name] = tuple(value)
    return fields
