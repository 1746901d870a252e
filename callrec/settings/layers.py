"""The layers settings are read from: the file, `conf.d/*.toml` beside it, the environment; the later one wins."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from callrec.errors import ConfigurationError
from callrec.settings.locate import locate
from callrec.settings.model import Settings
from callrec.settings.origin import EnvironmentOrigin, FileOrigin, KeyPath, Origin, Origins

_VARIABLE = re.compile(r"CALLREC_([A-Z0-9_]*?[A-Z0-9])__([A-Za-z0-9_]+)")


@dataclass(slots=True)
class Layers:
    """The tables read so far, put together, and the origin of each key."""

    tables: dict[str, Any] = field(default_factory=dict)
    origins: Origins = field(default_factory=Origins)

    def add_file(self, path: Path) -> None:
        """Lay a file over what is there: tables are extended, arrays of tables appended to, anything else replaced.

        Raises:
            ConfigurationError: if the file cannot be read or is no TOML.
        """
        text = _text_of(path)
        lines = locate_or_refuse(path, text)
        tables = tomllib.loads(text)
        self.origins.known.setdefault((), FileOrigin(path, 1))
        self._merge(self.tables, tables, (), (), _OriginsOfFile(path, lines))

    def add_named(self, tables: Mapping[str, Any], origin: Origin) -> None:
        """Lay tables made by a program over what is there."""
        self._merge(self.tables, tables, (), (), _OneOrigin(origin))

    def add_environment(self, environ: Mapping[str, str]) -> None:
        """Lay every variable of the form CALLREC_SECTION__KEY over what is there.

        Raises:
            ConfigurationError: if a variable names an array of tables, or is no value of its key's type.
        """
        for name in sorted(environ):
            if not (found := _VARIABLE.fullmatch(name)):
                continue
            section, key = found[1].lower(), found[2].lower()
            value = _value_of(name, environ[name], section, key)
            table = self.tables.setdefault(section, {})
            if not isinstance(table, dict):
                raise ConfigurationError(
                    f"environment: {name}: found an override of [[{section}]], expected it in a file"
                )
            table[key] = value
            origin = self.origins.known[section, key] = EnvironmentOrigin(name)
            self.origins.known.setdefault((section,), origin)

    def _merge(
        self, into: dict[str, Any], tables: Mapping[str, Any], to: KeyPath, within: KeyPath, where: _Where
    ) -> None:
        for key, value in tables.items():
            path, local = (*to, key), (*within, key)
            self.origins.known[path] = where.of(local)
            present = into.get(key)
            if isinstance(value, dict):
                table = present if isinstance(present, dict) else {}
                into[key] = table
                self._merge(table, value, path, local, where)
            elif _is_array_of_tables(value):
                rows: list[Any] = present if isinstance(present, list) and _is_array_of_tables(present) else []
                into[key] = rows
                self._append(rows, value, path, local, where)
            else:
                into[key] = value
                self._note_elements(value, path, local, where)

    def _append(self, rows: list[Any], more: list[Any], path: KeyPath, local: KeyPath, where: _Where) -> None:
        for index, row in enumerate(more):
            place: KeyPath = (*path, len(rows))
            self.origins.known[place] = where.of((*local, index))
            table: dict[str, Any] = {}
            rows.append(table)
            self._merge(table, row, place, (*local, index), where)

    def _note_elements(self, value: object, path: KeyPath, local: KeyPath, where: _Where) -> None:
        for index in range(len(value) if isinstance(value, list) else 0):
            self.origins.known[(*path, index)] = where.of((*local, index))


@dataclass(frozen=True, slots=True)
class _OriginsOfFile:
    path: Path
    lines: Mapping[KeyPath, int]

    def of(self, local: KeyPath) -> Origin:
        return FileOrigin(self.path, self.lines.get(local, 1))


@dataclass(frozen=True, slots=True)
class _OneOrigin:
    origin: Origin

    def of(self, _local: KeyPath) -> Origin:
        return self.origin


_Where = _OriginsOfFile | _OneOrigin


def _is_array_of_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _text_of(path: Path) -> str:
    """Return a configuration file's text, or say what keeps it from being read."""
    try:
        return path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except FileNotFoundError:
        advice = "copy config/callrec.toml of the distribution there, or name another file with --config FILE"
        raise ConfigurationError(f"{path}: found no such file, expected the configuration: {advice}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path}: found bytes that are no UTF-8 at {error.start}, expected UTF-8 text"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path}: found {error.strerror}, expected a file that can be read") from None


def locate_or_refuse(path: Path, text: str) -> dict[KeyPath, int]:
    """Return the lines of a TOML text's keys.

    Raises:
        ConfigurationError: if it is no TOML; the message names the line.
    """
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" \(at line (\d+), column (\d+)\)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        reason = re.sub(r" \(at .*\)", "", str(error))
        content = (text.splitlines() or [""])[min(line, text.count("\n") + 1) - 1 :][:1]
        shown = repr(content[0].strip()[:60]) if content else "the end of the file"
        raise ConfigurationError(f"{path}:{line}: found {shown}, expected valid TOML: {reason}") from None
    return locate(text)


def _value_of(name: str, text: str, section: str, key: str) -> object:
    """Return a variable's value: text stays text where the key wants text, anything else is read as TOML.

    A list may also be written with commas: `CALLREC_SIP__LISTEN=udp://10.0.0.1:5060,tcp://10.0.0.1:5060`.
    """
    kind = _kind_of(section, key)
    if kind is tuple and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind not in {int, bool, tuple}:
        return text
    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # the model says what it expected instead
    except KeyError:
        raise ConfigurationError(f"environment: {name}: found {text!r}, expected one value") from None


def _kind_of(section: str, key: str) -> type | None:
    """Return int, bool or tuple where a key wants such a value, None where it wants text or does not exist."""
    outer = Settings.model_fields.get(section)
    if outer is None:
        return None
    for candidate in (outer.annotation, *get_args(outer.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel) and key in candidate.model_fields:
            annotation = candidate.model_fields[key].annotation
            kind = get_origin(annotation) or annotation
            kinds: tuple[type, ...] = (int, bool, tuple)
            return kinds[kinds.index(kind)] if kind in kinds else None
    return None
