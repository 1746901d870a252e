"""A call that is up: where its requests go, what may be asked in it, and how it ends."""

from __future__ import annotations

import json

import pytest

from callrec.sip.events import (
    Acknowledged,
    Address,
    Flow,
    HungUp,
    IncomingCall,
    InDialogRequest,
    ReofferCancelled,
    Reoffered,
)
from callrec.sip.message import Request, Response
from tests.support.incoming_call import answered, established
from tests.support.pair import ANSWER, OFFER
from tests.support.wire import OURS, Wire, request


def test_bye_goes_to_the_contact_along_the_route_set() -> None:
    """RFC 3261 12.2.1.1: loose routes in the order of Record-Route, the Contact as Request-URI."""
    wire = Wire()
    routes = "<sip:127.0.0.3:5080;lr>, <sip:127.0.0.4;lr>"
    call, _ = established(wire, Record_Route=routes, Contact="<sip:alice@127.0.0.5:6000;x=1>")
    wire.endpoint.hang_up(call.leg, wire.now)
    ((bye, flow),) = wire.sent_to()
    assert isinstance(bye, Request)
    assert str(bye.uri) == "sip:alice@127.0.0.5:6000;x=1"
    assert bye.headers.get_all("Route") == ("<sip:127.0.0.3:5080;lr>", "<sip:127.0.0.4;lr>")
    assert flow.remote == Address("127.0.0.3", 5080)
    assert (bye.headers.get("From"), bye.to.tag) == (f"<sip:100@127.0.0.1>;tag={bye.from_.tag}", "theirs")


def test_a_strict_router_is_served_as_rfc_2543_wants() -> None:
    """Without `lr` the first route is the Request-URI and the Contact goes last."""
    wire = Wire()
    call, _ = established(wire, Record_Route="<sip:127.0.0.3:5080>, <sip:127.0.0.4;lr>")
    wire.endpoint.hang_up(call.leg, wire.now)
    ((bye, flow),) = wire.sent_to()
    assert isinstance(bye, Request)
    assert str(bye.uri) == "sip:127.0.0.3:5080"
    assert bye.headers.get_all("Route") == ("<sip:127.0.0.4;lr>", "<sip:alice@127.0.0.2:5070>")
    assert flow.remote == Address("127.0.0.3", 5080)


def test_record_route_is_copied_into_18x_and_200() -> None:
    """RFC 3261 12.1.1: the proxies stay on the path."""
    wire = Wire()
    wire.give(request(Record_Route="<sip:p2;lr>,<sip:p1;lr>"))
    call = wire.take(IncomingCall)
    wire.endpoint.ring(call.leg, wire.now)
    wire.endpoint.answer(call.leg, ANSWER, wire.now)
    for response in wire.sent():
        assert response.headers.get_all("Record-Route") == ("<sip:p2;lr>,<sip:p1;lr>",)


def test_a_reinvite_moves_the_remote_target() -> None:
    """A target refresh: the next request goes to the new Contact."""
    wire = Wire()
    call, tag = established(wire)
    again = request(branch="z9hG4bKr", cseq=2, to_tag=tag, Contact="<sip:alice@127.0.0.2:7777>")
    assert wire.statuses(again) == [100]
    assert wire.take(Reoffered).offer == OFFER
    wire.endpoint.accept_offer(call.leg, ANSWER, wire.now)
    assert [m.status for m in wire.sent() if isinstance(m, Response)] == [200]
    wire.give(request("ACK", branch="z9hG4bKra", cseq=2, to_tag=tag))
    assert wire.take(Acknowledged) == Acknowledged(call.leg, None, reoffer=True)
    wire.endpoint.hang_up(call.leg, wire.now)
    assert wire.sent_to()[0][1].remote == Address("127.0.0.2", 7777)


def test_a_copy_of_a_reinvite_is_one_reinvite() -> None:
    """The copy gets 100 again, and after the 200 it is absorbed."""
    wire = Wire()
    call, tag = established(wire)
    again = request(branch="z9hG4bKr", cseq=2, to_tag=tag)
    wire.give(again)
    wire.take(Reoffered)
    assert wire.statuses(again) == [100]
    wire.endpoint.accept_offer(call.leg, ANSWER, wire.now)
    wire.sent()
    assert wire.give(again) == []
    assert wire.told() == []


def test_a_reinvite_without_ack_ends_the_call() -> None:
    """A 2xx to a re-INVITE that nobody acknowledges: BYE at 64*T1."""
    wire = Wire()
    call, tag = established(wire)
    wire.give(request(branch="z9hG4bKr", cseq=2, to_tag=tag))
    wire.take(Reoffered)
    wire.endpoint.accept_offer(call.leg, ANSWER, wire.now)
    wire.wait(33)
    assert wire.take(HungUp) == HungUp(call.leg, None, "no_acknowledgement")


def test_a_refused_reinvite_leaves_the_call_up() -> None:
    """488 to a re-INVITE: the dialog goes on."""
    wire = Wire()
    call, tag = established(wire)
    wire.give(request(branch="z9hG4bKr", cseq=2, to_tag=tag))
    wire.take(Reoffered)
    wire.endpoint.refuse_offer(call.leg, 488, wire.now)
    assert [m.status for m in wire.sent() if isinstance(m, Response)] == [488]
    wire.give(request("ACK", branch="z9hG4bKr", cseq=2, to_tag=tag))
    assert wire.statuses(request("BYE", branch="z9hG4bKb", cseq=3, to_tag=tag)) == [200]


