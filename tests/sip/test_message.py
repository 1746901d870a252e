"""Whole messages: read, seen through their typed headers, and written."""

from __future__ import annotations

import pytest

from callrec.errors import PeerError
from callrec.sip import CSeq, Headers, Request, Response, Uri, parse_message, respond_to

INVITE = (
    b"INVITE sip:100@127.0.0.1 SIP/2.0\r\n"
    b"v: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1;rport\r\n"
    b"Via: SIP/2.0/UDP a, SIP/2.0/TCP b\r\n"
    b"Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n"
    b'From : "A"\r\n <sip:alice@127.0.0.1>\r\n ;tag=a1\r\n'
    b"t: <sip:100@127.0.0.1>\r\n"
    b"Call-ID: c1@x\r\n"
    b"CSeq: 0009 INVITE\r\n"
    b"Max-Forwards: 0068\r\n"
    b"Timestamp: 54\r\n"
    b"Contact: <sip:alice@127.0.0.1:5070>\r\n"
    b"Supported:\r\n"
    b"Require: 100rel, X-Own\r\n"
    b"X-Name: \xff\xfe\r\n"
    b"Content-Type: Application/SDP; charset=utf-8\r\n"
    b"Content-Length: 5\r\n\r\nv=0\r\n"
)


def read(data: bytes) -> Request:
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def changed(old: bytes, new: bytes) -> bytes:
    assert INVITE.count(old) == 1
    return INVITE.replace(old, new)


def test_every_typed_header_is_read() -> None:
    """Compact names, folding, blanks before the colon, leading zeros and lists come out as values."""
    request = read(INVITE)

    assert (request.method, str(request.uri)) == ("INVITE", "sip:100@127.0.0.1")
    assert request.via.branch == "z9hG4bK1"
    assert [via.host for via in request.via_list] == ["127.0.0.1", "a", "b"]
    assert [str(route) for route in request.record_route] == ["<sip:p1;lr>", "<sip:p2;lr>"]
    assert (request.from_.display_name, request.from_.uri.user, request.from_.tag) == ("A", "alice", "a1")
    assert (request.to.tag, request.call_id, request.cseq) == (None, "c1@x", CSeq(9, "INVITE"))
    assert (request.max_forwards, request.supported, request.require) == (
        68,
        frozenset[str](),
        frozenset({"100rel", "x-own"}),
    )
    assert request.contact is not None
    assert (request.contact.uri.port, request.route) == (5070, ())
    assert (request.content_type, request.content_type_parameters) == ("application/sdp", (("charset", "utf-8"),))
    assert request.session == request.body == b"v=0\r\n"


def test_a_message_is_written_back_with_order_spelling_and_bytes_kept() -> None:
    """Only folding and blanks around header values are evened out; bytes that are no UTF-8 stay."""
    expected = (
        INVITE.replace(b'"A"\r\n <', b'"A" <').replace(b">\r\n ;", b"> ;").replace(b"From :", b"From:")
        .replace(b"Supported:", b"Supported: ")
    )  # fmt: skip

    assert read(INVITE).serialize() == expected
    assert read(expected) == read(INVITE)


def test_a_tab_separates_as_a_blank_does() -> None:
    """Linear white space is blanks and tabs (RFC 3261 25.1)."""
    assert read(changed(b"CSeq: 0009 INVITE", b"CSeq:\t9 \t INVITE")).cseq == CSeq(9, "INVITE")


def test_bytes_behind_content_length_are_left_out_and_empty_lines_before_skipped() -> None:
    """A datagram's extra bytes are no part of the message (RFC 3261 18.3), nor are line ends before it (7.5)."""
    assert read(b"\r\n\r\n" + INVITE + b"GARBAGE") == read(INVITE)


def test_a_body_without_content_length_goes_to_the_end_of_the_datagram() -> None:
    """RFC 3261 18.3 for UDP."""
    assert read(changed(b"Content-Length: 5\r\n", b"")).body == b"v=0\r\n"


