"""RTP-8, RFC 5761 5.1.1: one port for RTP and RTCP is taken where it is offered, and never otherwise."""

from __future__ import annotations

import pytest

from callrec.sdp import Codec, Direction, SessionDescription, answer_to, audio_of, offer_of

PCMA = Codec("PCMA", 8, 8000)
LINES = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"


@pytest.mark.parametrize("offered", [True, False])
def test_an_answer_muxes_as_the_offer_does(offered: bool) -> None:
    """The answer's attribute is what both sides go by."""
    offer = SessionDescription.parse((LINES + ("a=rtcp-mux\r\n" if offered else "")).encode())
    answer = answer_to(offer, PCMA, None, ("10.0.0.2", 5000), direction=Direction.SENDRECV, session_id=1, version=1)
    assert audio_of(answer).rtcp_mux is offered
    assert (b"a=rtcp-mux" in answer.serialize()) is offered


def test_our_offers_use_two_ports() -> None:
    """Nobody has to answer a wish that old gateways do not know."""
    offer = offer_of((PCMA,), None, ("10.0.0.2", 5000), session_id=1, version=1)
    assert b"rtcp-mux" not in offer.serialize()
