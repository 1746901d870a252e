"""A new master key for an old keyring: every key is wrapped anew in one transaction, and a crash costs nothing.

1. the new key is written beside the old one, as `<file>.new`; 2. every key is wrapped under it, in one transaction;
3. the new file takes the old one's place, which keeps another name. Between 2 and 3 only the new file opens the
keyring: whoever opens it next finds that out and takes step 3.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from callrec.errors import IntegrityError
from callrec.vault import keyring_store
from callrec.vault.atomic_file import sync_folder
from callrec.vault.keyring import CHECK
from callrec.vault.keyring_store import KeyringStore, WrappedKey
from callrec.vault.master_key import MasterKey

log = logging.getLogger("callrec.vault.keyring")

_KEYS_AT_ONCE = 2000


def load_master_key(file: Path, keyring: Path) -> MasterKey:
    """Return the master key that a keyring is wrapped under; finish a rotation that a crash cut off.

    Raises:
        OperatorError: if there is no key or it cannot be read. That it is the right one is checked by the keyring.
    """
    new = new_file_of(file)
    if not new.exists():
        return MasterKey.load(file)
    fresh = MasterKey.load(new)
    if not _opens(keyring, fresh):
        return MasterKey.load(file)  # the rotation had not got so far
    log.warning("master key %s: takes the place of the old one, as a rotation that was cut off had left it", new)
    with suppress(OSError):  # a folder of credentials cannot be written; then it is found again next time
        new.replace(file)
        sync_folder(file.parent)
    return fresh


def new_file_of(file: Path) -> Path:
    """Return where the new key is while a rotation is under way."""
    return file.with_name(f"{file.name}.new")


def old_file_of(file: Path, now: datetime) -> Path:
    """Return what the old key is called when it is no longer in use."""
    return file.with_name(f"{file.name}.old-{now:%Y%m%dT%H%M%SZ}")


def old_files(file: Path) -> list[Path]:
    """Return old keys that still lie beside the one in use."""
    return sorted(file.parent.glob(f"{file.name}.old-*"))


def rotate(file: Path, keyring: Path, now: datetime) -> tuple[Path, int]:
    """Give a keyring that nobody has open a new master key; may be repeated after a crash.

    Returns the old key's new name and how many keys were wrapped anew.

    Raises:
        OperatorError: if a key file cannot be read or written.
        IntegrityError: if the old key is not the keyring's, or a key does not verify; then nothing was changed.
        KeysUnavailable: if the keyring cannot be written; then nothing was changed.
    """
    old = load_master_key(file, keyring)
    new_path, kept = new_file_of(file), old_file_of(file, now)
    new = MasterKey.load(new_path) if new_path.exists() else MasterKey.create(new_path)
    if os.geteuid() == 0:
        owner = file.stat()
        os.chown(new_path, owner.st_uid, owner.st_gid)
    count = rewrap(keyring, old, new)
    kept.hardlink_to(file)
    new_path.replace(file)
    sync_folder(file.parent)
    return kept, count


def rewrap(keyring: Path, old: MasterKey, new: MasterKey) -> int:
    """Wrap every key of a keyring under another master key, all or none; return how many.

    Raises:
        IntegrityError: if the old master key is not the keyring's, or a key does not verify.
        KeysUnavailable: if the keyring cannot be written.
    """
    store = KeyringStore(keyring)
    try:
        return store.write_alone(lambda connection: _rewrap_all(connection, keyring, old, new)).result()
    finally:
        store.close()


def _rewrap_all(connection: sqlite3.Connection, path: Path, old: MasterKey, new: MasterKey) -> int:
    check = keyring_store.read_meta(connection, CHECK) if keyring_store.has_schema(connection) else None
    if check is None:
        raise IntegrityError(f"keyring {path}: holds no keys; restore the keyring from a backup")
    plain = old.unwrap(check, key_id=CHECK, purpose=CHECK)
    keyring_store.write_meta(connection, CHECK, new.wrap(plain, key_id=CHECK, purpose=CHECK))
    count, after = 0, ""
    while rows := keyring_store.select_page(connection, after, _KEYS_AT_ONCE):
        keyring_store.replace_wrapped(connection, [(_rewrapped(row, old, new), row.key_id) for row in rows])
        count, after = count + len(rows), rows[-1].key_id
    return count


def _rewrapped(row: WrappedKey, old: MasterKey, new: MasterKey) -> bytes:
    key = old.unwrap(row.wrapped, key_id=row.key_id, purpose=row.purpose)
    return new.wrap(key, key_id=row.key_id, purpose=row.purpose)


def _opens(keyring: Path, key: MasterKey) -> bool:
    """Say whether a keyring is wrapped under a master key."""
    try:
        with closing(sqlite3.connect(f"{keyring.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            check = keyring_store.read_meta(connection, CHECK)
        if check is None:
            return False
        key.unwrap(check, key_id=CHECK, purpose=CHECK)
    except (sqlite3.Error, IntegrityError):
        return False
    return True
