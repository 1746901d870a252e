"""Promises kept by a running recorder, as people at a company keep them: with the `callrec` command."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.house import House
from tests.support.processes import wait_until
from tests.support.recorder import Recorder

ANN, BOB = "+447700900456", "+442079460123"
NAME = "Ann Persimmon-Example"


@pytest.fixture
def house() -> Iterator[House]:
    """A house of its own: what is erased and stopped here would be missed by others."""
    with House() as house:
        yield house


def talked(house: House, *callers: str) -> list[dict[str, Any]]:
    """Let people call and be recorded; return the rows."""
    talks = [house.connect_dialled(talk) for talk in [house.dial(caller) for caller in callers]]
    for talk in talks:
        talk.talk(0.5)
        talk.hang_up()
    return house.items_of(talks)


def let_one_person_decide(recorder: Recorder) -> None:
    """Switch four eyes off as an operator does: in the file, and by a reload."""
    text = recorder.configuration.read_text()
    recorder.configuration.write_text(text.replace("[privacy]\n", "[privacy]\nfour_eyes = false\n"))
    recorder.process.signal(signal.SIGHUP)


def test_a_deletion_from_the_call_to_the_certificate(house: House) -> None:
    """N-5, N-6: taken in, verified, authorised by somebody else, erased everywhere, read back, certified."""
    recorder = house.recorder
    hers, his = talked(house, ANN, BOB)
    party = recorder.must("relationship", "set", "C/1042", "--name", NAME, "--number", "07700 900456", "--json").json
    assert (party["relationship_id"], party["calls"]) == ("C/1042", 1)
    assert recorder.must("show", hers["call_id"], "--json").json["relationship_id"] == "C/1042"

    new = recorder.must("request", "new", "--number", "07700 900456", "--channel", "telephone", "--json").json
    assert (new["state"], new["calls"]) == ("received", 1)
    recorder.must("request", "verify", new["id"][:8], "--method", "call_back")
    refused = recorder.run("request", "approve", new["id"])
    assert (refused.code, "four_eyes" in refused.err) == (5, True)
    let_one_person_decide(recorder)
    wait_until(lambda: recorder.run("request", "approve", new["id"]).code == 0, "one person may decide")
    assert recorder.run("request", "execute", new["id"]).code == 2, "nothing is erased without a yes"
    assert len(recorder.find()) == 2
    done = recorder.must("request", "execute", new["id"], "--yes", "--json").json
    assert (done["state"], done["result"], done["erased"]) == ("completed", "whole", [hers["call_id"]])
    assert {one["state"] for one in done["stores"]} <= {"erased", "not_present"}

    assert [item["call_id"] for item in recorder.find()] == [his["call_id"]]
    for words in (("show", hers["call_id"]), ("export", hers["call_id"]), ("relationship", "show", "C/1042")):
        assert recorder.run(*words).code == 3, words
    assert recorder.find("07700 900456") == []
    assert b"we deleted 1 call" in recorder.must("request", "letter", new["id"], "completion").out
    told = [json.loads(line) for line in recorder.must("events", "tail", "--json").out.splitlines()]
    verbs = [event["type"] for event in told if event.get("subject") == new["id"]]
    assert [verb.split(".")[-2] for verb in verbs] == ["opened", "approved", "executed", "completed"]
    assert recorder.must("request", "check").code == 0
    actions = [one["action"] for one in recorder.must("audit", "list", "--action", "request", "--json").json["items"]]
    assert [name for name in actions if name.split(".")[1] in {"new", "verify", "approve", "execute"}] == [
        "request.new",
        "request.verify",
        "request.approve",
        "request.execute",
    ]
    recorder.must("audit", "verify")


def test_a_certificate_is_verified_without_the_recorder(house: House) -> None:
    """N-6: anybody who has the public key; a changed word and another key are exit code 7."""
    recorder = house.recorder
    talked(house, ANN)
    let_one_person_decide(recorder)
    request = recorder.must("request", "new", "--number", ANN, "--json").json["id"]
    recorder.must("request", "verify", request, "--method", "account")
    wait_until(lambda: recorder.run("request", "approve", request).code == 0, "one person may decide")
    assert recorder.run("request", "certificate", request).code == 5, "nothing is certified before it is done"
    recorder.must("request", "execute", request, "--yes")
    certificate, key = recorder.directory / "certificate.json", recorder.directory / "key.pem"
    recorder.must("request", "certificate", request, "--to", str(certificate))
    recorder.must("keys", "public", "--to", str(key))
    recorder.stop()

    words = ("request", "certificate", "--public-key", str(key), "--verify")
    recorder.must(*words, str(certificate))
    document = json.loads(certificate.read_text())
    assert (document["request_id"], document["result"], len(document["erased"])) == (request, "whole", 1)
    assert ANN[3:] not in certificate.read_text()
    certificate.write_text(json.dumps({**document, "result": "partly"}))
    assert recorder.run(*words, str(certificate)).code == 7
    certificate.write_text(json.dumps(document))
    other = Recorder(house.plan)
    try:
        other.set_up(afresh=True).must("keys", "public", "--to", str(key))
    finally:
        other.close()
    assert recorder.run(*words, str(certificate)).code == 7


def test_what_is_held_stays_and_goes_when_it_is_released(house: House) -> None:
    """LAW-53: a hold beats deletion and erasure; the request is refused in part, and goes on at the release."""
    recorder = house.recorder
    (hers,) = talked(house, ANN)
    let_one_person_decide(recorder)
    words = ("hold", "add", hers["call_id"], "--reason", "claim", "--review", "in 3 months", "--json")
    hold = recorder.must(*words).json["id"]
    assert [one["kind"] for one in recorder.find()[0]["holds"]] == ["legal_hold"]
    assert recorder.run("delete", hers["call_id"], "--yes").code == 5
    request = recorder.must("request", "new", "--number", ANN, "--json").json["id"]
    recorder.must("request", "verify", request, "--method", "account")
    wait_until(lambda: recorder.run("request", "approve", request).code == 0, "one person may decide")
    partly = recorder.must("request", "execute", request, "--yes", "--json").json
    assert (partly["state"], partly["erased"]) == ("legal_hold", [])
    assert partly["kept"] == [{"call_id": hers["call_id"], "reason": "legal_hold"}]
    assert recorder.must("show", hers["call_id"]).code == 0

    recorder.must("hold", "release", hold, "--reason", "settled")
    assert recorder.must("request", "show", request, "--json").json["state"] == "authorised"
    done = recorder.must("request", "execute", request, "--yes", "--json").json
    assert (done["state"], done["result"], done["erased"]) == ("completed", "whole", [hers["call_id"]])
    assert recorder.find() == []


def test_whoever_is_stopped_is_not_recorded_again(house: House) -> None:
    """N-5: the next call passes unrecorded, and after the stop is lifted they may be recorded again."""
    recorder = house.recorder
    stop = recorder.must("stop", "add", "--number", "07700 900456", "--reason", "asked", "--json").json["id"]
    talk = house.dial(ANN)
    house.reach_desk(talk)
    house.pick_up(talk)
    house.hear_notice(talk)  # the desk's answer: there is no notice
    talk.hang_up()
    assert house.item_of(talk)["outcome_reason"] == "stop_list"
    (listed,) = recorder.must("stop", "list", "--json").json["items"]
    assert (listed["id"], listed["number"], listed["reason"]) == (stop, ANN, "asked")
    recorder.must("stop", "remove", stop[:8])
    assert recorder.must("stop", "list", "--json").json["items"] == []
    talked(house, ANN)
    reasons = ["complete", "stop_list"]
    wait_until(lambda: [item["outcome_reason"] for item in recorder.find(ANN)] == reasons, "both calls are over", 15)


def test_retention_deletes_what_is_due_once_somebody_has_approved_it(house: House) -> None:
    """LAW-56, LAW-61: explained, planned, refused, approved by name, deleted; a customer's call stays."""
    recorder = house.recorder
    hers, his = talked(house, ANN, BOB)
    recorder.must("relationship", "set", "C-1", "--number", BOB, "--name", NAME)
    explained = recorder.must("retention", "explain", hers["call_id"][:8], "--json").json
    assert (explained["verdict"], explained["delete_on"]) == ("keep", hers["delete_on"])
    assert recorder.must("retention", "explain", his["call_id"], "--json").json["delete_on"] is None
    assert recorder.must("retention", "plan", "--json").json["items"] == []
    plan = recorder.must("retention", "plan", "--at", "in 30 months", "--json").json
    assert [item["call_id"] for item in plan["items"]] == [hers["call_id"]]
    moved = recorder.must("retention", "simulate", "--class", "unmatched=1y", "--json").json
    assert [item["call_id"] for item in moved["items"]] == [hers["call_id"]]

    recorder.stop()
    house.plan.environment["CALLREC_CLOCK_OFFSET"] = str(int(timedelta(days=900).total_seconds()))
    recorder.restart()
    refused = recorder.run("retention", "run")
    assert (refused.code, "first run is a report" in refused.err) == (5, True)
    assert len(recorder.find()) == 2
    due = recorder.must("retention", "plan", "--json").json
    assert due["hash"] == plan["hash"]
    assert recorder.run("retention", "approve", "0" * 64).code == 5
    recorder.must("retention", "approve", due["hash"])
    assert recorder.must("retention", "run", "--json").json["deleted"] == 1
    assert [item["call_id"] for item in recorder.find()] == [his["call_id"]]
    assert "retention.run" in recorder.must("audit", "list", "--action", "retention").out.decode()


def test_a_deadline_is_told_with_and_without_a_recorder(house: House) -> None:
    """LAW-76: exit code 1 and a line for the monitoring system, also while the recorder is down."""
    recorder = house.recorder
    recorder.must("relationship", "set", "C-1", "--name", NAME, "--number", ANN)
    assert recorder.must("request", "check", "-o", "nagios").out.startswith(b"CALLREC REQUESTS OK")
    received = (datetime.now(UTC) - timedelta(days=40)).isoformat()
    request = recorder.must("request", "new", "--name", NAME, "--received", received, "--json").json
    for _ in ("running", "stopped"):
        ran = recorder.run("request", "check", "--json")
        assert (ran.code, ran.json["overdue"], ran.json["items"][0]["id"]) == (1, 1, request["id"])
        line = recorder.run("request", "check", "-o", "nagios")
        assert (line.code, line.out[:25]) == (2, b"CALLREC REQUESTS CRITICAL")
        recorder.stop()
