"""Keys in INFO are read however a gateway writes them; what is no key is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.sip.headers import Headers
from callrec.sip.info_digits import carries_digit, digit_of
from callrec.sip.message import Request
from callrec.sip.uri import Uri


def info(kind: str, body: bytes) -> Request:
    return Request("INFO", Uri.parse("sip:100@127.0.0.1"), Headers([("Content-Type", kind)]), body)


@pytest.mark.parametrize(
    ("kind", "body", "key"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", "5"),
        ("application/dtmf-relay", b"Signal= *\r\nDuration= 250", "*"),
        ("application/dtmf-relay", b"Duration=160\r\nSignal=9\r\n", "9"),
        ("Application/DTMF-Relay; charset=utf-8", b"signal=d\n", "D"),
        ("application/dtmf-relay", b"Signal=10\r\n", "*"),
        ("application/dtmf-relay", b"Signal=11\r\n", "#"),
        ("application/dtmf-relay", b"Signal=16\r\n", None),
        ("application/dtmf-relay", b"Signal=!\r\n", None),
        ("application/dtmf-relay", b"", None),
        ("application/dtmf", b"7", "7"),
        ("application/dtmf", b"#\r\n", "#"),
        ("application/dtmf", b"Signal=3\r\n", "3"),
        ("application/dtmf", b"77777", None),
        ("application/vnd.nortelnetworks.digits", b"p=Digit-Collection\r\ny=Digits\r\nd=8\r\n", "8"),
        ("text/plain", b"Signal=5\r\n", None),
        ("", b"5", None),
    ],
)
def test_a_key_is_read_as_it_is_met(kind: str, body: bytes, key: str | None) -> None:
    """Cisco's, the bare and Nortel's form; an event number above 15, a flash and another body are no key."""
    assert digit_of(info(kind, body)) == key


@given(st.sampled_from(["application/dtmf-relay", "application/dtmf"]), st.binary(max_size=60))
def test_whatever_the_body_is_it_is_a_key_or_none(kind: str, body: bytes) -> None:
    """Nothing else comes of it, and it counts as a body with a key: it is masked."""
    assert digit_of(info(kind, body)) in {None, *"0123456789*#ABCD"}
    assert carries_digit(info(kind, body))
