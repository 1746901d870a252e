"""The rule of SRTP on a leg: what each `srtp` takes and offers, and that nothing goes in clear in silence (RTP-9)."""

from __future__ import annotations

import itertools

import pytest

from callrec.calls.inputs import Side
from callrec.errors import PeerError
from callrec.recorder import negotiation
from callrec.recorder.leg import Leg
from callrec.recorder.security import Security, SecurityError, check_untouched
from callrec.sdp import Codec, Crypto, SessionDescription
from callrec.settings import Srtp
from callrec.sip.events import Address, Flow
from tests.support.sip_driver import peer

HERE = Address("192.0.2.1", 5061)
TLS, UDP = Flow("tls", HERE, HERE), Flow("udp", HERE, HERE)
PCMA = Codec("PCMA", 8, 8000)
THEIRS = Crypto(5, "AES_CM_128_HMAC_SHA1_32", b"t" * 30)
PLAIN, KEYED = "RTP/AVP", "RTP/SAVP"


def numbered() -> itertools.count[int]:
    return itertools.count(1)


def leg(policy: Srtp, side: Side = Side.CALLER) -> Leg:
    """Return a leg over TLS with a rule; each key of ours is made of another byte."""
    numbers = numbered()
    made = Leg(side, side.value, 1, local=Address("192.0.2.1", 4000))
    made.security = Security.of(peer("a", "192.0.2.7", srtp=policy), TLS, lambda size: bytes([next(numbers)]) * size)
    return made


def said(protocol: str, *crypto: Crypto, version: int = 1) -> bytes:
    lines = "".join(f"a=crypto:{each}\r\n" for each in crypto)
    head = f"v=0\r\no=- 1 {version} IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
    return f"{head}m=audio 5000 {protocol} 8\r\n{lines}".encode()


@pytest.mark.parametrize(
    ("policy", "protocol", "keys", "secured"),
    [
        (Srtp.OFF, PLAIN, (), False),
        (Srtp.OFF, PLAIN, (THEIRS,), False),
        (Srtp.OPTIONAL, PLAIN, (), False),
        (Srtp.OPTIONAL, PLAIN, (THEIRS,), True),
        (Srtp.OPTIONAL, KEYED, (THEIRS,), True),
        (Srtp.REQUIRED, PLAIN, (THEIRS,), True),
        (Srtp.REQUIRED, KEYED, (THEIRS,), True),
    ],
)
def test_what_is_answered(policy: Srtp, protocol: str, keys: tuple[Crypto, ...], *, secured: bool) -> None:
    """The profile of the offer, and one key of ours under the tag and suite of the line taken (RFC 4568 5.1.2)."""
    caller = leg(policy)
    negotiation.read(caller, said(protocol, *keys))
    answer = SessionDescription.parse(negotiation.answer(caller))
    assert answer.media[0].protocol == protocol
    lines = answer.media[0].attributes("crypto")
    remote = caller.remote_media()
    assert remote is not None
    if not secured:
        assert (lines, remote.srtp) == ([], None)
        return
    assert len(lines) == 1
    assert lines[0].startswith(f"{THEIRS.tag} {THEIRS.suite} inline:")
    assert remote.srtp is not None
    assert (remote.srtp.receive, remote.srtp.send) == (THEIRS.key, bytes([1]) * 30)


@pytest.mark.parametrize(
    ("policy", "protocol"), [(Srtp.REQUIRED, PLAIN), (Srtp.REQUIRED, KEYED), (Srtp.OPTIONAL, KEYED)]
)
def test_what_has_no_key_is_refused(policy: Srtp, protocol: str) -> None:
    """488 to RTP in clear where keys are required, and to a secure profile without a key that is understood."""
    with pytest.raises(SecurityError) as raised:
        negotiation.read(leg(policy), said(protocol))
    assert raised.value.status == 488


def test_without_the_rule_a_secure_profile_is_none_of_ours() -> None:
    """off: the offer is passed or refused as any that we cannot relay, not answered in clear."""
    with pytest.raises(PeerError) as raised:
        negotiation.read(leg(Srtp.OFF), said(KEYED, THEIRS))
    assert not isinstance(raised.value, SecurityError)


@pytest.mark.parametrize(
    ("policy", "protocol", "suites"), [(Srtp.OFF, PLAIN, 0), (Srtp.OPTIONAL, PLAIN, 4), (Srtp.REQUIRED, KEYED, 4)]
)
def test_what_is_offered(policy: Srtp, protocol: str, suites: int) -> None:
    """optional: plain with keys, which everybody takes one way or the other; required: the secure profile."""
    caller, destination = leg(Srtp.OFF), leg(policy, Side.DESTINATION)
    negotiation.read(caller, said(PLAIN))
    negotiation.answer(caller)
    offer = SessionDescription.parse(negotiation.single_codec_offer(caller, destination)).media[0]
    assert (offer.protocol, len(offer.attributes("crypto"))) == (protocol, suites)


