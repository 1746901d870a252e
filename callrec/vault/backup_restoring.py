"""Restoring a backup into the folders of a recorder that does not run; a kill at any step leaves all or nothing.

Recordings come first, one by one, each whole or not there: without its keys none can be heard. Then both databases
are staged beside their places; a marker is written; and from the marker on, whoever comes next finishes the swap.
The ledger of the backup is used only where there is none: a ledger is never made older by a restore.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from callrec.errors import ExitCode, IntegrityError, OperatorError
from callrec.vault.atomic_file import atomic_file, sync_folder
from callrec.vault.backup_copying import copy_file, make_folder, recording_files, second_name
from callrec.vault.backup_set import (
    CATALOGUE,
    KEYRING,
    LEDGER,
    NOTICES,
    RECORDINGS,
    RECORDINGS_LIST,
    Manifest,
    read_list,
    sets_in,
)
from callrec.vault.backup_verifying import verify_set

MARKER = "restore.json"
STAGED = ".restoring"
_DATABASES = (CATALOGUE, KEYRING)
_BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database: an old log beside a new database would be written into it."""


class Part(StrEnum):
    """What of a backup is restored."""

    ALL = "all"
    DATABASE = "database"
    RECORDINGS = "recordings"


class Step(StrEnum):
    """Where a restore stands; a fault test kills after each."""

    RECORDINGS = "recordings"
    STAGED = "staged"
    MARKED = "marked"
    SWAPPED = "swapped"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be restored, and where to."""

    backup: Path
    state: Path
    recordings: Path
    ledger_copy: Path
    part: Part = Part.ALL
    set_id: str = ""
    """Empty: the newest."""
    force: bool = False
    by: str = ""
    """Who restores; an account name, for the audit trail."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored."""

    set_id: str
    made_at: datetime
    recordings: int
    ledger: str
    """`kept`, or `from_backup` where there was none: then nobody knows what was erased after the backup."""


def _no_hook(step: Step) -> None:
    del step


def restore(order: Order, now: datetime, hook: Callable[[Step], None] = _no_hook) -> Restored:
    """Restore a backup. The caller holds the lock of the state folder.

    Raises:
        OperatorError: if there is no such set (3), or something lies where it would go (5).
        IntegrityError: if the set is not whole.
        OSError: if it cannot be written; it may be repeated.
    """
    one = _chosen(order)
    manifest = _sound(one, order.backup, now)
    _refuse_full(order)
    count = _restore_recordings(order, one) if order.part is not Part.DATABASE else 0
    hook(Step.RECORDINGS)
    if order.part is Part.RECORDINGS:
        return Restored(manifest.set_id, manifest.made_at, count, "kept")
    for name in _DATABASES:
        (order.state / (name + STAGED)).unlink(missing_ok=True)
        copy_file(one / name, order.state / (name + STAGED))
    _restore_notices(one, order.state)
    ledger = _restore_ledger(order, one)
    hook(Step.STAGED)
    _write_marker(order.state, {"set": manifest.set_id, "swapped": False, "ledger": ledger, "by": order.by})
    hook(Step.MARKED)
    finish_restore(order.state)
    hook(Step.SWAPPED)
    _give_to_owners(order)
    return Restored(manifest.set_id, manifest.made_at, count, ledger)


def finish_restore(state: Path) -> None:
    """Finish the swap that a kill cut off, or forget what was only staged. Before any database is opened.

    Raises:
        OSError: if it cannot be done yet.
    """
    marker = read_marker(state)
    if marker is None:
        for name in _DATABASES:
            with suppress(FileNotFoundError):
                (state / (name + STAGED)).unlink()
        return
    if marker["swapped"]:
        return
    for name in _DATABASES:
        staged = state / (name + STAGED)
        if staged.exists():
            for suffix in _BESIDE:
                (state / (name + suffix)).unlink(missing_ok=True)
            sync_folder(state)
            staged.replace(state / name)
    sync_folder(state)
    _write_marker(state, {**marker, "swapped": True})


def read_marker(state: Path) -> Mapping[str, Any] | None:
    """Return what the last restore noted, until a recorder has taken it in; None where there was none."""
    try:
        marker = json.loads((state / MARKER).read_bytes())
    except (OSError, ValueError):
        return None
    return marker if isinstance(marker, dict) and {"set", "swapped", "ledger", "by"} <= set(marker) else None


