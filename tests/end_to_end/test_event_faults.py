"""No event is lost, whatever dies between its row and the dashboard: the recorder, or the broker."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from callrec.events import load_schema
from callrec.events.schema import load_retained_schema
from tests.support.house import House
from tests.support.processes import Mosquitto, MqttCollector, wait_until
from tests.support.recorder import Plan

ALL_TOLD_S = 30.0


def ended(events: Sequence[dict[str, Any]]) -> set[str]:
    """Return the calls of which the end was told."""
    return {event["subject"] for event in events if event["type"] == "com.callrec.call.ended.v1"}


def check_events(events: Sequence[dict[str, Any]]) -> int:
    """Check order, numbers, repetitions and schemas of all that arrived; return how many arrived again."""
    first: dict[str, dict[str, Any]] = {}
    for event in events:
        known = first.setdefault(event["id"], event)
        assert known == event, "a repeated event is not what it was"
        _, _, noun, verb, _ = event["type"].split(".")
        Draft202012Validator(load_schema(noun, verb)).validate(event)
    numbers = [int(event["sequence"]) for event in first.values()]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "events are missing, or out of order"
    return len(events) - len(first)


def check_each_call_told(events: Sequence[dict[str, Any]], calls: int) -> None:
    """Check that every call's beginning and its end are told, under one event id each."""
    for verb in ("started", "ended"):
        about = {event["id"]: event["subject"] for event in events if event["type"] == f"com.callrec.call.{verb}.v1"}
        assert len(about) == calls, f"{calls} calls, {len(about)} were told as {verb}"
        assert len(set(about.values())) == calls


def quick_call(house: House, number: int) -> None:
    """Place a call that the caller gives up in the notice."""
    talk = house.dial(f"+4477009004{number:02}")
    assert talk.out.wait_final(10).status == 200
    talk.out.hang_up()


def wait_for(moment: float) -> None:
    """Wait for a moment: a port rests at least five seconds (RTP-11), and calls without a pause would use up all."""
    wait_until(lambda: time.monotonic() >= moment, "the next call's turn", 5)


def unpublished(house: House) -> int:
    return int(house.recorder.status_now()["outbox"])


@pytest.mark.timeout(400)
@pytest.mark.parametrize("rounds", [10, pytest.param(50, marks=pytest.mark.long)])
def test_a_kill_between_commit_and_publish_loses_nothing(tmp_path: Path, rounds: int) -> None:
    """kill -9 while events are durable and not acknowledged: each arrives, in order, again only with its own id."""
    with (
        Mosquitto(tmp_path) as broker,
        House(Plan(mqtt_url=broker.url)) as house,
        MqttCollector(broker.port) as collector,
    ):
        collector.wait_for(lambda events: bool(events) or unpublished(house) == 0, "it begins")
        for number in range(rounds):
            # Every second time the broker takes what it is sent and answers nothing, else the kill comes as it may.
            silent = number % 2 == 0
            if silent:
                wait_until(lambda: house.recorder.status_now()["broker"] == "connected", "events leave")
                broker.signal(signal.SIGSTOP)
            quick_call(house, number)
            if silent:
                wait_until(lambda: unpublished(house) > 0, "an event waits to be acknowledged")
            house.recorder.kill()
            if silent:
                broker.signal(signal.SIGCONT)
            house.recorder.restart()
        collector.wait_for(lambda events: len(ended(events)) == rounds, "the end of every call is told", ALL_TOLD_S)
        wait_until(lambda: unpublished(house) == 0, "the outbox is empty", ALL_TOLD_S)
        assert not [item for item in house.recorder.find() if item["in_progress"]]
        assert check_events(collector.events) > 0, "no event came twice: no kill hit between commit and publish"
        check_each_call_told(collector.events, rounds)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("away_s", [10.0, pytest.param(60.0, marks=pytest.mark.long)])
def test_a_broker_that_is_away_during_calls_loses_nothing(tmp_path: Path, away_s: float) -> None:
    """A call begins before, calls come and go meanwhile, one ends after: all is told, in order; status says so."""
    with (
        Mosquitto(tmp_path) as broker,
        House(Plan(mqtt_url=broker.url)) as house,
        MqttCollector(broker.port) as collector,
    ):
        long_call = house.connect("+447700900490")
        broker.stop()
        stopped_at = time.monotonic()
        wait_until(lambda: house.recorder.status_now()["broker"] == "disconnected", "the recorder notices", 10)
        number = 0
        while time.monotonic() - stopped_at < away_s:
            quick_call(house, number)
            number += 1
            wait_for(stopped_at + number)
        codes = [problem["code"] for problem in house.recorder.status_now()["problems"]]
        assert codes == ["broker_disconnected"]
        broker.start()
        collector.wait_for(lambda events: len(ended(events)) == number, "every end is told", 60)
        long_call.hang_up()
        collector.wait_for(lambda events: len(ended(events)) == number + 1, "the last end is told")
        wait_until(lambda: unpublished(house) == 0 and not house.recorder.status_now()["problems"], "all is well", 20)
        check_events(collector.events)
        check_each_call_told(collector.events, number + 1)


def test_what_is_retained_keeps_its_schema(tmp_path: Path) -> None:
    """State, info, health and stats are there for whoever comes late; a recorder that dies is told as offline."""
    with Mosquitto(tmp_path) as broker, House(Plan(mqtt_url=broker.url)) as house:
        house.connect("+447700900491").hang_up()
        with MqttCollector(broker.port) as late:
            names = ("state", "info", "health", "stats")
            wait_until(lambda: all(late.retained("rec1", name) for name in names), "all four are retained")
            for name in names[1:]:
                document = json.loads(late.retained("rec1", name) or b"")
                Draft202012Validator(load_retained_schema(name)).validate(document)
            assert late.retained("rec1", "state") == b"online"
            house.recorder.kill()
            wait_until(lambda: late.retained("rec1", "state") == b"offline", "its last will is told")
            house.recorder.restart()
            wait_until(lambda: late.retained("rec1", "state") == b"online", "it is back")
