"""The master key: 32 random bytes in a file only the recorder may read; it wraps every other key."""

from __future__ import annotations

import base64
import binascii
import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from callrec.errors import ExitCode, OperatorError
from callrec.identifiers import RandomBytes
from callrec.vault.sealing import KEY_BYTES, open_sealed, seal

log = logging.getLogger("callrec.vault.master_key")

HEADER = "callrec master key 1"
_LONGEST_FILE = 4096


class MasterKey:
    """Wraps and unwraps keys; never shown, never stored by us anywhere else."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise OperatorError(
                f"master key: found {len(key)} bytes, expected {KEY_BYTES}", exit_code=ExitCode.INTEGRITY
            )
        self._key = key

    def __repr__(self) -> str:
        return "MasterKey(hidden)"

    @classmethod
    def load(cls, path: Path) -> MasterKey:
        """Read the key file: the text that `create` writes, or 32 raw bytes (a systemd credential).

        Raises:
            OperatorError: if it is missing, unreadable, readable by every user, or holds no 32-byte key.
        """
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(_LONGEST_FILE + 1)
        except FileNotFoundError:
            _refuse(f"master key {path}: no such file; run `callrec keys init`, or put back the key of this store")
        except OSError as error:
            _refuse(f"master key {path}: cannot be read ({error.strerror}); it must belong to the recorder's user")
        _check_mode(path, mode)
        return cls(_decode(path, content))

    @classmethod
    def create(cls, path: Path, *, store: Iterable[Path] = (), random: RandomBytes = os.urandom) -> MasterKey:
        """Make a new key in a new file of mode 0400, durable when this returns.

        Args:
            path: where the key goes.
            store: files that show an old store (its keyring, catalogue); a new key would lock it for ever.
            random: the source of the key.

        Raises:
            OperatorError: if the file or an old store exists, or the file cannot be written.
        """
        for old in store:
            if old.exists():
                _refuse(f"{old} belongs to an older master key: put it back at {path}, or move the old store away")
        key = random(KEY_BYTES)
        text = f"{HEADER}\n{base64.b64encode(key).decode()}\n"
        try:
            _write_new(path, text.encode())
        except FileExistsError:
            _refuse(f"master key {path}: exists already and is never overwritten; nothing was changed")
        except OSError as error:
            _refuse(f"master key {path}: cannot be written ({error.strerror}); make its folder, then try again")
        return cls(key)

    def wrap(self, key: bytes, *, key_id: str, purpose: str) -> bytes:
        """Return a key sealed under the master key, bound to its id and purpose."""
        return seal(self._key, key, table="keyring", row=key_id, field=purpose)

    def unwrap(self, wrapped: bytes, *, key_id: str, purpose: str) -> bytes:
        """Return a wrapped key.

        Raises:
            IntegrityError: if it was altered or wrapped under another master key.
        """
        return open_sealed(self._key, wrapped, table="keyring", row=key_id, field=purpose)


def _refuse(message: str) -> NoReturn:
    raise OperatorError(message, exit_code=ExitCode.INTEGRITY) from None


def _check_mode(path: Path, mode: int) -> None:
    """Refuse what every user can read; a group may be systemd's way of showing the access list of a credential."""
    if mode & stat.S_IRWXO:
        found = stat.S_IMODE(mode)
        _refuse(f"master key {path}: mode {found:04o} lets every user at it, expected 0400; run `chmod 0400 {path}`")
    if mode & stat.S_IRWXG and not os.environ.get("CREDENTIALS_DIRECTORY"):
        log.warning("master key %s: mode %04o lets a group at it, expected 0400", path, stat.S_IMODE(mode))


def _decode(path: Path, content: bytes) -> bytes:
    if len(content) == KEY_BYTES:
        return content
    lines = content.decode("ascii", "replace").split("\n")
    if lines[0].strip() != HEADER or len(lines) < 2:
        _refuse(f"master key {path}: found {len(content)} bytes that are no key, expected {HEADER!r} and a key")
    try:
        key = base64.b64decode(lines[1].strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        _refuse(f"master key {path}: found a key of {len(key)} bytes, expected {KEY_BYTES}; put back the right file")
    return key


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
