"""Challenges to requests of ours: answered once, by the strongest digest, told to nobody (SIP-11, RFC 3261 22)."""

from __future__ import annotations

import pytest

from callrec.sip.digest import Challenge
from callrec.sip.digest_answer import Asked, Count, Credentials, authorization, digest, strongest
from callrec.sip.events import Answered, Failed, ReofferAnswered, Replied
from callrec.sip.message import Request
from tests.support.incoming_call import established
from tests.support.pair import ANSWER, OFFER, dial
from tests.support.wire import Wire, reply

US = Credentials("callrec", "open sesame")
MD5 = 'Digest realm="trunk", nonce="n1", algorithm=MD5, qop="auth,auth-int"'
SHA = 'Digest realm="trunk", nonce="n2", algorithm=SHA-256, qop="auth"'


def wire() -> Wire:
    """Return an endpoint that has a name and a password everywhere."""
    return Wire(credentials=lambda _flow: US)


def invited(wire: Wire) -> Request:
    """Dial and return the INVITE."""
    wire.endpoint.dial(dial("leg", wire.flow, session=OFFER), wire.now)
    (invite,) = wire.sent()
    assert isinstance(invite, Request)
    return invite


def again(wire: Wire, text: str, method: str) -> Request:
    """Give a challenge and return the request that follows; the ACK of an INVITE goes before it."""
    *acks, request = wire.give(text)
    assert [one.method for one in acks if isinstance(one, Request)] == (["ACK"] if method == "INVITE" else [])
    assert isinstance(request, Request)
    assert request.method == method
    return request


def answers(request: Request, header: str, challenge: str, uses: int = 1) -> None:
    """Assert that a request answers a challenge rightly, whatever our random word is."""
    (found,) = [
        value for value in request.headers.get_all(header) if f'nonce="{Challenge.parse(challenge).nonce}"' in value
    ]
    cnonce = found.partition('cnonce="')[2].partition('"')[0]
    asked = Asked(request.method, str(request.uri))
    assert found == authorization(Challenge.parse(challenge), US, asked, Count(uses, cnonce))


