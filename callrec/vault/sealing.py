"""Sealed values: AES-256-GCM with a fresh nonce, bound to the place where they lie (design: "Keys").

A sealed value is one version byte, a random 96-bit nonce, the ciphertext and its 128-bit tag.
The additional data names table, row and field, so a value moved elsewhere does not open.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from callrec.errors import IntegrityError

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
_VERSION = b"\x01"
_SHORTEST = len(_VERSION) + NONCE_BYTES + TAG_BYTES


def _additional_data(*place: str) -> bytes:
    parts = [part.encode() for part in place]
    # The length before each part keeps ("a", "bc") apart from ("ab", "c").
    return b"callrec sealed 1" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def seal(key: bytes, plaintext: bytes, *, table: str, row: str, field: str) -> bytes:
    """Return the plaintext sealed for one field of one row."""
    # NIST SP 800-38D 8.3: random nonces are safe far beyond the few values sealed under any one key.
    nonce = os.urandom(NONCE_BYTES)
    return _VERSION + nonce + AESGCM(key).encrypt(nonce, plaintext, _additional_data(table, row, field))


def open_sealed(key: bytes, sealed: bytes, *, table: str, row: str, field: str) -> bytes:
    """Return what was sealed for this field of this row.

    Raises:
        IntegrityError: if the value was altered, moved, or sealed under another key.
    """
    if len(sealed) < _SHORTEST or sealed[:1] != _VERSION:
        raise IntegrityError(f"{table}.{field} of {row}: found no sealed value of version 1")
    nonce, body = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, body, _additional_data(table, row, field))
    except InvalidTag:
        raise IntegrityError(f"{table}.{field} of {row}: the sealed value was altered, or its key is wrong") from None
