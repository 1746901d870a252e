"""Looks for voices, numbers and names in everything that a program left on disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CHUNK = 1 << 20


@dataclass(frozen=True)
class Trace:
    """Where something was found that must not be there."""

    path: Path
    what: str


def spellings(e164: str) -> dict[str, bytes]:
    """Return a UK number in five spellings, for a search in raw bytes."""
    digits = e164.lstrip("+")
    national = "0" + digits[2:]
    padded = digits + "f" * (len(digits) % 2)
    swapped = bytes(int(padded[place + 1] + padded[place], 16) for place in range(0, len(padded), 2))
    return {
        f"{e164} international": e164.encode(),
        f"{e164} without plus": digits.encode(),
        f"{e164} national": national.encode(),
        f"{e164} spaced": f"{national[:5]} {national[5:]}".encode(),
        f"{e164} BCD": swapped,
    }


def voices(name: str, coded: bytes, pieces: int = 40, size: int = 24) -> dict[str, bytes]:
    """Return short pieces from all over a coded voice: any stored 20 ms of it holds at least one when cut at 160."""
    step = max(160, len(coded) // pieces // 160 * 160)
    return {
        f"voice {name} at {place}": coded[place + 40 : place + 40 + size] for place in range(0, len(coded) - 160, step)
    }


def decoded_voices(name: str, samples: list[int], pieces: int = 40) -> dict[str, bytes]:
    """Return pieces of the decoded voice as 16-bit samples, the way a WAV or a memory dump would hold them."""
    step = max(160, len(samples) // pieces // 160 * 160)
    return {
        f"voice {name} decoded at {place}": b"".join(
            sample.to_bytes(2, "little", signed=True) for sample in samples[place + 40 : place + 56]
        )
        for place in range(0, len(samples) - 160, step)
    }


def files_below(directories: Iterable[Path], since: float = 0.0) -> Iterator[Path]:
    """Return every regular file changed since a time, hidden ones too, without crossing into other file systems.

    Others work below /tmp as well: what cannot be looked at, or went away, is left out.
    """
    for directory in directories:
        device = directory.lstat().st_dev
        for root, folders, names in os.walk(directory):
            folders[:] = [name for name in folders if _device_of(Path(root, name)) == device]
            yield from (path for path in (Path(root, name) for name in names) if _is_new_file(path, since))


def _device_of(path: Path) -> int | None:
    try:
        return path.lstat().st_dev
    except OSError:
        return None


def _is_new_file(path: Path, since: float) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_mtime >= since


class Searcher:
    """Looks for many patterns in one pass: a table of the first two pairs of bytes leaves few places to compare."""

    def __init__(self, patterns: dict[str, bytes]) -> None:
        assert min(map(len, patterns.values())) >= 4, "internal error: a pattern is too short to search for"
        self._patterns = patterns
        self._longest = max(map(len, patterns.values()))
        self._first, self._second = (np.zeros(65536, dtype=bool) for _ in range(2))
        self._by_start: dict[bytes, list[str]] = {}
        for what, pattern in patterns.items():
            self._first[pattern[0] << 8 | pattern[1]] = True
            self._second[pattern[2] << 8 | pattern[3]] = True
            self._by_start.setdefault(pattern[:4], []).append(what)

    def traces_in(self, path: Path) -> list[Trace]:
        """Return every pattern found in one file or in its name."""
        found = self._in_bytes(os.fsencode(path.name))
        try:
            with path.open("rb") as file:
                tail = b""
                while chunk := file.read(CHUNK):
                    window = tail + chunk
                    found |= self._in_bytes(window)
                    tail = window[-self._longest :]
        except OSError:
            pass  # it went away while we looked
        return [Trace(path, what) for what in sorted(found)]

    def _in_bytes(self, window: bytes) -> set[str]:
        data = np.frombuffer(window, dtype=np.uint8)
        if len(data) < 4:
            return set()
        pairs = data[:-1].astype(np.uint16) << 8 | data[1:]
        places = np.flatnonzero(self._first[pairs[:-2]])
        places = places[self._second[pairs[places + 2]]]
        return {
            what
            for place in places.tolist()
            for what in self._by_start.get(window[place : place + 4], ())
            if window.startswith(self._patterns[what], place)
        }


def find_traces(directories: Iterable[Path], patterns: dict[str, bytes]) -> list[Trace]:
    """Return every pattern found in any file below some folders, file names included."""
    searcher = Searcher(patterns)
    return [trace for path in files_below(directories) for trace in searcher.traces_in(path)]
