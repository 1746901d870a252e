"""Provisional responses that arrive for sure: RSeq, PRACK and RAck, on the called and on the calling side (SIP-5)."""

from __future__ import annotations

import pytest

from callrec.sip.events import Acknowledged, Answered, HungUp, IncomingCall, Progress, Reoffered
from callrec.sip.message import Request, Response
from tests.support.pair import ANSWER, OFFER, End, Pair, dial
from tests.support.wire import Wire, reply, request, tag_of

REL = {"Supported": "100rel"}
NEEDED = {"Require": "100rel"}


def wire() -> Wire:
    return Wire(supported=("100rel",))


def rung(line: Wire, *, session: bytes | None = ANSWER, **changed: str) -> tuple[str, Response]:
    """Let an INVITE come and ring; return its leg and the 18x."""
    line.give(request(**changed))
    leg = line.take(IncomingCall).leg
    line.endpoint.ring(leg, line.now, status=183, session=session)
    (response,) = line.sent()
    assert isinstance(response, Response)
    return leg, response


def prack(response: Response, *, cseq: int = 2, rack: str = "", **more: str) -> str:
    rack = rack or f"{response.headers.get('RSeq')} 1 INVITE"
    return request("PRACK", branch=f"z9hG4bKp{cseq}", cseq=cseq, to_tag=tag_of(response), RAck=rack, **more)


# As server.


@pytest.mark.parametrize(
    ("asked", "session", "reliable"),
    [(NEEDED, None, True), (NEEDED, ANSWER, True), (REL, ANSWER, True), (REL, None, False), ({}, ANSWER, False)],
)
def test_a_response_is_reliable_where_it_must_or_where_it_answers(
    asked: dict[str, str], session: bytes | None, reliable: bool
) -> None:
    """RFC 3262 3: Require makes every 18x reliable; Supported makes one reliable that carries a session."""
    _, response = rung(wire(), session=session, **asked)
    assert (response.headers.get("Require") == "100rel") is reliable
    assert ("RSeq" in response.headers) is reliable


def test_a_reliable_response_repeats_until_its_prack_comes() -> None:
    """RFC 3262 3: T1, doubled each time; the PRACK gets 200 and ends it."""
    line = wire()
    _, response = rung(line, **NEEDED)
    start = line.now
    copies = line.wait_at(8)
    assert [when - start for when, _ in copies] == [0.5, 1.5, 3.5, 7.5]
    assert {copy.headers.get("RSeq") for _, copy in copies} == {response.headers.get("RSeq")}
    assert line.statuses(prack(response)) == [200]
    assert line.wait(20) == []


def test_a_prack_that_names_nothing_gets_481() -> None:
    """RFC 3262 3: another RSeq, another CSeq, one acknowledged already, no RAck at all."""
    line = wire()
    _, response = rung(line, **NEEDED)
    rseq = int(response.headers.get("RSeq") or 0)
    for number, rack in enumerate([f"{rseq + 1} 1 INVITE", f"{rseq} 2 INVITE", f"{rseq} 1 UPDATE", "x"]):
        assert line.statuses(prack(response, cseq=2 + number, rack=rack)) == [481]
    assert line.statuses(prack(response, cseq=8)) == [200]
    assert line.statuses(prack(response, cseq=9)) == [481]


def test_without_any_prack_the_call_is_given_up() -> None:
    """RFC 3262 3: 64*T1 after the first copy a 5xx refuses the INVITE, and the user is told."""
    line = wire()
    leg, _ = rung(line, **NEEDED)
    assert [message.status for message in line.wait(33) if isinstance(message, Response)][-1] == 504
    assert line.take(HungUp) == HungUp(leg, None, "no_acknowledgement")


def test_a_second_reliable_response_waits_and_has_the_next_number() -> None:
    """RFC 3262 3: not before the first was acknowledged."""
    line = wire()
    leg, first = rung(line, **NEEDED)
    line.endpoint.ring(leg, line.now, status=180)
    assert line.sent() == []
    done, second = line.give(prack(first))
    assert isinstance(done, Response)
    assert isinstance(second, Response)
    assert (done.status, second.status) == (200, 180)
    assert int(second.headers.get("RSeq") or 0) == int(first.headers.get("RSeq") or 0) + 1


def test_the_200_waits_for_the_prack_of_a_session() -> None:
    """RFC 3262 3: a 2xx may not overtake a reliable response with a session."""
    line = wire()
    leg, response = rung(line, **REL)
    assert line.endpoint.answer(leg, ANSWER, line.now)
    assert line.sent() == []
    assert line.statuses(prack(response)) == [200, 200]


def test_a_caller_that_hangs_up_while_the_200_waits_is_let_go() -> None:
    """CANCEL still works: nothing final has been sent."""
    line = wire()
    leg, _ = rung(line, **REL)
    line.endpoint.answer(leg, ANSWER, line.now)
    assert line.statuses(request("CANCEL")) == [200, 487]
    assert line.wait(40) != []  # only the 487 repeats
    assert line.endpoint.legs == 0


def test_a_late_offer_goes_out_reliably_and_is_answered_in_the_prack() -> None:
    """SIP-6: INVITE without SDP, 183 offers, PRACK answers; the 200 then says nothing more."""
    line = wire()
    leg, response = rung(line, session=OFFER, body="", **REL)
    assert response.session == OFFER
    assert line.statuses(prack(response, body=ANSWER.decode())) == [200]
    assert line.take(Acknowledged) == Acknowledged(leg, ANSWER)
    line.endpoint.answer(leg, OFFER, line.now)
    (answer,) = line.sent()
    assert answer.session is None
    line.give(request("ACK", branch="z9hG4bKa", to_tag=tag_of(response)))
    assert line.take(Acknowledged) == Acknowledged(leg, None)


