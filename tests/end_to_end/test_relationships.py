"""Relationships in a running recorder: set by command, tied to real calls, imported, and there after a restart."""

from __future__ import annotations

import json
from pathlib import Path

from callrec.errors import ExitCode
from tests.support.house import House

CUSTOMER, STRANGER = "+447700900131", "+447700900132"


def talk(house: House, caller: str) -> dict[str, object]:
    """Let somebody call and talk; return the call."""
    conversation = house.connect(caller)
    conversation.talk(0.5)
    conversation.hang_up()
    return house.item_of(conversation)


def test_calls_belong_to_who_held_their_number(house: House, tmp_path: Path) -> None:
    """LAW-56, LAW-58: a customer's call stays, a stranger's becomes a customer's by an import, and goes by its end."""
    recorder = house.recorder
    told = recorder.must("relationship", "set", "C-1", "--name", "Jane", "--number", "07700 900131", "--json").json
    assert told["kind"] == "customer"
    item = talk(house, CUSTOMER)
    assert (item["relationship_id"], item["retention_class"], item["delete_on"]) == ("C-1", "customer", None)
    stranger = talk(house, STRANGER)
    assert (stranger["relationship_id"], stranger["retention_class"]) == (None, "unmatched")
    answered = [event for event in _events(house) if event["type"] == "com.callrec.call.answered.v1"]
    assert answered[0]["data"]["relationship_id"] == "C-1"

    file, mapping = tmp_path / "crm.csv", tmp_path / "map.toml"
    file.write_text("No,Tel\nC-2,07700 900132\n")
    mapping.write_text('[columns]\n"No" = "ref"\n"Tel" = "number"\n')
    asked = ("relationship", "import", str(file), "--map", str(mapping), "--json")
    dry = recorder.must(*asked, "--dry-run").json
    assert [move["call_id"] for move in dry["moves"]] == [stranger["call_id"]]
    assert recorder.run("relationship", "show", "C-2").code == ExitCode.NOT_FOUND
    assert recorder.must(*asked).json == {**dry, "dry_run": False}
    file.write_text("No,Tel\nC-3,12\n")
    refused = recorder.run(*asked)
    assert refused.code == ExitCode.USAGE
    assert "line 2: number '12'" in refused.err

    recorder.restart()
    shown = recorder.must("show", str(stranger["call_id"]), "--json").json
    assert (shown["relationship_id"], shown["delete_on"]) == ("C-2", None)
    today = str(stranger["started_at"])[:10]
    ended = recorder.must("relationship", "end", "C-2", "--date", today, "--json").json
    assert (ended["ended_on"], ended["calls"]) == (today, 1)
    assert recorder.must("show", str(stranger["call_id"]), "--json").json["delete_on"] == today


def _events(house: House) -> list[dict[str, object]]:
    return [json.loads(line) for line in house.recorder.must("events", "tail", "--json").out.splitlines()]
