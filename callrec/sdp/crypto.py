"""Keys of SRTP in a description: the `crypto` attribute (SDES, RFC 4568; GCM suites by RFC 7714).

What is read and written here is secret: nothing of it is logged, stored or shown.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from callrec.sdp.description import MediaDescription

KEY_LENGTHS = {
    "AES_CM_128_HMAC_SHA1_80": 16 + 14,
    "AEAD_AES_256_GCM": 32 + 12,
    "AEAD_AES_128_GCM": 16 + 12,
    "AES_CM_128_HMAC_SHA1_32": 16 + 14,
}
"""Octets of master key and master salt by suite, in the order we offer them: the one every telephone has goes first."""

SECURE_PROTOCOLS = frozenset({"RTP/SAVP", "RTP/SAVPF"})

MOST_LINES = 32
"""`crypto` lines of one stream that are looked at."""

# RFC 4568 9.2. With a lifetime or without; an MKI (`|1:4`) would stand in every packet, which nobody sends.
_VALUE = re.compile(
    r"(?P<tag>[0-9]{1,9})\s+(?P<suite>\S+)\s+inline:(?P<key>[A-Za-z0-9+/=]+)(?:\|(?:2\^)?[0-9]+)?(?P<rest>\s.*)?"
)
# RFC 4568 6.3: what may be left out of account. Anything else changes how packets are protected.
_HARMLESS = re.compile(r"WSH=[0-9]+|-\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Crypto:
    """One suite with its key, as one side will protect what it sends; `tag` ties an answer to the line it takes."""

    tag: int
    suite: str
    key: bytes = field(repr=False)
    """Master key, then master salt."""

    def __str__(self) -> str:
        inline = base64.b64encode(self.key).decode("ascii")
        return f"{self.tag} {self.suite} inline:{inline}"


@dataclass(frozen=True, slots=True)
class Protection:
    """How a stream of ours goes: its profile, and the keys we send with; in an offer several, one is chosen."""

    protocol: str = "RTP/AVP"
    keys: tuple[Crypto, ...] = field(default=(), repr=False)


def crypto_of(media: MediaDescription) -> tuple[Crypto, ...]:
    """Return the keys of a stream that can be used, in their order.

    Suites we do not have, lines with an MKI, with several keys or with session parameters that change the protection
    (UNENCRYPTED_SRTP and the like, RFC 4568 6.3) are left out, as is a key of the wrong length.
    """
    read = (_crypto(value) for value in media.attributes("crypto")[:MOST_LINES])
    return tuple(crypto for crypto in read if crypto is not None)


def _crypto(value: str) -> Crypto | None:
    found = _VALUE.fullmatch(value.strip())
    if found is None:
        return None
    suite = found["suite"].upper()
    if suite not in KEY_LENGTHS or not all(_HARMLESS.fullmatch(each) for each in (found["rest"] or "").split()):
        return None
    try:
        # Some telephones leave the padding out.
        key = base64.b64decode(found["key"] + "=" * (-len(found["key"]) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return Crypto(int(found["tag"]), suite, key) if len(key) == KEY_LENGTHS[suite] else None


def crypto_lines(keys: Sequence[Crypto]) -> list[tuple[str, str]]:
    """Return the lines of keys, to be put into a stream of ours."""
    return [("a", f"crypto:{key}") for key in keys]


def has_keys(body: bytes) -> bool:
    """Whether a description holds a key of SRTP, understood or not."""
    return re.search(rb"(?im)^a=(?:crypto|key-mgmt):", body) is not None
