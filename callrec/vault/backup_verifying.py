"""Verifying a backup: every file against its hash, every database against itself, the manifest against its signature.

Blocking; needs no recorder, and no key for anything but signatures.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from callrec.errors import IntegrityError
from callrec.vault.backup_copying import recording_id_of
from callrec.vault.backup_set import (
    CATALOGUE,
    KEYRING,
    LEDGER,
    RECORDINGS,
    RECORDINGS_LIST,
    BackupFile,
    Manifest,
    hash_file,
    read_list,
    sets_in,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one thing in a backup."""

    path: str
    """Below the backup's folder."""
    state: str
    """`whole`, `missing`, `damaged`, `unsigned` or `expired`."""
    found: str

    @property
    def bad(self) -> bool:
        """Say whether the backup cannot be relied on."""
        return self.state in {"missing", "damaged", "unsigned"}


def verify_backup(folder: Path, key: Ed25519PublicKey | None, now: datetime) -> Iterator[Finding]:
    """Return a finding for each set and each recording that is not whole, and for each set that is.

    Args:
        folder: the backup's folder.
        key: the node's public key, None where it is not at hand: then signatures are not checked.
        now: what the age of sets counts to.
    """
    sets = sets_in(folder)
    if not sets:
        yield Finding(".", "missing", f"no set was found in {folder / 'sets'}; is this the folder of a backup?")
        return
    for one in sets:
        yield from verify_set(one, folder, key, now)
    yield from verify_recordings(folder, sets)


def verify_set(one: Path, folder: Path, key: Ed25519PublicKey | None, now: datetime) -> Iterator[Finding]:
    """Return what was found about one set; a set without a fault has one finding, `whole` or `expired`."""
    place = str(one.relative_to(folder))
    try:
        manifest = Manifest.load(one)
    except IntegrityError as error:
        yield Finding(place, "damaged", str(error))
        return
    faults = [fault for file in manifest.files if (fault := _file_fault(one, file, folder)) is not None]
    if key is not None and not manifest.signed_by(key):
        faults.append(Finding(place, "unsigned", "its manifest is not signed by this node, or was altered"))
    yield from faults
    if faults:
        return
    if now >= manifest.goes_at:
        yield Finding(place, "expired", f"made at {manifest.made_at:%Y-%m-%d %H:%M} UTC, over 14 days ago: remove it")
    else:
        yield Finding(place, "whole", f"made at {manifest.made_at:%Y-%m-%d %H:%M} UTC, {len(manifest.files)} files")


def _file_fault(one: Path, file: BackupFile, folder: Path) -> Finding | None:
    path = one / file.path
    place = str(path.relative_to(folder))
    if (fault := _hash_fault(path, file)) is not None:
        return Finding(place, *fault)
    if file.path in {CATALOGUE, KEYRING}:
        try:
            _check_database(path)
        except sqlite3.Error as error:
            return Finding(place, "damaged", f"is no whole database ({error})")
    return None


def _hash_fault(path: Path, file: BackupFile) -> tuple[str, str] | None:
    try:
        size, sha256 = hash_file(path)
    except OSError as error:
        return "missing", f"cannot be read ({error.strerror})"
    if (size, sha256) != (file.size, file.sha256):
        return "damaged", f"found {size} bytes with another content than the {file.size} bytes that were backed up"
    return None


def _check_database(path: Path) -> None:
    """Let SQLite check a database without writing beside it; raises sqlite3.Error if it is broken."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise sqlite3.DatabaseError(said)


def verify_recordings(folder: Path, sets: list[Path]) -> Iterator[Finding]:
    """Return a finding for each recording of the newest list that is not whole, and one for all that are.

    What the newest ledger names as erased may be missing: a later backup has removed it.
    """
    lists = [one / RECORDINGS_LIST for one in reversed(sets) if (one / RECORDINGS_LIST).is_file()]
    if not lists:
        return
    gone = erased_recordings(sets[-1] / LEDGER)
    whole = 0
    try:
        for file in read_list(lists[0]):
            fault = _hash_fault(folder / RECORDINGS / file.path, file)
            if fault is None:
                whole += 1
            elif fault[0] != "missing" or recording_id_of(file.path) not in gone:
                yield Finding(f"{RECORDINGS}/{file.path}", *fault)
    except (OSError, IntegrityError) as error:
        yield Finding(str(lists[0].relative_to(folder)), "damaged", f"the list of recordings cannot be used ({error})")
        return
    yield Finding(RECORDINGS, "whole", f"{whole} recordings")


def erased_recordings(ledger: Path) -> frozenset[str]:
    """Return the recordings that a ledger names as erased; its chain is not checked here."""
    erased: set[str] = set()
    try:
        with ledger.open("rb") as file:
            for line in file:
                if b'"recording_id":"' in line:
                    erased.update(_recordings_of(line))
    except (OSError, ValueError):
        return frozenset(erased)
    return frozenset(erased)


def _recordings_of(line: bytes) -> Iterator[str]:
    body = json.loads(line).get("body", {})
    for target in [body, *body.get("targets", ())]:
        if isinstance(recording_id := target.get("recording_id"), str):
            yield recording_id