def forget_marker(state: Path) -> None:
    """Forget the last restore: the ledger knows of it now."""
    (state / MARKER).unlink(missing_ok=True)
    sync_folder(state)


def _write_marker(state: Path, marker: Mapping[str, Any]) -> None:
    with atomic_file(state / MARKER) as descriptor:
        os.write(descriptor, json.dumps(marker).encode())


def _chosen(order: Order) -> Path:
    sets = sets_in(order.backup)
    named = [one for one in sets if one.name.startswith(order.set_id)]
    if not named or (order.set_id and len(named) > 1):
        found = ", ".join(one.name for one in sets) or "none"
        message = f"{order.backup}: found the sets {found}, expected one that begins with {order.set_id or 'anything'}"
        raise OperatorError(message, exit_code=ExitCode.NOT_FOUND)
    return named[-1]


def _sound(one: Path, backup: Path, now: datetime) -> Manifest:
    """Return the manifest of a set that is whole; restoring half of one would be worse than none."""
    faults = [finding for finding in verify_set(one, backup, None, now) if finding.bad]
    if faults:
        raise IntegrityError(f"{faults[0].path}: {faults[0].found}; nothing was restored, try an older set with --set")
    manifest = Manifest.load(one)
    if lacking := set(_DATABASES) - {file.path for file in manifest.files}:
        message = f"{one}: holds no {', '.join(sorted(lacking))}; it is a copy of the keys alone"
        raise OperatorError(message, exit_code=ExitCode.NOT_FOUND)
    return manifest


def _refuse_full(order: Order) -> None:
    """Refuse to write over a store, unless told to.

    Raises:
        OperatorError: with exit code 5 if something is there.
    """
    if order.force:
        return
    full: list[Path] = []
    if order.part is not Part.RECORDINGS:
        full += [order.state / name for name in _DATABASES if (order.state / name).exists()]
    if order.part is not Part.DATABASE:
        full += [path for _, path in recording_files(order.recordings)][:1]
    if full:
        message = (
            f"{full[0]} is there already: a restore would replace the store; move it away, or add --force if it is lost"
        )
        raise OperatorError(message, exit_code=ExitCode.REFUSED)


def _restore_recordings(order: Order, one: Path) -> int:
    make_folder(order.recordings, order.recordings)
    names = [file.path for file in read_list(one / RECORDINGS_LIST)] if (one / RECORDINGS_LIST).exists() else []
    count = 0
    touched: set[Path] = set()
    for name in names:
        source, target = order.backup / RECORDINGS / name, order.recordings / name
        if not source.exists() or (target.exists() and target.stat().st_size == source.stat().st_size):
            continue  # erased since, or there
        target.unlink(missing_ok=True)
        make_folder(target.parent, order.recordings)
        if not second_name(source, target):
            copy_file(source, target)
        touched.update(p for p in target.parents if p.is_relative_to(order.recordings))
        count += 1
    for folder in touched:
        sync_folder(folder)
    return count


def _restore_notices(one: Path, state: Path) -> None:
    """Bring back the notices that are missing; a version that is there never changes."""
    source = one / NOTICES
    for path in sorted(source.rglob("*")) if source.is_dir() else ():
        target = state / NOTICES / path.relative_to(source)
        if path.is_dir():
            make_folder(target, state)
        elif not target.exists():
            make_folder(target.parent, state)
            copy_file(path, target)


def _restore_ledger(order: Order, one: Path) -> str:
    """Use the backup's ledger only where there is none left."""
    if (order.state / LEDGER).exists() or order.ledger_copy.exists():
        return "kept"
    if (one / LEDGER).exists():
        copy_file(one / LEDGER, order.state / LEDGER)
    return "from_backup"


def _give_to_owners(order: Order) -> None:
    """Let root restore what the recorder's own user, the owner of the folders, can read."""
    if os.geteuid() != 0:
        return
    for folder in (one for one in (order.state, order.recordings) if one.is_dir()):
        owner = folder.stat()
        if owner.st_uid != 0:
            for path in folder.rglob("*"):
                shutil.chown(path, owner.st_uid, owner.st_gid)