@pytest.mark.parametrize(("algorithm", "response"), [
    ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
    ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
])  # fmt: skip
def test_digests_are_those_of_the_standard(algorithm: str, response: str) -> None:
    """RFC 7616 3.9.1: the same request, answered with both."""
    nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
    challenge = Challenge("http-auth@example.org", nonce, algorithm, ("auth", "auth-int"))
    count = Count(1, "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
    asked = Asked("GET", "/dir/index.html")
    assert digest(challenge, Credentials("Mufasa", "Circle of Life"), asked, count) == response


def test_a_digest_without_qop_is_that_of_old_servers() -> None:
    """RFC 2069: no count and no word of ours go in."""
    value = authorization(Challenge("r", "n"), US, Asked("BYE", "sip:a@b"), Count(1, "x"))
    assert "qop" not in value
    assert "cnonce" not in value


def test_the_strongest_that_we_know_is_taken() -> None:
    """RFC 8760 2.4: SHA-512-256 before SHA-256 before MD5; what we do not know is passed over."""
    offered = [Challenge("r", str(rank), name) for rank, name in enumerate(["MD5", "SHA-256", "SHA-3", "SHA-512-256"])]
    assert strongest(offered) in (offered[3], offered[1])  # not every OpenSSL has SHA-512-256
    assert strongest(offered[:3]) is offered[1]
    assert strongest([Challenge("r", "n", qop=("auth-int",)), offered[2]]) is None


def test_a_challenged_invite_goes_again_in_the_same_call() -> None:
    """RFC 3261 22.2: Call-ID, From tag and body stay, CSeq and branch are new; the user hears of the answer only."""
    ends = wire()
    invite = invited(ends)
    second = again(ends, reply(invite, 401, WWW_Authenticate=f"{MD5}\r\nWWW-Authenticate: {SHA}"), "INVITE")
    assert (second.call_id, second.from_.tag, second.body) == (invite.call_id, invite.from_.tag, invite.body)
    assert second.cseq.number == invite.cseq.number + 1
    assert second.via.branch != invite.via.branch
    answers(second, "Authorization", SHA)
    assert ends.told() == []
    (ack,) = ends.give(reply(second, 200, body=ANSWER))
    assert isinstance(ack, Request)
    assert ack.cseq == (second.cseq.number, "ACK")
    assert ends.take(Answered).session == ANSWER


def test_a_wrong_password_is_asked_for_once() -> None:
    """No loop: the second challenge of one realm ends the call."""
    ends = wire()
    second = again(ends, reply(invited(ends), 401, WWW_Authenticate=MD5), "INVITE")
    ends.give(reply(second, 401, WWW_Authenticate=SHA))
    failed = ends.take(Failed)
    assert failed.response is not None
    assert failed.response.status == 401


def test_an_old_nonce_is_renewed_once() -> None:
    """RFC 7616 3.3 stale: the password was right; a server that always says so is not followed."""
    ends = wire()
    stale = 'Digest realm="trunk", nonce="n3", stale=true, qop="auth"'
    second = again(ends, reply(invited(ends), 401, WWW_Authenticate=MD5), "INVITE")
    third = again(ends, reply(second, 401, WWW_Authenticate=stale), "INVITE")
    answers(third, "Authorization", stale)
    assert len(third.headers.get_all("Authorization")) == 1
    ends.give(reply(third, 401, WWW_Authenticate=stale.replace("n3", "n4")))
    ends.take(Failed)


def test_proxy_and_trunk_challenge_apart() -> None:
    """RFC 3261 22.3: the answer to the proxy stays, its nonce used a second time, beside that to the trunk."""
    ends = wire()
    proxy = 'Digest realm="proxy", nonce="p1", qop="auth", opaque="o"'
    second = again(ends, reply(invited(ends), 407, Proxy_Authenticate=proxy), "INVITE")
    answers(second, "Proxy-Authorization", proxy)
    third = again(ends, reply(second, 401, WWW_Authenticate=MD5), "INVITE")
    answers(third, "Proxy-Authorization", proxy, uses=2)
    answers(third, "Authorization", MD5)


def test_requests_in_a_call_are_answered_for_as_well() -> None:
    """re-INVITE, INFO and BYE: the numbers of the dialog go on, and only the end of each is told."""
    ends = wire()
    call, _ = established(ends)
    ends.endpoint.reoffer(call.leg, OFFER, ends.now)
    (reinvite,) = ends.sent()
    assert isinstance(reinvite, Request)
    second = again(ends, reply(reinvite, 401, WWW_Authenticate=MD5), "INVITE")
    ends.give(reply(second, 200, body=ANSWER))
    ends.take(ReofferAnswered)
    ends.endpoint.ask(call.leg, "INFO", "t", ends.now)
    (info,) = ends.sent()
    assert isinstance(info, Request)
    assert info.cseq.number == second.cseq.number + 1
    ends.give(reply(again(ends, reply(info, 407, Proxy_Authenticate=SHA), "INFO"), 200))
    assert ends.take(Replied).cause == "response"
    ends.endpoint.hang_up(call.leg, ends.now)
    (bye,) = ends.sent()
    assert isinstance(bye, Request)
    last = again(ends, reply(bye, 401, WWW_Authenticate=MD5), "BYE")
    assert last.cseq.number == info.cseq.number + 3
    ends.give(reply(last, 200))
    ends.wait(40)
    assert ends.endpoint.transactions == 0


def test_options_are_answered_for_too() -> None:
    """A trunk that challenges OPTIONS is not taken for dead."""
    ends = wire()
    ends.endpoint.ask_options(ends.flow, "t", ends.now)
    (options,) = ends.sent()
    assert isinstance(options, Request)
    answers(again(ends, reply(options, 401, WWW_Authenticate=SHA), "OPTIONS"), "Authorization", SHA)


def test_a_call_taken_back_is_not_begun_again() -> None:
    """SIP-3: a 401 that crosses our CANCEL ends the call."""
    ends = wire()
    invite = invited(ends)
    ends.give(reply(invite, 100, tag=""))
    ends.endpoint.cancel("leg", ends.now)
    ends.sent()
    (ack,) = ends.give(reply(invite, 401, WWW_Authenticate=MD5))
    assert isinstance(ack, Request)
    assert ack.method == "ACK"
    ends.take(Failed)


@pytest.mark.parametrize(
    "challenge", ["Basic realm=x", "Digest realm=r", 'Digest realm="r", nonce="n", algorithm=X', ""]
)
def test_what_cannot_be_answered_is_the_answer(challenge: str) -> None:
    """A challenge we do not understand fails the call as any refusal does."""
    ends = wire()
    ends.give(reply(invited(ends), 401, WWW_Authenticate=challenge))
    ends.take(Failed)


def test_without_a_password_the_challenge_is_the_answer() -> None:
    """A peer for which nothing is set: nothing of us goes there."""
    ends = Wire()
    ends.give(reply(invited(ends), 401, WWW_Authenticate=MD5))
    ends.take(Failed)


def test_no_password_stands_in_a_log() -> None:
    """SIP-11: neither name nor password are part of the text of a value."""
    assert "sesame" not in repr(US)
    assert "callrec'" not in repr(US)
