"""A registration is refreshed before it ends, retried with growing pauses, and taken back (RFC 3261 10.2, SIP-11)."""

from __future__ import annotations

import itertools

import pytest

from callrec.sip.digest_answer import Credentials
from callrec.sip.events import Replied
from callrec.sip.message import Request, Response, parse_message
from callrec.sip.registration import TABLE, Input, Registration, State
from callrec.sip.uri import Uri
from tests.support.wire import Wire, reply

TRUNK, US = Uri.parse("sip:127.0.0.2:5070"), Uri.parse("sip:callrec@127.0.0.2")


def registration() -> Registration:
    return Registration(TRUNK, US, "call-id")


def answer(status: int, cseq: int = 1, **headers: str) -> Response:
    """Return a response to a REGISTER."""
    lines = [f"SIP/2.0 {status} X", "Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1", "From: <sip:a@b>;tag=1"]
    lines += ["To: <sip:a@b>;tag=2", "Call-ID: call-id", f"CSeq: {cseq} REGISTER"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    found = parse_message("\r\n".join([*lines, "Content-Length: 0", "", ""]).encode())
    assert isinstance(found, Response)
    return found


@pytest.mark.parametrize(("headers", "after"), [
    ({"Contact": "<sip:callrec@127.0.0.1>;expires=600"}, 540.0),
    ({"Contact": "<sip:callrec@127.0.0.1>;expires=60", "Expires": "3600"}, 30.0),
    ({"Contact": "<sip:callrec@127.0.0.1>", "Expires": "1800"}, 1740.0),
    ({"Contact": "<sip:callrec@127.0.0.1>;expires=x"}, 3540.0),
    ({"Contact": "<<<"}, 3540.0),
    ({}, 3540.0),
])  # fmt: skip
def test_it_is_refreshed_before_what_was_granted_ends(headers: dict[str, str], after: float) -> None:
    """RFC 3261 10.2.4: the registrar's word counts, that of the Contact first."""
    ours = registration()
    first = ours.on_due()
    assert first is not None
    assert (first.cseq, first.expires) == (1, 3600)
    assert ours.replied(answer(200, **headers), 100.0, 0.0) is None
    assert (ours.state, ours.due) == (State.REGISTERED, 100.0 + after)
    second = ours.on_due()
    assert second is not None
    assert (second.cseq, second.call_id) == (2, "call-id")


def test_a_registrar_that_wants_longer_is_asked_for_longer() -> None:
    """RFC 3261 10.2.8: 423 with Min-Expires; one that makes no sense is a refusal."""
    ours = registration()
    ours.wanted = 60
    ours.on_due()
    again = ours.replied(answer(423, Min_Expires="900"), 0.0, 0.0)
    assert again is not None
    assert (again.expires, again.cseq) == (900, 2)
    assert ours.replied(answer(423, 2, Min_Expires="900"), 0.0, 0.0) is None
    assert ours.state is State.FAILED


def test_failures_are_followed_by_growing_pauses() -> None:
    """RFC 5626 4.5: 30 s doubled up to half an hour, a random half of it less; success begins anew."""
    ours, pauses = registration(), []
    for _ in range(8):
        ours.on_due()
        ours.failed("got no answer", 0.0, 1.0)
        pauses.append(ours.due)
    assert pauses == [30, 60, 120, 240, 480, 960, 1800, 1800]
    ours.on_due()
    ours.failed("got no answer", 0.0, 0.0)
    assert ours.due == 900
    assert ours.why == "got no answer"
    ours.on_due()
    ours.replied(answer(200), 0.0, 0.0)
    assert (ours.why, ours.failures) == (None, 0)


def test_it_is_taken_back_once() -> None:
    """RFC 3261 10.2.2: Expires 0 where we are registered or about to be; nothing where we are not."""
    ours = registration()
    assert ours.leave() is None
    ours = registration()
    ours.on_due()
    ours.replied(answer(200), 0.0, 0.0)
    last = ours.leave()
    assert last is not None
    assert last.expires == 0
    assert ours.leave() is None
    ours.failed("got no answer", 0.0, 0.0)
    assert ours.state is State.GONE
    assert ours.on_due() is None


def test_whatever_comes_when_it_is_in_its_table_or_changes_nothing() -> None:
    """No state and input together may raise; from GONE nothing leads away."""
    assert not any(state is State.GONE for state, _ in TABLE)
    for state, given in itertools.product(State, Input):
        to, _ = TABLE.get((state, given), (state, None))
        assert isinstance(to, State)


def test_a_challenged_register_goes_again_with_the_next_number() -> None:
    """RFC 3261 22.2: the number that the answer to the challenge took is not used again."""
    wire, ours = Wire(credentials=lambda _flow: Credentials("callrec", "x")), registration()
    due = ours.on_due()
    assert due is not None
    wire.endpoint.register(wire.flow, due, "token", wire.now)
    (first,) = wire.sent()
    assert isinstance(first, Request)
    assert (str(first.uri), first.headers.get("Expires"), str(first.to)) == (str(TRUNK), "3600", f"<{US}>")
    (second,) = wire.give(reply(first, 401, WWW_Authenticate='Digest realm="t", nonce="n", qop="auth"'))
    assert isinstance(second, Request)
    wire.give(reply(second, 200))
    told = wire.take(Replied)
    assert told.response is not None
    ours.replied(told.response, wire.now, 0.0)
    following = ours.on_due()
    assert following is not None
    assert following.cseq == second.cseq.number + 1
