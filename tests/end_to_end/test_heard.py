"""What callrec hears in the media of real calls: keys in the voice (RTP-5, LAW-74), and who is not heard (RTP-10)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import numpy as np
import pytest

from callrec.rtp.dtmf import ToneDetector
from callrec.rtp.g711 import Law, encode
from demonstration.telephony import g711
from tests.rtp.test_dtmf import nothing, tone
from tests.support.house import House
from tests.support.processes import wait_until
from tests.support.recorder import Plan
from tests.support.traces import find_traces

PCMA_ALONE = {g711.PCMA: "PCMA/8000"}
CARD = "4929"


@pytest.fixture(name="house", scope="module")
def _house() -> Iterator[House]:
    with House(Plan()) as house:
        yield house


def pressed(digits: str) -> bytes:
    """Return the A-law voice of a telephone that dials without RFC 4733."""
    presses = [np.concatenate([nothing(60), tone(digit, 80)]) for digit in digits]
    samples = np.concatenate([*presses, nothing(60)])
    return encode(Law.A, samples.astype("<i2").tobytes())


def keys_in(voice: bytes) -> str:
    return ToneDetector().take(voice + b"\xd5" * 800, Law.A).keys


def test_a_key_in_the_voice_declines_the_recording_in_the_notice(house: House) -> None:
    """NOT-16: a caller whose telephone has no RFC 4733 presses 9 in the notice; the call goes on unrecorded."""
    talk = house.hear_notice(house.dial("+447700900141", codecs=PCMA_ALONE))
    talk.outside.voice.speak(g711.PCMA, pressed("9"))
    assert talk.outside.voice.wait_spoken(5)
    house.pick_up(house.reach_desk(talk, 20))
    talk.outside.voice.speak(g711.PCMA, talk.outside.coded)
    time.sleep(0.5)
    talk.hang_up()
    item = house.item_of(talk)
    assert (item["outcome"], item["outcome_reason"]) == ("not_recorded", "opt_out")


def test_keys_are_heard_by_the_desk_and_stored_nowhere(house: House) -> None:
    """LAW-74: by voice, RFC 4733 and INFO: no file, log, event or answer has them, and the export is silent there."""
    talk = house.connect("+447700900142", codecs=PCMA_ALONE)
    desk = talk.inside.voice
    talk.talk(0.5)
    before = len(desk.heard)
    talk.outside.voice.speak(g711.PCMA, pressed(CARD + "*9"))
    assert talk.outside.voice.wait_spoken(5)
    wait_until(lambda: keys_in(_voice(desk.heard[before:])) == CARD + "*9", "the desk hears every key", 3)
    for digit in "8316":
        body = f"Signal={digit}\r\nDuration=160\r\n".encode()
        assert talk.out.inform("INFO", body, "application/dtmf-relay").status == 200
    talk.outside.voice.speak(g711.PCMA, talk.outside.coded)
    talk.talk(0.5)
    talk.hang_up()
    item = house.item_of(talk)
    assert (item["outcome"], item["outcome_reason"]) == ("recorded", "complete"), "*9 in the voice is the desk's affair"
    _, left, _ = house.recorder.export(item["call_id"])
    stored = encode(Law.A, np.array(left, "<i2").tobytes())
    assert len(stored) > 8000
    assert keys_in(stored) == ""
    told = house.recorder.must("events", "tail", "--json").out
    shown = house.recorder.must("show", item["call_id"], "--json").out
    patterns = {"INFO": b"Signal=", "card": f'"{CARD}"'.encode(), "by INFO": b'"8316"', "key": b"dtmf-relay"}
    assert not [name for name, pattern in patterns.items() if pattern in told + shown]
    assert find_traces([house.recorder.directory], patterns) == []


def _voice(heard: list[object]) -> bytes:
    return b"".join(packet.payload for packet in heard if packet.payload_type == g711.PCMA)  # type: ignore[attr-defined]


@pytest.mark.alone
def test_one_way_audio_is_seen_while_it_lasts(house: House) -> None:
    """RTP-10: within ten seconds in `status` and `calls`; gone when the desk speaks again."""
    talk = house.connect("+447700900143")
    talk.inside.voice.fall_silent()
    silent_at = time.monotonic()
    wait_until(lambda: house.recorder.status()["one_way_audio"] == 1, "status tells of it", 14)
    assert 8 < time.monotonic() - silent_at < 12.5
    (item,) = json.loads(house.recorder.must("calls", "--json").out)["items"]
    assert item["flags"] == ["one_way_audio"]
    assert "one-way audio" in house.recorder.must("calls").out.decode()
    assert "one-way audio: no RTP from our side" in house.recorder.tail()
    talk.inside.voice.speak(g711.PCMA, talk.inside.coded)
    wait_until(lambda: house.recorder.status()["one_way_audio"] == 0, "the alarm is over", 5)
    talk.hang_up()
    assert house.item_of(talk)["flags"] == []
