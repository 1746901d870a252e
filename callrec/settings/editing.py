"""Changing values in the text of a configuration file, so that everything a person wrote there stays. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from callrec.errors import ConfigurationError
from callrec.settings.layers import locate_or_refuse

_VALUE = r"\"[^\"\\]*\"|'[^']*'|\[[^\[\]#]*\]|[^\s\"'\[\]{}#,]+"


@dataclass(frozen=True, slots=True)
class Setting:
    """A key, its value as TOML, and what is said of it."""

    key: str
    value: str
    comment: str


def with_value(text: str, line: int, new: Setting, *, path: Path) -> str:
    """Return the text with another value of the key that stands on a line; a comment that is there stays.

    Raises:
        ConfigurationError: if the line holds more than this key with a value of one line.
    """
    lines = _lines_of(text)
    found = re.fullmatch(rf"(\s*[\"']?{re.escape(new.key)}[\"']?\s*=\s*)({_VALUE})(\s*)(#.*)?\s*", lines[line - 1])
    if found is None:
        expected = f"one line that can be changed; write {new.key} = {new.value} by hand"
        raise ConfigurationError(f"{path}:{line}: {new.key}: found a value in another form, expected {expected}")
    lines[line - 1] = _line(f"{found[1]}{new.value}", found[4] or new.comment)
    return "\n".join(lines)


def with_key(text: str, section: str, new: Setting, *, path: Path) -> str:
    """Return the text with a key that was not there, in its section, which is added at the end if need be.

    Raises:
        ConfigurationError: if the section is written in a way that cannot be added to.
    """
    line = locate_or_refuse(path, text).get((section,))
    added = _line(f"{new.key} = {new.value}", new.comment)
    if line is None:
        return f"{_closed(text)}\n[{section}]\n{added}\n"
    lines = _lines_of(_closed(text))
    if not re.match(rf"\s*\[\s*{re.escape(section)}\s*\]", lines[line - 1]):
        expected = f"[{section}] on a line of its own; write {new.key} = {new.value} by hand"
        raise ConfigurationError(f"{path}:{line}: {section}: found another form, expected {expected}")
    return "\n".join((*lines[:line], added, *lines[line:]))


def with_row(text: str, table: str, pairs: Mapping[str, str], comment: str) -> str:
    """Return the text with one more table of an array of tables at its end; the comment stands above it."""
    rows = "".join(f"{key} = {value}\n" for key, value in pairs.items())
    return f"{_closed(text)}\n# {comment}\n[[{table}]]\n{rows}"


def _line(code: str, comment: str) -> str:
    # Comments of the shipped file stand in this column.
    return f"{code:<36} # {comment.lstrip('# ')}"


def _lines_of(text: str) -> list[str]:
    """Return the lines as TOML counts them; str.splitlines knows ends that TOML does not."""
    return text.split("\n")


def _closed(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"
