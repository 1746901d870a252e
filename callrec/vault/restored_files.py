"""Files of erased recordings that a copy of the recordings folder brought back. Blocking."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from callrec.vault.atomic_file import sync_folder
from callrec.vault.backup_copying import recording_id_of

_MARGIN_S = 60
"""Folders that changed shortly before the last sweep are read again: its clock and the disk's may differ."""


def changed_recordings(folder: Path, since: int) -> list[str]:
    """Return the finished recordings, by their paths below the folder, in date folders that changed since a time.

    By the time at which the folder's own entry changed, which no copying tool can set.

    Args:
        folder: the recordings folder.
        since: Unix seconds.

    Raises:
        OSError: if a folder cannot be read.
    """
    names: list[str] = []
    for above, _, files in os.walk(folder):
        if os.stat(above).st_ctime < since - _MARGIN_S:  # noqa: PTH116 - one call for each of many folders
            continue
        below = Path(above).relative_to(folder)
        names += [str(below / name) for name in files if recording_id_of(name) is not None]
    return names


def remove_files(folder: Path, names: Iterable[str], erased: Collection[str]) -> int:
    """Remove those files that belong to erased recordings; return how many went. Raises OSError."""
    gone = [folder / name for name in names if recording_id_of(name) in erased]
    for path in gone:
        path.unlink(missing_ok=True)
    for one in {path.parent for path in gone}:
        sync_folder(one)
    return len(gone)
