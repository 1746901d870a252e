"""Two endpoints and a bad link: calls come about, end, and leave nothing behind."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callrec.sip.events import (
    Acknowledged,
    Answered,
    Failed,
    HungUp,
    IncomingCall,
    InDialogRequest,
    Progress,
    ReofferAnswered,
    Reoffered,
)
from callrec.sip.message import Request, Response
from callrec.sip.session_timer import Wanted
from tests.support.pair import ANSWER, OFFER, End, Message, Pair, dial


def ends() -> tuple[End, End, Pair]:
    caller, called = End("caller", 5060), End("called", 5070)
    return caller, called, Pair(caller, called)


def nothing_left(pair: Pair) -> bool:
    pair.run(200)
    return all(end.endpoint.transactions == end.endpoint.legs == 0 for end in pair.ends)


def events_of(end: End, kind: type) -> list[object]:
    return [event for event in end.events if isinstance(event, kind)]


@pytest.mark.parametrize("seed", range(15))
def test_a_call_comes_about_over_a_link_that_loses_a_third(seed: int) -> None:
    """Every message may be lost; the call is up once on both sides, and ends on both."""
    caller, called, pair = ends()
    chance = random.Random(seed)
    pair.lose_next = lambda _message: chance.random() < 0.33
    caller.endpoint.dial(dial("leg", caller.flow_to(called)), pair.now)
    pair.run(10)
    (incoming,) = events_of(called, IncomingCall)
    assert isinstance(incoming, IncomingCall)
    called.endpoint.answer(incoming.leg, ANSWER, pair.now)
    pair.run(28)
    assert len(events_of(caller, Answered)) == len(events_of(called, Acknowledged)) == 1
    called.endpoint.hang_up(incoming.leg, pair.now)
    assert nothing_left(pair)
    assert len(events_of(caller, HungUp)) == 1
    assert pair.strangers == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), max_size=40), st.sampled_from(["answer", "reject", "cancel", "nothing"]))
def test_whatever_is_lost_both_sides_come_to_rest(lost: list[bool], story: str) -> None:
    """With any pattern of loss, five minutes after both hung up nothing is left, and no event came twice."""
    caller, called = End("caller", 5060), End("called", 5070)
    pair = Pair(caller, called, lose=lost)
    caller.endpoint.dial(dial("leg", caller.flow_to(called)), pair.now)
    pair.run(1)
    for incoming in events_of(called, IncomingCall):
        assert isinstance(incoming, IncomingCall)
        if story == "answer":
            called.endpoint.answer(incoming.leg, ANSWER, pair.now)
        elif story == "reject":
            called.endpoint.reject(incoming.leg, 486, pair.now)
    if story == "cancel":
        caller.endpoint.cancel("leg", pair.now)
    pair.run(70)
    for end in (caller, called):
        for leg in {event.leg for event in end.events}:
            end.endpoint.hang_up(leg, pair.now)
    caller.endpoint.hang_up("leg", pair.now)
    assert nothing_left(pair)
    for end, kinds in ((caller, (Answered, Failed)), (called, (IncomingCall, Acknowledged, HungUp))):
        assert all(len(events_of(end, kind)) <= 1 for kind in kinds)


EXTENSIONS = {"supported": ("100rel", "timer"), "session_timer": Wanted(90, 90)}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), max_size=60), st.booleans())
def test_reliable_rings_updates_and_refreshes_come_to_rest_whatever_is_lost(lost: list[bool], late: bool) -> None:
    """RFC 3262, RFC 3311, RFC 4028: early sessions, an UPDATE and refreshes over a bad link leave nothing behind."""
    caller, called = End("caller", 5060, **EXTENSIONS), End("called", 5070, **EXTENSIONS)
    pair = Pair(caller, called, lose=lost)

    def obey() -> None:
        for end in (caller, called):
            for event in end.events:
                if isinstance(event, Reoffered):
                    end.endpoint.accept_offer(event.leg, ANSWER, pair.now)
                elif isinstance(event, InDialogRequest):
                    end.endpoint.respond(event.token, 200, pair.now)
                elif late and isinstance(event, Progress | Answered) and event.session is not None:
                    end.endpoint.acknowledge(event.leg, ANSWER, pair.now)
            end.events.clear()

    caller.endpoint.dial(dial("leg", caller.flow_to(called), None if late else OFFER), pair.now)
    pair.run(10)
    legs = [event.leg for event in events_of(called, IncomingCall) if isinstance(event, IncomingCall)]
    for leg in legs:
        called.endpoint.ring(leg, pair.now, status=183, session=ANSWER)
        pair.run(5)
        obey()
        called.endpoint.reoffer(leg, OFFER, pair.now, update=True)
        pair.run(2)
        obey()
        called.endpoint.answer(leg, ANSWER, pair.now)
    for _ in range(60):
        pair.run(5)
        obey()
    for leg in ("leg", *legs):
        for end in (caller, called):
            end.endpoint.hang_up(leg, pair.now)
    assert nothing_left(pair)
    assert pair.strangers == []


def test_a_lost_ack_is_sent_again_with_the_copy_of_the_2xx() -> None:
    """The 200 repeats because the ACK was lost; the second ACK ends that."""
    caller, called, pair = ends()
    lost = iter([True])
    pair.lose_next = lambda message: is_ack(message) and next(lost, False)
    caller.endpoint.dial(dial("leg", caller.flow_to(called)), pair.now)
    pair.settle()
    called.endpoint.answer(called.take(IncomingCall).leg, ANSWER, pair.now)
    pair.run(5)
    called.take(Acknowledged)
    assert len(called.sent_of("200")) == len(caller.sent_of("ACK")) == 2


def is_ack(message: Message) -> bool:
    return isinstance(message, Request) and message.method == "ACK"


def test_without_any_ack_the_called_side_ends_the_call_for_both() -> None:
    """BYE at 64*T1 reaches the caller."""
    caller, called, pair = ends()
    pair.lose_next = is_ack
    caller.endpoint.dial(dial("leg", caller.flow_to(called)), pair.now)
    pair.settle()
    incoming = called.take(IncomingCall)
    called.endpoint.answer(incoming.leg, ANSWER, pair.now)
    pair.run(40)
    assert called.take(HungUp).cause == "no_acknowledgement"
    caller.take(Answered)
    caller.take(HungUp)
    assert nothing_left(pair)


@pytest.mark.parametrize("delay", [0.0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.5])
def test_cancel_at_every_moment_of_an_answer(delay: float) -> None:
    """CANCEL and 200 cross at every distance: the caller hears of one end, the called side of none that lasts."""
    caller, called, pair = ends()
    caller.endpoint.dial(dial("leg", caller.flow_to(called)), pair.now)
    pair.settle()
    incoming = called.take(IncomingCall)
    called.endpoint.answer(incoming.leg, ANSWER, pair.now)
    pair.run(delay)
    cancelled = caller.endpoint.cancel("leg", pair.now)
    if not cancelled:
        caller.endpoint.hang_up("leg", pair.now)
    pair.run(5)
    assert len(events_of(caller, Failed)) == cancelled
    assert len(events_of(called, HungUp)) == 1
    assert nothing_left(pair)


def test_reinvites_that_meet_both_get_through_in_the_end() -> None:
    """Glare: both get 491, the caller waits longer, each offer is answered at last (SIP-4)."""
    caller, called, pair = ends()
    caller.endpoint.dial(dial("leg", caller.flow_to(called)), pair.now)
    pair.settle()
    leg = called.take(IncomingCall).leg
    called.endpoint.answer(leg, ANSWER, pair.now)
    pair.settle()
    caller.take(Answered)
    called.take(Acknowledged)
    caller.endpoint.reoffer("leg", OFFER, pair.now)
    called.endpoint.reoffer(leg, OFFER, pair.now)
    for _ in range(60):
        pair.run(0.1)
        for end, own in ((caller, "leg"), (called, leg)):
            for _event in [event for event in end.events if isinstance(event, Reoffered)]:
                end.endpoint.accept_offer(own, ANSWER, pair.now)
            end.events = [event for event in end.events if not isinstance(event, Reoffered)]
    assert len(caller.sent_of("491")) == len(called.sent_of("491")) == 1
    assert len(events_of(caller, ReofferAnswered)) == len(events_of(called, ReofferAnswered)) == 1


def test_a_call_over_ipv6_with_early_media() -> None:
    """Brackets where they belong: 183 with SDP, 200, BYE from the caller."""
    caller, called = End("caller", 5060, host="::1"), End("called", 5070, host="::1")
    pair = Pair(caller, called)
    caller.endpoint.dial(dial("leg", caller.flow_to(called)), pair.now)
    pair.settle()
    incoming = called.take(IncomingCall)
    called.endpoint.ring(incoming.leg, pair.now, status=183, session=ANSWER)
    pair.settle()
    assert caller.take(Progress).session == ANSWER
    called.endpoint.answer(incoming.leg, ANSWER, pair.now)
    pair.settle()
    caller.take(Answered)
    called.take(Acknowledged)
    caller.endpoint.hang_up("leg", pair.now)
    pair.settle()
    called.take(HungUp)
    assert nothing_left(pair)
    assert isinstance(called.sent_of("200")[0], Response)
