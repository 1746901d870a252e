"""Checkpoints of the ledger: how far it was verified and what it said, sealed, so that a start reads no entry twice.

A checkpoint names the bytes it vouches for by their SHA-256. A start hashes them, which is a hundredth of the work of
parsing and chaining a hundred thousand entries, and an altered byte is found all the same. It is also a witness: a
ledger that has become shorter than its checkpoint was cut.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from callrec.vault.atomic_file import atomic_file
from callrec.vault.ledger_entries import canonical
from callrec.vault.ledger_index import LedgerIndex

EVERY = 1000
"""Entries between two checkpoints; parsing so many takes a few hundredths of a second."""
_CONTEXT = b"callrec ledger checkpoint 1 "


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a ledger was verified."""

    n: int
    """The newest entry's number,"""
    hash: str
    """its hash,"""
    signature: str
    """and its signature."""
    size: int
    """Bytes up to and including it,"""
    sha256: str
    """and their hash."""
    index: LedgerIndex

    def save(self, path: Path, key: Ed25519PrivateKey) -> None:
        """Write it in the place of the one before.

        Raises:
            OSError: if it cannot be written; the one before stays, and the next start reads more.
        """
        document = self._document()
        seal = base64.b64encode(key.sign(_CONTEXT + canonical(document))).decode()
        with atomic_file(path) as descriptor, open(descriptor, "wb", closefd=False) as file:
            file.write(canonical({**document, "seal": seal}) + b"\n")

    def _document(self) -> dict[str, Any]:
        names = ("n", "hash", "signature", "size", "sha256")
        return {**{name: getattr(self, name) for name in names}, "index": self.index.as_document()}

    @classmethod
    def load(cls, path: Path, key: Ed25519PublicKey) -> Checkpoint | None:
        """Return the checkpoint of a ledger; None where there is none or its seal is not the node's."""
        try:
            document = json.loads(path.read_bytes())
            seal = base64.b64decode(document.pop("seal"), validate=True)
            key.verify(seal, _CONTEXT + canonical(document))
        except (OSError, ValueError, AttributeError, KeyError, TypeError, binascii.Error, InvalidSignature):
            return None
        index = LedgerIndex.of_document(document.pop("index"))
        return cls(index=index, **document)
