"""Backups on disk: ciphertext recordings apart from sets of catalogue and keyring, which age out.

    DIR/recordings/YYYY/MM/DD/….crec     ciphertext, kept as long as you like; added to, never written again
    DIR/sets/<id>/manifest.json          what the set holds, with hashes, signed by the node
    DIR/sets/<id>/catalogue.db keyring.db ledger notices/… recordings.list

A set holds wrapped keys, so erasing reaches it only by its age: no set may be older than the window (LAW-47, LAW-50).
The master key is in no backup.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from callrec.clock import rfc3339
from callrec.errors import ExitCode, IntegrityError, OperatorError
from callrec.vault.atomic_file import atomic_file, sync_folder
from callrec.vault.ledger_entries import canonical

WINDOW = timedelta(days=14)
"""No copy of keyring or catalogue is older: what is erased by day 14 is gone from every copy by day 28."""
GOES_AT = WINDOW - timedelta(days=1)
"""The age at which a new backup removes an old set: a daily backup then leaves none past the window."""

CATALOGUE, KEYRING, LEDGER, NOTICES = "catalogue.db", "keyring.db", "ledger", "notices"
MANIFEST, RECORDINGS_LIST = "manifest.json", "recordings.list"
RECORDINGS, SETS, LOCK = "recordings", "sets", "lock"
GROWING = ".new-"
"""What the name of a set begins with until it is whole."""
FORMAT = "callrec backup 1"
_CONTEXT = FORMAT.encode() + b" "
_PIECE = 1 << 20
_FOLDER_MODE = 0o700


@dataclass(frozen=True, slots=True)
class BackupFile:
    """One file of a set or one recording."""

    path: str
    """Below its folder, with slashes."""
    size: int
    sha256: str

    def as_document(self) -> dict[str, Any]:
        """Return it as the manifest holds it."""
        return {"path": self.path, "size": self.size, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a set holds."""

    set_id: str
    node: str
    made_at: datetime
    files: tuple[BackupFile, ...]
    recordings: int = 0
    recording_bytes: int = 0
    ledger: Mapping[str, Any] = field(default_factory=dict)
    """The ledger's signed head at the time."""
    signature: str = ""

    @property
    def goes_at(self) -> datetime:
        """When no copy of the set may exist any more."""
        return self.made_at + WINDOW

    def as_document(self) -> dict[str, Any]:
        """Return what is signed."""
        return {
            "format": FORMAT,
            "id": self.set_id,
            "node": self.node,
            "made_at": rfc3339(self.made_at),
            "expires_at": rfc3339(self.goes_at),
            "files": [file.as_document() for file in self.files],
            "recordings": {"count": self.recordings, "bytes": self.recording_bytes},
            "ledger": dict(self.ledger),
        }

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Manifest:
        """Return the manifest that a document describes.

        Raises:
            ValueError, KeyError, TypeError: if it is none.
        """
        if document["format"] != FORMAT:
            raise ValueError(f"found format {document['format']!r}, expected {FORMAT!r}")
        return cls(
            str(document["id"]),
            str(document["node"]),
            datetime.fromisoformat(document["made_at"]),
            tuple(BackupFile(str(one["path"]), int(one["size"]), str(one["sha256"])) for one in document["files"]),
            int(document["recordings"]["count"]),
            int(document["recordings"]["bytes"]),
            document["ledger"],
            str(document.get("signature", "")),
        )

    def save(self, folder: Path, key: Ed25519PrivateKey) -> None:
        """Sign it and write it into the folder of its set.

        Raises:
            OSError: if it cannot be written.
        """
        document = self.as_document()
        signature = base64.b64encode(key.sign(_CONTEXT + canonical(document))).decode()
        with atomic_file(folder / MANIFEST) as descriptor, open(descriptor, "wb", closefd=False) as file:
            file.write(json.dumps({**document, "signature": signature}, indent=1, sort_keys=True).encode() + b"\n")

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Return the manifest of a set.

        Raises:
            IntegrityError: if there is none, or it is none.
        """
        try:
            return cls.of_document(json.loads((folder / MANIFEST).read_bytes()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"backup set {folder}: its manifest cannot be used ({error})") from error

    def signed_by(self, key: Ed25519PublicKey) -> bool:
        """Say whether a node signed it."""
        try:
            key.verify(base64.b64decode(self.signature, validate=True), _CONTEXT + canonical(self.as_document()))
        except (InvalidSignature, ValueError):
            return False
        return True


def set_id_of(made_at: datetime, random_id: str) -> str:
    """Return the name of a new set: a person sees when it was made."""
    return f"{made_at:%Y-%m-%dT%H%M%SZ}-{random_id[:8]}"


def sets_in(folder: Path) -> list[Path]:
    """Return the whole sets in a backup folder, the oldest first."""
    found = (folder / SETS).glob("*") if (folder / SETS).is_dir() else ()
    return sorted(path for path in found if path.is_dir() and not path.name.startswith("."))


def made_at_of(folder: Path) -> datetime | None:
    """Return when a set was made, by its name, whole or not; None for what is no set."""
    try:
        return datetime.strptime(folder.name.removeprefix(GROWING)[:18] + "+0000", "%Y-%m-%dT%H%M%SZ%z")
    except ValueError:
        return None


def remove_set(folder: Path) -> None:
    """Remove a set, the keyring first: without it the rest is unreadable.

    Raises:
        OSError: if it cannot be removed.
    """
    with suppress(FileNotFoundError):
        (folder / KEYRING).unlink()
    shutil.rmtree(folder)
    sync_folder(folder.parent)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let nobody else make a backup into a folder meanwhile; make the folder where it is missing.

    Raises:
        OperatorError: 75 while somebody does, 1 if the folder cannot be written.
    """
    try:
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        message = f"{folder}: cannot be written by the recorder's user ({error.strerror}); make it its own (chown)"
        raise OperatorError(message) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        message = f"{folder}: another backup is being made there; try again when it has ended"
        raise OperatorError(message, exit_code=ExitCode.BUSY) from None
    finally:
        os.close(descriptor)


def hash_file(path: Path) -> tuple[int, str]:
    """Return size and SHA-256 of a file.

    Raises:
        OSError: if it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()


def read_list(path: Path) -> Iterator[BackupFile]:
    """Return the recordings that a set lists, in the order of their paths.

    Raises:
        OSError: if the list cannot be read.
        IntegrityError: if a line is none.
    """
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                sha256, size, name = line.rstrip("\n").split("  ", 2)
                yield BackupFile(name, int(size), sha256)
            except ValueError:
                raise IntegrityError(f"{path}: found {line[:60]!r}, expected a hash, a size and a path") from None


def list_line(file: BackupFile) -> str:
    """Return a recording as the list holds it."""
    return f"{file.sha256}  {file.size}  {file.path}\n"