def test_an_offer_in_a_prack_is_answered_in_its_200() -> None:
    """RFC 3262 5: once a reliable response answered, the PRACK may offer anew."""
    line = wire()
    leg, response = rung(line, **REL)
    assert line.statuses(prack(response, body=OFFER.decode())) == []
    assert line.take(Reoffered).offer == OFFER
    line.endpoint.accept_offer(leg, ANSWER, line.now)
    (done,) = line.sent()
    assert isinstance(done, Response)
    assert (done.status, done.session, done.cseq.method) == (200, ANSWER, "PRACK")


def test_only_one_session_goes_out_in_reliable_responses() -> None:
    """Another one would be another offer (RFC 3261 13.2.1): a second branch's early session is not told."""
    line = wire()
    leg, response = rung(line, **REL)
    line.give(prack(response))
    line.endpoint.ring(leg, line.now, status=183, session=ANSWER)
    (second,) = line.sent()
    assert (second.session, second.headers.get("Require")) == (None, "100rel")


# As client.


def dialled(line: Wire, session: bytes | None = OFFER) -> Request:
    line.endpoint.dial(dial("leg", line.flow, session), line.now)
    (invite,) = line.sent()
    assert isinstance(invite, Request)
    assert "100rel" in (invite.headers.get("Supported") or "")
    return invite


def rel(invite: Request, rseq: int, *, status: int = 183, tag: str = "theirs", body: bytes = b"") -> str:
    return reply(invite, status, tag=tag, body=body, Require="100rel", RSeq=str(rseq))


def test_every_reliable_response_is_acknowledged_once_and_in_order() -> None:
    """RFC 3262 4: a copy and one out of order are left aside; CSeq rises, RAck names RSeq and the INVITE."""
    line = wire()
    invite = dialled(line)
    (first,) = line.give(rel(invite, 10))
    assert isinstance(first, Request)
    assert (first.method, first.headers.get("RAck"), first.cseq.number) == ("PRACK", "10 1 INVITE", 2)
    assert line.give(rel(invite, 10)) == []
    assert line.give(rel(invite, 12)) == []
    (second,) = line.give(rel(invite, 11))
    assert isinstance(second, Request)
    assert (second.headers.get("RAck"), second.cseq.number) == ("11 1 INVITE", 3)
    assert len([event for event in line.told() if isinstance(event, Progress)]) == 2


def test_requests_after_the_answer_go_on_counting_from_the_pracks() -> None:
    """RFC 3261 12.2.1.1: CSeq rises within the dialog; the ACK has that of the INVITE."""
    line = wire()
    invite = dialled(line)
    line.give(rel(invite, 1, body=ANSWER))
    (ack,) = line.give(reply(invite, 200))
    assert isinstance(ack, Request)
    assert ack.cseq.number == 1
    answered = [event for event in line.told() if isinstance(event, Answered)]
    assert [event.session for event in answered] == [ANSWER]
    line.endpoint.hang_up("leg", line.now)
    (bye,) = line.sent()
    assert bye.cseq.number == 3


def test_each_branch_of_a_fork_counts_for_itself() -> None:
    """RFC 3262 4: RSeq is per early dialog."""
    line = wire()
    invite = dialled(line)
    assert [message.cseq.number for message in line.give(rel(invite, 5, tag="a"))] == [2]
    assert [message.cseq.number for message in line.give(rel(invite, 900, tag="b"))] == [2]
    assert [message.cseq.number for message in line.give(rel(invite, 6, tag="a"))] == [3]


def test_an_offer_in_a_reliable_response_is_answered_in_the_prack() -> None:
    """SIP-6: our INVITE had no offer; the PRACK waits for the user's answer, the ACK is then empty."""
    line = wire()
    invite = dialled(line, None)
    assert line.give(rel(invite, 7, body=OFFER)) == []
    assert line.take(Progress).session == OFFER
    assert line.endpoint.acknowledge("leg", ANSWER, line.now)
    (sent,) = line.sent()
    assert isinstance(sent, Request)
    assert (sent.method, sent.session, sent.headers.get("RAck")) == ("PRACK", ANSWER, "7 1 INVITE")
    (ack,) = line.give(reply(invite, 200))
    assert (ack.cseq.method, ack.session) == ("ACK", None)


def test_an_unknown_extension_is_still_refused() -> None:
    """SIP-5, SIP-15: 420 names what is unknown only."""
    (refusal,) = wire().give(request(Require="100rel, precondition"))
    assert isinstance(refusal, Response)
    assert (refusal.status, refusal.headers.get("Unsupported")) == (420, "precondition")


def test_over_a_link_that_loses_messages_each_response_arrives_once() -> None:
    """Both sides ours, every third message lost: two reliable responses and the answer come through in order."""
    caller, called = (End(name, port, supported=("100rel",)) for name, port in (("caller", 5060), ("called", 5070)))
    pair = Pair(caller, called, lose=[number % 3 == 1 for number in range(60)])
    caller.endpoint.dial(dial("leg", caller.flow_to(called)), pair.now)
    pair.run(5)
    leg = called.take(IncomingCall).leg
    called.endpoint.ring(leg, pair.now, status=183, session=ANSWER)
    called.endpoint.ring(leg, pair.now, status=183, session=ANSWER)
    called.endpoint.answer(leg, ANSWER, pair.now)
    pair.run(20)
    assert [type(event) for event in caller.events] == [Progress, Answered]
    called.take(Acknowledged)
    caller.endpoint.hang_up("leg", pair.now)
    pair.run(200)
    assert all(end.endpoint.transactions == end.endpoint.legs == 0 for end in pair.ends)
