"""URIs as they are met, compared as RFC 3261 19.1.4 says, and written back as they came."""

from __future__ import annotations

import pytest

from callrec.errors import PeerError
from callrec.sip import Uri

READ = [
    ("sip:100@pbx1", Uri("sip", "100", host="pbx1")),
    ("sip:my_host", Uri("sip", host="my_host")),
    ("SIP:alice@Atlanta.com", Uri("sip", "alice", host="Atlanta.com")),
    ("sips:a@h:5061", Uri("sips", "a", host="h", port=5061)),
    ("sip:alice:secret@h", Uri("sip", "alice", "secret", "h")),
    ("sip:[2001:db8::10]:5060;transport=tcp", Uri("sip", None, None, "2001:db8::10", 5060, (("transport", "tcp"),))),
    ("sip:[2001:db8::10:5070]", Uri("sip", host="2001:db8::10:5070")),
    ("sip:[2001:db8:::192.0.2.1]", Uri("sip", host="2001:db8::192.0.2.1")),
    ("sip:h;lr;x=", Uri("sip", host="h", parameters=(("lr", None), ("x", "")))),
    ("sip:1%3000;ext=5@h;lr?Subject=hi%20there&a=b", Uri(
        "sip", "1000;ext=5", host="h", parameters=(("lr", None),), headers=(("Subject", "hi there"), ("a", "b"))
    )),
    ("sip:user;par=u%40example.net@example.com", Uri("sip", "user;par=u@example.net", host="example.com")),
    ("sip:%00@h", Uri("sip", "\x00", host="h")),
    ("sip:*100#@h", Uri("sip", "*100#", host="h")),
    ("sip:@10.0.0.1", Uri("sip", "", host="10.0.0.1")),
    ("tel:+44-20-7946-0000;phone-context=x", Uri("tel", "+44-20-7946-0000", parameters=(("phone-context", "x"),))),
    ("urn:service:sos", Uri("urn", opaque="service:sos")),
    ("http://x/", Uri("http", opaque="//x/")),
]  # fmt: skip

BROKEN = [
    "", "alice@h", "sip:", "sip:@", "sip:@@::[[", "sip:a b@h", "sip:h:99999", "sip:h:5060x", "sip:[2001:db8::x]",
    "sip:[1:2", "sip:2001:db8::10", "sip:a%0d%0aX:1@h", "sip:a%zz@h", "sip:h;a b", 'sip:h;a="b"', "sip:h?a=b c",
    "tel:", "tel:+44 20", "tel:alice", "urn:", "urn:a b", "<sip:a@h>", "sip:a@h\r\nX: 1", "sip:h;x=%4",
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), READ, ids=[text for text, _ in READ])
def test_a_uri_is_read_and_written_back_as_it_came(text: str, expected: Uri) -> None:
    """Every form met in the field has its parts, and the very text comes back."""
    uri = Uri.parse(text)

    assert uri == expected
    assert str(uri) == text


@pytest.mark.parametrize(("text", "expected"), READ, ids=[text for text, _ in READ])
def test_a_built_uri_means_what_the_parsed_one_means(text: str, expected: Uri) -> None:
    """A URI made of parts is escaped where it must be, so that reading it gives the same parts."""
    assert Uri.parse(str(expected)) == Uri.parse(text)


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_uri_is_refused(text: str) -> None:
    """A broken URI gives PeerError with status 400."""
    with pytest.raises(PeerError) as failure:
        Uri.parse(text)
    assert failure.value.status == 400


def test_a_uri_beyond_the_limit_is_refused_with_414() -> None:
    """A URI too long is refused by its own status (RFC 3261 21.4.12)."""
    with pytest.raises(PeerError) as failure:
        Uri.parse("sip:" + "a" * 9000 + "@h")
    assert failure.value.status == 414


def test_no_part_can_smuggle_a_line_or_another_part() -> None:
    """Whatever stands in a built URI, it is written on one line and its host stays its host."""
    text = str(Uri("sip", "a@evil\r\nX: 1 <b>", "p@:\n", "h", None, (("x;y", "a?b\r\n"),), (("q&", "=\r\n"),)))

    assert not set(text) & set('\r\n<> "')
    assert text.count("@") == 1
    assert text.partition("@")[2].startswith("h;")


EQUIVALENT = [
    ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
    ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
    ("sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
     "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"),
    ("sip:alice@atlanta.com?subject=project%20x&priority=urgent",
     "sip:alice@atlanta.com?priority=urgent&subject=project%20x"),
    ("tel:+44-20-7946-0000", "tel:+442079460000"),
]  # fmt: skip
DIFFERENT = [
    ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
    ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
    ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
    ("sip:bob@h", "sips:bob@h"),
    ("sip:h", "sip:bob@h"),
    ("urn:service:sos", "urn:service:test"),
]


@pytest.mark.parametrize(("first", "second"), EQUIVALENT)
def test_equivalent_uris_are_equivalent_both_ways(first: str, second: str) -> None:
    """The examples of RFC 3261 19.1.4 that are equivalent."""
    assert Uri.parse(first).equivalent(Uri.parse(second))
    assert Uri.parse(second).equivalent(Uri.parse(first))


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_different_uris_are_not_equivalent(first: str, second: str) -> None:
    """The examples of RFC 3261 19.1.4 that are not equivalent."""
    assert not Uri.parse(first).equivalent(Uri.parse(second))
    assert not Uri.parse(second).equivalent(Uri.parse(first))


def test_a_request_uri_sheds_headers_and_method() -> None:
    """URI headers and `method` never reach a Request-URI we send (RFC 3261 19.1.1, RFC 4475 3.1.2.11)."""
    uri = Uri.parse("sip:a@h;method=BYE;lr?Route=%3Csip:x%3E").without_headers()

    assert str(uri) == "sip:a@h;lr"


def test_parameters_are_set_and_taken_away_without_touching_others() -> None:
    """A changed URI keeps its other parts, and the old one stays as it was."""
    uri = Uri.parse("sip:a@h;transport=tcp;lr")
    changed = uri.with_parameter("transport", "udp").with_parameter("x", None).without_parameter("lr")

    assert str(changed) == "sip:a@h;transport=udp;x"
    assert (uri.parameter("lr"), uri.parameter("transport"), uri.parameter("y")) == ("", "tcp", None)
    assert str(uri) == "sip:a@h;transport=tcp;lr"


def test_errors_quote_no_number() -> None:
    """What is wrong with a URI is told without the number in it, for errors are logged."""
    for text in ("02079460000", "sip:02079460000 @h", "tel:02079460000x y", "sip:02079460000@h;a b"):
        with pytest.raises(PeerError) as failure:
            Uri.parse(text)
        assert "0207" not in str(failure.value)
