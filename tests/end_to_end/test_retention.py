"""Retention in a running recorder, two years on: what the plan lists goes on a person's word, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.house import House

CALLER, HELD = "+447700900141", "+447700900142"
YEARS_S = 800 * 86_400


@pytest.fixture
def house() -> Iterator[House]:
    """A house of its own: its clock is moved by years."""
    with House() as house:
        yield house


def talk(house: House, caller: str) -> str:
    """Let somebody call and talk; return the call."""
    conversation = house.connect(caller)
    conversation.talk(0.5)
    conversation.hang_up()
    return str(house.item_of(conversation)["call_id"])


def test_a_call_goes_when_its_class_lets_it_go(house: House) -> None:
    """LAW-56, LAW-61, LAW-62: explained, planned, approved by a person, deleted; what is held stays."""
    recorder = house.recorder
    going, held = talk(house, CALLER), talk(house, HELD)
    explained = recorder.must("retention", "explain", going[:12], "--json").json
    assert (explained["verdict"], explained["retention_class"]) == ("keep", "unmatched")
    assert recorder.must("show", going, "--json").json["delete_on"] == explained["delete_on"]
    day = explained["delete_on"]
    plan = recorder.must("retention", "plan", "--at", day, "--json").json
    assert {(item["call_id"], item["action"]) for item in plan["items"]} == {(going, "delete"), (held, "delete")}
    assert recorder.must("retention", "plan", "--json").json["items"] == []
    moved = recorder.must("retention", "simulate", "--class", "unmatched=1y", "--json").json
    assert {item["call_id"] for item in moved["items"]} == {going, held}

    review = (datetime.now(UTC) + timedelta(days=60)).date().isoformat()
    recorder.must("hold", "add", held, "--reason", "claim", "--review", review)
    assert recorder.must("retention", "run", "--json").json["deleted"] == 0

    recorder.plan.environment["CALLREC_CLOCK_OFFSET"] = str(YEARS_S)
    recorder.stop()
    recorder.restart()
    assert recorder.must("retention", "explain", held, "--json").json["cause"] == "legal_hold"
    refused = recorder.run("retention", "run")
    assert (refused.code, "the first run is a report" in refused.err) == (5, True)
    assert len(recorder.find()) == 2
    plan = recorder.must("retention", "plan", "--json").json
    assert [item["call_id"] for item in plan["items"]] == [going]
    assert recorder.run("retention", "approve", "0" * 64).code == 5
    recorder.must("retention", "approve", plan["hash"])
    assert recorder.must("retention", "run", "--json").json["deleted"] == 1
    assert [item["call_id"] for item in recorder.find()] == [held]
    assert recorder.run("show", going).code == 3
    assert recorder.run("retention", "explain", going).code == 3
    assert recorder.find(CALLER) == []
    assert "last run" in recorder.must("retention", "show").out.decode()
