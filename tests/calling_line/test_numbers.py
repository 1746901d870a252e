"""Normalisation (CLI-5 to CLI-9), called numbers, emergency, searching and masking."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.calling_line import (
    NumberFacts,
    NumberKind,
    NumberQuery,
    NumberType,
    PeerProfile,
    called_number,
    emergency_digits,
    facts_of,
    is_emergency,
    mask,
    national_of,
    normalise_query,
    parse_query,
    read_number,
)

TRUNK = PeerProfile(trusted=True)
NSN = PeerProfile(trusted=True, number_format="nsn")
PBX = PeerProfile(trusted=True, role="pbx")


@pytest.mark.parametrize(
    ("written", "e164"),
    [
        ("+441632960001", "+441632960001"),
        ("+44 (0)1632-960.001", "+441632960001"),
        ("00441632960001", "+441632960001"),
        ("004401632960001", "+441632960001"),
        ("441632960001", "+441632960001"),
        ("01632960001;cpc=ordinary", "+441632960001"),
        ("0169772345", "+44169772345"),
        ("0800123456", "+44800123456"),
        ("0500123456", "+44500123456"),
        ("08001111", "+448001111"),
        ("08454647", "+448454647"),
        ("08454700", None),
        ("+33142685300", "+33142685300"),
        ("+999", None),
        ("+0123456789", None),
        ("+1234567890123456", None),
        ("+444163296000", None),
        ("+446123456789", None),
        ("0000441632960001", None),
        ("12345678901", None),
    ],
)
def test_cli_5_and_6_a_number_is_brought_into_e164_where_that_is_certain(written: str, e164: str | None) -> None:
    """CLI-5 in its order, CLI-6 for lengths; what is not certain has no E.164."""
    assert read_number(written, TRUNK).e164 == e164


def test_cli_7_national_is_what_is_dialled() -> None:
    """CLI-7: 0 and the national number, or 00 and the rest."""
    assert national_of("+442079460123") == "02079460123"
    assert national_of("+12025550143") == "0012025550143"


@pytest.mark.parametrize(
    "code",
    ["999", "112", "18000", "18001", "18002", "101", "105", "111", "119", "123", "116123", "118118", "1471", "17070"],
)
def test_cli_8_a_short_code_never_becomes_a_uk_number(code: str) -> None:
    """CLI-8: neither when calling nor when called, nor with +44 before it."""
    assert read_number(code, TRUNK).kind is NumberKind.SHORT_CODE
    for written in (code, f"+44{code}"):
        called = called_number(written, TRUNK)
        assert called.kind in {NumberKind.SHORT_CODE, NumberKind.EMERGENCY}
        assert (called.e164, called.digits) == (None, code)


def test_cli_9_drama_numbers_are_numbers() -> None:
    """CLI-9 and CLI-10: Ofcom's drama ranges, which phonenumbers calls invalid."""
    for number in (
        "01632960999",
        "02079460000",
        "01214960000",
        "07700900999",
        "03069990000",
        "08081570000",
        "09098790000",
    ):
        assert read_number(number, TRUNK).kind is NumberKind.E164


@pytest.mark.parametrize(
    ("e164", "facts"),
    [
        ("+441632960001", NumberFacts("GB", NumberType.GEOGRAPHIC, "01632")),
        ("+442079460123", NumberFacts("GB", NumberType.GEOGRAPHIC, "020")),
        ("+441214960000", NumberFacts("GB", NumberType.GEOGRAPHIC, "0121")),
        ("+441134960000", NumberFacts("GB", NumberType.GEOGRAPHIC, "0113")),
        ("+44169772345", NumberFacts("GB", NumberType.GEOGRAPHIC, "016977")),
        ("+447700900123", NumberFacts("GB", NumberType.MOBILE)),
        ("+443069990000", NumberFacts("GB", NumberType.UK_WIDE)),
        ("+448081570000", NumberFacts("GB", NumberType.FREEPHONE)),
        ("+448432960000", NumberFacts("GB", NumberType.SERVICE)),
        ("+449098790000", NumberFacts("GB", NumberType.PREMIUM)),
        ("+447781123456", NumberFacts("GG", NumberType.MOBILE)),
        ("+441534123456", NumberFacts("JE", NumberType.GEOGRAPHIC, "01534")),
        ("+447624123456", NumberFacts("IM", NumberType.MOBILE)),
        ("+33142685300", NumberFacts("FR", NumberType.GEOGRAPHIC)),
        ("+12025550143", NumberFacts("US", NumberType.UNKNOWN)),
        ("+99999999999", NumberFacts(None, NumberType.UNKNOWN)),
        ("", NumberFacts(None, NumberType.UNKNOWN)),
    ],
)
def test_country_type_and_area_are_told_for_reports(e164: str, facts: NumberFacts) -> None:
    """CLI-9: our own UK ranges first; +44 includes Guernsey, Jersey and the Isle of Man."""
    assert facts_of(e164) == facts


