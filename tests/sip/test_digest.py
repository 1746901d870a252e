"""Digest challenges as servers send them."""

from __future__ import annotations

import pytest

from callrec.errors import PeerError
from callrec.sip import Challenge


def test_the_comma_inside_qop_does_not_end_it() -> None:
    """`qop="auth,auth-int"` is two words of one parameter, not two parameters."""
    text = (
        'Digest realm="Better, Comms", nonce="a\\"b", opaque="", qop="auth,auth-int", algorithm=sha-256,stale=TRUE, x=1'
    )
    challenge = Challenge.parse(text)

    assert challenge == Challenge(
        "Better, Comms", 'a"b', "SHA-256", ("auth", "auth-int"), opaque="", stale=True, other=(("x", "1"),)
    )
    assert Challenge.parse(str(challenge)) == challenge


def test_an_old_challenge_has_no_qop() -> None:
    """A server of RFC 2069 names neither qop nor algorithm; unquoted base64 is taken."""
    assert Challenge.parse("digest realm=r,nonce=abc==") == Challenge("r", "abc==")


@pytest.mark.parametrize("text", [
    "", "Basic realm=x", 'Digest realm="x"', 'Digest nonce="x"', 'Digest realm="x, nonce="y"', "Digest realm",
    "Digest ,,",
])  # fmt: skip
def test_what_is_no_challenge_is_refused(text: str) -> None:
    """A broken challenge gives PeerError."""
    with pytest.raises(PeerError):
        Challenge.parse(text)
