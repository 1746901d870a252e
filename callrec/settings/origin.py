"""Where a value came from: a line of a file, a variable of the environment, or the defaults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

KeyPath = tuple[str | int, ...]
"""The way to a value: names of tables and keys, positions in arrays."""


@dataclass(frozen=True, slots=True)
class FileOrigin:
    """A line of a configuration file."""

    path: Path
    line: int

    def __str__(self) -> str:
        """Return `file:line`."""
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class EnvironmentOrigin:
    """A variable of the environment."""

    name: str

    def __str__(self) -> str:
        """Return the variable's name."""
        return f"environment {self.name}"


@dataclass(frozen=True, slots=True)
class NamedOrigin:
    """Anything else that can be said in a word: `default`, `embedded`."""

    name: str

    def __str__(self) -> str:
        """Return the word."""
        return self.name


Origin = FileOrigin | EnvironmentOrigin | NamedOrigin
DEFAULT = NamedOrigin("default")


@dataclass(slots=True)
class Origins:
    """The origin of each key that was set; it grows while layers are read and is not changed afterwards."""

    known: dict[KeyPath, Origin] = field(default_factory=dict)

    def of(self, path: KeyPath) -> Origin:
        """Return where exactly this key was set, or that it was not."""
        return self.known.get(path, DEFAULT)

    def nearest(self, path: KeyPath) -> Origin:
        """Return where the key, or the closest table around it, was set."""
        for length in range(len(path), -1, -1):
            if (found := self.known.get(path[:length])) is not None:
                return found
        return DEFAULT

    def __iter__(self) -> Iterator[tuple[KeyPath, Origin]]:
        return iter(self.known.items())


def show_key(path: KeyPath) -> str:
    """Return a key path as a person writes it: `peer[1].addresses[0]` counts from nothing as TOML readers do."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text
