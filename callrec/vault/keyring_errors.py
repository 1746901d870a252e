"""What can go wrong with keys, apart from a wrong master key (IntegrityError)."""

from __future__ import annotations

from callrec.errors import CallrecError


class KeysUnavailable(CallrecError):  # noqa: N818 - a state of things, as the doors name it
    """No durable key can be had now: the pool is dry or the keyring cannot be read or written; nothing is recorded."""


class KeyDestroyed(CallrecError):  # noqa: N818 - a state of things, as the doors name it
    """The key is not in the keyring: what it sealed is erased."""


class LedgerUnavailable(CallrecError):  # noqa: N818 - a state of things, as the doors name it
    """The tombstone ledger or its outside copy cannot be written; erasing waits."""
