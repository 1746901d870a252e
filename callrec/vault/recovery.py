"""Takes up what writers that died have left: `.partial` files become cut or sealed parts, without a key."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path

from callrec.errors import IntegrityError
from callrec.vault.atomic_file import sync_folder
from callrec.vault.part_framing import scan_frames
from callrec.vault.recording_format import HEADER_LENGTH, Header

_NAME = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([1-9][0-9]{0,9})\.(partial|crec|new)")
_FINAL = ".crec"
_DATE_FOLDER = "%Y/%m/%d"
_NASCENT_AGE_S = 60.0
"""A `.new` file lives for a moment; one this old belongs to a writer that died in that moment."""


class Found(Enum):
    """What recovery made of a part."""

    CUT = "cut"
    """It had no last segment; it has its final name now and is authentic up to its last whole segment."""
    SEALED = "sealed"
    """It was whole and only its renaming was missing."""
    EMPTY = "empty"
    """It held no audio and was removed."""
    DAMAGED = "damaged"
    """It is no part of version 1; it was left where it is, and a person must look."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A part that a dead writer left, as its unauthenticated frames describe it; `measure` tells more, with the key."""

    recording_id: str
    part: int
    path: Path
    """Its final name, or the one it kept if it is damaged."""
    found: Found
    segments: int
    """Whole segments, for the catalogue."""
    size: int
    """Bytes of the file."""
    left_over: int
    """Bytes behind the last whole segment, not used by any reader."""
    started_at_ns: int
    duration_ms: int
    """From its start to its last write: an estimate, exact to one segment."""
    problem: str = ""
    """Why it is damaged."""

    @property
    def sealed(self) -> bool:
        """Return whether the part is whole."""
        return self.found is Found.SEALED


def recover(directory: Path, now: datetime) -> list[Recovered]:
    """Take up every part under the recordings directory whose writer is gone; parts with a living writer are left.

    Needs no key, shortens nothing and appends nothing. Blocks on the disk: run it before calls are taken or in a
    thread.

    Raises:
        OSError: if the directory cannot be read.
    """
    recovered = []
    for path in _left_behind(directory):
        match = _NAME.fullmatch(path.name)
        if match is None:
            continue
        if match[3] == "new":
            _remove_nascent(path, now)
        elif (part := _try(path, match[1], int(match[2]))) is not None:
            recovered.append(part)
    return recovered


def recover_recording(directory: Path, recording_id: str, started_at: datetime) -> list[Recovered]:
    """Take up the parts of one recording whose writer is gone; as `recover`, while calls are going on.

    Raises:
        OSError: if the directory cannot be read.
    """
    recovered = []
    for path in find_parts(directory, recording_id, started_at):
        match = _NAME.fullmatch(path.name)
        if match is None or match[3] != "partial":
            continue
        if (part := _try(path, recording_id, int(match[2]))) is not None:
            recovered.append(part)
    return recovered


def parts_left(directory: Path, recordings: Mapping[str, datetime]) -> dict[str, list[Recovered] | None]:
    """Describe every part of some recordings, by recording and in order; None where a writer has not let go of one.

    What has no final name is taken up as by `recover`. A crash may come between the final name and the row that
    tells of it: then only this finds the part. Each date folder is read once.

    Args:
        directory: the recordings directory.
        recordings: the ids, each with the UTC time its first part began, or a time less than a day before that.

    Raises:
        OSError: if the directory cannot be read.
    """
    described: dict[str, dict[int, Recovered]] = {recording_id: {} for recording_id in recordings}
    living: set[str] = set()
    dates = {(began + timedelta(days=day)).strftime(_DATE_FOLDER) for began in recordings.values() for day in (0, 1)}
    for folder in (directory / date for date in sorted(dates)):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():  # `.crec` sorts before `.partial`
            match = _NAME.fullmatch(path.name)
            if match is None or match[1] not in recordings or match[3] == "new":
                continue
            part = _try(path, match[1], int(match[2]))
            if part is None:
                living.add(match[1])
            else:
                described[match[1]].setdefault(part.part, part)
    return {
        recording_id: None if recording_id in living else [parts[part] for part in sorted(parts)]
        for recording_id, parts in described.items()
    }


def find_parts(directory: Path, recording_id: str, started_at: datetime) -> list[Path]:
    """Return the paths of all parts of a recording, in order, in the folder of the UTC date of its first part."""
    return parts_in(directory / started_at.strftime(_DATE_FOLDER), recording_id)


