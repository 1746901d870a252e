"""The transaction layer: whatever happens in whatever order, it ends and forgets."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from callrec.sip.events import Flow
from callrec.sip.headers import Headers
from callrec.sip.message import Request, Response, parse_message, respond_to
from callrec.sip.timers import Timers
from callrec.sip.transactions import Transaction, Transactions, server_key
from tests.support.pair import seeded
from tests.support.wire import OURS, THEIRS, request

LIMIT = 20
FLOWS = [Flow("udp", OURS, THEIRS), Flow("tcp", OURS, THEIRS)]


def parsed(text: str) -> Request:
    message = parse_message(text.encode())
    assert isinstance(message, Request)
    return message


class AnyOrder(RuleBasedStateMachine):
    """Requests, copies, ACKs, responses, broken ways and time, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.sent = 0
        self.timers = Timers()
        self.layer = Transactions(self.timers, self._count, LIMIT)
        self.all: list[Transaction] = []
        self.numbers = iter(range(10_000))
        self.chance = seeded(3)

    def _count(self, data: bytes, flow: Flow) -> None:
        assert data, "an empty message was sent"
        self.sent += 1

    def pick(self, index: int) -> Transaction:
        return self.all[index % len(self.all)]

    @rule(method=st.sampled_from(["INVITE", "INFO"]), flow=st.sampled_from(FLOWS))
    def request_comes(self, method: str, flow: Flow) -> None:
        if not self.layer.full:
            taken = parsed(request(method, branch=f"z9hG4bKs{next(self.numbers)}"))
            self.all.append(self.layer.start_server(server_key(taken, method), taken, flow, self.now))

    @rule(method=st.sampled_from(["INVITE", "BYE"]), flow=st.sampled_from(FLOWS))
    def request_goes(self, method: str, flow: Flow) -> None:
        if not self.layer.full:
            branch = f"z9hG4bKc{next(self.numbers)}"
            self.all.append(
                self.layer.start_client(parsed(request(method, branch=branch)), branch, flow, self.now, self)
            )

    @precondition(lambda self: self.all)
    @rule(index=st.integers(0, 50), ack=st.booleans())
    def copy_or_ack_comes(self, index: int, ack: bool) -> None:
        chosen = self.pick(index)
        if not chosen.is_server or chosen.ended:
            return
        if ack and chosen.request.method == "INVITE":
            self.layer.receive_ack(chosen, chosen.request, self.now)
        else:
            self.layer.receive_copy(chosen, self.now)

    @precondition(lambda self: self.all)
    @rule(index=st.integers(0, 50), status=st.sampled_from([100, 180, 200, 302, 486, 603]))
    def response_goes_or_comes(self, index: int, status: int) -> None:
        chosen = self.pick(index)
        response = respond_to(chosen.request, status, to_tag="t")
        if chosen.is_server and chosen.unanswered:
            self.layer.respond(chosen, response, self.now)
        elif not chosen.is_server and not chosen.ended:
            self.layer.receive_response(chosen, response, self.now)

    @rule(flow=st.sampled_from(FLOWS))
    def way_breaks(self, flow: Flow) -> None:
        self.layer.transport_failed(flow, self.now)

    @rule(seconds=st.sampled_from([0.1, 0.5, 3.0, 20.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.timers.next()) is not None and due <= end:
            self.now = max(due, self.now)
            taken = self.timers.take_due(self.now)
            assert taken is not None
            owner, timer = taken
            assert isinstance(owner, Transaction)
            assert not owner.ended, "a timer fired for a transaction that is over"
            self.layer.fire(owner, timer, self.now)
        self.now = end

    @invariant()
    def what_lives_is_found_and_what_ended_is_forgotten(self) -> None:
        living = [one for one in self.all if not one.ended]
        assert len(self.layer) == len(living) <= LIMIT
        assert all(self.layer.find(one.key) is one for one in living)
        for told in self.layer.told:
            assert told.transaction in self.all
        self.layer.told.clear()

    def teardown(self) -> None:
        """Nothing but INVITEs that somebody still thinks about outlives five minutes."""
        self.time_passes(300.0)
        before = self.sent
        left = [one for one in self.all if not one.ended]
        assert all(one.request.method == "INVITE" and one.state.name == "PROCEEDING" for one in left)
        self.time_passes(300.0)
        assert self.sent == before, "something is sent for ever"
        assert self.timers.next() is None


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_any_order_of_events_ends = AnyOrder.TestCase


def test_dead_timers_are_swept() -> None:
    """Timers of transactions that ended do not pile up until they are due."""
    timers = Timers()
    layer = Transactions(timers, lambda _data, _flow: None, 100_000)
    for number in range(4_000):
        taken = parsed(request("INFO", branch=f"z9hG4bK{number}"))
        transaction = layer.start_server(server_key(taken, "INFO"), taken, FLOWS[1], 0.0)
        layer.respond(transaction, Response(200, "OK", Headers()), 0.0)
    assert len(layer) == 0
    assert len(timers) <= 1024


def test_a_request_repeats_every_t2_once_something_came() -> None:
    """RFC 3261 17.1.2.2: after a 1xx Timer E is T2; Timer F still ends it."""
    timers, sent = Timers(), list[bytes]()
    layer = Transactions(timers, lambda data, _flow: sent.append(data), 10)
    bye = layer.start_client(parsed(request("BYE", branch="z9hG4bKb")), "z9hG4bKb", FLOWS[0], 0.0, None)
    layer.receive_response(bye, respond_to(bye.request, 100), 0.1)
    times = []
    while (due := timers.next()) is not None:
        taken = timers.take_due(due)
        assert taken is not None
        layer.fire(bye, taken[1], due)
        times.append(due)
    assert times == [0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5, 32.0]
    assert bye.ended
