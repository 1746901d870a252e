"""Via as it is met, and where it sends a response."""

from __future__ import annotations

import pytest

from callrec.errors import PeerError
from callrec.sip import Via

READ = [
    ("SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1;rport",
     Via("UDP", "127.0.0.1", 5070, (("branch", "z9hG4bK1"), ("rport", None)))),
    ("SIP  / 2.0 / UDP   p2.example.com : 5060 ;  branch = z9hG4bKx9",
     Via("UDP", "p2.example.com", 5060, (("branch", "z9hG4bKx9"),))),
    ("sip/2.0/tls pbx1", Via("TLS", "pbx1")),
    ("SIP/2.0/TLS-SCTP my_host;x", Via("TLS-SCTP", "my_host", None, (("x", None),))),
    ("SIP/2.0/UDP [2001:db8::9:1]:6050;received=[2001:db8::9:255]",
     Via("UDP", "2001:db8::9:1", 6050, (("received", "[2001:db8::9:255]"),))),
    ("SIP/2.0/UDP h;received=2001:db8::9:255", Via("UDP", "h", None, (("received", "2001:db8::9:255"),))),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), READ, ids=[text for text, _ in READ])
def test_a_via_is_read_and_written_back_as_it_came(text: str, expected: Via) -> None:
    """White space, IPv6, unusual transports and host names are read, and the very text comes back."""
    via = Via.parse(text)

    assert via == expected
    assert str(via) == text
    assert Via.parse(str(expected)) == expected


@pytest.mark.parametrize("text", [
    "", "garbage", "SIP/2.0/UDP", "SIP/3.0/UDP h", "SIP/2.0/UDP h:99999x", "SIP/2.0/UDP h:70000", "SIP/2.0/UDP h;;",
    "SIP/2.0/UDP 192.0.2.15;;,;,,", "SIP/2.0/UDP [::x]", "SIP/2.0/UDP 2001:db8::1", "SIP/2.0/UDP h;branch=a b",
])  # fmt: skip
def test_what_is_no_via_is_refused(text: str) -> None:
    """A broken Via gives PeerError."""
    with pytest.raises(PeerError):
        Via.parse(text)


@pytest.mark.parametrize(("text", "expected"), [
    ("SIP/2.0/UDP h", ("h", 5060)),
    ("SIP/2.0/UDP h:5070", ("h", 5070)),
    ("SIP/2.0/TLS h", ("h", 5061)),
    ("SIP/2.0/UDP h;received=10.0.0.1", ("10.0.0.1", 5060)),
    ("SIP/2.0/UDP h:5070;received=10.0.0.1;rport=1234", ("10.0.0.1", 1234)),
    ("SIP/2.0/UDP [2001:db8::1];received=[2001:db8::2];rport=9", ("2001:db8::2", 9)),
    ("SIP/2.0/UDP h;maddr=224.2.0.1;received=10.0.0.1", ("224.2.0.1", 5060)),
    ("SIP/2.0/UDP h;rport=0000019999", ("h", 5060)),
])  # fmt: skip
def test_a_response_goes_where_the_request_came_from(text: str, expected: tuple[str, int]) -> None:
    """`received` and `rport` come before sent-by (RFC 3581 4, RFC 3261 18.2.2)."""
    assert Via.parse(text).response_address() == expected


def test_the_source_is_noted_where_it_must_be() -> None:
    """rport is filled in where it was asked for, received where the host differs (RFC 3581 4, RFC 3261 18.2.1)."""
    asked = Via.parse("SIP/2.0/UDP h;rport;branch=z9hG4bK1").with_source("2001:db8::1", 7)
    differs = Via.parse("SIP/2.0/UDP h;branch=z9hG4bK1").with_source("10.0.0.1", 7)
    same = Via.parse("SIP/2.0/UDP 10.0.0.1").with_source("10.0.0.1", 7)

    assert str(asked) == "SIP/2.0/UDP h;rport=7;branch=z9hG4bK1;received=2001:db8::1"
    assert str(differs) == "SIP/2.0/UDP h;branch=z9hG4bK1;received=10.0.0.1"
    assert str(same) == "SIP/2.0/UDP 10.0.0.1"


def test_only_a_branch_behind_the_cookie_names_a_transaction() -> None:
    """The bare cookie is no transaction id (RFC 4475 3.2.1)."""
    assert Via.parse("SIP/2.0/UDP h;branch=z9hG4bKa").has_cookie
    assert not Via.parse("SIP/2.0/UDP h;branch=z9hG4bK").has_cookie
    assert not Via.parse("SIP/2.0/UDP h;branch=1").has_cookie
    assert not Via.parse("SIP/2.0/UDP h").has_cookie