@pytest.mark.parametrize(
    "dialled",
    [
        "999", "112", "18000", "+44999", "0044999", "141999", "1470112", "999#", "999;phone-context=+44", "tel:999",
        "sip:999@pbx", "9 9 9", "urn:service:sos", "URN:SERVICE:SOS.police",
        "urn:service:sos;phone-context=ims.example@ims.example;user=phone", "%39%39%39", "18001999", "18002112",
    ],
)  # fmt: skip
@pytest.mark.parametrize("peer", [TRUNK, PBX, NSN, PeerProfile(outside_prefix="9"), PeerProfile(outside_prefix="0")])
def test_fail_1_an_emergency_number_is_known_in_every_spelling(dialled: str, peer: PeerProfile) -> None:
    """FAIL-1: on the dialled digits alone, whatever the profile says."""
    assert is_emergency(dialled, peer)
    assert called_number(dialled, peer).kind is NumberKind.EMERGENCY


NOT_EMERGENCY = [
    "9999",
    "0999",
    "99",
    "9991",
    "1999",
    "101",
    "111",
    "116123",
    "+441632960999",
    "",
    "urn:service:counseling",
]


@pytest.mark.parametrize("dialled", NOT_EMERGENCY)
def test_what_is_no_emergency_is_not_taken_for_one(dialled: str) -> None:
    """101, 111 and 116xxx are services of their own (FAIL-1)."""
    assert emergency_digits(dialled, TRUNK) is None


def test_an_outside_prefix_is_dialled_before_the_number() -> None:
    """C03, C07, C08: with and without separators and 141."""
    peer = PeerProfile(trusted=True, role="pbx", outside_prefix="9")
    assert called_number("9 020 7946 0123", peer).e164 == "+442079460123"
    assert called_number("9118118", peer).digits == "118118"
    called = called_number("914102079460123", peer)
    assert (called.e164, called.dial_prefix) == ("+442079460123", "141")
    assert called_number("204", peer).kind is NumberKind.EXTENSION


@given(st.text(max_size=40), st.sampled_from([TRUNK, PBX, NSN, PeerProfile(outside_prefix="9")]))
def test_whatever_is_dialled_a_value_comes_back(dialled: str, peer: PeerProfile) -> None:
    """Any text, never an exception; an E.164 form is always well formed."""
    called = called_number(dialled, peer)
    assert called.e164 is None or (
        called.e164.startswith("+") and called.e164[1:].isascii() and called.e164[1:].isdigit()
    )
    assert is_emergency(dialled, peer) is (called.kind is NumberKind.EMERGENCY)


@pytest.mark.parametrize(
    "text",
    [
        "01632 960 001", "+44 (0)1632-960001", "0044 1632 960001", "(01632) 960001", "(+44) 1632 960001", "1632960001",
        "441632960001", "tel:+441632960001", "sip:+441632960001@t.example", "\u202a+44\u00a01632\u00a0960001\u202c",
        "01632\u2013960\u2013001", "+44.1632.960.001",
        "\uff10\uff11\uff16\uff13\uff12\uff19\uff16\uff10\uff10\uff10\uff11", "01632/960001",
    ],
)  # fmt: skip
def test_a_number_is_found_in_any_spelling(text: str) -> None:
    """contract.md: NUMBER matches in any spelling, as spoken, written and copied."""
    assert normalise_query(text) == "+441632960001"
    assert parse_query(text) == NumberQuery(e164="+441632960001")


@pytest.mark.parametrize("text", ["", "Ann", "960001", "*0001", "01632", "two", "999", "0163296000X"])
def test_what_names_no_whole_number_is_no_number(text: str) -> None:
    """A search that guesses finds the wrong person."""
    assert normalise_query(text) is None


def test_a_search_may_name_an_ending_or_a_short_number() -> None:
    """`*0123` means ends with; extensions and short codes are searched as they are."""
    assert parse_query("*0001") == NumberQuery(ends_with="0001")
    assert parse_query("* 960 001") == NumberQuery(ends_with="960001")
    assert parse_query("204") == NumberQuery(digits="204")
    assert parse_query("116123") == NumberQuery(digits="116123")
    assert parse_query("Ann") is None


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("+441632960001", "+44******0001"),
        ("+44169772345", "+44*****2345"),
        ("01632960001", "*******0001"),
        ("204", "***"),
        ("", "***"),
        ("Ann", "***"),
        ("+33142685300", "+33*****5300"),
    ],
)
def test_a_masked_number_shows_country_and_ending_only(number: str, masked: str) -> None:
    """What logs, audit rows and operators without the right may see."""
    assert mask(number) == masked


@given(st.text(max_size=30))
def test_searching_and_masking_take_any_text(text: str) -> None:
    """A person types anything; at most four digits of it are shown."""
    parse_query(text)
    assert sum(character.isdigit() for character in mask(text)) <= 6
