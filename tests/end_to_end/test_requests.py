"""Deletion requests against a running recorder: a call in the middle, a backup before it, and a kill at any moment."""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.support.house import House
from tests.support.processes import wait_until
from tests.support.recorder import Plan, Recorder
from tests.support.stock import stock

ANN = "+447700900456"


def one_person_decides(recorder: Recorder) -> None:
    """Switch four eyes off before a start: this user is the only one there is."""
    text = recorder.configuration.read_text()
    recorder.configuration.write_text(text.replace("[privacy]\n", "[privacy]\nfour_eyes = false\n"))


def start(recorder: Recorder) -> None:
    """Start again, however busy the machine is: these tests hold no limit of time."""
    recorder.start(wait=False)
    recorder.wait_ready(90)


def ask(recorder: Recorder, method: str, path: str, document: Any = None) -> tuple[int, Any]:
    """Ask the API without the half second that starting a command takes; return status and document."""
    address = recorder.directory / "api.sock"
    wait_until(address.is_socket, "people are answered")
    connection = http.client.HTTPConnection("callrec", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(str(address))
        body = None if document is None else json.dumps(document)
        connection.request(method, f"/api/v1/{path}", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


def approved(recorder: Recorder, number: str) -> str:
    """Take a request in, verify and approve it; return its id."""
    status, request = ask(recorder, "POST", "requests", {"number": number, "channel": "web"})
    assert status < 300, request
    for step, given in (("verify", {"method": "account"}), ("approve", None)):
        status, said = ask(recorder, "POST", f"requests/{request['id']}/{step}", given)
        assert status < 300, said
    return str(request["id"])


def shown(recorder: Recorder, request_id: str) -> Any:
    """Return what a request shows."""
    status, document = ask(recorder, "GET", f"requests/{request_id}")
    assert status == 200, document
    return document


@pytest.fixture
def house() -> Iterator[House]:
    """A house of its own: what is erased here would be missed by others."""
    with House() as house:
        house.recorder.stop()
        one_person_decides(house.recorder)
        house.recorder.restart()
        yield house


def test_a_live_call_is_stopped_at_once_and_goes_when_it_ends(house: House) -> None:
    """LAW-39: nothing more is stored of it, the parties talk on, and it is erased with the rest; a backup is named."""
    recorder = house.recorder
    before = house.connect(ANN)
    before.talk(0.3)
    before.hang_up()
    (earlier,) = house.items_of([before])
    recorder.must("backup", "create", "--to", str(recorder.directory / "backup"))
    talk = house.connect(ANN)
    talk.talk(0.3)

    request_id = approved(recorder, ANN)
    status, during = ask(recorder, "POST", f"requests/{request_id}/execute", {})
    assert (status, during["state"]) == (200, "executing")
    assert recorder.run("show", earlier["call_id"]).code == 3
    talk.talk(0.3)
    assert recorder.status_now()["active_calls"] == 1, "the parties talk on"
    talk.hang_up()
    wait_until(lambda: shown(recorder, request_id)["state"] == "completed", "it is erased when it ends", 20)

    done = shown(recorder, request_id)
    assert (len(done["erased"]), done["result"]) == (2, "partly")
    (backups,) = [store for store in done["stores"] if store["store"] == "backups"]
    assert backups["state"] == "beyond_use"
    assert backups["until"] > done["received_at"][:10]
    assert recorder.find() == []
    assert not list(recorder.recordings.rglob("*.crec"))
    assert recorder.status_now()["requests"] == {"open": 0, "overdue": 0, "next_due": None}


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_recorder_killed_while_it_erases_is_all_or_nothing() -> None:
    """kill -9 at a random moment of `request execute`, 100 times: completed by the next start, or never begun."""
    chance, states = random.Random(7), []
    with Recorder(Plan()) as recorder:
        recorder.stop()
        one_person_decides(recorder)
        ids = stock(recorder, 100, 1)
        recorder.restart()
        for number, call_id in enumerate(ids):
            request_id = approved(recorder, f"+4420794607{number:02}")
            execute = threading.Thread(target=_execute, args=(recorder, request_id))
            execute.start()
            threading.Event().wait(chance.uniform(0, 0.12))
            recorder.kill()
            execute.join()
            start(recorder)
            wait_until(lambda wanted=request_id: _settled(recorder, wanted), "it is all or nothing", 60)
            document = shown(recorder, request_id)
            states.append(document["state"])
            there = recorder.run("show", call_id).code
            files = [path.name for path in recorder.recordings.rglob("*.crec")]
            assert (document["state"], there) in {("completed", 3), ("authorised", 0)}, document
            assert len(files) == 100 - states.count("completed")
    assert "completed" in states


def _execute(recorder: Recorder, request_id: str) -> None:
    with suppress(OSError, http.client.HTTPException, ValueError):
        ask(recorder, "POST", f"requests/{request_id}/execute", {})


def _settled(recorder: Recorder, request_id: str) -> bool:
    return shown(recorder, request_id)["state"] in {"completed", "authorised"}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_each_alert_is_told_once_over_restarts_in_simulated_time() -> None:
    """Days pass while nothing runs (CALLREC_CLOCK_OFFSET); each level is told at the next start, and once."""
    with Recorder(Plan()) as recorder:
        recorder.stop()
        one_person_decides(recorder)
        stock(recorder, 1, 1)
        recorder.restart()
        status, request = ask(recorder, "POST", "requests", {"number": "+442079460700", "channel": "post"})
        assert status < 300, request
        for days in (8, 8, 22, 26, 29, 29):
            recorder.stop()
            recorder.plan.environment["CALLREC_CLOCK_OFFSET"] = str(days * 86_400)
            start(recorder)
            wait_until(lambda wanted=days: _age_told(recorder) >= min(wanted - 1, 28), "what is due is told", 60)
        told = [event["data"] for event in _alerts(recorder) if event["data"]["clock"] == "promise"]
    # An alert waits for 08:00: what is due on the last day is told a day later where the test runs earlier.
    assert [(one["level"], one["age_days"] in {8, 22, 26, 29}) for one in told[:3]] == [
        ("amber", True),
        ("red", True),
        ("critical", True),
    ]
    assert {one["id"] for one in told} == {request["id"]}
    assert (
        len([one for one in told if one["level"] == "amber"])
        == len([one for one in told if one["level"] == "red"])
        == 1
    )


def _alerts(recorder: Recorder) -> list[dict[str, Any]]:
    lines = recorder.must("events", "tail", "--after", "0", "--json").out.decode().splitlines()
    return [
        event
        for line in lines
        if ".request.due_soon." in line or ".request.overdue." in line
        for event in [json.loads(line)]
    ]


def _age_told(recorder: Recorder) -> int:
    return max((event["data"]["age_days"] for event in _alerts(recorder)), default=0)
