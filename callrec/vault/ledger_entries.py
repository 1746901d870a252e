"""Entries of the tombstone ledger: JSON lines, each bound to the one before by its hash, and signed.

A line holds `n` (1, 2, 3, …), `at`, `kind`, `body`, `previous` (hash of the line before), `hash` and `signature`.
The hash is SHA-256 over the canonical JSON of the first five; the signature is Ed25519 over it, so one good
signature vouches for every entry before it. No personal data: random ids, closed words and whole numbers only
(LAW-43, LAW-44).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PROMISES = frozenset({"request", "stop", "do_not_call", "hold", "restriction"})
"""Made or lifted, by random id only: body `{"id": …, "what": "made" | "lifted"}`."""
KINDS = PROMISES | {
    "begun",
    "intent",
    "completed",
    "destroyed",
    "reserved",
    # A recorder began or ended; the catalogue notes the newest one, and an older note tells of a restored catalogue.
    "run",
    # A copy of keyring or catalogue was made, or is gone.
    "copy",
    # Something is wrong with the ledger itself, or the catalogue lacks promises; both until accepted.
    "doubt",
    "lost",
    "accepted",
}
BEGINNING = "0" * 64
_CONTEXT = b"callrec ledger 1 "
_WORD = re.compile(r"[A-Za-z0-9_.:/-]{0,80}")
_LIKE_A_NUMBER = re.compile(r"\d{6,}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger."""

    n: int
    at: str
    kind: str
    body: Mapping[str, Any]
    previous: str
    hash: str
    signature: str

    def line(self) -> bytes:
        """Return the entry as it is written."""
        return canonical(self.as_document()) + b"\n"

    def as_document(self) -> dict[str, Any]:
        """Return the entry as its line holds it."""
        return {name: getattr(self, name) for name in self.__slots__}

    def follows(self, n: int, previous: str) -> bool:
        """Say whether the entry comes after entry n with that hash, unaltered."""
        return self.n == n + 1 and self.previous == previous and self.hash == _digest(self)

    def signed_by(self, key: Ed25519PublicKey) -> bool:
        """Say whether the signature over the hash is the node's."""
        return signature_holds(self.hash, self.signature, key)


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be entered."""

    kind: str
    body: Mapping[str, Any]


def signature_holds(digest: str, signature: str, key: Ed25519PublicKey) -> bool:
    """Say whether a signature over the hash of an entry is that of a key."""
    try:
        key.verify(base64.b64decode(signature, validate=True), _CONTEXT + digest.encode())
    except (InvalidSignature, ValueError):
        return False
    return True


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return the one form of a document that is hashed and signed: sorted keys, no blanks, ASCII."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _digest(entry: Entry) -> str:
    document = {"n": entry.n, "at": entry.at, "kind": entry.kind, "body": entry.body, "previous": entry.previous}
    return hashlib.sha256(canonical(document)).hexdigest()


def make(draft: Draft, n: int, previous: str, at: str, key: Ed25519PrivateKey) -> Entry:
    """Return the entry after the one with the hash `previous`.

    Raises:
        ValueError: if the kind is unknown or the body holds what may be about a person.
    """
    if draft.kind not in KINDS:
        raise ValueError(f"found ledger entry kind {draft.kind!r}, expected one of {', '.join(sorted(KINDS))}")
    _check_body(draft.body)
    bare = Entry(n, at, draft.kind, draft.body, previous, "", "")
    digest = _digest(bare)
    signature = base64.b64encode(key.sign(_CONTEXT + digest.encode())).decode()
    return Entry(n, at, draft.kind, draft.body, previous, digest, signature)


def parse(line: bytes) -> Entry | None:
    """Return the entry of a line, None if it is none."""
    try:
        document = json.loads(line)
        entry = Entry(**document)
    except (ValueError, TypeError):
        return None
    texts = (entry.at, entry.kind, entry.previous, entry.hash, entry.signature)
    right = isinstance(entry.n, int) and isinstance(entry.body, dict) and all(isinstance(text, str) for text in texts)
    return entry if right else None


def _check_body(value: object) -> None:
    """Refuse free text and anything like a telephone number."""
    match value:
        case None | bool() | int():
            return
        case str():
            if not _WORD.fullmatch(value) or (_LIKE_A_NUMBER.fullmatch(value)):
                raise ValueError("a ledger entry may hold random ids, closed words and whole numbers only")
        case Mapping():
            for key, inner in value.items():
                _check_body(key)
                _check_body(inner)
        case list() | tuple():
            for inner in value:
                _check_body(inner)
        case _:
            raise ValueError(f"a ledger entry cannot hold a {type(value).__name__}")
