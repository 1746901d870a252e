"""SIPp as trunk and as PBX: early media, forks, late offers, CANCEL and ACK at odd moments, loops, fragments."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demonstration.telephony import g711
from demonstration.telephony.g711 import PCMA
from tests.support.exchange import ANNOUNCED, THROUGH, Exchange, session
from tests.support.listening import decoded, matches
from tests.support.mouth import Mouth, Script
from tests.support.recorder import TRUNK
from tests.support.sipp_steps import attempt, play

pytestmark = pytest.mark.peer

AT_THE_EDGE = 3
"""Packets that may leave between the desk's answer and the test's hearing of it."""


@pytest.mark.parametrize("called", [ANNOUNCED, THROUGH])
def test_sip_2_early_media_is_heard_and_not_stored(
    exchange: Exchange, mouths: tuple[Mouth, Mouth], called: str
) -> None:
    """The caller hears the desk's 183 before its 200; of an announced call only what comes after the 200 is kept."""
    caller, desk = mouths
    said, answer = g711.unmistakable(PCMA, 8.0, 1), g711.unmistakable(PCMA, 6.0, 2)
    heard_early = spoken_early = 0

    def speak() -> None:
        nonlocal heard_early, spoken_early
        host, port = exchange.wait_told("desk", "early").split()
        desk.play(Script(2).speak(PCMA, answer), (host, int(port)))
        exchange.wait_told("desk", "answered")
        spoken_early = len(desk.sent)
        heard_early = len(caller.audio(PCMA).partition(answer[: 50 * 160])[1])
        caller.play(Script(1).speak(PCMA, said), caller.heard[-1].source)

    item = exchange.play(
        called, "early_caller", "early_desk", meanwhile=speak,
        caller={"SESSION": session(caller.port)}, desk={"SESSION": session(desk.port)},
    )  # fmt: skip
    assert heard_early == 50 * 160, "the caller has heard the first second by then"
    if called == THROUGH:
        assert "SIP/2.0 183" in exchange.received("trunk")
        assert item["outcome_reason"] == "no_capture_rule"
        return
    _, _, right = exchange.recorder.export(item["call_id"])
    (piece,) = matches(np.array(right, np.int16), decoded(PCMA, answer))
    assert piece.in_voice >= (spoken_early - AT_THE_EDGE) * 160, "nothing from before the answer is kept"
    assert piece.seconds > 0.5


def test_sip_3_a_cancel_before_anything_came_waits_for_the_first_response(exchange: Exchange) -> None:
    """RFC 3261 9.1: the PBX gets the CANCEL only after its 180; the trunk has its 200 and 487."""
    item = exchange.play(THROUGH, "hasty_caller", "slow_desk")
    assert item["outcome"] == "not_recorded"
    assert exchange.received("desk").count("CANCEL sip:") == 1


def test_sip_3_a_cancel_of_a_call_that_is_up_changes_nothing(exchange: Exchange) -> None:
    """RFC 3261 9.2, 13.3.1.4: the 200 is repeated until the late ACK; the CANCEL gets its 200, and the call goes on."""
    item = exchange.play(ANNOUNCED, "late_caller", "plain_desk")
    assert item["outcome_reason"] == "complete"
    answers = re.findall(r"SIP/2\.0 200 OK\r?\n(?:.+\r?\n)*?CSeq: 1 INVITE", exchange.received("trunk"))
    assert len(answers) > 1


def test_sip_2_of_two_telephones_that_answer_one_is_hung_up(exchange: Exchange) -> None:
    """RFC 3261 13.2.2.4: the first 2xx of a fork wins; the other one gets ACK and BYE in its own dialog."""
    item = exchange.play(ANNOUNCED, "patient_caller", "forking_desk")
    assert item["outcome_reason"] == "complete"
    assert [leg["peer"] for leg in item["legs"]] == ["trunk", "pbx"]


def test_sip_6_a_trunk_that_leaves_the_offer_to_us(exchange: Exchange, mouths: tuple[Mouth, Mouth]) -> None:
    """RFC 3264 4: our 200 offers, its ACK answers, in the INVITE and in a re-INVITE; the voice is whole throughout."""
    caller, desk = mouths
    said = g711.unmistakable(PCMA, 8.0, 3)
    item = exchange.play(
        ANNOUNCED, "late_offer_caller", "reoffered_desk",
        caller={"SESSION": session(caller.port), "LATER_SESSION": session(caller.port, version=2)},
        desk={"SESSION": session(desk.port), "LATER_SESSION": session(desk.port, version=2)},
        meanwhile=lambda: caller.play(Script(3).speak(PCMA, said), caller.wait_heard()),
    )  # fmt: skip
    check_whole(exchange, item, said)


