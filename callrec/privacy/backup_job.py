"""A helper process that makes one backup: `python -m callrec.privacy.backup_job`, low priority, no arguments.

Its standard input is one line, the order as `Order.as_line` writes it. Now and then it prints
`{"type": "progress", "recordings": n}`, and at its end `{"type": "done", …}` or `{"type": "error", …}`.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callrec.catalogue.restoring import mark_copy
from callrec.errors import CallrecError, ExitCode, IntegrityError, OperatorError
from callrec.vault import backup_set
from callrec.vault.atomic_file import sync_folder
from callrec.vault.backup_copying import (
    Copied,
    copy_database,
    copy_file,
    copy_recordings,
    make_folder,
    remove_recordings,
    whole_lines,
)
from callrec.vault.backup_set import CATALOGUE, GROWING, KEYRING, LEDGER, NOTICES, RECORDINGS, RECORDINGS_LIST, SETS
from callrec.vault.backup_verifying import erased_recordings

NICE = 10
MODULE = "callrec.privacy.backup_job"

Told = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be backed up, and where to."""

    to: str
    state: str
    recordings: str
    set_id: str
    node: str
    made_at: str
    """RFC 3339."""
    ledger: dict[str, Any]
    """The ledger's signed head."""
    signing_key: str
    """Hexadecimal seed of the node's Ed25519 key; it comes by a pipe and signs the manifest."""
    keys_only: bool = False

    def __repr__(self) -> str:
        return f"Order({self.set_id} to {self.to})"

    def as_line(self) -> str:
        """Return the order as the helper reads it."""
        return json.dumps(asdict(self))

    @classmethod
    def of_line(cls, line: str) -> Self:
        """Return the order of a line."""
        document = json.loads(line)
        return cls(**{field.name: document[field.name] for field in fields(cls)})


def main() -> int:
    """Make the backup that standard input orders."""
    os.nice(NICE)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold the key
    try:
        _say({"type": "done", **make(Order.of_line(sys.stdin.readline()), lambda count: _say(_progress(count)))})
    except CallrecError as error:
        code = ExitCode.INTEGRITY if isinstance(error, IntegrityError) else ExitCode.FAILED
        _say({"type": "error", "message": str(error), "exit_code": int(getattr(error, "exit_code", code))})
    return 0


def _progress(count: int) -> Told:
    return {"type": "progress", "recordings": count}


def _say(document: Told) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def make(order: Order, tell: Callable[[int], None]) -> Told:
    """Make a backup; blocking. Sets that are too old, or were never finished, go once the new one is whole.

    Raises:
        OperatorError: if it cannot be made; then there is no new set.
    """
    folder = Path(order.to)
    with backup_set.locked(folder):
        growing = folder / SETS / (GROWING + order.set_id)
        try:
            removed = _remove_unfinished(folder)
            make_folder(growing, folder)
            manifest, copied = _fill(order, folder, growing, tell)
            manifest.save(growing, Ed25519PrivateKey.from_private_bytes(bytes.fromhex(order.signing_key)))
            growing.rename(folder / SETS / order.set_id)
            sync_folder(folder / SETS)
            removed += _remove_old(folder, manifest.made_at)
        except (OSError, sqlite3.Error) as error:
            shutil.rmtree(growing, ignore_errors=True)
            reason = getattr(error, "strerror", None) or error
            raise OperatorError(f"{folder}: the backup could not be made ({reason}); nothing was added") from error
    return {"set": manifest.as_document(), "new_recordings": copied.new if copied else 0, "removed": removed}


def _fill(
    order: Order, folder: Path, growing: Path, tell: Callable[[int], None]
) -> tuple[backup_set.Manifest, Copied | None]:
    """Copy everything into a set that has no name yet.

    The catalogue first and the keyring after it, so that every row has its key; then the recordings, so that every
    row has its files. What is erased meanwhile is in the ledger, which comes later than both databases.
    """
    state = Path(order.state)
    names = [KEYRING] if order.keys_only else [CATALOGUE, KEYRING]
    for name in names:
        copy_database(state / name, growing / name)
    if not order.keys_only:
        mark_copy(growing / CATALOGUE)
    files = [backup_set.BackupFile(name, *backup_set.hash_file(growing / name)) for name in names]
    files.append(copy_file(state / LEDGER, growing / LEDGER, upto=whole_lines(state / LEDGER)))
    copied = None
    if not order.keys_only:
        files += _copy_notices(state / NOTICES, growing / NOTICES)
        copied = _copy_recordings(order, folder, growing, tell)
        files.append(
            backup_set.BackupFile(RECORDINGS_LIST, *backup_set.hash_file(growing / RECORDINGS_LIST)),
        )
    sync_folder(growing)
    made_at = datetime.fromisoformat(order.made_at)
    counts = (copied.count, copied.size) if copied else (0, 0)
    return backup_set.Manifest(order.set_id, order.node, made_at, tuple(files), *counts, order.ledger), copied


def _copy_notices(source: Path, target: Path) -> Iterator[backup_set.BackupFile]:
    for path in sorted(source.rglob("*")) if source.is_dir() else ():
        name = path.relative_to(source)
        if path.is_file():
            make_folder((target / name).parent, target.parent)
            copied = copy_file(path, target / name)
            yield backup_set.BackupFile(f"{NOTICES}/{name.as_posix()}", copied.size, copied.sha256)


def _copy_recordings(order: Order, folder: Path, growing: Path, tell: Callable[[int], None]) -> Copied:
    erased = erased_recordings(Path(order.state) / LEDGER)
    remove_recordings(folder / RECORDINGS, erased)
    lists = [one / RECORDINGS_LIST for one in backup_set.sets_in(folder) if (one / RECORDINGS_LIST).is_file()]
    known = backup_set.read_list(lists[-1]) if lists else iter(())
    try:
        return copy_recordings(Path(order.recordings), folder / RECORDINGS, known, growing / RECORDINGS_LIST, tell)
    except IntegrityError:
        # The older list is damaged: everything is read anew.
        return copy_recordings(Path(order.recordings), folder / RECORDINGS, iter(()), growing / RECORDINGS_LIST, tell)


def _remove_unfinished(folder: Path) -> list[str]:
    """Remove what a killed backup left: it holds keys, too."""
    return [_removed(one) for one in (folder / SETS).glob(f"{GROWING}*")]


def _remove_old(folder: Path, now: datetime) -> list[str]:
    return [
        _removed(one)
        for one in backup_set.sets_in(folder)
        if (made_at := backup_set.made_at_of(one)) is not None and now - made_at >= backup_set.GOES_AT
    ]


def _removed(one: Path) -> str:
    with suppress(FileNotFoundError):
        backup_set.remove_set(one)
    return one.name.removeprefix(GROWING)


if __name__ == "__main__":
    sys.exit(main())
