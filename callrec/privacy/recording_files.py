"""The files of a recording on disk: found, removed, and looked for again."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from callrec.catalogue.values import Part

_DATE_FOLDER = "%Y/%m/%d"


class RecordingFiles:
    """The recordings folder. Blocking: call it in a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, recording_id: str, parts: Iterable[Part], started_at: datetime | None) -> list[Path]:
        """Return every file of a recording: those the row names and those that bear its random id.

        A part that grew when the recorder died, or that a copy of the folder brought back, is in no row.
        """
        folders = self._folders(parts, started_at)
        if folders is None:
            return self.anywhere({recording_id})
        return sorted(path for folder in folders for path in folder.glob(f"{recording_id}.*"))

    def anywhere(self, recording_ids: Collection[str]) -> list[Path]:
        """Return every file that bears one of the random ids, in whatever folder it lies: one walk through all."""
        if not recording_ids:
            return []
        return sorted(path for path in self._folder.rglob("*.*") if path.name.partition(".")[0] in recording_ids)

    def _folders(self, parts: Iterable[Part], started_at: datetime | None) -> set[Path] | None:
        """Return the date folders to look in, None if nothing says which."""
        folders = {(self._folder / part.path).parent for part in parts}
        if started_at is not None:
            # A call may begin before midnight and be recorded after it.
            folders |= {self._folder / (started_at + timedelta(days=day)).strftime(_DATE_FOLDER) for day in (-1, 0, 1)}
        inside = {folder for folder in folders if folder.is_relative_to(self._folder)}
        return inside or None

    def remove(self, paths: Iterable[Path]) -> int:
        """Remove files and make it durable; return how many were there. Raises OSError."""
        removed = 0
        folders: set[Path] = set()
        for path in paths:
            with suppress(FileNotFoundError):
                path.unlink()
                removed += 1
            folders.add(path.parent)
        for folder in folders:
            with suppress(FileNotFoundError):
                _sync(folder)
        return removed


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