@pytest.mark.long
def test_rfc_3261_14_1_a_change_that_is_refused_leaves_the_call_as_it_was(
    exchange: Exchange, mouths: tuple[Mouth, Mouth]
) -> None:
    """The desk's 488 comes back to the trunk; both go on in the codec that they had."""
    caller, desk = mouths
    said = g711.unmistakable(PCMA, 8.0, 4)
    item = exchange.play(
        ANNOUNCED, "insisting_caller", "refusing_desk",
        caller={"SESSION": session(caller.port, "8 0 101"), "MOVED_SESSION": session(caller.port, "0 101", version=2)},
        desk={"SESSION": session(desk.port)},
        meanwhile=lambda: caller.play(Script(4).speak(PCMA, said), caller.wait_heard()),
    )  # fmt: skip
    check_whole(exchange, item, said)
    assert item["legs"][0]["codec"] == "PCMA"


def check_whole(exchange: Exchange, item: dict[str, Any], said: bytes) -> None:
    """Check that the caller's voice was kept in one piece, from the connection to the end of the call."""
    assert item["outcome_reason"] == "complete"
    _, left, _ = exchange.recorder.export(item["call_id"])
    pieces = matches(np.array(left, np.int16), decoded(PCMA, said))
    assert len(pieces) == 1, pieces
    assert pieces[0].seconds > 2.0


@pytest.mark.long
def test_sip_3_a_trunk_that_never_acknowledges_is_hung_up(exchange: Exchange) -> None:
    """RFC 3261 13.3.1.4: BYE after 64 T1; until the ACK the PBX is not called, and the row is closed."""
    item = exchange.play(ANNOUNCED, "deaf_caller", None)
    assert item["ended_at"]
    assert item["outcome"] == "not_recorded"
    answers = exchange.received("trunk").count("SIP/2.0 200 OK")
    assert answers >= 8, "it was repeated by T1 and T2"


def test_sip_1_a_call_that_comes_back_is_a_loop(exchange: Exchange) -> None:
    """RFC 3261 16.3: 482 for our own branch under the same Request-URI; one hop is taken from what goes on."""
    item = exchange.play(THROUGH, "refused_caller", "looping_desk", caller={"STATUS": "482"})
    assert item["outcome"] == "not_recorded"


def test_sip_12_a_desk_that_redirects_to_itself_is_asked_once(exchange: Exchange) -> None:
    """RFC 3261 8.1.3.4: nobody is called twice, nor a stranger; the trunk gets 502, nothing of the desk's Contact."""
    itself = f"sip:{THROUGH}@{exchange.host}:{exchange.port}"
    item = exchange.play(
        THROUGH, "refused_caller", "redirecting_desk", caller={"STATUS": "502"}, desk={"CONTACT": itself}
    )
    assert item["outcome"] == "not_recorded"
    assert exchange.received("desk").count("INVITE sip:") == 1


def test_sip_1_a_call_without_hops_left_goes_no_further(exchange: Exchange, tmp_path: Path) -> None:
    """RFC 3261 8.1.1.6: 483, and nobody is called."""
    spent = attempt("07700900899", "483").replace("Max-Forwards: 70", "Max-Forwards: 0")
    play(exchange.recorder.sip, tmp_path, TRUNK, THROUGH, spent)


def test_sip_13_an_invite_of_fifty_kilobytes_comes_and_goes_on_in_fragments(exchange: Exchange) -> None:
    """RFC 3261 18.1.1: what a datagram holds is read, and its own headers go on to the PBX."""
    hop = f"Via: SIP/2.0/UDP proxy.example;branch=z9hG4bK1;x={'v' * 10_000}"
    own = [f"X-Large-{number}: {'x' * 14_000}" for number in range(3)]
    item = exchange.play(ANNOUNCED, "large_caller", "plain_desk", caller={"LARGE": "\n".join([hop, *own])})
    assert item["outcome_reason"] == "complete"
    assert "v" * 10_000 in exchange.received("trunk"), "every Via comes back, in fragments too"
    assert exchange.received("desk").count("x" * 14_000) >= 3


def test_sip_13_an_answer_of_fifty_kilobytes_leaves_in_fragments(exchange: Exchange) -> None:
    """SIPp reads no headers of that size: a plain socket asks by OPTIONS, and gets all its Via lines back."""
    recorder = exchange.recorder
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind((TRUNK, 0))
        far.settimeout(5.0)
        host, port = far.getsockname()
        hops = "".join(f"Via: SIP/2.0/UDP hop{n}.example;branch=z9hG4bK{n};x={'v' * 14_000}\r\n" for n in range(4))
        far.sendto(
            f"OPTIONS sip:{recorder.sip[0]}:{recorder.sip[1]} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bKlarge;rport\r\n{hops}Max-Forwards: 70\r\n"
            f"From: <sip:large@{host}>;tag=1\r\nTo: <sip:{recorder.sip[0]}>\r\n"
            f"Call-ID: large\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n".encode(),
            recorder.sip,
        )
        answer = far.recv(65535)
    assert answer.startswith(b"SIP/2.0 200")
    assert answer.count(b"v" * 14_000) == 4
