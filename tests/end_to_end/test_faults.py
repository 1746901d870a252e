"""What breaks under live calls: a recorder that freezes or dies, a worker that dies, a broker that goes away."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from demonstration.telephony import g711
from tests.support.house import Conversation, House
from tests.support.listening import decoded, matches
from tests.support.processes import Mosquitto, MqttCollector, wait_until
from tests.support.recorder import Plan

TWENTY = range(20)


@pytest.fixture
def crowd() -> Iterator[tuple[House, list[Conversation]]]:
    """Return a house with twenty live calls."""
    with House() as house:
        talks = [house.dial(f"+4477009009{number:02}") for number in TWENTY]
        for talk in talks:
            house.hear_notice(talk)
        for talk in talks:
            house.pick_up(house.reach_desk(talk))
        talks[-1].talk(1.0)
        yield house, talks


@pytest.mark.alone
def test_a_frozen_recorder_loses_no_packet(crowd: tuple[House, list[Conversation]]) -> None:
    """SIGSTOP for 5 s: voices go on through the workers, no packet is lost and no recording has a gap."""
    house, talks = crowd
    house.recorder.process.signal(signal.SIGSTOP)
    talks[0].talk(5.0)
    house.recorder.process.signal(signal.SIGCONT)
    talks[0].talk(1.0)
    for talk in talks:
        talk.hang_up()
    items = house.items_of(talks)
    for talk, item in zip(talks, items, strict=True):
        heard = talk.inside.voice.audio_heard(g711.PCMA)
        assert heard in talk.outside.coded, "packets were lost on the way to the desk"
        assert {segment["state"] for segment in item["segments"]} == {"recorded"}
    house.check_exports(talks, items)


@pytest.mark.alone
def test_a_killed_worker_is_replaced(crowd: tuple[House, list[Conversation]]) -> None:
    """kill -9 of a worker: all hear each other again within 1.5 s; one recording each, with one gap of at most 2 s."""
    house, talks = crowd
    (worker,) = house.recorder.status()["workers"]
    os.kill(worker["pid"], signal.SIGKILL)
    talks[0].talk(4.0)
    for talk in talks:
        times = [packet.at for packet in talk.inside.voice.heard if packet.payload_type == g711.PCMA]
        silence = max(after - before for before, after in pairwise(times))
        assert silence <= 1.5, f"nothing was heard for {silence:.2f} s"
    for talk in talks:
        talk.hang_up()
    items = house.items_of(talks)
    exported = house.recorder.export_all([item["call_id"] for item in items])
    for talk, item in zip(talks, items, strict=True):
        assert item["outcome_reason"] == "complete"
        gaps = [segment for segment in item["segments"] if segment["state"] == "gap"]
        assert len(gaps) == 1, item["segments"]
        assert gaps[0]["end_ms"] - gaps[0]["start_ms"] <= 2000
        _, left, _ = exported[item["call_id"]]
        pieces = matches(np.array(left, np.int16), decoded(g711.PCMA, talk.outside.coded))
        assert 1 <= len(pieces) <= 2


@pytest.mark.alone
def test_a_killed_recorder_loses_at_most_the_last_second(crowd: tuple[House, list[Conversation]]) -> None:
    """kill -9 of the recorder: live audio is kept but for its last second, marked cut; nothing stays in progress."""
    house, talks = crowd
    finished, live = talks[:5], talks[5:]
    for talk in finished:
        talk.hang_up()
    house.items_of(finished)
    live[0].talk(2.0)
    house.recorder.kill()
    sent = {talk.caller: len(talk.outside.voice.sent) for talk in live}
    assert house.recorder.restart() < 5.0
    items = {item["network_number"]: item for item in house.recorder.wait_items(len(talks))}
    assert len(items) == len(talks)
    assert not [item for item in items.values() if item["in_progress"]]
    house.check_exports(finished, [items[talk.caller] for talk in finished])
    exported = house.recorder.export_all([items[talk.caller]["call_id"] for talk in live])
    for talk in live:
        item = items[talk.caller]
        assert (item["outcome"], item["outcome_reason"], item["cut"]) == ("recorded", "cut", True)
        _, left, _ = exported[item["call_id"]]
        (piece,) = matches(np.array(left, np.int16), decoded(g711.PCMA, talk.outside.coded))
        kept_to = (piece.in_voice + piece.length) / 160
        assert sent[talk.caller] - kept_to <= 50 + 5, f"{(sent[talk.caller] - kept_to) * 0.02:.2f} s are lost"


def test_a_broker_that_goes_away_loses_no_event(tmp_path: Path) -> None:
    """Calls during the broker's absence are told afterwards, in order; a repeated event has the same id."""
    with (
        Mosquitto(tmp_path) as broker,
        House(Plan(mqtt_url=broker.url)) as house,
        MqttCollector(broker.port) as collector,
    ):
        house.connect("+447700900951").hang_up()
        collector.wait_for(lambda events: _ended(events) == 1, "the first call is told")
        broker.stop()
        wait_until(lambda: house.recorder.status()["broker"] == "disconnected", "the recorder notices", 20)
        for number in range(3):
            talk = house.connect(f"+44770090096{number}")
            talk.hang_up()
        broker.start()
        collector.wait_for(lambda events: _ended(events) == 4, "every call is told", 40)
        unique = {event["id"]: int(event["sequence"]) for event in collector.events}
        numbers = list(unique.values())
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        wait_until(lambda: house.recorder.status()["outbox"] == 0, "the outbox is empty")


def _ended(events: list[dict[str, object]]) -> int:
    return len({event["id"] for event in events if event["type"] == "com.callrec.call.ended.v1"})


@pytest.mark.alone
def test_a_second_sigterm_seals_at_once(crowd: tuple[House, list[Conversation]]) -> None:
    """SIGTERM drains; a second one ends in under 3 s, and every live recording is sealed, not cut."""
    house, talks = crowd
    process = house.recorder.process
    process.signal(signal.SIGTERM)
    talks[0].talk(0.5)
    assert process.running
    process.signal(signal.SIGTERM)
    assert process.wait(3) == 0
    house.recorder.restart()
    items = house.recorder.wait_items(len(talks))
    assert {item["outcome"] for item in items} == {"recorded"}
    assert not list(house.recorder.recordings.rglob("*.partial"))


def test_a_reload_cuts_no_call() -> None:
    """SIGHUP takes in a new configuration under a live call; a broken one changes nothing."""
    with House() as house:
        talk = house.connect("+447700900971")
        good = house.recorder.configuration.read_text()
        for text in (good.replace("max_calls = 500", "max_calls = 400"), good + "\n[sip]\nlisten = 5\n"):
            house.recorder.configuration.write_text(text)
            house.recorder.process.signal(signal.SIGHUP)
            threading.Event().wait(0.5)  # nothing tells from outside that a refused reload is over
            assert house.recorder.process.running
        house.recorder.configuration.write_text(good)  # the command reads the file, too
        talk.talk(0.5)
        talk.hang_up()
        house.check_exports([talk], [house.item_of(talk)])
