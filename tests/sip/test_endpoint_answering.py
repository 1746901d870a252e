"""The side that is called: one call however often its INVITE comes, and every way it can end."""

from __future__ import annotations

import pytest

from callrec.sip.events import (
    Acknowledged,
    Address,
    Cancelled,
    HungUp,
    IncomingCall,
)
from callrec.sip.message import Request, Response
from tests.support.incoming_call import answered, established, incoming
from tests.support.pair import ANSWER, OFFER
from tests.support.wire import THEIRS, Wire, request, tag_of


def test_an_invite_gets_100_at_once_and_is_told_with_its_offer() -> None:
    """A new INVITE is answered 100 before anybody thinks about it."""
    wire = Wire()
    assert wire.statuses(request()) == [100]
    call = wire.take(IncomingCall)
    assert call.offer == OFFER
    assert call.flow == wire.flow


def test_a_copy_before_any_18x_gets_100_again_and_is_no_second_call() -> None:
    """INVITE repeated before 1xx: the same call."""
    wire = Wire()
    wire.give(request())
    wire.take(IncomingCall)
    assert wire.statuses(request()) == [100]
    assert wire.told() == []
    assert wire.endpoint.legs == 1


def test_a_copy_after_18x_gets_the_same_18x() -> None:
    """INVITE repeated after 1xx: the last response is replayed, byte for byte."""
    wire = Wire()
    wire.give(request())
    call = wire.take(IncomingCall)
    wire.endpoint.ring(call.leg, wire.now, status=183, session=ANSWER)
    first = wire.sent()
    assert first[0].body == ANSWER
    assert wire.give(request()) == first
    assert wire.told() == []


def test_a_copy_after_2xx_is_absorbed_and_the_2xx_repeats_by_its_own_timer() -> None:
    """RFC 6026 7.1: no answer to the copy; the 200 comes at 0.5, 1.5, 3.5, 7.5, 11.5 s …"""
    wire = Wire()
    answered(wire)
    assert wire.give(request()) == []
    assert [when - 100 for when, _ in wire.wait_at(12)] == [0.5, 1.5, 3.5, 7.5, 11.5]


def test_a_copy_after_4xx_gets_the_4xx_again_and_is_no_second_call() -> None:
    """INVITE repeated after a rejection: the rejection is replayed; once acknowledged, the copy is absorbed."""
    wire = Wire()
    wire.give(request())
    call = wire.take(IncomingCall)
    wire.endpoint.reject(call.leg, 486, wire.now)
    rejection = wire.sent()
    assert wire.give(request()) == rejection
    assert wire.give(request("ACK", to_tag=tag_of(rejection[0]))) == []
    assert wire.give(request()) == []
    assert wire.told() == []
    assert wire.endpoint.legs == 0


def test_a_rejection_repeats_until_its_ack() -> None:
    """Timer G over UDP: a lost 486 comes again, and stops with the ACK."""
    wire = Wire()
    wire.give(request())
    wire.endpoint.reject(wire.take(IncomingCall).leg, 486, wire.now)
    tag = tag_of(wire.sent()[0])
    assert [message.status for message in wire.wait(4) if isinstance(message, Response)] == [486, 486, 486]
    wire.give(request("ACK", to_tag=tag))
    assert wire.wait(40) == []
    assert wire.endpoint.transactions == 0


def test_without_ack_the_call_ends_with_bye_at_64_t1() -> None:
    """No ACK in 32 s: BYE, and the user is told why."""
    wire = Wire()
    call, _ = answered(wire)
    sent = wire.wait(33)
    assert [message.method for message in sent if isinstance(message, Request)][:1] == ["BYE"]
    assert wire.take(HungUp) == HungUp(call.leg, None, "no_acknowledgement")
    assert wire.now == 133.0
    wire.wait(64)
    assert wire.endpoint.transactions == wire.endpoint.legs == 0


def test_the_2xx_repeats_over_tcp_too() -> None:
    """RFC 3261 13.3.1.4: a proxy behind the stream may use UDP."""
    wire = Wire("tcp")
    answered(wire)
    assert len(wire.wait(1.0)) == 1


def test_a_late_ack_stops_the_copies() -> None:
    """The ACK after three copies is as good as the first, and comes with no branch of ours."""
    wire = Wire()
    call, tag = answered(wire)
    assert len(wire.wait(4)) == 3
    wire.give(request("ACK", branch="z9hG4bKack", to_tag=tag))
    assert wire.take(Acknowledged).leg == call.leg
    assert wire.wait(60) == []


