"""The certificate of an executed request: a signed JSON document that anybody verifies with the public key alone.

The signature is Ed25519 over `callrec certificate 1 ` and the canonical form of the document without its
`signature`: JSON with sorted keys, no space between tokens, everything beyond ASCII escaped. It holds random ids,
dates of the erasure, account names and closed words, and nothing about a person (LAW-43). `docs/certificate.md`
describes every field.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from callrec.clock import rfc3339
from callrec.errors import IntegrityError

FORMAT = "callrec-deletion-certificate"
VERSION = 1
_CONTEXT = b"callrec certificate 1 "
_RAW_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate states."""

    node: str
    request_id: str
    state: str
    result: str
    """`whole` or `partly`."""
    issued_at: datetime
    executed_at: datetime
    completed_at: datetime
    verified_by: str
    approved_by: str
    executed_by: str
    plan_hash: str
    erased: Sequence[str]
    """Random ids of calls."""
    kept: Sequence[Mapping[str, str]]
    """`call_id` and the closed word why."""
    stores: Sequence[Mapping[str, Any]]
    """`store`, `state` and `until`."""
    beyond_use_until: date | None
    """When the last copy of the keys from before the erasure is gone."""
    ledger: Mapping[str, Any]
    """The head of the tombstone ledger at issue: the entries before it say what was erased, and when."""


def issue(facts: CertificateFacts, signing_key: bytes) -> dict[str, Any]:
    """Return a signed certificate; `signing_key` is the seed of the node's Ed25519 key."""
    key = Ed25519PrivateKey.from_private_bytes(signing_key)
    document: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "node": facts.node,
        "request_id": facts.request_id,
        "state": facts.state,
        "result": facts.result,
        "issued_at": rfc3339(facts.issued_at),
        "executed_at": rfc3339(facts.executed_at),
        "completed_at": rfc3339(facts.completed_at),
        "verified_by": facts.verified_by,
        "approved_by": facts.approved_by,
        "executed_by": facts.executed_by,
        "plan_hash": facts.plan_hash,
        "erased": list(facts.erased),
        "kept": [dict(one) for one in facts.kept],
        "stores": [dict(one) for one in facts.stores],
        "beyond_use_until": None if facts.beyond_use_until is None else facts.beyond_use_until.isoformat(),
        "ledger": dict(facts.ledger),
        # Only to tell which key to look for: it is never trusted.
        "public_key": base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode(),
    }
    document["signature"] = base64.b64encode(key.sign(_signed(document))).decode()
    return document


def verify_certificate(document: Mapping[str, Any], public_key: bytes) -> None:
    """Let a genuine certificate pass.

    Args:
        document: the certificate, as read from JSON.
        public_key: the node's, as `callrec keys public` writes it (PEM), or its 32 bytes. The one inside the
            certificate proves nothing and is not looked at.

    Raises:
        IntegrityError: if it is no certificate of this version, was changed, or was signed by another key.
    """
    key = read_public_key(public_key)
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        raise IntegrityError(f"found no certificate, expected JSON with format {FORMAT}")
    if document.get("version") != VERSION:
        raise IntegrityError(f"found certificate version {document.get('version')!r}, expected {VERSION}")
    try:
        signature = base64.b64decode(str(document.get("signature", "")), validate=True)
        key.verify(signature, _signed(document))
    except (InvalidSignature, binascii.Error, ValueError, TypeError):
        raise IntegrityError(
            "the certificate does not verify with this public key: a word of it was changed, or another recorder "
            "signed it; ask for the certificate, and for its recorder's public key, again"
        ) from None


def read_public_key(text: bytes) -> Ed25519PublicKey:
    """Return the key of a file: PEM, or the 32 bytes themselves.

    Raises:
        IntegrityError: if it is no Ed25519 public key.
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(text) if len(text) == _RAW_KEY_BYTES else load_pem_public_key(text)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise IntegrityError("found no Ed25519 public key; expected the file that `callrec keys public` writes")
    return key


def _signed(document: Mapping[str, Any]) -> bytes:
    bare = {name: value for name, value in document.items() if name != "signature"}
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return _CONTEXT + text.encode()
