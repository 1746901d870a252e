"""Requests of ours that make no dialog and end none: INFO in a call, OPTIONS outside any."""

from __future__ import annotations

import pytest

from callrec.sip.events import Failed, Flow, Replied
from callrec.sip.message import Request
from tests.support.incoming_call import answered, established, incoming
from tests.support.pair import dial
from tests.support.wire import THEIRS, Wire, reply, request

DIGIT = b"Signal=5\r\nDuration=160\r\n"
RELAY = (("Content-Type", "application/dtmf-relay"),)


def asked(wire: Wire) -> Request:
    """Return the one request that is sent."""
    (message,) = wire.sent()
    assert isinstance(message, Request)
    return message


def test_a_request_goes_in_the_dialog_with_its_own_body() -> None:
    """RFC 6086 4.2: INFO is a request in the dialog, its body of the kind that was given; the final answer is told."""
    wire = Wire()
    call, tag = established(wire)
    assert wire.endpoint.ask(call.leg, "INFO", "t1", wire.now, headers=RELAY, body=DIGIT)
    info = asked(wire)
    assert (info.method, info.body, info.cseq.number) == ("INFO", DIGIT, 1)
    assert info.headers.get_all("Content-Type") == ("application/dtmf-relay",)
    assert (info.from_.tag, info.to.tag, info.call_id) == (tag, "theirs", "call@127.0.0.2")
    wire.give(reply(info, 100))
    assert wire.told() == []
    wire.give(reply(info, 415))
    told = wire.take(Replied)
    assert (told.leg, told.token, told.cause) == (call.leg, "t1", "response")
    assert told.response is not None
    assert told.response.status == 415
    assert wire.endpoint.ask(call.leg, "INFO", "t2", wire.now)
    assert asked(wire).cseq.number == 2


def test_a_request_that_nobody_answers_is_told_and_ends_no_call() -> None:
    """Timer F: the user hears of it after 32 s; the call goes on."""
    wire = Wire()
    call, _ = established(wire)
    wire.endpoint.ask(call.leg, "INFO", "t1", wire.now)
    wire.wait(33)
    assert wire.take(Replied) == Replied(call.leg, "t1", None, "timeout")
    assert wire.endpoint.legs == 1


def test_there_is_nothing_to_ask_before_a_dialog_or_after_it() -> None:
    """A leg that rings, or that is over, takes no request; one whose ACK is under way does."""
    wire = Wire()
    call, _ = incoming(wire)
    assert not wire.endpoint.ask(call.leg, "INFO", "t1", wire.now)
    wire = Wire()
    call, tag = answered(wire)
    assert wire.endpoint.ask(call.leg, "INFO", "t1", wire.now)
    wire.give(request("BYE", branch="z9hG4bKbye", cseq=2, to_tag=tag))
    assert not wire.endpoint.ask(call.leg, "INFO", "t2", wire.now)
    assert not wire.endpoint.ask("nobody", "INFO", "t3", wire.now)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("status", [200, 405, 503])
def test_options_says_whether_somebody_is_there(transport: str, status: int) -> None:
    """RFC 3261 11.1: a request outside any dialog; whatever the answer is, it is one."""
    wire = Wire(transport)
    wire.endpoint.ask_options(wire.flow, "t1", wire.now)
    ((options, flow),) = wire.sent_to()
    assert isinstance(options, Request)
    assert (options.method, flow) == ("OPTIONS", wire.flow)
    extra = ";transport=tcp" if transport == "tcp" else ""
    assert str(options.uri) == f"sip:127.0.0.2:5070{extra}"
    assert (options.to.tag, options.max_forwards) == (None, 70)
    assert {"Contact", "Accept", "User-Agent"} <= {name for name, _ in options.headers.items()}
    wire.give(reply(options, status))
    told = wire.take(Replied)
    assert (told.leg, told.token, told.cause) == ("", "t1", "response")
    wire.wait(40)
    assert (wire.endpoint.transactions, wire.endpoint.legs) == (0, 0)


def test_options_to_nobody_is_told() -> None:
    """Silence after 64*T1, or an ICMP error at once."""
    wire = Wire()
    wire.endpoint.ask_options(wire.flow, "t1", wire.now)
    wire.wait(33)
    assert wire.take(Replied) == Replied("", "t1", None, "timeout")
    wire.endpoint.ask_options(wire.flow, "t2", wire.now)
    wire.endpoint.transport_failed(wire.flow, wire.now)
    assert wire.take(Replied) == Replied("", "t2", None, "transport")


def test_an_invite_that_gets_no_response_at_all_is_noticed() -> None:
    """Also where the call was given up meanwhile: who is silent is silent, and the user of the leg hears no more."""
    silent: list[tuple[Flow, str]] = []
    wire = Wire(on_silence=lambda flow, cause: silent.append((flow, cause)))
    for leg in ("waits", "leaves"):
        wire.endpoint.dial(dial(leg, wire.flow), wire.now)
    wire.endpoint.hang_up("leaves", wire.now)
    wire.wait(33)
    assert wire.take(Failed) == Failed("waits", None, "timeout")
    assert silent == [(wire.flow, "timeout")] * 2
    assert wire.flow.remote == THEIRS
    wire.endpoint.dial(dial("rings", wire.flow), wire.now)
    invite = asked(wire)
    wire.give(reply(invite, 100))
    wire.endpoint.transport_failed(wire.flow, wire.now)
    assert len(silent) == 2