def test_an_ack_with_the_branch_of_the_invite_counts_for_the_2xx_too() -> None:
    """A common fault of old stacks must not cost a call."""
    wire = Wire()
    _, tag = answered(wire)
    wire.give(request("ACK", to_tag=tag))
    wire.take(Acknowledged)


def test_a_late_offer_is_answered_in_the_ack() -> None:
    """SIP-6: INVITE without SDP: our 200 offers, the ACK answers."""
    wire = Wire()
    assert wire.statuses(request(body="")) == [100]
    call = wire.take(IncomingCall)
    assert call.offer is None
    wire.endpoint.answer(call.leg, OFFER, wire.now)
    tag = tag_of(wire.sent()[0])
    wire.give(request("ACK", branch="z9hG4bKa", to_tag=tag, body=ANSWER.decode()))
    assert wire.take(Acknowledged) == Acknowledged(call.leg, ANSWER)


def test_cancel_while_ringing_gets_200_and_487() -> None:
    """CANCEL of an INVITE that waits: 200 to the CANCEL, 487 to the INVITE, the leg is over."""
    wire = Wire()
    call, tag = incoming(wire)
    sent = wire.give(request("CANCEL", Reason="SIP;cause=200"))
    assert [(m.status, m.cseq.method) for m in sent if isinstance(m, Response)] == [(200, "CANCEL"), (487, "INVITE")]
    assert {tag_of(message) for message in sent} == {tag}
    assert wire.take(Cancelled) == Cancelled(call.leg, "SIP;cause=200")
    assert not wire.endpoint.answer(call.leg, ANSWER, wire.now)
    assert wire.endpoint.legs == 0


def test_cancel_that_crosses_our_200_changes_nothing() -> None:
    """RFC 3261 9.2: after the final response a CANCEL gets its 200 and no more; the call is up."""
    wire = Wire()
    call, tag = answered(wire)
    assert wire.statuses(request("CANCEL")) == [200]
    assert wire.told() == []
    wire.give(request("ACK", branch="z9hG4bKa", to_tag=tag))
    assert wire.take(Acknowledged).leg == call.leg


def test_a_copy_of_a_cancel_gets_the_same_answer() -> None:
    """A lost 200 to the CANCEL is sent again, and nothing else happens."""
    wire = Wire()
    incoming(wire)
    first = wire.give(request("CANCEL"))[0]
    wire.told()
    assert wire.give(request("CANCEL")) == [first]
    assert wire.told() == []


def test_cancel_of_nothing_gets_481() -> None:
    """A CANCEL that matches no INVITE is answered 481."""
    assert Wire().statuses(request("CANCEL")) == [481]


def test_bye_while_ringing_ends_the_leg() -> None:
    """SIP-3: BYE in an early dialog: 200 to it, 487 to the INVITE."""
    wire = Wire()
    call, tag = incoming(wire)
    sent = wire.give(request("BYE", branch="z9hG4bKb", cseq=2, to_tag=tag))
    assert [(m.status, m.cseq.method) for m in sent if isinstance(m, Response)] == [(200, "BYE"), (487, "INVITE")]
    assert wire.take(HungUp).leg == call.leg


def test_bye_before_the_ack_stops_the_2xx() -> None:
    """A caller who hangs up before its ACK arrives: 200, and nothing repeats."""
    wire = Wire()
    _, tag = answered(wire)
    assert wire.statuses(request("BYE", branch="z9hG4bKb", cseq=2, to_tag=tag)) == [200]
    wire.take(HungUp)
    assert wire.wait(60) == []


def test_bye_is_answered_and_a_copy_too() -> None:
    """The far side hangs up; its BYE may come twice, the event comes once."""
    wire = Wire()
    call, tag = established(wire)
    bye = request("BYE", branch="z9hG4bKb", cseq=2, to_tag=tag, Reason="Q.850;cause=16")
    assert wire.statuses(bye) == [200]
    assert wire.take(HungUp) == HungUp(call.leg, "Q.850;cause=16")
    assert wire.statuses(bye) == [200]
    assert wire.told() == []
    assert wire.statuses(request("BYE", branch="z9hG4bKc", cseq=3, to_tag=tag)) == [481]


def test_hang_up_while_ringing_rejects() -> None:
    """The user gives up on a call that rings at us: 480, with its reason."""
    wire = Wire()
    call, _ = incoming(wire)
    wire.endpoint.hang_up(call.leg, wire.now, headers=[("Reason", "Q.850;cause=41")])
    (response,) = wire.sent()
    assert isinstance(response, Response)
    assert response.status == 480
    assert response.headers.get("Reason") == "Q.850;cause=41"


