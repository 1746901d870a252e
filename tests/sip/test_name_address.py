"""name-addr and addr-spec in the forms that trunks and PBXs send (CLI-4)."""

from __future__ import annotations

import pytest

from callrec.errors import PeerError
from callrec.sip import NameAddress, Uri

ALICE = Uri("sip", "alice", host="h")
READ = [
    ("<sip:alice@h>;tag=1", NameAddress("", ALICE, (("tag", "1"),))),
    ("sip:alice@h;tag=1", NameAddress("", ALICE, (("tag", "1"),))),
    ("sip:alice@h ;  tag =  1", NameAddress("", ALICE, (("tag", "1"),))),
    ("Alice<sip:alice@h>", NameAddress("Alice", ALICE)),
    ("Alice B. Toklas <sip:alice@h>", NameAddress("Alice B. Toklas", ALICE)),
    ("João (Leeds) <sip:alice@h>", NameAddress("João (Leeds)", ALICE)),
    ('"Rossi, Mario \\"capo\\" <x>;tag=no" <sip:alice@h>;tag=q',
     NameAddress('Rossi, Mario "capo" <x>;tag=no', ALICE, (("tag", "q"),))),
    ('"" <sip:alice@h>', NameAddress("", ALICE)),
    ('"NUL:\\\x00" <sip:alice@h>', NameAddress("NUL:\x00", ALICE)),
    ('"\udcff\udcfe" <sip:alice@h>', NameAddress("\udcff\udcfe", ALICE)),
    ("< sip:alice@h >", NameAddress("", ALICE)),
    ('<sip:alice@h;lr>;+sip.instance="<urn:uuid:1,2>";q=0.5',
     NameAddress("", Uri("sip", "alice", host="h", parameters=(("lr", None),)),
                 (("+sip.instance", "<urn:uuid:1,2>"), ("q", "0.5")))),
    ("<sip:alice@h>;tag=1;", NameAddress("", ALICE, (("tag", "1"),))),
    ("<tel:+442079460000>", NameAddress("", Uri("tel", "+442079460000"))),
    ("tel:+442079460000", NameAddress("", Uri("tel", "+442079460000"))),
    ("<urn:service:sos>", NameAddress("", Uri("urn", opaque="service:sos"))),
]  # fmt: skip

BROKEN = [
    "", "<>", "<sip:a@h", "sip:a@h>", '"A <sip:a@h>', '"A" sip:a@h', "A, B <sip:a@h>", "<sip:a@h>;;", "<sip:a@h> x",
    "<sip:a@h>;tag=a b", "sip:a@h?x=y", "<sip:a@h>, <sip:b@h>", '"A\x00" <sip:a@h>', "<sip:a@h>;=1", '<sip:a@h>;x="y',
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), READ, ids=[ascii(text) for text, _ in READ])
def test_an_address_is_read_and_written_back_as_it_came(text: str, expected: NameAddress) -> None:
    """Quotes, escapes, commas and brackets in names, and parameters that belong to the header, are told apart."""
    address = NameAddress.parse(text)

    assert address == expected
    assert str(address) == text


@pytest.mark.parametrize(("text", "expected"), READ, ids=[ascii(text) for text, _ in READ])
def test_a_built_address_is_read_as_the_same(text: str, expected: NameAddress) -> None:
    """An address made of parts is quoted where it must be."""
    assert NameAddress.parse(str(expected)) == expected


@pytest.mark.parametrize("text", BROKEN, ids=ascii)
def test_what_is_no_address_is_refused(text: str) -> None:
    """A broken or ambiguous address gives PeerError with status 400."""
    with pytest.raises(PeerError) as failure:
        NameAddress.parse(text)
    assert failure.value.status == 400


def test_a_list_is_split_at_commas_outside_quotes_and_brackets() -> None:
    """P-Asserted-Identity with two values, one with a comma in its name, has two."""
    values = NameAddress.parse_list('"B, C" <sip:a@h;x=1,2>;reason=busy,<tel:+14085264000> , Bob<sip:b@h>')

    assert [value.display_name for value in values] == ["B, C", "", "Bob"]
    assert [value.uri.user for value in values] == ["a", "+14085264000", "b"]


@pytest.mark.parametrize("text", ["<sip:a@h>,", ",<sip:a@h>", "<sip:a@h>,,<sip:b@h>", '<sip:a@h>, "x', "<sip:a@h>, <b"])
def test_a_list_with_an_empty_or_unclosed_value_is_refused(text: str) -> None:
    """A list that cannot be split for certain is refused."""
    with pytest.raises(PeerError):
        NameAddress.parse_list(text)


def test_a_list_without_end_is_refused() -> None:
    """A list is bounded: more than 128 values are refused."""
    with pytest.raises(PeerError):
        NameAddress.parse_list(",".join(["<sip:a@b>"] * 129))


def test_a_tag_is_added_without_losing_other_parameters() -> None:
    """The To of a response keeps its name and parameters and gets our tag."""
    address = NameAddress.parse('"A \\"B\\"" <sip:a@h;lr>;x=1')

    assert str(address.with_tag("t9")) == '"A \\"B\\"" <sip:a@h;lr>;x=1;tag=t9'
    assert address.with_tag("t9").tag == "t9"
    assert address.tag is None


def test_no_name_can_smuggle_a_line() -> None:
    """A display name or parameter with line ends is written on one line."""
    text = str(NameAddress("A\r\nX: 1", ALICE, (("x", "a\r\nb"),)))

    assert "\r" not in text
    assert "\n" not in text
