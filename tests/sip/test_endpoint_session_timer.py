"""Session timers: each leg is refreshed in time by the side that was agreed, or ended (RFC 4028, SIP-10)."""

from __future__ import annotations

import pytest

from callrec.sip.events import (
    Acknowledged,
    Answered,
    Failed,
    HungUp,
    IncomingCall,
    InDialogRequest,
    ReofferAnswered,
    Reoffered,
)
from callrec.sip.message import Request, Response
from callrec.sip.session_timer import Wanted
from tests.support.pair import ANSWER, OFFER, End, Pair, dial
from tests.support.wire import Wire, reply, request, tag_of

TIMER = {"Supported": "timer"}
UPDATES = {"Allow": "INVITE, UPDATE"}


def wire(expires: int = 1800, minimum: int = 90) -> Wire:
    return Wire(supported=("timer",), session_timer=Wanted(expires, minimum))


def answered(line: Wire, **headers: str) -> tuple[str, Response]:
    """Let an INVITE come and answer it; return the leg and our 200."""
    line.give(request(**headers))
    leg = line.take(IncomingCall).leg
    line.endpoint.answer(leg, ANSWER, line.now)
    (response,) = line.sent()
    assert isinstance(response, Response)
    line.give(request("ACK", branch="z9hG4bKa", to_tag=tag_of(response)))
    line.take(Acknowledged)
    return leg, response


def dialled(line: Wire, **headers: str) -> Request:
    """Let our INVITE be answered with these headers; return it."""
    line.endpoint.dial(dial("leg", line.flow), line.now)
    (invite,) = line.sent()
    assert isinstance(invite, Request)
    line.give(reply(invite, 200, body=ANSWER, **headers))
    line.take(Answered)
    return invite


@pytest.mark.parametrize(
    ("asked", "said", "needed"),
    [
        ({**TIMER, "Session_Expires": "600;refresher=uac"}, "600;refresher=uac", "timer"),
        ({**TIMER, "Session_Expires": "600;refresher=uas"}, "600;refresher=uas", None),
        ({**TIMER, "Session_Expires": "600"}, "600;refresher=uac", "timer"),
        ({**TIMER, "Session_Expires": "7200"}, "1800;refresher=uac", "timer"),
        ({**TIMER, "Session_Expires": "7200", "Min_SE": "3600"}, "3600;refresher=uac", "timer"),
        (TIMER, "1800;refresher=uac", "timer"),
        ({"Session_Expires": "600"}, "600;refresher=uas", None),
        ({}, None, None),
        ({**TIMER, "x": "600;x=1;refresher=uas"}, "600;refresher=uas", None),
    ],
)
def test_our_200_says_how_long_and_who_refreshes(asked: dict[str, str], said: str | None, needed: str | None) -> None:
    """RFC 4028 9, table 2; `x` is the compact form of Session-Expires."""
    _, response = answered(wire(), **asked)
    assert response.headers.get("Session-Expires") == said
    assert response.headers.get("Require") == needed


def test_too_short_a_session_gets_422_with_what_we_take() -> None:
    """RFC 4028 9: Min-SE in the 422; without `timer` in Supported the interval is raised instead."""
    line = wire(minimum=120)
    (refusal,) = line.give(request(Session_Expires="90", **TIMER))
    assert isinstance(refusal, Response)
    assert (refusal.status, refusal.headers.get("Min-SE")) == (422, "120")
    _, response = answered(wire(minimum=120), Session_Expires="90")
    assert response.headers.get("Session-Expires") == "120;refresher=uas"


def test_their_422_makes_us_ask_again_for_longer() -> None:
    """RFC 4028 7.3: the same call, the next CSeq, Session-Expires and Min-SE as they want; once only."""
    line = wire()
    line.endpoint.dial(dial("leg", line.flow), line.now)
    (first,) = line.sent()
    assert isinstance(first, Request)
    assert first.headers.get("Session-Expires") == "1800"
    ack, second = line.give(reply(first, 422, Min_SE="3600"))
    assert isinstance(second, Request)
    assert ack.cseq.method == "ACK"
    assert (second.call_id, second.from_.tag, second.cseq.number) == (first.call_id, first.from_.tag, 2)
    assert (second.headers.get("Session-Expires"), second.headers.get("Min-SE")) == ("3600", "3600")
    assert (second.session, len(second.headers.get_all("Via"))) == (OFFER, 1)
    line.give(reply(second, 422, Min_SE="3600"))
    assert line.take(Failed).cause == "response"


def test_we_refresh_by_update_at_half_of_the_interval() -> None:
    """RFC 4028 7.2, 7.4: UPDATE without a session where it is taken, our role in it; its 2xx starts the time anew."""
    line = wire()
    dialled(line, Session_Expires="200;refresher=uac", **UPDATES)
    start = line.now
    ((when, refresh),) = line.wait_at(100)
    assert isinstance(refresh, Request)
    assert (when - start, refresh.method, refresh.body) == (100, "UPDATE", b"")
    assert refresh.headers.get("Session-Expires") == "200;refresher=uac"
    line.give(reply(refresh, 200, Session_Expires="200;refresher=uac"))
    assert [(when - start, message.cseq.method) for when, message in line.wait_at(120)][:1] == [(200, "UPDATE")]
    assert line.told() == []