@pytest.mark.parametrize(("old", "new"), [
    (b"Content-Length: 5", b"Content-Length: 6"),
    (b"Content-Length: 5", b"Content-Length: -5"),
    (b"Content-Length: 5", b"Content-Length: 5, 5"),
    (b"Content-Length: 5", b"Content-Length: \xc2\xb2"),
    (b"Content-Length: 5", b"Content-Length: 5\r\nl: 5"),
    (b"Content-Length: 5", b"Content-Length:"),
    (b"CSeq: 0009 INVITE", b"CSeq: 4294967296 INVITE"),
    (b"CSeq: 0009 INVITE", b"CSeq: INVITE"),
    (b"CSeq: 0009 INVITE", b"CSeq: 9 BYE"),
    (b"CSeq: 0009 INVITE", b"CSeq: 9"),
    (b"Call-ID: c1@x", b"Call-ID: c1 x"),
    (b"Call-ID: c1@x", b"Call-ID:"),
    (b"Call-ID: c1@x", b"Call-ID: c1@x\r\ni: c2@x"),
    (b"Call-ID: c1@x\r\n", b""),
    (b"t: <sip:100@127.0.0.1>", b"t:"),
    (b"X-Name: \xff\xfe", b"X-Name: a\nb"),
    (b"X-Name: \xff\xfe", b"X-Name: a\rb"),
    (b"X-Name: \xff\xfe", b"X-Name: a\x00b"),
    (b"X-Name: \xff\xfe", b"no colon"),
    (b"X-Name: \xff\xfe", b": no name"),
    (b"X-Name: \xff\xfe", b"X Name: a"),
    (b"INVITE sip", b"INV(TE sip"),
    (b"INVITE sip:100@127.0.0.1 SIP/2.0", b"INVITE sip:100@127.0.0.1"),
    (b"INVITE sip:100@127.0.0.1 SIP/2.0", b"INVITE sip:100@127.0.0.1 HTTP/1.1"),
])  # fmt: skip
def test_what_breaks_the_rules_is_refused_with_400(old: bytes, new: bytes) -> None:
    """What every receiver needs is checked while reading."""
    with pytest.raises(PeerError) as failure:
        parse_message(changed(old, new))
    assert failure.value.status == 400


@pytest.mark.parametrize(("data", "status"), [
    (changed(b"SIP/2.0\r\n", b"SIP/3.0\r\n"), 505),
    (changed(b"X-Name: \xff\xfe", b"X-Name: " + b"a" * 20000), 513),
    (INVITE + b"a" * 65536, 513),
    (changed(b"INVITE sip:100@", b"INVITE sip:" + b"1" * 9000 + b"@"), 414),
    (changed(b"X-Name: \xff\xfe", b"\r\n".join([b"X: 1"] * 260)), 400),
])  # fmt: skip
def test_limits_have_their_own_statuses(data: bytes, status: int) -> None:
    """Another version is 505, too large 513, a URI too long 414, too many headers 400."""
    with pytest.raises(PeerError) as failure:
        parse_message(data)
    assert failure.value.status == status


@pytest.mark.parametrize(("line", "status", "reason"), [
    (b"SIP/2.0 299 Custom", 299, "Custom"),
    (b"SIP/2.0 200 ", 200, ""),
    (b"SIP/2.0 200", 200, ""),
    (b"sip/2.0 699 \xd0\xbd\xd0\xbe", 699, "но"),
])  # fmt: skip
def test_any_status_and_reason_is_read(line: bytes, status: int, reason: str) -> None:
    """Unknown status codes and empty or foreign reason phrases are legal."""
    response = parse_message(changed(b"INVITE sip:100@127.0.0.1 SIP/2.0", line))

    assert isinstance(response, Response)
    assert (response.status, response.reason) == (status, reason)
    assert parse_message(response.serialize()) == response


@pytest.mark.parametrize(
    "line", [b"SIP/2.0 abc OK", b"SIP/2.0 99 x", b"SIP/2.0 700 x", b"SIP/2.0 4294967301 x", b"SIP/2.0"]
)
def test_a_status_that_is_none_is_refused(line: bytes) -> None:
    """A status is three digits from 100 to 699."""
    with pytest.raises(PeerError):
        parse_message(changed(b"INVITE sip:100@127.0.0.1 SIP/2.0", line))


