"""Nothing readable lies on the disk: no voice, no number, no name, during a call and after it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demonstration.telephony import g711
from tests.support.house import Conversation, House
from tests.support.listening import decoded
from tests.support.processes import Mosquitto, MqttCollector
from tests.support.recorder import TRUNK, Plan
from tests.support.traces import Searcher, Trace, decoded_voices, files_below, find_traces, spellings, voices

CALLER, NAME = "+447700900817", "Zebedee Quillfeather"
WITHHELD = "+447700900829"
ELSEWHERE = {Path("/tmp"), Path("/dev/shm"), Path(tempfile.gettempdir())}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture(scope="module")
def house(broker: Mosquitto) -> Iterator[House]:
    """Return a house with a broker, so that events leave it."""
    with House(Plan(mqtt_url=broker.url)) as house:
        yield house


def patterns_of(talk: Conversation) -> dict[str, bytes]:
    """Return everything about a call that must not be found: voices, number and name."""
    patterns = spellings(talk.caller) | {"name": NAME.encode(), "surname": NAME.split()[1].encode()}
    for name, side in (("caller", talk.outside), ("desk", talk.inside)):
        patterns |= voices(name, side.coded)
        patterns |= decoded_voices(name, decoded(g711.PCMA, side.coded).tolist())
    return patterns


def search(house: House, patterns: dict[str, bytes], since: float) -> list[Trace]:
    """Search the installation, /tmp and /dev/shm; elsewhere only what changed since the call began."""
    searcher, own = Searcher(patterns), house.recorder.directory.resolve()
    elsewhere = [path for path in files_below(ELSEWHERE, since - 1) if not path.resolve().is_relative_to(own)]
    found = [trace for path in elsewhere for trace in searcher.traces_in(path)]
    return found + find_traces([house.recorder.directory], patterns)


def test_no_voice_number_or_name_during_and_after_a_call(house: House) -> None:
    """A search of all files for the voices, the number in five spellings and the name finds none."""
    since = time.time()
    header = ("P-Asserted-Identity", f'"{NAME}" <sip:{CALLER}@{TRUNK}>')
    talk = house.connect(CALLER, from_=f'"{NAME}" <sip:{CALLER}@{TRUNK}>', headers=[header])
    talk.talk(2.0)
    patterns = patterns_of(talk)
    assert search(house, patterns, since) == []
    talk.hang_up()
    item = house.item_of(talk)
    assert (item["network_number"], item["display_name"]) == (CALLER, NAME)
    assert search(house, patterns, since) == []
    house.recorder.stop()
    assert search(house, patterns, since) == []
    house.recorder.restart()


def test_a_withheld_number_is_kept_nowhere(house: House, broker: Mosquitto) -> None:
    """Policy `drop`: the network number of a withheld caller is in no store, no log, no event and no answer."""
    since = time.time()
    with MqttCollector(broker.port) as collector:
        headers = [("P-Asserted-Identity", f"<sip:{WITHHELD}@{TRUNK};user=phone>"), ("Privacy", "id")]
        anonymous = '"Anonymous" <sip:anonymous@anonymous.invalid>'
        talk = house.dial(WITHHELD, from_=anonymous, headers=headers)
        house.connect_dialled(talk)
        assert talk.desk.invite.get("P-Asserted-Identity") == headers[0][1]
        assert talk.desk.invite.get("Privacy") == "id"
        talk.talk(0.5)
        talk.hang_up()
        collector.wait_for(
            lambda events: any(event["type"] == "com.callrec.call.ended.v1" for event in events),
            "the call is told to end",
        )
        payloads = b"\n".join(payload for _, payload, _ in collector.messages)
    digits = spellings(WITHHELD) | {"last nine": WITHHELD[-9:].encode()}
    assert search(house, digits, since) == []
    assert not [what for what, pattern in digits.items() if pattern in payloads]
    items = house.recorder.wait_items(1)
    item = next(item for item in items if item["withheld"])
    assert item["network_number"] is None
    assert item["outcome_reason"] == "complete"
    shown = house.recorder.must("show", item["call_id"], "--json").out
    assert not [what for what, pattern in digits.items() if pattern in shown]
    assert house.recorder.find("07700 900829") == []


def test_events_carry_no_number(house: House, broker: Mosquitto) -> None:
    """By default an event names its caller by a keyed hash; numbers and names are in none of them."""
    with MqttCollector(broker.port) as collector:
        talk = house.connect("+447700900831")
        talk.talk(0.5)
        talk.hang_up()
        wanted = {
            "call.started",
            "notice.completed",
            "call.answered",
            "recording.started",
            "recording.sealed",
            "call.ended",
        }
        wanted_types = {f"com.callrec.{name}.v1" for name in wanted}

        def all_told(events: list[dict[str, object]]) -> bool:
            return wanted_types <= {event["type"] for event in events}

        collector.wait_for(all_told, "every event of the call")
        events = collector.events
        payloads = b"\n".join(payload for _, payload, _ in collector.messages)
    assert not [what for what, pattern in spellings("+447700900831").items() if pattern in payloads]
    numbers = [int(event["sequence"]) for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    stored = house.recorder.must("events", "tail", "--after", "0", "--json").out.splitlines()
    assert len(stored) >= len(events)


def test_without_the_keyring_nothing_can_be_read(house: House) -> None:
    """recordings/, the catalogue and the master key without the keyring yield no voice and no number."""
    talk = house.connect("+447700900841")
    talk.talk(0.5)
    talk.hang_up()
    call_id = house.item_of(talk)["call_id"]
    house.recorder.stop()
    for file in house.recorder.state.glob("keyring.db*"):
        file.unlink()
    house.recorder.start(wait=False)
    house.recorder.wait_ready()
    status = house.recorder.run("status", "--json")
    assert status.code == 1
    assert "keys_unavailable" in [problem["code"] for problem in status.json["problems"]]
    target = house.recorder.directory / "lost.wav"
    assert house.recorder.run("export", call_id, "--format", "wav", "--to", str(target)).code != 0
    assert not target.exists()
    shown = house.recorder.run("show", call_id, "--json").out + house.recorder.run("find", "--json").out
    assert b"7700900841" not in shown
    assert not list(house.recorder.state.glob("keyring.db")), "a new keyring must never be made over an old store"
