"""What cannot be parsed is answered where it may be, and never answered where it must not."""

from __future__ import annotations

import pytest

from callrec.errors import PeerError
from callrec.sip import Response, parse_failure_reply, parse_message, usable_via

BROKEN = (
    b"INVITE sip:100@h SIP/2.0\r\n"
    b"v: SIP/2.0/UDP h:5070;rport;branch=z9hG4bK1, SIP/2.0/UDP p\r\n"
    b"Via: SIP/2.0/UDP q\r\n"
    b'From: "unclosed <sip:a@h>;tag=1\r\n'
    b"To : <sip:100@h>\r\n"
    b"Call-ID: c1\r\n"
    b"CSeq: 1 INVITE\r\n\r\n"
)


def error_of(data: bytes) -> PeerError:
    with pytest.raises(PeerError) as failure:
        parse_message(data)
    return failure.value


def test_a_broken_request_with_a_usable_via_is_answered() -> None:
    """The 400 carries every Via, From, To with a tag, Call-ID and CSeq as far as they can be read."""
    reply = parse_failure_reply(BROKEN, error_of(BROKEN), ("10.0.0.1", 7))

    assert reply is not None
    head, tag = reply.split(b";tag=")[0], reply.split(b"<sip:100@h>;tag=")[1]
    assert head == (
        b"SIP/2.0 400 Bad Request\r\n"
        b"Via: SIP/2.0/UDP h:5070;rport=7;branch=z9hG4bK1;received=10.0.0.1,  SIP/2.0/UDP p\r\n"
        b"Via: SIP/2.0/UDP q\r\n"
        b'From: "unclosed <sip:a@h>'
    )
    assert tag[16:] == b"\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"


def test_a_repeated_broken_request_gets_the_same_answer() -> None:
    """The answer is stateless, so its tag may not change (RFC 3261 8.2.7)."""
    assert parse_failure_reply(BROKEN, error_of(BROKEN)) == parse_failure_reply(BROKEN, error_of(BROKEN))


def test_the_status_is_that_of_the_error() -> None:
    """Another version of SIP is answered 505, though its Via has that version, too."""
    data = BROKEN.replace(b"SIP/2.0", b"SIP/7.0")
    reply = parse_failure_reply(data, PeerError("x", status=505))

    assert reply is not None
    assert reply.startswith(b"SIP/2.0 505 Version Not Supported\r\n")


def test_a_repaired_answer_can_be_read() -> None:
    """Where From is whole, the answer is a whole message."""
    data = BROKEN.replace(b'"unclosed <', b"<").replace(b"CSeq: 1 INVITE", b"CSeq: 1 BYE")
    reply = parse_failure_reply(data, error_of(data))

    assert reply is not None
    response = parse_message(reply)
    assert isinstance(response, Response)
    assert (response.status, response.via.branch, response.cseq.method) == (400, "z9hG4bK1", "BYE")


@pytest.mark.parametrize("data", [
    b"", b"\r\n\r\n", b"\x00\x01", b"GET / HTTP/1.1\r\nVia: 1.1 x\r\n\r\n",
    BROKEN.replace(b"INVITE sip", b"ACK sip"),
    BROKEN.replace(b"INVITE sip:100@h SIP/2.0", b"SIP/2.0 200 OK"),
    BROKEN.replace(b"v: SIP", b"x: SIP").replace(b"Via: SIP", b"y: SIP"),
    BROKEN.replace(b"v: SIP/2.0/UDP h:5070;rport;branch=z9hG4bK1, SIP/2.0/UDP p", b"v: garbage"),
])  # fmt: skip
def test_what_may_not_be_answered_is_not(data: bytes) -> None:
    """Responses, ACK, other protocols and requests without a usable Via get no answer."""
    assert parse_failure_reply(data, PeerError("x")) is None
    if not data.startswith(b"ACK"):
        assert usable_via(data) is None


def test_the_usable_via_is_the_top_one() -> None:
    """Who answers by hand finds where to."""
    via = usable_via(BROKEN)

    assert via is not None
    assert (via.host, via.port) == ("h", 5070)
