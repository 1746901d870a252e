"""UPDATE: new offers without a re-INVITE, before the answer and after, in both directions (RFC 3311, SIP-4, SIP-8)."""

from __future__ import annotations

from callrec.sip.events import (
    Answered,
    IncomingCall,
    InDialogRequest,
    ReofferAnswered,
    Reoffered,
    ReofferFailed,
)
from callrec.sip.message import Request, Response
from tests.support.incoming_call import established
from tests.support.pair import ANSWER, OFFER, End, Pair, dial
from tests.support.wire import Wire, reply, request, tag_of

REL = ("100rel",)
TAKES = {"Allow": "INVITE, ACK, BYE, UPDATE, PRACK"}


def update(tag: str, cseq: int, **more: str) -> str:
    return request("UPDATE", branch=f"z9hG4bKu{cseq}", cseq=cseq, to_tag=tag, **({"body": OFFER.decode()} | more))


def rung(line: Wire) -> tuple[str, str, Response]:
    """Return leg, tag and 183 of an incoming call whose offer was answered reliably but not acknowledged."""
    line.give(request(Supported="100rel", **TAKES))
    leg = line.take(IncomingCall).leg
    line.endpoint.ring(leg, line.now, status=183, session=ANSWER)
    (response,) = line.sent()
    assert isinstance(response, Response)
    return leg, tag_of(response), response


def acknowledge(line: Wire, response: Response) -> None:
    rack = f"{response.headers.get('RSeq')} 1 INVITE"
    line.give(request("PRACK", branch="z9hG4bKp", cseq=2, to_tag=tag_of(response), RAck=rack))


def test_an_update_with_an_offer_is_told_and_answered_like_a_reinvite() -> None:
    """RFC 3311 5.2: 200 with the answer and our Contact, no ACK."""
    line = Wire()
    call, tag = established(line)
    assert line.give(update(tag, 2)) == []
    assert line.take(Reoffered).offer == OFFER
    assert line.endpoint.accept_offer(call.leg, ANSWER, line.now)
    (done,) = line.sent()
    assert isinstance(done, Response)
    assert (done.status, done.session, done.cseq.method) == (200, ANSWER, "UPDATE")
    assert done.headers.get("Contact")
    assert line.wait(40) == []


def test_a_refused_update_leaves_the_call_as_it_was() -> None:
    """RFC 3311 5.2: 488, and the next one is taken."""
    line = Wire()
    call, tag = established(line)
    line.give(update(tag, 2))
    line.endpoint.refuse_offer(call.leg, 488, line.now)
    assert [message.status for message in line.sent() if isinstance(message, Response)] == [488]
    line.told()
    assert line.give(update(tag, 3)) == []
    assert line.take(Reoffered).offer == OFFER


def test_overlapping_offers_are_refused_as_the_rfc_says() -> None:
    """SIP-4: theirs pending 500 with Retry-After, ours pending 491, for UPDATE and for re-INVITE."""
    line = Wire()
    call, tag = established(line, **TAKES)
    line.give(update(tag, 2))
    for again in (update(tag, 3), request(branch="z9hG4bKr", cseq=4, to_tag=tag)):
        (refusal,) = line.give(again)
        assert isinstance(refusal, Response)
        assert refusal.status == 500
        assert refusal.headers.get("Retry-After")
    line.endpoint.accept_offer(call.leg, ANSWER, line.now)
    line.sent()
    line.endpoint.reoffer(call.leg, OFFER, line.now, update=True)
    (ours,) = line.sent()
    assert ours.cseq.method == "UPDATE"
    assert line.statuses(update(tag, 5)) == [491]
    assert line.statuses(request(branch="z9hG4bKs", cseq=6, to_tag=tag)) == [491]


def test_an_update_before_the_answer_waits_for_what_was_offered_before() -> None:
    """RFC 3311 5.2: 500 while our answer is not acknowledged; afterwards the early dialog may change its session."""
    line = Wire(supported=REL)
    leg, tag, response = rung(line)
    (refusal,) = line.give(update(tag, 2))
    assert isinstance(refusal, Response)
    assert refusal.status == 500
    rack = f"{response.headers.get('RSeq')} 1 INVITE"
    line.give(request("PRACK", branch="z9hG4bKp", cseq=3, to_tag=tag, RAck=rack))
    assert line.give(update(tag, 4)) == []
    assert line.take(Reoffered).offer == OFFER
    line.endpoint.accept_offer(leg, ANSWER, line.now)
    assert [message.session for message in line.sent()] == [ANSWER]


