"""SIPp as trunk and as PBX: 100rel, UPDATE, session timers, fax, glare and crossing CANCELs (SIP-3..10, RTP-7)."""

from __future__ import annotations

import pytest

from tests.support.exchange import ANNOUNCED, THROUGH, Exchange

pytestmark = pytest.mark.peer


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
