"""INVITEs of a peer that has to show a password (SIP-11, RFC 3261 22), and emergency calls, which never do (FAIL-1)."""

from __future__ import annotations

import pytest

from callrec.sip import challenging
from callrec.sip.digest import Challenge
from callrec.sip.digest_answer import Asked, Count, Credentials, authorization
from callrec.sip.events import IncomingCall
from callrec.sip.message import Response
from tests.support.wire import Wire, request

THEM = Credentials("desk", "open sesame")
URI = "sip:100@127.0.0.1:5060"
URGENT = "sip:999@127.0.0.1:5060"


def wire() -> Wire:
    """Return an endpoint that challenges everybody but those who need help."""
    return Wire(challenge=lambda _request, _flow: THEM, spares=lambda request, _flow: str(request.uri) == URGENT)


def challenged(wire: Wire, number: int = 1, **headers: str) -> list[Challenge]:
    """Send an INVITE and return the challenges of its 401, after the ACK."""
    (refused,) = wire.give(request(branch=f"z9hG4bK{number}", cseq=number, **headers))
    assert isinstance(refused, Response)
    assert refused.status == 401
    wire.give(request("ACK", branch=f"z9hG4bK{number}", cseq=number, to_tag=refused.to.tag or ""))
    assert wire.told() == []
    return [Challenge.parse(value) for value in refused.headers.get_all("WWW-Authenticate")]


def shown(challenge: Challenge, credentials: Credentials = THEM, uses: int = 1) -> str:
    return authorization(challenge, credentials, Asked("INVITE", URI), Count(uses, "word"))


def taken(wire: Wire, number: int, authorization: str) -> None:
    """Assert that an INVITE is taken."""
    call_id = f"{number}@127.0.0.2"
    wire.give(request(branch=f"z9hG4bK{number}", cseq=number, Call_ID=call_id, Authorization=authorization))
    wire.take(IncomingCall)


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
def test_who_shows_the_password_may_call(algorithm: str) -> None:
    """RFC 8760: both are offered, that which all know first; the second INVITE becomes a call."""
    ends = wire()
    offers = challenged(ends)
    assert [one.algorithm for one in offers] == ["MD5", "SHA-256"]
    taken(ends, 2, shown(next(one for one in offers if one.algorithm == algorithm)))


def test_an_emergency_call_is_never_challenged() -> None:
    """FAIL-1: no 401, whatever is set."""
    ends = wire()
    ends.give(request(uri=URGENT))
    ends.take(IncomingCall)


def test_a_wrong_name_or_password_is_challenged_anew() -> None:
    """And not told apart: neither is stale."""
    ends = wire()
    (offer, _) = challenged(ends)
    for number, wrong in enumerate([Credentials("desk", "x"), Credentials("other", "open sesame")], 2):
        assert not any(one.stale for one in challenged(ends, number, Authorization=shown(offer, wrong)))


def test_an_answer_is_good_once() -> None:
    """RFC 7616 3.4 nc: who repeats what was heard on the wire gets 401 with stale=true; the next number is taken."""
    ends = wire()
    (offer, _) = challenged(ends)
    taken(ends, 2, shown(offer))
    assert all(one.stale for one in challenged(ends, 3, Authorization=shown(offer)))
    taken(ends, 4, shown(offer, uses=2))


def test_an_old_nonce_is_stale() -> None:
    """After five minutes the caller goes on with a new one, without asking a person for the password."""
    ends = wire()
    (offer, _) = challenged(ends)
    ends.wait(301)
    offers = challenged(ends, 2, Authorization=shown(offer))
    assert all(one.stale for one in offers)
    taken(ends, 3, shown(offers[0]))


def test_a_nonce_of_somebody_else_is_not_taken() -> None:
    """It is signed: one that was made up, or belongs to another process, is as good as an old one."""
    ends = wire()
    assert challenged(ends, Authorization=shown(Challenge("callrec", "186a0.00.00", qop=("auth",))))[0].stale
    assert challenged(ends, 2, Authorization=shown(Challenge("callrec", "x", qop=("auth",))))[0].stale


@pytest.mark.parametrize("value", [
    "", "Digest", "Basic eA==", 'Digest username="desk"', 'Digest realm="callrec", qop=auth, nc=zz', 'Digest a="',
    'Digest username="é", realm="callrec", nonce="n", uri="u", response="é"',
])  # fmt: skip
def test_what_is_no_answer_is_challenged(value: str) -> None:
    """Nothing a header may hold breaks anything."""
    assert not challenged(wire(), Authorization=value)[0].stale


def test_memory_of_nonces_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a nonce that was forgotten no answer is taken again."""
    monkeypatch.setattr(challenging, "MAX_NONCES", 2)
    ends = wire()
    first = challenged(ends)[0]
    taken(ends, 2, shown(first))
    for number in (3, 5, 7):
        ends.now += 0.01
        taken(ends, number + 1, shown(challenged(ends, number)[0]))
    assert challenged(ends, 20, Authorization=shown(first, uses=2))[0].stale