def test_a_cancelled_reinvite_is_told_and_the_call_goes_on() -> None:
    """CANCEL of a re-INVITE: 487, an event of its own, and a late accept does nothing."""
    wire = Wire()
    call, tag = established(wire)
    wire.give(request(branch="z9hG4bKr", cseq=2, to_tag=tag))
    wire.take(Reoffered)
    assert wire.statuses(request("CANCEL", branch="z9hG4bKr", cseq=2, to_tag=tag)) == [200, 487]
    wire.take(ReofferCancelled)
    assert not wire.endpoint.accept_offer(call.leg, ANSWER, wire.now)
    assert wire.sent() == []


def test_a_second_reinvite_while_one_waits_gets_500_with_retry_after() -> None:
    """SIP-4: overlapping offers of theirs: 500 and Retry-After of 0 to 10 s."""
    wire = Wire()
    _, tag = established(wire)
    wire.give(request(branch="z9hG4bKr", cseq=2, to_tag=tag))
    wire.take(Reoffered)
    (response,) = wire.give(request(branch="z9hG4bKs", cseq=3, to_tag=tag))
    assert isinstance(response, Response)
    assert response.status == 500
    assert 0 <= int(response.headers.get("Retry-After") or "-1") <= 10


def test_a_reinvite_stands_for_a_lost_ack() -> None:
    """RFC 5407 3.1.4: who sends a re-INVITE has our 2xx; the ACK itself was lost."""
    wire = Wire()
    call, tag = answered(wire)
    assert wire.statuses(request(branch="z9hG4bKr", cseq=2, to_tag=tag)) == [100]
    assert [type(event) for event in wire.told()] == [Acknowledged, Reoffered]
    assert wire.endpoint.refuse_offer(call.leg, 488, wire.now)


def test_an_out_of_order_request_gets_500() -> None:
    """RFC 3261 12.2.2: a CSeq below one seen before."""
    wire = Wire()
    _, tag = established(wire)
    assert wire.statuses(request("INFO", branch="z9hG4bKi", cseq=5, to_tag=tag)) == []
    assert wire.statuses(request("INFO", branch="z9hG4bKj", cseq=4, to_tag=tag)) == [500]


@pytest.mark.parametrize("method", ["INFO", "UPDATE", "REFER", "NOTIFY", "MESSAGE"])
def test_requests_in_the_dialog_are_for_the_user(method: str) -> None:
    """INFO, UPDATE, REFER, NOTIFY and MESSAGE are told with a token to answer by; once."""
    wire = Wire()
    call, tag = established(wire)
    assert wire.give(request(method, branch="z9hG4bKi", cseq=2, to_tag=tag)) == []
    told = wire.take(InDialogRequest)
    assert (told.leg, told.request.method) == (call.leg, method)
    assert wire.endpoint.respond(told.token, 202, wire.now, headers=[("X-Note", "1")])
    (response,) = wire.sent()
    assert isinstance(response, Response)
    assert (response.status, response.headers.get("X-Note")) == (202, "1")
    assert not wire.endpoint.respond(told.token, 200, wire.now)
    assert wire.sent() == []


def test_a_request_that_the_user_never_answers_is_forgotten() -> None:
    """After the far side's Timer F nothing is kept, and a late answer does nothing."""
    wire = Wire()
    _, tag = established(wire)
    wire.wait(40)
    wire.give(request("INFO", branch="z9hG4bKi", cseq=2, to_tag=tag))
    token = wire.take(InDialogRequest).token
    wire.wait(33)
    assert wire.endpoint.transactions == 0
    assert not wire.endpoint.respond(token, 200, wire.now)


@pytest.mark.parametrize(("method", "status"), [("PRACK", 481), ("SUBSCRIBE", 405), ("FLY", 501), ("OPTIONS", 200)])
def test_other_methods_in_the_dialog_are_answered_here(method: str, status: int) -> None:
    """What the endpoint does not pass up gets the right status."""
    wire = Wire()
    _, tag = established(wire)
    assert wire.statuses(request(method, branch="z9hG4bKi", cseq=2, to_tag=tag)) == [status]
    assert wire.told() == []


def test_a_dialog_can_be_written_down_and_read_again() -> None:
    """Handing dialogs to another process needs them as plain values."""
    wire = Wire()
    call, _ = established(wire, Record_Route="<sip:127.0.0.3;lr>")
    dialog = wire.endpoint.dialog(call.leg)
    assert dialog is not None
    assert type(dialog).of_plain(json.loads(json.dumps(dialog.to_plain()))) == dialog


def test_a_broken_connection_does_not_end_the_call() -> None:
    """When the connection of a TCP call closes, BYE goes to the address in Contact."""
    wire = Wire("tcp", theirs=Address("127.0.0.2", 44444))
    via = "SIP/2.0/TCP 127.0.0.2:5070;branch=z9hG4bK1"
    contact = "<sip:alice@127.0.0.2:5070;transport=tcp>"
    call, _ = established(wire, Via=via, Contact=contact)
    wire.endpoint.transport_failed(wire.flow, wire.now)
    assert wire.told() == []
    wire.endpoint.hang_up(call.leg, wire.now)
    assert wire.sent_to()[0][1] == Flow("tcp", OURS, Address("127.0.0.2", 5070))