def test_hang_up_before_the_ack_waits_for_it() -> None:
    """RFC 3261 15: the callee sends BYE only after the ACK of its 2xx."""
    wire = Wire()
    call, tag = answered(wire)
    assert wire.endpoint.hang_up(call.leg, wire.now)
    assert wire.sent() == []
    (bye,) = wire.give(request("ACK", branch="z9hG4bKa", to_tag=tag))
    assert isinstance(bye, Request)
    assert bye.method == "BYE"
    assert wire.told() == []


def test_hang_up_before_an_ack_that_never_comes_ends_at_64_t1() -> None:
    """No ACK: BYE after 32 s, and no event, for the user has hung up."""
    wire = Wire()
    call, _ = answered(wire)
    wire.endpoint.hang_up(call.leg, wire.now)
    assert [m.method for m in wire.wait(33) if isinstance(m, Request)][:1] == ["BYE"]
    assert wire.told() == []
    wire.wait(64)
    assert wire.endpoint.transactions == wire.endpoint.legs == 0


def test_ringing_may_last_for_minutes_and_is_repeated() -> None:
    """RFC 3261 13.3.1.1: the 180 comes again each minute, so that no proxy gives up."""
    wire = Wire()
    call, _ = incoming(wire)
    assert [m.status for m in wire.wait(200) if isinstance(m, Response)] == [180, 180, 180]
    assert wire.endpoint.answer(call.leg, ANSWER, wire.now)


@pytest.mark.parametrize(
    ("via", "host", "port"),
    [
        ("SIP/2.0/UDP 10.9.9.9:5099;branch=z9hG4bKx;rport", "127.0.0.2", 5070),
        ("SIP/2.0/UDP 10.9.9.9:5099;branch=z9hG4bKx", "127.0.0.2", 5099),
        ("SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKx", "127.0.0.2", 5060),
        ("SIP/2.0/UDP x:5099;branch=z9hG4bKx;maddr=10.1.1.1", "127.0.0.2", 5099),
    ],
)
def test_responses_go_to_the_source(via: str, host: str, port: int) -> None:
    """`received` is always where it came from; `rport` asks for the port too; maddr leads nobody astray."""
    wire = Wire()
    wire.endpoint.receive(request(Via=via).encode(), wire.flow, wire.now)
    ((response, flow),) = wire.sent_to()
    assert flow.remote == Address(host, port)
    assert response.via.received == host
    if "rport" in via:
        assert response.via.rport == THEIRS.port


def test_responses_go_to_an_ipv6_source() -> None:
    """`received` and `rport` over IPv6, without brackets in the parameter."""
    wire = Wire(ours=Address("::1", 5060), theirs=Address("2001:db8::7", 5099))
    via = "SIP/2.0/UDP [2001:db8::9]:5070;branch=z9hG4bKx;rport"
    wire.endpoint.receive(request(Via=via).encode(), wire.flow, wire.now)
    ((response, flow),) = wire.sent_to()
    assert flow.remote == Address("2001:db8::7", 5099)
    assert (response.via.received, response.via.rport) == ("2001:db8::7", 5099)


def test_a_peer_of_rfc_2543_can_call() -> None:
    """No branch, no From tag: copies are one call, ACK and BYE find it."""
    wire = Wire()
    old = {"Via": "SIP/2.0/UDP 127.0.0.2:5070", "From": "<sip:alice@127.0.0.2>"}
    assert wire.statuses(request(**old)) == [100]
    call = wire.take(IncomingCall)
    assert wire.statuses(request(**old)) == [100]
    wire.endpoint.answer(call.leg, ANSWER, wire.now)
    tag = tag_of(wire.sent()[0])
    wire.give(request("ACK", to_tag=tag, **old))
    wire.take(Acknowledged)
    assert wire.statuses(request("BYE", cseq=2, to_tag=tag, **old)) == [200]
    wire.take(HungUp)


def test_an_invite_without_contact_is_a_call() -> None:
    """The corpus has such; BYE then goes to From by the way the INVITE came."""
    wire = Wire()
    call, _ = established(wire, Contact="")
    wire.endpoint.hang_up(call.leg, wire.now)
    ((bye, flow),) = wire.sent_to()
    assert isinstance(bye, Request)
    assert str(bye.uri) == "sip:alice@127.0.0.2"
    assert flow.remote.host == THEIRS.host