def test_without_update_we_refresh_by_a_reinvite_with_the_same_session() -> None:
    """RFC 4028 7.4, SIP-7: byte for byte what they took, so the version in o= is the same."""
    line = wire()
    dialled(line, Session_Expires="200;refresher=uac", Allow="INVITE")
    refresh = line.wait(100)[0]
    assert isinstance(refresh, Request)
    assert (refresh.method, refresh.session) == ("INVITE", OFFER)
    (ack,) = line.give(reply(refresh, 200, body=ANSWER, Session_Expires="200;refresher=uac"))
    assert ack.cseq.method == "ACK"
    assert line.take(ReofferAnswered).refresh
    _, response = answered(other := wire(), Session_Expires="200;refresher=uas", **TIMER)
    again = other.wait(100)[0]
    assert isinstance(again, Request)
    assert (again.session, response.session) == (ANSWER, ANSWER)


@pytest.mark.parametrize(("interval", "after"), [(90, 60), (96, 64), (200, 168), (1800, 1768)])
def test_a_session_that_nobody_refreshes_is_ended(interval: int, after: int) -> None:
    """RFC 4028 10: BYE at expiry less the smaller of 32 s and a third; its own cause."""
    line = wire()
    leg, _ = answered(line, Session_Expires=f"{interval};refresher=uac", **TIMER)
    start = line.now
    (when, bye), *_ = line.wait_at(interval)
    assert isinstance(bye, Request)
    assert (when - start, bye.method) == (after, "BYE")
    assert "Session expired" in (bye.headers.get("Reason") or "")
    assert line.take(HungUp) == HungUp(leg, None, "session_expired")


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_their_refresh_starts_the_time_anew(method: str) -> None:
    """RFC 4028 9: by re-INVITE or UPDATE; the roles stay as the request names them."""
    line = wire()
    leg, response = answered(line, Session_Expires="90;refresher=uac", **TIMER)
    tag = tag_of(response)
    line.wait(45)
    line.give(request(method, branch="z9hG4bKr", cseq=2, to_tag=tag, Session_Expires="90;refresher=uac", **TIMER))
    for event in line.told():
        if isinstance(event, Reoffered):
            line.endpoint.accept_offer(leg, ANSWER, line.now)
        elif isinstance(event, InDialogRequest):
            line.endpoint.respond(event.token, 200, line.now)
    (done,) = line.sent()
    assert done.headers.get("Session-Expires") == "90;refresher=uac"
    if method == "INVITE":
        line.give(request("ACK", branch="z9hG4bKra", cseq=2, to_tag=tag))
    line.told()
    assert line.wait(59) == []
    assert line.wait(2)[0].cseq.method == "BYE"


def test_a_refresh_that_fails_is_tried_again_and_then_the_call_ends() -> None:
    """RFC 4028 10: a 500 to the refresh ends nothing at once; 481 does."""
    line = wire()
    dialled(line, Session_Expires="300;refresher=uac", **UPDATES)
    tried = 0
    while (sent := line.wait(1)) == [] or sent[0].cseq.method == "UPDATE":
        for message in sent:
            assert isinstance(message, Request)
            tried += 1
            line.give(reply(message, 500))
    assert tried >= 2
    assert sent[0].cseq.method == "BYE"
    assert line.take(HungUp).cause == "session_expired"
    other = wire()
    dialled(other, Session_Expires="300;refresher=uac", **UPDATES)
    (refresh,) = other.wait(150)
    assert isinstance(refresh, Request)
    other.give(reply(refresh, 481))
    assert other.take(HungUp).cause == "gone"


def test_without_the_extension_at_the_far_side_there_is_no_timer() -> None:
    """RFC 4028 7.2: a 200 without Session-Expires sets none."""
    line = wire()
    dialled(line)
    assert line.wait(24 * 3600) == []


@pytest.mark.parametrize("refresher", ["caller", "called"])
def test_two_of_us_keep_a_call_up_for_hours(refresher: str) -> None:
    """Each side in its role; nothing is told, and when one dies the other ends the call."""
    ends = [
        End(name, port, supported=("timer",), session_timer=Wanted(300, 90))
        for name, port in (("caller", 5060), ("called", 5070))
    ]
    caller, called = ends
    pair = Pair(*ends)
    headers = () if refresher == "caller" else (("Session-Expires", "300;refresher=uas"),)
    caller.endpoint.dial(dial("leg", caller.flow_to(called), headers=headers), pair.now)
    pair.settle()
    leg = called.take(IncomingCall).leg
    called.endpoint.answer(leg, ANSWER, pair.now)
    pair.settle()
    caller.take(Answered)
    called.take(Acknowledged)
    for _ in range(200):
        pair.run(36)
        for end in ends:
            for event in end.events:
                assert isinstance(event, InDialogRequest)
                end.endpoint.respond(event.token, 200, pair.now)
            end.events.clear()
    pair.lose_next = lambda _message: True
    pair.run(600)
    assert {event.cause for end in ends for event in end.events if isinstance(event, HungUp)} <= {
        "session_expired", "gone", "transport",
    }  # fmt: skip
    assert all(end.endpoint.legs == 0 for end in ends)