def part_numbers(directory: Path, recording_id: str, started_at: datetime) -> set[int]:
    """Return the numbers of the parts of a recording of which there is a file."""
    matches = (_NAME.fullmatch(path.name) for path in find_parts(directory, recording_id, started_at))
    return {int(match[2]) for match in matches if match is not None}


def parts_in(folder: Path, recording_id: str) -> list[Path]:
    """Return the paths of all parts of a recording in a folder, in order."""
    found: dict[int, Path] = {}
    for path in sorted(folder.glob(f"{recording_id}.*")):  # `.crec` sorts before `.partial`
        match = _NAME.fullmatch(path.name)
        if match is not None and match[1] == recording_id and match[3] != "new":
            found.setdefault(int(match[2]), path)
    return [found[part] for part in sorted(found)]


def _left_behind(directory: Path) -> Iterator[Path]:
    """Yield the files in date folders that have no final name; one look at each name, however many are sealed."""
    if not directory.is_dir():
        return
    for folder, _, names in os.walk(directory, onerror=_refuse):
        for name in names:
            if name.endswith((".partial", ".new")):
                yield Path(folder, name)


def _refuse(error: OSError) -> None:
    raise error


def _remove_nascent(path: Path, now: datetime) -> None:
    try:
        if now.timestamp() - path.stat().st_mtime > _NASCENT_AGE_S:
            path.unlink()
    except FileNotFoundError:
        pass  # its writer lives and has given it its name


def _try(path: Path, recording_id: str, part: int) -> Recovered | None:
    """Take up one part; a disk that refuses it keeps no other part from being taken up."""
    try:
        return _take_up(path, recording_id, part)
    except OSError as error:
        return _without_audio(path, recording_id, part, Found.DAMAGED, 0, str(error))


def _take_up(path: Path, recording_id: str, part: int) -> Recovered | None:
    try:
        fd = os.open(path, (os.O_RDONLY if path.suffix == _FINAL else os.O_RDWR) | os.O_CLOEXEC)
    except FileNotFoundError:
        return None  # sealed meanwhile
    try:
        if not _lock(fd) or not _is_still(path, fd):
            return None
        return _settle(path, fd, recording_id, part)
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, fd: int) -> bool:
    """Return whether the path names the locked file: its writer may have sealed it just before the lock."""
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def _settle(path: Path, fd: int, recording_id: str, part: int) -> Recovered:
    status = os.fstat(fd)
    framing = scan_frames(fd)
    header = _header(fd, recording_id, part)
    final = path.with_suffix(_FINAL)
    nothing = status.st_size < HEADER_LENGTH or (header is not None and framing.segments == 0)
    if nothing and path != final:
        path.unlink()
        return _without_audio(path, recording_id, part, Found.EMPTY, status.st_size)
    if header is None or nothing:
        problem = "its header is none of this recording and part" if header is None else "it has no whole segment"
        return _without_audio(path, recording_id, part, Found.DAMAGED, status.st_size, problem)
    if path != final and final.exists():
        return _without_audio(path, recording_id, part, Found.DAMAGED, status.st_size, "its final name is taken")
    return Recovered(
        recording_id=recording_id,
        part=part,
        path=final if path == final else _publish(path, fd),
        found=Found.SEALED if framing.sealed else Found.CUT,
        segments=framing.segments,
        size=framing.size,
        left_over=framing.left_over,
        started_at_ns=header.started_at_ns,
        duration_ms=max(0, (status.st_mtime_ns - header.started_at_ns) // 1_000_000),
    )


def _without_audio(  # noqa: PLR0913, PLR0917 - the fields of one value
    path: Path, recording_id: str, part: int, found: Found, size: int, problem: str = ""
) -> Recovered:
    return Recovered(recording_id, part, path, found, 0, size, size, 0, 0, problem)


def _header(fd: int, recording_id: str, part: int) -> Header | None:
    try:
        header = Header.parse(os.pread(fd, HEADER_LENGTH, 0))
    except IntegrityError:
        return None
    return header if (header.recording_id, header.part) == (recording_id, part) else None


def _publish(path: Path, fd: int) -> Path:
    final = path.with_suffix(_FINAL)
    os.fsync(fd)
    path.rename(final)
    sync_folder(path.parent)
    return final
