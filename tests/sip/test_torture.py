"""The messages of RFC 4475 and RFC 5118: none is left out, each has the outcome its section asks for."""

from __future__ import annotations

import pytest

from callrec.errors import PeerError
from callrec.sip import Request, Response, parse_failure_reply, parse_message
from tests.sip.vectors import ROOT, TortureCase, torture_cases

CASES = torture_cases()
READ = [case for case in CASES if case.message == "ok"]
REFUSED = [case for case in CASES if case.message == "reject"]


def test_no_message_is_left_out() -> None:
    """The manifest names all 49 messages of RFC 4475 and all 12 of RFC 5118, and every file."""
    files = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("rfc*/*.dat"))

    assert sorted(case.file for case in CASES) == files
    assert [sum(case.file.startswith(rfc) for case in CASES) for rfc in ("rfc4475", "rfc5118")] == [49, 12]


@pytest.mark.parametrize("case", READ, ids=str)
def test_a_valid_message_is_read_with_all_its_headers(case: TortureCase) -> None:
    """Valid messages are read, also the headers read later, and survive being written back."""
    message = parse_message(case.data)

    for name in ("via_list", "contacts", "route", "record_route", "max_forwards", "require", "supported", "session"):
        if case.raises and name == "contacts":
            with pytest.raises(PeerError) as failure:
                getattr(message, name)
            assert failure.value.status == case.raises["contact"]
        else:
            getattr(message, name)
    again = parse_message(message.serialize())
    assert again.headers.without("Content-Length") == message.headers.without("Content-Length")
    assert (again.body, type(again)) == (message.body, type(message))


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_an_invalid_message_is_refused_with_its_status(case: TortureCase) -> None:
    """Invalid messages are refused; the request gets its answer, the response none."""
    with pytest.raises(PeerError) as failure:
        parse_message(case.data)
    assert failure.value.status == case.status

    reply = parse_failure_reply(case.data, failure.value)
    if case.endpoint is None:
        assert reply is None
    else:
        assert reply is not None
        assert int(reply[8:11]) in case.endpoint


def request_of(name: str) -> Request:
    message = parse_message((ROOT / name).read_bytes())
    assert isinstance(message, Request)
    return message


def test_the_short_tortuous_invite_means_what_its_section_says() -> None:
    """RFC 4475 3.1.1.1: folding, white space and odd spelling change nothing."""
    request = request_of("rfc4475/wsinv.dat")

    assert str(request.uri) == "sip:vivekg@chair-dnrc.example.com;unknownparam"
    assert (request.to.tag, request.from_.tag, request.from_.display_name) == (
        "1918181833n",
        "98asjd8",
        'J Rosenberg \\"',
    )
    assert (request.max_forwards, request.cseq.number, request.headers.get("Subject")) == (68, 9, "")
    assert [(via.transport, via.host, via.branch) for via in request.via_list] == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert request.headers.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert request.headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    assert request.contact is not None
    assert (request.contact.display_name, request.contact.parameter("newparam")) == ('Quoted string ""', "newvalue")
    assert (request.contact.parameter("secondparam"), request.contact.parameter("q")) == ("", "0.33")
    assert request.route[0].uri.parameter("lr") == ""


def test_the_wide_range_of_characters_is_read() -> None:
    """RFC 4475 3.1.1.2: method, URI, quoted control characters, UTF-8 parameter."""
    request = request_of("rfc4475/intmeth.dat")

    assert request.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert request.uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert request.uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert request.to.display_name == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert request.from_.parameter("fromparam''~+*_!.-%") == "работающий"
    assert request.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"


def test_escapes_are_read_where_they_are_escapes_only() -> None:
    """RFC 4475 3.1.1.3 to 3.1.1.5."""
    escaped = request_of("rfc4475/esc01.dat")
    nulls = request_of("rfc4475/escnull.dat")
    plain = request_of("rfc4475/esc02.dat")

    assert (escaped.uri.scheme, escaped.uri.user) == ("sip", "sips:user@example.com")
    assert (escaped.to.uri.user, escaped.from_.uri.user) == ("user", "I have spaces")
    assert escaped.contact is not None
    assert escaped.contact.uri.parameters == (("lr", None), ("name", "value%41"))
    assert [contact.uri.user for contact in nulls.contacts] == ["\x00", "\x00\x00"]
    assert (plain.method, plain.from_.display_name, len(plain.contacts)) == ("RE%47IST%45R", "%Z%45", 2)


def test_only_the_first_message_of_a_datagram_counts() -> None:
    """RFC 4475 3.1.1.8: the bytes behind Content-Length are left out."""
    request = request_of("rfc4475/dblreq.dat")

    assert (request.method, request.body) == ("REGISTER", b"")


def test_unusual_and_empty_reasons_are_read() -> None:
    """RFC 4475 3.1.1.12 and 3.1.1.13."""
    unusual = parse_message((ROOT / "rfc4475/unreason.dat").read_bytes())
    empty = parse_message((ROOT / "rfc4475/noreason.dat").read_bytes())

    assert isinstance(unusual, Response)
    assert unusual.reason == "= 2**3 * 5**2 но сто девяносто девять - простое"
    assert isinstance(empty, Response)
    assert (empty.status, empty.reason) == (100, "")


def test_an_ipv6_address_is_read_with_and_without_brackets_in_received() -> None:
    """RFC 5118 4.5."""
    for name in ("with-delim", "no-delim"):
        assert request_of(f"rfc5118/via-received-param-{name}.dat").via.received == "2001:db8::9:255"


def test_a_port_inside_the_brackets_is_address() -> None:
    """RFC 5118 4.3 and 4.4."""
    inside, outside = (request_of(f"rfc5118/port-{name}.dat").uri for name in ("ambiguous", "unambiguous"))

    assert (inside.host, inside.port) == ("2001:db8::10:5070", None)
    assert (outside.host, outside.port) == ("2001:db8::10", 5070)


def test_the_third_colon_is_ignored() -> None:
    """RFC 5118 4.10."""
    three, two = (request_of(f"rfc5118/ipv6-{name}.dat").uri for name in ("bug-abnf-3-colons", "correct-abnf-2-colons"))

    assert three == two
