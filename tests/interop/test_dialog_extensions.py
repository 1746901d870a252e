"""SIPp as trunk and as PBX: 100rel, UPDATE, session timers, fax, glare and crossing CANCELs (SIP-3..10, RTP-7)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.support.recorder import PBX, TRUNK, Plan, Recorder
from tests.support.sipp import Sipp, SippRun

pytestmark = pytest.mark.peer

SCENARIOS = Path(__file__).resolve().parent / "scenarios"
ANNOUNCED, THROUGH = "02079460801", "02079460802"
ROUTE = '[[route]]\nfrom = "trunk"\ncalled = "{called}"\nrule = "{rule}"\ndestination = "sip:{host}:{port}"\n'
NUMBERS = itertools.count(7700900801)

CALLER_HEADERS = """Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
Max-Forwards: 70
From: <sip:CALLER@[local_ip]:[local_port]>;tag=[pid]t[call_number]
Call-ID: [call_id]
Contact: <sip:CALLER@[local_ip]:[local_port];transport=[transport]>"""
DESK_HEADERS = """Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From:[$near];tag=[pid]d[call_number]
To:[$far]
Call-ID: [call_id]
Contact: <sip:desk@[local_ip]:[local_port]>"""
REPLY_HEADERS = """[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port]>"""
INVITE_HEADERS = """Via:[$via]
From:[$far]
To:[$near];tag=[pid]d[call_number]
Call-ID: [call_id]
CSeq: INVITE_CSEQ INVITE
Contact: <sip:desk@[local_ip]:[local_port]>"""
SESSION = """Content-Type: application/sdp
Content-Length: [len]

v=0
o=sipp 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 8 101
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15"""
MOVED_SESSION = SESSION.replace("o=sipp 1 1", "o=sipp 1 2").replace("[media_port]", "[media_port+2]")
FAX_SESSION = "\n".join(
    [*MOVED_SESSION.splitlines()[:8], "m=image [media_port+2] udptl t38", "a=T38FaxVersion:0", "a=T38MaxBitRate:14400"]
)


class Exchange:
    """A recorder between two SIPps."""

    def __init__(self, recorder: Recorder, port: int, place: Path) -> None:
        self.recorder, self.port, self.place = recorder, port, place

    def play(self, called: str, caller_scenario: str, desk_scenario: str, *, cseq: int = 1) -> dict[str, Any]:
        """Let both play their parts, both of which must succeed; return the row of the call."""
        caller = f"0{next(NUMBERS)}"
        words = {
            "CALLER_HEADERS": CALLER_HEADERS, "DESK_HEADERS": DESK_HEADERS, "REPLY_HEADERS": REPLY_HEADERS,
            "INVITE_HEADERS": INVITE_HEADERS, "INVITE_CSEQ": str(cseq), "MOVED_SESSION": MOVED_SESSION,
            "FAX_SESSION": FAX_SESSION, "SESSION": SESSION, "CALLER": caller, "PAYLOAD_TYPE": "8", "CODEC": "PCMA",
        }  # fmt: skip
        fill = tuple(words.items())
        desk = Sipp(
            SippRun(desk_scenario, PBX, self.port, fill=fill, folder=SCENARIOS, timeout_s=90), self.place / "desk"
        )
        run = SippRun(caller_scenario, TRUNK, service=called, fill=fill, folder=SCENARIOS, timeout_s=90)
        trunk = Sipp(run, self.place / "trunk", self.recorder.sip)
        with desk.start(), trunk.start():
            trunk.finish()
            desk.finish()
        wait_until(lambda: [item["in_progress"] for item in self.recorder.find(caller)] == [False], "the call is over")
        (item,) = self.recorder.find(caller)
        return item


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Recorder, int]]:
    """Return a recorder whose PBX is a SIPp, with one number that is announced and one that is not."""
    port = free_port(PBX)
    routes = "".join(
        ROUTE.format(called=called, rule=rule, host=PBX, port=port)
        for called, rule in ((ANNOUNCED, "inbound"), (THROUGH, ""))
    )
    with Recorder(Plan(first_routes=routes)) as recorder:
        yield recorder, port


@pytest.fixture
def exchange(running: tuple[Recorder, int], tmp_path: Path) -> Exchange:
    """Return the recorder, and a folder for what the two SIPps write."""
    return Exchange(*running, tmp_path)


def test_sip_5_18x_is_reliable_on_both_legs_and_an_early_update_passes(exchange: Exchange) -> None:
    """RFC 3262, RFC 3311: RSeq, RAck and PRACK on each leg by itself; UPDATE before the answer; then the answer."""
    item = exchange.play(THROUGH, "prack_caller", "prack_desk")
    assert item["outcome_reason"] == "no_capture_rule"


def test_sip_5_a_reliable_18x_and_an_early_update_of_the_pbx_in_an_announced_call(exchange: Exchange) -> None:
    """The caller is up already: both are answered by us, and the call is recorded."""
    item = exchange.play(ANNOUNCED, "patient_caller", "prack_desk")
    assert item["outcome_reason"] == "complete"


def test_sip_10_too_short_sessions_are_refused_both_ways_and_refreshes_answered(exchange: Exchange) -> None:
    """RFC 4028: our 422 to the trunk, the PBX's 422 to us, its refresh by UPDATE."""
    item = exchange.play(ANNOUNCED, "timer_caller", "timer_desk", cseq=2)
    assert item["outcome_reason"] == "complete"
    assert "session_expired" not in item["flags"]


@pytest.mark.long
def test_sip_10_a_trunk_that_stops_refreshing_is_hung_up_with_a_mark(exchange: Exchange) -> None:
    """RFC 4028 10: BYE at two thirds of 90 s, to both sides, with a Reason; the row is closed and marked."""
    item = exchange.play(ANNOUNCED, "dying_caller", "plain_desk")
    assert item["outcome_reason"] == "complete"
    assert "session_expired" in item["flags"]


@pytest.mark.long
def test_sip_10_we_refresh_a_trunk_that_asks_us_to(exchange: Exchange) -> None:
    """RFC 4028 7.4: UPDATE without a session at half of 90 s; the call goes on."""
    item = exchange.play(ANNOUNCED, "refreshed_caller", "plain_desk")
    assert item["outcome_reason"] == "complete"
    assert "session_expired" not in item["flags"]


@pytest.mark.parametrize("called", [ANNOUNCED, THROUGH])
def test_rtp_7_t38_is_refused_so_that_fax_goes_on_as_audio(exchange: Exchange, called: str) -> None:
    """488 to the re-INVITE with m=image; the call goes on and is marked."""
    item = exchange.play(called, "patient_caller", "fax_desk")
    assert "fax" in item["flags"]
    assert item["outcome_reason"] == ("complete" if called == ANNOUNCED else "no_capture_rule")


def test_sip_4_a_reinvite_that_meets_another_is_sent_again(exchange: Exchange) -> None:
    """RFC 3261 14.1: the trunk's 491 makes us wait and ask again; the PBX waits for the answer meanwhile."""
    item = exchange.play(ANNOUNCED, "glare_caller", "moving_desk")
    assert item["outcome_reason"] == "complete"


def test_sip_3_a_cancel_that_crosses_the_answer_ends_both_legs(exchange: Exchange) -> None:
    """The trunk hears 200 and 487, the PBX ACK and BYE for the 200 it sent; Reason goes with the CANCEL (SIP-12)."""
    item = exchange.play(THROUGH, "cancelling_caller", "racing_desk")
    assert item["outcome"] == "not_recorded"
