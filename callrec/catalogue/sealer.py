"""What the catalogue asks of the keyring: a shape, so that neither package imports the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

SYSTEM_KEYS = ("index", "index_last4", "index_name", "caller_ref", "node", "signing")
"""The keys every store has, each random and wrapped on its own."""


class Sealer(Protocol):
    """Holds keys and seals with them; the keyring is one."""

    def seal(self, key: bytes, plaintext: bytes, *, table: str, row: str, field: str) -> bytes:
        """Return the plaintext sealed for one field of one row."""
        ...

    def open_sealed(self, key: bytes, sealed: bytes, *, table: str, row: str, field: str) -> bytes:
        """Return what was sealed; raises IntegrityError."""
        ...

    def cached(self, key_id: str) -> bytes | None:
        """Return a key that is at hand, without waiting."""
        ...

    async def load_many(self, key_ids: Iterable[str]) -> dict[str, bytes]:
        """Return the keys that exist; a destroyed one is left out."""
        ...

    def system_key(self, name: str) -> bytes | None:
        """Return one of SYSTEM_KEYS, or None where there are no keys at all."""
        ...


class NoKeys:
    """A recorder without its keys: rows are kept, but hold no number and no name."""

    def seal(self, key: bytes, plaintext: bytes, *, table: str, row: str, field: str) -> bytes:
        """Never called: there is no key to seal with."""
        raise LookupError(f"no key to seal {table}.{field}")

    def open_sealed(self, key: bytes, sealed: bytes, *, table: str, row: str, field: str) -> bytes:
        """Never called: there is no key to open with."""
        raise LookupError(f"no key to open {table}.{field}")

    def cached(self, key_id: str) -> bytes | None:
        """Return None."""
        del key_id
        return None

    async def load_many(self, key_ids: Iterable[str]) -> dict[str, bytes]:
        """Return nothing."""
        del key_ids
        return {}

    def system_key(self, name: str) -> bytes | None:
        """Return None."""
        del name
        return None
