"""Answers to digest challenges (RFC 7616, RFC 8760; RFC 2617 and 2069 for servers that know no better)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from callrec.sip.digest import Challenge
from callrec.sip.grammar import quote


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()  # most trunks offer nothing else


def _sha_256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sha_512_256(data: bytes) -> str:
    return hashlib.new("sha512_256", data).hexdigest()


HASHES: dict[str, Callable[[bytes], str]] = {"MD5": _md5, "SHA-256": _sha_256}
"""What we can compute, the weakest first (RFC 7616 3.3)."""
if "sha512_256" in hashlib.algorithms_available:  # not part of every OpenSSL
    HASHES["SHA-512-256"] = _sha_512_256

_STRENGTH = {name: rank for rank, name in enumerate(HASHES)}


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name and its password; the password is in no repr, so that no log can have it (SIP-11)."""

    username: str = field(repr=False)
    password: str = field(repr=False)


class Asked(NamedTuple):
    """What a request is: its method, and its Request-URI as it is written."""

    method: str
    uri: str


class Count(NamedTuple):
    """The use of a nonce: how often, this time included, and our own random word for it."""

    number: int
    cnonce: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A challenge that a request answers."""

    header: str
    challenge: Challenge
    uses: int = 1
    """How often its nonce was used, this time included."""
    renewed: bool = False
    """The nonce before was too old: a server that says so again and again is not followed."""

    @property
    def place(self) -> tuple[str, str]:
        """What two answers of one request differ in."""
        return self.header, self.challenge.realm


def strongest(challenges: Iterable[Challenge]) -> Challenge | None:
    """Return the challenge of the best algorithm that we can answer; of equal ones the first (RFC 8760 2.4)."""
    known = [one for one in challenges if one.algorithm in HASHES and (not one.qop or "auth" in one.qop)]
    return max(known, key=lambda one: _STRENGTH[one.algorithm], default=None)


def digest(challenge: Challenge, credentials: Credentials, asked: Asked, count: Count) -> str:
    """Return the `response` of a digest (RFC 7616 3.4.1), with qop=auth where the server knows it."""
    hashed = HASHES[challenge.algorithm]

    def joined(*parts: str) -> str:
        return hashed(":".join(parts).encode("utf-8", "surrogateescape"))

    secret = joined(credentials.username, challenge.realm, credentials.password)
    what = joined(asked.method, asked.uri)
    if not challenge.qop:
        return joined(secret, challenge.nonce, what)
    return joined(secret, challenge.nonce, f"{count.number:08x}", count.cnonce, "auth", what)


def authorization(challenge: Challenge, credentials: Credentials, asked: Asked, count: Count) -> str:
    """Return the value of Authorization or Proxy-Authorization that answers a challenge."""
    parts = [
        f"username={quote(credentials.username)}",
        f"realm={quote(challenge.realm)}",
        f"nonce={quote(challenge.nonce)}",
        f"uri={quote(asked.uri)}",
        f"response={quote(digest(challenge, credentials, asked, count))}",
        f"algorithm={challenge.algorithm}",
    ]
    if challenge.qop:
        parts += [f"cnonce={quote(count.cnonce)}", "qop=auth", f"nc={count.number:08x}"]
    if challenge.opaque is not None:
        parts.append(f"opaque={quote(challenge.opaque)}")
    return f"Digest {', '.join(parts)}"