def test_other_headers_fail_only_when_asked_for() -> None:
    """A call is not lost by a broken header that nobody reads; who reads it gets PeerError."""
    request = read(changed(b"Max-Forwards: 0068", b"Max-Forwards: 256\r\nRoute: <sip:x\r\nP-Asserted-Identity: <"))

    for name in ("max_forwards", "route"):
        with pytest.raises(PeerError):
            getattr(request, name)
    with pytest.raises(PeerError):
        request.addresses("P-Asserted-Identity")


def test_a_response_copies_what_it_must_and_no_more() -> None:
    """RFC 3261 8.2.6.2: Via, From, To, Call-ID, CSeq in their spelling; Record-Route where a dialog starts (12.1.1)."""
    response = respond_to(read(INVITE), 180, to_tag="b2", headers=[("Contact", "<sip:us>")])

    assert [name for name, _ in response.headers] == [
        "v", "Via", "Record-Route", "From", "t", "Call-ID", "CSeq", "Contact",
    ]  # fmt: skip
    assert (response.status, response.reason, response.to.tag) == (180, "Ringing", "b2")
    assert response.via_list == read(INVITE).via_list
    assert parse_message(response.serialize()).headers.get("Content-Length") == "0"


def test_a_100_has_no_tag_and_repeats_the_timestamp_and_a_refusal_no_route() -> None:
    """RFC 3261 8.2.6.1, and 12.1.1: a refusal makes no dialog."""
    trying = respond_to(read(INVITE), 100, to_tag="b2")
    refusal = respond_to(read(INVITE), 486, to_tag="b2", reason="Busy")

    assert (trying.to.tag, trying.headers.get("Timestamp")) == (None, "54")
    assert ("Record-Route" in refusal.headers, refusal.reason, refusal.to.tag) == (False, "Busy", "b2")


def test_a_tag_of_the_request_stays_in_the_response() -> None:
    """In a dialog To has its tag already (RFC 3261 8.2.6.2)."""
    request = read(changed(b"t: <sip:100@127.0.0.1>", b"t: <sip:100@127.0.0.1>;tag=old"))

    assert respond_to(request, 200, to_tag="new").to.tag == "old"


def test_a_built_message_gets_the_length_of_its_body() -> None:
    """Content-Length is always that of the body."""
    headers = Headers([("Content-Length", "999"), ("To", "<sip:a>")])

    assert Request("BYE", Uri.parse("sip:a"), headers, b"abc").serialize() == (
        b"BYE sip:a SIP/2.0\r\nContent-Length: 3\r\nTo: <sip:a>\r\n\r\nabc"
    )


MULTIPART = (
    b"preamble\r\n--b1\r\nContent-Type: application/rs-metadata+xml\r\n\r\n<x/>\r\n"
    b"--b1\r\nc: application/sdp ;x=1\r\nContent-Disposition: session\r\n\r\nv=0\r\ns=-\r\n\r\n--b1--\r\nepilogue"
)


@pytest.mark.parametrize(("content_type", "body", "session"), [
    ("application/sdp", b"v=0\r\n", b"v=0\r\n"),
    ('multipart/mixed;boundary="b1"', MULTIPART, b"v=0\r\ns=-\r\n"),
    ("Multipart/Mixed; boundary=b1", MULTIPART, b"v=0\r\ns=-\r\n"),
    ("multipart/mixed;boundary=other", MULTIPART, None),
    (None, b"v=0\r\n", b"v=0\r\n"),
    (None, b"hello", None),
    ("text/plain", b"v=0\r\n", None),
    ("application/sdp", b"", None),
])  # fmt: skip
def test_the_session_is_found_alone_or_in_a_multipart_body(
    content_type: str | None, body: bytes, session: bytes | None
) -> None:
    """SDP is found where SIPREC clients put it, too (RFC 2046 5.1)."""
    headers = Headers([("Content-Type", content_type)] if content_type else [])

    assert Request("INVITE", Uri.parse("sip:a"), headers, body).session == session


def test_multipart_without_boundary_is_refused() -> None:
    """A body that cannot be cut is their fault."""
    with pytest.raises(PeerError):
        _ = Request("INVITE", Uri.parse("sip:a"), Headers([("Content-Type", "multipart/mixed")]), b"x").session
