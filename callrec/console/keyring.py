"""The keyring as a command opens it that needs no recorder: for reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callrec.settings import Settings
    from callrec.vault.keyring import Keyring

KEYRING = "keyring.db"
CATALOGUE = "catalogue.db"


def open_keyring(settings: Settings) -> Keyring:
    """Return the keyring, for reading.

    Raises:
        OperatorError: with exit code 7, if the master key or the keyring is not there.
        IntegrityError: if they do not belong together.
    """
    from callrec.vault.key_rotation import load_master_key  # noqa: PLC0415  ciphers that only these commands need
    from callrec.vault.keyring import Keyring  # noqa: PLC0415

    keyring = settings.paths.state / KEYRING
    master_key = load_master_key(settings.keys.master_key_file, keyring)
    return Keyring.open(keyring, master_key, create=False, pool_calls=0)
