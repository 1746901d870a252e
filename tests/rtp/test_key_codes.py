"""Codes of keys: the one that completes a code is known by its timestamp (RFC 4733 2.5.1.2)."""

from __future__ import annotations

from callrec.rtp import KeyCodes


def test_only_the_key_that_completes_a_code_is_one() -> None:
    """LAW-72: keys before it have gone on; the code is forgotten then, and begins anew."""
    codes = KeyCodes(("*7", "#1#", ""))
    found = []
    for at, key in enumerate("7*7*#1#7**7"):
        codes.pressed(key, at)
        found.append(codes.completes(at))
        assert not codes.completes(at + 1)
    assert [at for at, complete in enumerate(found) if complete] == [2, 6, 10]


def test_without_codes_every_key_goes_on() -> None:
    """An empty code is none."""
    codes = KeyCodes(("",))
    codes.pressed("7", 160)
    assert not codes.completes(160)
    assert not KeyCodes().completes(0)