def test_each_leg_has_keys_of_its_own() -> None:
    """What passes from leg to leg carries the receiver's profile and keys, never the sender's."""
    caller, destination = leg(Srtp.REQUIRED), leg(Srtp.OFF, Side.DESTINATION)
    offered = negotiation.relayed(said(KEYED, THEIRS), caller, destination)
    assert b"RTP/AVP 8" in offered
    assert b"crypto" not in offered
    answered = SessionDescription.parse(negotiation.relayed(said(PLAIN), destination, caller, answers=True)).media[0]
    assert answered.protocol == KEYED
    assert [line.split()[:2] for line in answered.attributes("crypto")] == [["5", THEIRS.suite]]


def test_an_answer_in_clear_to_a_required_offer_is_refused() -> None:
    """The destination that takes SRTP for granted and answers without is not connected."""
    destination = leg(Srtp.REQUIRED, Side.DESTINATION)
    with pytest.raises(SecurityError):
        negotiation.read(destination, said(PLAIN))
    assert destination.security.violated


def test_a_leg_that_is_encrypted_stays_so() -> None:
    """optional: once there are keys, a re-INVITE without them is refused, and our own has the profile agreed on."""
    caller = leg(Srtp.OPTIONAL)
    negotiation.read(caller, said(KEYED, THEIRS))
    negotiation.answer(caller)
    caller.remote_media()
    with pytest.raises(SecurityError):
        caller.security.audio_of(SessionDescription.parse(said(PLAIN, version=2)))
    again = negotiation.offer_again(caller)
    assert again is not None
    assert b"m=audio 4000 RTP/SAVP 8" in again


def test_a_re_offer_keeps_our_key_and_a_renewed_leg_has_another() -> None:
    """Only a lost worker changes our key; until the party has answered, nothing is sent with any."""
    caller = leg(Srtp.REQUIRED)
    negotiation.read(caller, said(KEYED, THEIRS))
    first = negotiation.answer(caller)
    again = negotiation.answer_again(caller, said(KEYED, THEIRS, version=2))
    assert again is not None
    assert lines_of(first) == lines_of(again)
    caller.security.renew()
    remote = caller.remote_media()
    assert remote is not None
    assert remote.srtp is not None
    assert remote.srtp.send is None
    offer = negotiation.offer_again(caller)
    assert offer is not None
    assert not set(lines_of(offer)) & set(lines_of(first))
    negotiation.read(caller, said(KEYED, THEIRS, version=3))
    remote = caller.remote_media()
    assert remote is not None
    assert remote.srtp is not None
    assert remote.srtp.send not in (None, bytes([1]) * 30)


def lines_of(body: bytes) -> list[str]:
    """Return the key of each suite."""
    return [" ".join(line.split()[1:]) for line in SessionDescription.parse(body).media[0].attributes("crypto")]


def test_keys_go_over_tls_only() -> None:
    """required over UDP is refused with the way to mend it; optional over UDP is off, for a key would be heard."""
    with pytest.raises(SecurityError, match=r"keys go over TLS only"):
        Security.of(peer("a", "192.0.2.7", srtp="required"), UDP, bytes)
    assert Security.of(peer("a", "192.0.2.7", srtp="optional"), UDP, bytes).policy is Srtp.OFF


def test_an_emergency_call_is_not_refused_for_want_of_keys() -> None:
    """FAIL-1."""
    strict = peer("a", "192.0.2.7", srtp="required")
    assert Security.of(strict, UDP, bytes, emergency=True).policy is Srtp.OFF
    assert Security.of(strict, TLS, bytes, emergency=True).policy is Srtp.OPTIONAL


def test_a_key_does_not_leave_tls_untouched() -> None:
    """A description that passes as it is must not carry a key from TLS into clear signalling."""
    secret, clear = Security(signalled_secretly=True), Security()
    with pytest.raises(SecurityError):
        check_untouched(said(KEYED, THEIRS), secret, clear)
    with pytest.raises(SecurityError):
        check_untouched(said(PLAIN), clear, leg(Srtp.REQUIRED).security)
    check_untouched(said(KEYED, THEIRS), secret, secret)
    check_untouched(said(KEYED, THEIRS), clear, clear)
