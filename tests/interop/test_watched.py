"""SIPp as trunk and as PBX: calls that nobody speaks in or ends (RTP-10), and a PBX that goes and comes (FAIL-2)."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from demonstration.telephony import g711
from demonstration.telephony.g711 import PCMA
from tests.support.exchange import ANNOUNCED, Exchange, exchange_plan, session
from tests.support.mouth import Mouth, Script
from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.support.recorder import PBX, Recorder

pytestmark = pytest.mark.peer

LONGEST_S, SILENCE_S = 13, 4
BRANCH = "127.0.0.3"
STAYS = 'milliseconds="4000"'
TWO_DESKS, TWO_ANSWERS = "02079460803", "02079460804"


class Watchful(Recorder):
    """A recorder that ends calls soon."""

    def write_configuration(self, **changes: object) -> None:
        super().write_configuration(**changes)
        text = self.configuration.read_text()
        limits = f'[limits]\nlongest_call = "{LONGEST_S}s"\nrtp_silence = "{SILENCE_S}s"'
        self.configuration.write_text(text.replace("[limits]", limits))


OTHER_PBX = """[[peer]]
name = "branch"
addresses = ["{host}"]
role = "pbx"
options_seconds = 3
"""


@pytest.fixture(name="watchful", scope="module")
def _watchful() -> Iterator[tuple[Recorder, int, int]]:
    """Return the recorder, the port of its PBX, and that of another one which is asked by OPTIONS."""
    plan, port = exchange_plan(more=OTHER_PBX.format(host=BRANCH))
    branch = free_port(BRANCH)
    plan.first_routes += (
        f'[[route]]\nfrom = "trunk"\ncalled = "{TWO_DESKS}"\nrule = "inbound"\n'
        f'destination = ["sip:{BRANCH}:{branch}", "sip:{PBX}:{port}"]\n'
    )
    plan.first_routes += (
        f'[[route]]\nfrom = "trunk"\ncalled = "{TWO_ANSWERS}"\nrule = "inbound"\nanswer_timeout = "2s"\n'
        f'destination = ["sip:{PBX}:{port}", "sip:{PBX}:{branch}"]\n'
    )
    with Watchful(plan) as recorder:
        yield recorder, port, branch


def test_rtp_10_a_call_in_which_nobody_is_heard_is_ended(
    watchful: tuple[Recorder, int, int], mouths: tuple[Mouth, Mouth], tmp_path: Path
) -> None:
    """limits.rtp_silence: both sides get BYE, and the row says that it was complete so far."""
    recorder, port, _ = watchful
    caller, desk = mouths
    exchange = Exchange(recorder, port, tmp_path)
    item = exchange.play(
        ANNOUNCED, "abandoned_caller", "plain_desk",
        caller={"SESSION": session(caller.port)}, desk={"SESSION": session(desk.port)},
    )  # fmt: skip
    assert item["ended_at"]
    assert "Reason:" in exchange.received("trunk").partition("BYE sip:")[2]
    assert f"no RTP from either side for {SILENCE_S} s" in recorder.log.read_text()


def test_rtp_10_a_one_way_call_is_told_in_ten_seconds_and_the_longest_call_is_ended(
    watchful: tuple[Recorder, int, int], mouths: tuple[Mouth, Mouth], tmp_path: Path
) -> None:
    """The caller speaks and the desk never does: `status` tells of it; limits.longest_call ends it, recorded."""
    recorder, port, _ = watchful
    caller, desk = mouths
    said = g711.unmistakable(PCMA, LONGEST_S + 6.0, 1)
    exchange = Exchange(recorder, port, tmp_path)

    def speak() -> None:
        caller.play(Script(1).speak(PCMA, said), caller.wait_heard())
        desk.wait_heard()
        wait_until(lambda: recorder.status_now()["one_way_audio"] == 1, "status tells of it", 12)

    item = exchange.play(
        ANNOUNCED, "abandoned_caller", "plain_desk", meanwhile=speak,
        caller={"SESSION": session(caller.port)}, desk={"SESSION": session(desk.port)},
    )  # fmt: skip
    assert item["outcome"] == "recorded"
    assert "one_way_audio" in item["flags"]
    assert recorder.status_now()["one_way_audio"] == 0
    assert item["segments"][-1]["end_ms"] == pytest.approx(LONGEST_S * 1000, abs=1000)
    assert "the longest time of a call" in exchange.received("trunk")


def test_fail_2_a_desk_that_goes_is_passed_over_and_called_again_when_it_is_back(
    watchful: tuple[Recorder, int, int], tmp_path: Path
) -> None:
    """It answers no OPTIONS: the second desk gets the call and the first is not tried; with its first word it is."""
    recorder, port, branch = watchful

    def down() -> list[str]:
        texts = [problem["text"] for problem in recorder.status_now()["problems"] if problem["code"] == "peer_down"]
        return [text for text in texts if f"{BRANCH}:{branch}" in text]

    wait_until(lambda: bool(down()), "status names the PBX that does not answer", 20)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind((BRANCH, branch))
        item = Exchange(recorder, port, tmp_path / "passed over").play(TWO_DESKS, "patient_caller", "plain_desk")
        assert b"INVITE" not in got(deaf), "it is not tried first"
    assert [leg["peer"] for leg in item["legs"]] == ["trunk", "pbx"]
    back = Exchange(recorder, branch, tmp_path / "back", BRANCH)
    waking = back.sipp("waking", "waking_desk", {}, BRANCH, port=branch, asks=True)
    with waking.start():
        waking.finish()
    wait_until(lambda: not down(), "it is well with its first word", 5)
    item = back.play(TWO_DESKS, "patient_caller", "plain_desk", caller={STAYS: 'milliseconds="2500"'})
    assert [leg["peer"] for leg in item["legs"]] == ["trunk", "branch"]


def test_fail_2_a_desk_that_only_rings_gives_way_to_the_next(
    watchful: tuple[Recorder, int, int], tmp_path: Path
) -> None:
    """Each destination has its own time: CANCEL to the first after two seconds, and the second one answers."""
    recorder, first, second = watchful
    exchange = Exchange(recorder, second, tmp_path)
    ringing = exchange.sipp("ringing", "slow_desk", {}, PBX, port=first)
    with ringing.start():
        item = exchange.play(TWO_ANSWERS, "patient_caller", "plain_desk", caller={STAYS: 'milliseconds="6000"'})
        ringing.finish()
    assert item["outcome_reason"] == "complete"
    assert "CANCEL sip:" in exchange.received("ringing")


def got(far: socket.socket) -> bytes:
    """Return all that has come to a socket."""
    far.setblocking(False)
    messages = []
    with contextlib.suppress(BlockingIOError):
        while True:
            messages.append(far.recv(65535))
    return b"".join(messages)
