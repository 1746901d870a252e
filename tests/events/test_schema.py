"""The schemas: one for each event of the contract, valid themselves, and strict where privacy is at stake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from callrec.events import EVENT_TYPES, load_retained_schema, load_schema
from tests.events.broker import envelope

CALL_ID = "2b6f9c1e-7c0f-4a2e-9a39-0d5c4f6f1a10"
PAGE = Path(__file__).parents[2] / "docs" / "events.md"
CONTRACT = [
    "call/started",
    "call/answered",
    "call/transferred",
    "call/one_way_audio",
    "call/ended",
    "notice/completed",
    "recording/started",
    "recording/sealed",
    "recording/gap",
    "recording/paused",
    "recording/resumed",
    "recording/erased",
    "subject/erased",
    "request/opened",
    "request/approved",
    "request/refused",
    "request/due_soon",
    "request/overdue",
    "request/executed",
    "request/completed",
    "system/started",
    "system/stopping",
    "system/degraded",
    "system/recovered",
]
WAY = {"packets_lost": 1, "loss_percent": 0.2, "jitter_ms": 1.5, "mos": 4.3}
QUALITY = {"received": {**WAY, "jitter_max_ms": 9.0}, "reported": None, "round_trip_ms": 41.5}
ITEM: dict[str, Any] = {
    "call_id": CALL_ID,
    "recording_id": "7d0e3d4c-1111-4222-8333-444455556666",
    "call_reference": "7K2M9QX",
    "sequence": 12,
    "in_progress": False,
    "outcome": "recorded",
    "outcome_reason": "complete",
    "cut": False,
    "direction": "inbound",
    "started_at": "2026-11-22T10:00:00.000Z",
    "answered_at": "2026-11-22T10:00:09.000Z",
    "ended_at": "2026-11-22T10:05:00.000Z",
    "recording_started_at": "2026-11-22T10:00:09.000Z",
    "duration_seconds": 300.0,
    "network_number": None,
    "presentation_number": None,
    "presentation_other": None,
    "called_number": None,
    "diverting_number": None,
    "caller_ref": "5f3c",
    "country": "GB",
    "number_type": "geographic",
    "area": "01632",
    "withheld": False,
    "withheld_reasons": [],
    "cli_status": "available",
    "cli_trust": "asserted",
    "flags": [],
    "relationship_id": None,
    "capture_rule": "inbound",
    "retention_class": "unmatched",
    "delete_on": "2028-11-22",
    "holds": [],
    "notice": {
        "id": "training",
        "version": "1",
        "completed": True,
        "heard_ms": 6000,
        "grade": "confirmed",
        "interrupted_by": None,
    },
    "legs": [
        {"leg_id": "a", "peer": "trunk", "codec": "PCMA", "packets_received": 1, "packets_lost": 0, "quality": QUALITY}
    ],
    "segments": [{"start_ms": 0, "end_ms": 291000, "state": "recorded", "reason": None}],
}
ERASED = {"call_id": CALL_ID, "recording_id": CALL_ID, "reason": "request"}
REQUEST = {"id": "R1", "state": "verified", "promise_due_local_date": "2026-12-20"}
DUE = {**REQUEST, "clock": "promise", "level": "amber", "age_days": 21}
PROBLEM = {"code": "storage_unavailable", "since": "2026-11-22T10:00:00.000Z", "text": "disk full"}
DATA: dict[str, dict[str, Any]] = {
    "call": ITEM,
    "notice": ITEM,
    "recording": ITEM,
    "call/transferred": {**ITEM, "flags": ["transferred"]},
    "call/one_way_audio": {**ITEM, "flags": ["one_way_audio"], "leg_id": "a", "side": "ours", "over": False},
    "recording/gap": {**ITEM, "start_ms": 1000, "end_ms": 2000, "reason": "disk_slow"},
    "recording/paused": {**ITEM, "by": "alice", "purpose": "card_payment", "at_ms": 1000},
    "recording/resumed": {**ITEM, "by": "limit", "expired": True, "at_ms": 301000},
    "recording/erased": ERASED,
    "call/started": {**ITEM, "in_progress": True, "outcome": None, "outcome_reason": None},
    "subject/erased": {"caller_refs": ["5f3c"], "call_ids": [CALL_ID]},
    "request": REQUEST,
    "request/due_soon": DUE,
    "request/overdue": {**DUE, "level": "critical"},
    "system/started": {"version": "0.1.0", "pid": 1},
    "system/stopping": {"reason": "drain"},
    "system/degraded": PROBLEM,
    "system/recovered": PROBLEM,
    "event/erased": {},
}


def document(noun: str, verb: str) -> dict[str, Any]:
    """Return an example of an event."""
    data = DATA.get(f"{noun}/{verb}") or DATA.get(noun) or {}
    subject = {} if noun in {"system", "subject", "event"} else {"subject": CALL_ID}
    return {**envelope(noun, verb, 7, data), **subject}


@pytest.mark.parametrize(("noun", "verb"), EVENT_TYPES)
def test_every_event_has_a_schema_that_takes_an_example(noun: str, verb: str) -> None:
    """Each is valid JSON Schema 2020-12 and takes what contract.md describes."""
    schema = load_schema(noun, verb)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(document(noun, verb))


@pytest.mark.parametrize(("noun", "verb"), EVENT_TYPES)
@pytest.mark.parametrize("missing", ["id", "source", "type", "time", "sequence", "data", "specversion"])
def test_an_event_without_its_envelope_is_refused(noun: str, verb: str, missing: str) -> None:
    """CloudEvents 1.0, and our sequence."""
    broken = {name: value for name, value in document(noun, verb).items() if name != missing}
    with pytest.raises(ValidationError):
        Draft202012Validator(load_schema(noun, verb)).validate(broken)


@pytest.mark.parametrize(
    "noun_verb", [name for name in CONTRACT if name.startswith(("call/", "notice/", "recording/s"))]
)
def test_a_name_is_never_in_an_event(noun_verb: str) -> None:
    """contract.md: never `display_name`; and an event about a call has its subject and caller_ref."""
    noun, _, verb = noun_verb.partition("/")
    validator = Draft202012Validator(load_schema(noun, verb))
    good = document(noun, verb)
    for broken in (
        {**good, "data": {**good["data"], "display_name": "Ann"}},
        {**good, "data": {name: value for name, value in good["data"].items() if name != "caller_ref"}},
        {name: value for name, value in good.items() if name != "subject"},
        {**good, "data": {**good["data"], "outcome_reason": "other"}},
    ):
        assert list(validator.iter_errors(broken)), broken


def test_the_list_is_that_of_the_contract() -> None:
    """Every event of contract.md, and the stub of an erased one."""
    assert [f"{noun}/{verb}" for noun, verb in EVENT_TYPES] == [*CONTRACT, "event/erased"]


def test_an_unknown_event_has_no_schema() -> None:
    """Neither by accident nor by a path."""
    for noun, verb in (("call", "lost"), ("..", "x")):
        with pytest.raises(KeyError):
            load_schema(noun, verb)
    with pytest.raises(KeyError):
        load_retained_schema("state")


def test_every_event_and_topic_is_documented() -> None:
    """docs/events.md has a row for each event class and each retained topic."""
    text = PAGE.read_text()
    rows = [
        *(f"| `{noun}/{verb}` |" for noun, verb in EVENT_TYPES),
        *(f"| `callrec/<node>/{name}` |" for name in ("state", "info", "health", "stats")),
    ]
    assert [row for row in rows if row not in text] == []
