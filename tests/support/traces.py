"""Looks for voices, numbers and names in everything that a program left on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

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


def files_below(directories: Iterable[Path]) -> Iterator[Path]:
    """Return every regular file, hidden ones too."""
    for directory in directories:
        for root, _, names in os.walk(directory, onerror=None):
            yield from (Path(root) / name for name in names if (Path(root) / name).is_file())


def find_traces(directories: Iterable[Path], patterns: dict[str, bytes]) -> list[Trace]:
    """Return every pattern found in any file, file names included."""
    return [trace for path in files_below(directories) for trace in traces_in(path, patterns)]


def traces_in(path: Path, patterns: dict[str, bytes]) -> list[Trace]:
    """Return every pattern found in one file or in its name."""
    longest = max(map(len, patterns.values()))
    in_name = [Trace(path, what) for what, pattern in patterns.items() if pattern in os.fsencode(path.name)]
    return in_name + [Trace(path, what) for what in sorted(_in_file(path, patterns, longest))]


def _in_file(path: Path, patterns: dict[str, bytes], longest: int) -> set[str]:
    found: set[str] = set()
    try:
        with path.open("rb") as file:
            tail = b""
            while chunk := file.read(CHUNK):
                window = tail + chunk
                found |= {what for what, pattern in patterns.items() if pattern in window}
                tail = window[-longest:]
    except OSError:
        return found  # it went away while we looked
    return found
