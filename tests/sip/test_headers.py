"""Headers keep their order and spelling and are found by any of their names."""

from __future__ import annotations

import pytest

from callrec.errors import PeerError
from callrec.sip import Headers

PAIRS = (("v", "1"), ("From", "a"), ("X-Own", "x, y"), ("VIA", "2,3"), ("Supported", ""), ("k", "100rel , timer"))


def test_headers_are_found_by_full_compact_and_any_case_name() -> None:
    """Via, VIA and v are one header (RFC 3261 7.3.3)."""
    headers = Headers(PAIRS)

    assert headers.get_all("via") == headers.get_all("V") == ("1", "2,3")
    assert headers.get("f") == "a"
    assert "FROM" in headers
    assert headers.get("to") is None


def test_order_and_spelling_stay_through_changes() -> None:
    """A changed copy keeps every other pair where it was, and the original does not change."""
    headers = Headers(PAIRS)
    changed = headers.replace("Via", "9", "8").without("From").add("To", "b").prepend("Route", "r")

    assert changed.items() == (
        ("Route", "r"), ("v", "9"), ("v", "8"), ("X-Own", "x, y"), ("Supported", ""), ("k", "100rel , timer"),
        ("To", "b"),
    )  # fmt: skip
    assert headers.items() == PAIRS
    assert headers.replace("Reason", "z").items()[-1] == ("Reason", "z")
    assert headers.only("via").items() == (("v", "1"), ("VIA", "2,3"))


def test_only_list_headers_are_split_at_commas() -> None:
    """A comma in a header whose grammar is no list belongs to its value (RFC 3261 7.3.1)."""
    headers = Headers((*PAIRS, ("Date", "Sat, 13 Nov 2010")))

    assert headers.split("Via") == ("1", "2", "3")
    assert headers.split("X-Own") == ("x, y",)
    assert headers.split("Date") == ("Sat, 13 Nov 2010",)
    assert headers.option_tags("Supported") == {"100rel", "timer"}


def test_an_unclosed_quote_in_a_list_is_refused() -> None:
    """A list that cannot be split for certain is refused."""
    with pytest.raises(PeerError):
        Headers([("Contact", '"a, <sip:b>')]).split("Contact")


@pytest.mark.parametrize(("name", "value"), [("X", "a\r\nb"), ("X", "a\nb"), ("X\r\n", "a"), ("X Y", "a"), ("", "a")])
def test_no_header_can_smuggle_another(name: str, value: str) -> None:
    """Our own code cannot build a header that breaks the message."""
    with pytest.raises(ValueError, match="internal error"):
        Headers([(name, value)])


def test_values_do_not_show_in_a_repr() -> None:
    """Headers hold numbers and names, which a log must not get by accident."""
    assert repr(Headers([("From", "<sip:02079460000@h>")])) == "Headers(['From'])"
