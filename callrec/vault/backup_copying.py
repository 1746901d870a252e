"""Copying for a backup: databases while they are in use, recordings once, everything for the owner alone. Blocking."""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from callrec.vault.atomic_file import atomic_file, sync_folder
from callrec.vault.backup_set import BackupFile, hash_file, list_line

_PIECE = 1 << 20
_MODE, _FOLDER_MODE, _OTHERS = 0o600, 0o700, 0o077
_BUSY_S = 30.0
_RECORDING = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.[1-9][0-9]*\.crec")


def copy_database(source: Path, target: Path) -> None:
    """Copy a database in one consistent state while others read and write it; durable when this returns.

    In one step: a database that changes between two steps would begin anew each time. The catalogue's writer is not
    held up at all, the keyring's for as long as reading it takes, and calls have their keys in a pool meanwhile.

    Raises:
        OSError: if the target cannot be written.
        sqlite3.Error: if the source cannot be read.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE))
    where = f"{source.absolute().as_uri()}?mode=rw"
    with (
        closing(sqlite3.connect(where, uri=True, timeout=_BUSY_S)) as reading,
        closing(sqlite3.connect(target, isolation_level=None)) as writing,
    ):
        writing.execute("PRAGMA journal_mode=OFF")
        writing.execute("PRAGMA synchronous=OFF")
        reading.backup(writing, pages=-1)
        # One file, and none beside it, whatever mode the source is in.
        writing.execute("PRAGMA journal_mode=DELETE")
    sync_file(target)


def copy_file(source: Path, target: Path, *, upto: int | None = None) -> BackupFile:
    """Copy a file under its final name only when it is whole and durable; return what was copied.

    Args:
        source: what to copy.
        target: where to; its folder exists.
        upto: how many bytes of it, None for all.

    Raises:
        OSError: if it cannot be read or written.
    """
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as reading, atomic_file(target) as descriptor:
        while piece := reading.read(_PIECE if upto is None else min(_PIECE, upto - size)):
            digest.update(piece)
            size += len(piece)
            _write_all(descriptor, piece)
    return BackupFile(target.name, size, digest.hexdigest())


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_file(path: Path) -> None:
    """Make a file's content durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, below: Path) -> None:
    """Make a folder and those above it, up to another, for the owner alone."""
    for one in (*reversed([p for p in folder.parents if p.is_relative_to(below)]), folder):
        one.mkdir(mode=_FOLDER_MODE, exist_ok=True)


def whole_lines(path: Path) -> int:
    """Return how many bytes of a file that is appended to are whole lines."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        while size > 0:
            begin = max(0, size - _PIECE)
            file.seek(begin)
            end = file.read(size - begin).rfind(b"\n")
            if end >= 0:
                return begin + end + 1
            size = begin
    return 0


def recording_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Return the finished recordings under a folder, in the order of their paths: the name below it, and the file."""
    yield from _walk(folder, "")


def _walk(folder: Path, above: str) -> Iterator[tuple[str, Path]]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), f"{above}{entry.name}/")
        elif _RECORDING.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            yield above + entry.name, Path(entry.path)


def recording_id_of(name: str) -> str | None:
    """Return the recording that a file name belongs to, None for a name that is none."""
    match = _RECORDING.fullmatch(name.rpartition("/")[2])
    return match[1] if match else None


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of the recordings."""

    count: int
    size: int
    """Bytes of all of them."""
    new: int
    """How many were not in the backup before."""


def copy_recordings(
    source: Path, target: Path, known: Iterator[BackupFile], into: Path, tell: Callable[[int], None]
) -> Copied:
    """Bring a backup's recordings up to date and list them all; durable when this returns.

    A recording that is there already is not read again. One on the same file system becomes a second name of the
    same file: recordings are never written again, and erasing takes names away.

    Args:
        source: the recordings folder.
        target: that of the backup.
        known: what the newest list of this backup says, in the order of paths.
        into: where the new list goes.
        tell: is told how many are done, now and then.

    Raises:
        OSError: if one cannot be read or written.
    """
    make_folder(target, target)
    touched: set[Path] = {target}
    count = size = new = 0
    hashes = _Known(known)
    with atomic_file(into) as descriptor, open(descriptor, "w", encoding="utf-8", closefd=False) as listed:
        for name, path in recording_files(source):
            kept = target / name
            try:
                file = _keep(name, path, kept, hashes.of(name), target)
            except FileNotFoundError:
                continue  # erased while we walked
            if file is None:
                file, new = BackupFile(name, *hash_file(kept)), new + 1
                touched.update(p for p in kept.parents if p.is_relative_to(target))
            listed.write(list_line(file))
            count, size = count + 1, size + file.size
            if count % 1000 == 0:
                tell(count)
    for folder in touched:
        sync_folder(folder)
    return Copied(count, size, new)


def _keep(name: str, path: Path, kept: Path, known: BackupFile | None, target: Path) -> BackupFile | None:
    """Make sure a recording is in the backup; return what is known of it, None if it is new there."""
    source = path.stat()
    size = source.st_size
    with suppress(FileNotFoundError):
        if kept.stat().st_size == size:
            return known if known is not None and known.size == size else BackupFile(name, *hash_file(kept))
        kept.unlink()
    make_folder(kept.parent, target)
    if source.st_mode & _OTHERS or not second_name(path, kept):
        copy_file(path, kept)
    return None


def second_name(path: Path, name: Path) -> bool:
    """Give a file a second name; False where that cannot be: on another file system, or one without links.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    try:
        os.link(path, name)
    except FileNotFoundError:
        raise
    except OSError:
        return False
    return True


class _Known:
    """A list in the order of paths, asked in the order of paths."""

    def __init__(self, files: Iterator[BackupFile]) -> None:
        self._files = files
        self._next = next(files, None)

    def of(self, name: str) -> BackupFile | None:
        while self._next is not None and self._next.path.split("/") < name.split("/"):
            self._next = next(self._files, None)
        return self._next if self._next is not None and self._next.path == name else None


def remove_recordings(folder: Path, erased: Collection[str]) -> int:
    """Remove the ciphertext of erased recordings from a backup; return how many files went.

    Raises:
        OSError: if one cannot be removed.
    """
    removed = 0
    touched: set[Path] = set()
    for name, path in recording_files(folder) if erased else ():
        if recording_id_of(name) in erased:
            path.unlink(missing_ok=True)
            touched.add(path.parent)
            removed += 1
    for one in touched:
        sync_folder(one)
    return removed
