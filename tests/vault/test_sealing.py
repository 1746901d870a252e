"""Sealed values open in their place and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.errors import IntegrityError
from callrec.vault.sealing import open_sealed, seal

KEY = bytes(range(32))


@given(st.binary(max_size=200))
def test_what_is_sealed_opens(plain: bytes) -> None:
    """Any bytes come back as they were, and never lie in the sealed value."""
    sealed = seal(KEY, plain, table="calls", row="1", field="identity")
    assert open_sealed(KEY, sealed, table="calls", row="1", field="identity") == plain
    assert len(plain) < 6 or plain not in sealed


@given(st.binary(max_size=80))
def test_any_bytes_open_or_raise(sealed: bytes) -> None:
    """Whatever lies there opens or is an IntegrityError, never anything else."""
    with pytest.raises(IntegrityError):
        open_sealed(KEY, sealed, table="calls", row="1", field="identity")


@pytest.mark.parametrize(
    "place",
    [
        {"table": "outbox", "row": "1", "field": "identity"},
        {"table": "calls", "row": "2", "field": "identity"},
        {"table": "calls", "row": "1", "field": "body"},
        {"table": "call", "row": "s1", "field": "identity"},
    ],
)
def test_a_moved_value_does_not_open(place: dict[str, str]) -> None:
    """Table, row and field are bound in, also where their letters run together the same."""
    sealed = seal(KEY, b"secret", table="calls", row="1", field="identity")
    with pytest.raises(IntegrityError):
        open_sealed(KEY, sealed, **place)


def test_every_flipped_bit_is_noticed() -> None:
    """No bit of a sealed value may change."""
    sealed = seal(KEY, b"secret", table="t", row="r", field="f")
    for position in range(len(sealed)):
        altered = bytearray(sealed)
        altered[position] ^= 1
        with pytest.raises(IntegrityError):
            open_sealed(KEY, bytes(altered), table="t", row="r", field="f")


def test_nonces_are_fresh() -> None:
    """The same plaintext twice gives two different values."""
    assert len({seal(KEY, b"x", table="t", row="r", field="f") for _ in range(100)}) == 100
