"""A certificate is verified by anybody who has the public key, and by nothing else."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from callrec.errors import IntegrityError
from callrec.privacy.certificates import CertificateFacts, issue, verify_certificate

SEED, OTHER_SEED = b"s" * 32, b"o" * 32
AT = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)
FACTS = CertificateFacts(
    node="rec1",
    request_id="2f1c6f0e-0000-4000-8000-000000000001",
    state="completed",
    result="partly",
    issued_at=AT,
    executed_at=AT,
    completed_at=AT,
    verified_by="alice",
    approved_by="bob",
    executed_by="bob",
    plan_hash="ab" * 32,
    erased=["2f1c6f0e-0000-4000-8000-00000000000a"],
    kept=[],
    stores=[{"store": "keyring", "state": "erased", "until": None}],
    beyond_use_until=date(2026, 12, 9),
    ledger={"n": 7, "hash": "cd" * 32, "signature": "x"},
)


def pem(seed: bytes) -> bytes:
    """Return the public key as `callrec keys public` writes it."""
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def raw(seed: bytes) -> bytes:
    """Return the 32 bytes of the public key."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def test_the_public_key_verifies_it() -> None:
    """By the file of `keys public`, by the bare bytes, and after any other program has written the JSON anew."""
    document = issue(FACTS, SEED)
    verify_certificate(document, pem(SEED))
    verify_certificate(document, raw(SEED))
    shuffled = json.loads(json.dumps(dict(reversed(document.items())), indent=4))
    verify_certificate(shuffled, pem(SEED))


@pytest.mark.parametrize("name", sorted(issue(FACTS, SEED)))
def test_no_word_of_it_can_be_changed(name: str) -> None:
    """Not one field, and none can be left out."""
    document = issue(FACTS, SEED)
    for changed in ({**document, name: "x"}, {key: value for key, value in document.items() if key != name}):
        with pytest.raises(IntegrityError):
            verify_certificate(changed, pem(SEED))


def test_a_key_inside_is_never_trusted() -> None:
    """Whoever signs with another key and puts that into the certificate proves nothing."""
    forged = issue(FACTS, OTHER_SEED)
    assert base64.b64decode(forged["public_key"]) == raw(OTHER_SEED)
    with pytest.raises(IntegrityError, match="does not verify"):
        verify_certificate(forged, pem(SEED))


@pytest.mark.parametrize(
    "text", [b"", b"x" * 31, b"no key", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"]
)
def test_what_is_no_key_is_told(text: bytes) -> None:
    """One sentence says what was expected."""
    with pytest.raises(IntegrityError, match="keys public"):
        verify_certificate(issue(FACTS, SEED), text)


@pytest.mark.parametrize(
    "document", [{}, {"format": "x"}, [], {"format": "callrec-deletion-certificate", "version": 2}]
)
def test_what_is_no_certificate_is_told(document: Any) -> None:
    """So is a version that nobody knows yet."""
    with pytest.raises(IntegrityError, match="certificate"):
        verify_certificate(document, pem(SEED))
