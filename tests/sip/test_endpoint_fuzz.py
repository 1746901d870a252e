"""Whatever arrives and whatever the user wishes, the endpoint raises nothing, talks to nobody else, and forgets."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callrec.sip.endpoint import Endpoint, EndpointProfile
from callrec.sip.events import IncomingCall, InDialogRequest
from callrec.sip.message import Request, Response
from tests.sip.vectors import torture_cases
from tests.support.pair import ANSWER, OFFER, dial, seeded
from tests.support.wire import OURS, THEIRS, Wire, reply, request

SUPPORTED = ("100rel", "timer")
METHODS = ["INVITE", "ACK", "BYE", "CANCEL", "INFO", "UPDATE", "OPTIONS", "PRACK", "FLY"]
WISHES = [
    "ring", "answer", "reject", "hang_up", "reoffer", "update", "accept", "refuse", "respond", "dial", "cancel", "ack",
]  # fmt: skip
EXTENSIONS = [
    {},
    {"Supported": "100rel, timer", "Allow": "INVITE, UPDATE, PRACK"},
    {"Require": "100rel", "RSeq": "1", "RAck": "1 1 INVITE"},
    {"Session-Expires": "90;refresher=uas", "Supported": "timer"},
    {"Session-Expires": "90;refresher=uac", "Require": "timer", "Min-SE": "100"},
    {"Session-Expires": "x", "RSeq": "-1", "RAck": "a b c", "Min-SE": "99999999999"},
]
"""Headers of RFC 3262 and RFC 4028, sound and not."""
STATUSES = [100, 180, 183, 200, 302, 408, 422, 481, 486, 487, 491, 504]
STARTS = ["nothing", "they called", "we called"]

step = st.one_of(
    st.tuples(
        st.just("request"),
        st.sampled_from(METHODS),
        st.integers(0, 3),
        st.integers(1, 4),
        st.integers(0, 5),
        st.booleans(),
    ),
    st.tuples(st.just("reply"), st.sampled_from(STATUSES), st.integers(0, 30), st.integers(0, 5)),
    st.tuples(st.just("wish"), st.sampled_from(WISHES), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 5.0, 35.0])),
    st.tuples(st.just("broken")),
)


class Story:
    """Plays steps against one endpoint and looks at everything it sends."""

    def __init__(self, transport: str, start: str = "nothing") -> None:
        self.wire = Wire(transport, supported=SUPPORTED)
        self.legs = ["out"]
        self.dialogs: list[dict[str, str]] = [{}]
        self.tokens = ["none"]
        self.requests: list[Request] = []
        self.dialled = 0
        if start == "they called":
            self.look(self.wire.give(request()))
            self.wish("answer", self.legs[-1])
            self.look(self.wire.sent())
            self.play(("request", "ACK", 0, 1, 0, False))
        elif start == "we called":
            self.wish("dial", "")
            self.look(self.wire.sent())
            self.play(("reply", 200, 0, 1))
            self.wish("ack", self.legs[-1])
            self.look(self.wire.sent())

    def look(self, sent: list[Request | Response]) -> None:
        for message in sent:
            if isinstance(message, Request):
                self.requests.append(message)
                ours = {"To": message.headers.get("From") or "", "Call_ID": message.call_id}
                tag = message.to.tag or f"t{(len(self.requests) - 1) % 3}"
                self.dialogs.append(ours | {"From": f"<sip:bob@127.0.0.2>;tag={tag}"})
            elif isinstance(message, Response) and message.to.tag:
                self.dialogs.append({"to_tag": message.to.tag})
        for event in self.wire.told():
            if isinstance(event, IncomingCall):
                self.legs.append(event.leg)
            elif isinstance(event, InDialogRequest):
                self.tokens.append(event.token)

    def play(self, given_step: tuple[object, ...]) -> None:
        match given_step:
            case ("request", str(method), int(dialog), int(cseq), int(extension), bool(offers)):
                inside = self.dialogs[-1 - dialog % len(self.dialogs)] | EXTENSIONS[extension]
                if offers:
                    inside["body"] = OFFER.decode()
                self.look(self.wire.give(request(method, branch=f"z9hG4bK{method}{cseq}", cseq=cseq, **inside)))
            case ("reply", int(status), int(index), int(extension)) if self.requests:
                chosen = self.requests[index % len(self.requests)]
                body = ANSWER if status < 300 and chosen.method in {"INVITE", "UPDATE"} else b""
                more = EXTENSIONS[extension]
                self.look(self.wire.give(reply(chosen, status, tag=f"t{index % 3}", body=body, **more)))
            case ("wish", str(wish), int(index)):
                self.wish(wish, self.legs[index % len(self.legs)])
                self.look(self.wire.sent())
            case ("wait", float(seconds)):
                self.look(self.wire.wait(seconds))
            case ("broken",):
                self.wire.endpoint.transport_failed(self.wire.flow, self.wire.now)
                self.look(self.wire.sent())

    def wish(self, wish: str, leg: str) -> None:
        end, now = self.wire.endpoint, self.wire.now
        match wish:
            case "ring":
                end.ring(leg, now, session=ANSWER)
            case "answer":
                end.answer(leg, ANSWER, now)
            case "reject":
                end.reject(leg, 503, now)
            case "hang_up":
                end.hang_up(leg, now)
            case "reoffer":
                end.reoffer(leg, OFFER, now)
            case "update":
                end.reoffer(leg, OFFER, now, update=True)
            case "accept":
                end.accept_offer(leg, ANSWER, now)
            case "refuse":
                end.refuse_offer(leg, 488, now)
            case "respond":
                end.respond(self.tokens[-1], 200, now)
            case "cancel":
                end.cancel(leg, now)
            case "ack":
                end.acknowledge(leg, ANSWER, now)
            case "dial":
                self.dialled += 1
                self.legs.append(f"out{self.dialled}")
                end.dial(dial(self.legs[-1], self.wire.flow, None if self.dialled % 2 else OFFER), now)

    def end(self) -> None:
        for leg in self.legs:
            self.wire.endpoint.hang_up(leg, self.wire.now)
        self.look(self.wire.sent())
        self.wire.wait(64)
        for leg in self.legs:  # an INVITE may have come about meanwhile: a BYE that was waiting for its ACK
            self.wire.endpoint.hang_up(leg, self.wire.now)
        self.wire.wait(200)


@settings(max_examples=int(os.environ.get("CALLREC_FUZZ", "150")), deadline=None)
@given(st.lists(step, max_size=30), st.sampled_from(["udp", "tcp"]), st.sampled_from(STARTS))
def test_no_order_of_messages_and_wishes_leaves_anything_behind(
    steps: list[tuple[object, ...]], transport: str, start: str
) -> None:
    """Any story ends with empty stores once the user hung up."""
    story = Story(transport, start)
    for one in steps:
        story.play(one)
    story.end()
    endpoint = story.wire.endpoint
    assert endpoint.legs == 0
    assert endpoint.transactions == 0
    assert endpoint._core.legs.dialogs == 0
    assert endpoint.next_timer() is None


def mutated(data: bytes, chance: random.Random) -> bytes:
    pieces = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(pieces) + 1)
        match chance.randrange(4):
            case 0:
                pieces[at:at] = chance.randbytes(chance.randint(1, 4))
            case 1:
                del pieces[at : at + chance.randint(1, 12)]
            case 2:
                pieces[at : at + 1] = bytes([chance.randrange(256)])
            case _:
                start = chance.randrange(len(pieces) + 1)
                pieces[at:at] = pieces[start : start + chance.randint(1, 40)]
        if not pieces:
            break
    return bytes(pieces)


def feed_mutated(count: int, seed: int) -> None:
    """Let mutated messages arrive at one endpoint; nothing may raise, and all that is sent goes to the source host."""
    chance = random.Random(seed)
    sources = [case.data for case in torture_cases()]
    sources += [request(method, branch=f"z9hG4bK{method}").encode() for method in METHODS]
    sources += [request(branch="z9hG4bKx", **more).encode() for more in EXTENSIONS]
    endpoint = Endpoint(
        EndpointProfile("fuzz", lambda flow: flow.local, SUPPORTED, max_transactions=2000), seeded(seed)
    )
    flow, now = Wire().flow, 0.0
    for number in range(count):
        now += 0.01
        endpoint.receive(mutated(chance.choice(sources), chance), flow, now)
        while (event := endpoint.next_event()) is not None:
            if isinstance(event, IncomingCall):
                (endpoint.answer if number % 2 else endpoint.ring)(
                    event.leg, *((ANSWER, now) if number % 2 else (now,))
                )
        endpoint.timer_fired(now)
        for _, way in endpoint.to_send(now):
            assert way.local == OURS
        assert endpoint.transactions <= 2000
    assert flow.remote == THEIRS


def test_mutated_messages_raise_nothing() -> None:
    """3,000 mutated messages, answered and rung at: no exception, no packet by another socket."""
    feed_mutated(3000, seed=1)


@pytest.mark.long
def test_two_hundred_thousand_mutated_messages_raise_nothing() -> None:
    """The aim of design.md section 10."""
    for seed in range(20):
        feed_mutated(10_000, seed=100 + seed)