def test_we_update_a_caller_that_has_not_been_answered() -> None:
    """RFC 3311 5.1: possible once the answer was acknowledged, and where the caller takes UPDATE."""
    line = Wire(supported=REL)
    leg, _, response = rung(line)
    assert not line.endpoint.can_reoffer(leg)
    assert not line.endpoint.reoffer(leg, OFFER, line.now, update=True)
    acknowledge(line, response)
    assert line.endpoint.can_reoffer(leg)
    line.endpoint.reoffer(leg, OFFER, line.now, update=True)
    (ours,) = line.sent()
    assert isinstance(ours, Request)
    line.give(reply(ours, 200, body=ANSWER))
    assert line.take(ReofferAnswered).session == ANSWER
    line.endpoint.answer(leg, ANSWER, line.now)
    assert [message.status for message in line.sent() if isinstance(message, Response)] == [200]


def test_a_called_side_updates_us_before_it_answers() -> None:
    """Its UPDATE in the early dialog is told, answered, and the call comes about after it."""
    line = Wire(supported=REL)
    line.endpoint.dial(dial("leg", line.flow), line.now)
    (invite,) = line.sent()
    assert isinstance(invite, Request)
    ours = {"From": "<sip:bob@127.0.0.2>;tag=t", "To": invite.headers.get("From") or "", "Call_ID": invite.call_id}
    assert line.statuses(request("UPDATE", branch="z9hG4bK0", body=OFFER.decode(), **ours)) == [481]
    (prack,) = line.give(reply(invite, 183, tag="t", body=ANSWER, Require="100rel", RSeq="1", **TAKES))
    line.give(reply(prack, 200))
    line.told()
    assert line.give(request("UPDATE", branch="z9hG4bK1", body=OFFER.decode(), **ours)) == []
    assert line.take(Reoffered).offer == OFFER
    line.endpoint.accept_offer("leg", ANSWER, line.now)
    assert [message.status for message in line.sent() if isinstance(message, Response)] == [200]
    assert line.endpoint.can_reoffer("leg")
    line.endpoint.reoffer("leg", OFFER, line.now, update=True)
    (again,) = line.sent()
    line.give(reply(again, 488))
    assert line.take(ReofferFailed).response is not None
    line.give(reply(invite, 200, tag="t"))
    line.take(Answered)


def test_where_update_is_not_taken_a_reinvite_goes() -> None:
    """Allow decides; a 405, 501 or 504 teaches the same (RFC 3311 5.3)."""
    line = Wire()
    call, _ = established(line, Allow="INVITE, ACK, BYE")
    line.endpoint.reoffer(call.leg, OFFER, line.now, update=True)
    assert [message.cseq.method for message in line.sent()] == ["INVITE"]
    other = Wire()
    call, _ = established(other, **TAKES)
    other.endpoint.reoffer(call.leg, OFFER, other.now, update=True)
    (first,) = other.sent()
    assert isinstance(first, Request)
    assert first.method == "UPDATE"
    (second,) = other.give(reply(first, 504))
    assert isinstance(second, Request)
    assert (second.method, second.session) == ("INVITE", OFFER)


def test_an_update_without_an_offer_only_refreshes() -> None:
    """RFC 3311 5.2: told as a request, answered by the user; the Contact in it is the new target."""
    line = Wire()
    call, tag = established(line)
    line.give(update(tag, 2, body="", Contact="<sip:alice@127.0.0.2:7777>"))
    told = line.take(InDialogRequest)
    line.endpoint.respond(told.token, 200, line.now)
    assert [message.status for message in line.sent() if isinstance(message, Response)] == [200]
    line.endpoint.hang_up(call.leg, line.now)
    assert line.sent_to()[0][1].remote.port == 7777


def test_updates_that_meet_both_get_through_in_the_end() -> None:
    """Glare: both get 491, and each offer is answered at last (SIP-4)."""
    caller, called = End("caller", 5060), End("called", 5070)
    pair = Pair(caller, called)
    caller.endpoint.dial(dial("leg", caller.flow_to(called)), pair.now)
    pair.settle()
    leg = called.take(IncomingCall).leg
    called.endpoint.answer(leg, ANSWER, pair.now)
    pair.settle()
    for end, own in ((caller, "leg"), (called, leg)):
        end.events.clear()
        end.endpoint.reoffer(own, OFFER, pair.now, update=True)
    for _ in range(100):
        pair.run(0.1)
        for end, own in ((caller, "leg"), (called, leg)):
            if any(isinstance(event, Reoffered) for event in end.events):
                end.events[:] = [event for event in end.events if not isinstance(event, Reoffered)]
                end.endpoint.accept_offer(own, ANSWER, pair.now)
    for end in (caller, called):
        assert [type(event) for event in end.events] == [ReofferAnswered]
        assert len(end.sent_of("491")) >= 1
