"""Settings as a person reads them: each key, its value as TOML, and where it came from; secrets are masked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from pydantic import BaseModel

from callrec.settings.model import Settings
from callrec.settings.origin import DEFAULT, KeyPath, Origin, show_key
from callrec.settings.values import write_duration

_SECRET_ENDINGS = ("password", "secret", "passphrase", "token")


@dataclass(frozen=True, slots=True)
class Explained:
    """One setting: `sip.max_calls`, `500`, `/etc/callrec/callrec.toml:14`."""

    key: str
    value: str
    origin: str


def explain(settings: Settings) -> list[Explained]:
    """Return every setting in the order of the documentation."""
    return [
        Explained(show_key(path), _masked(path, value), str(_origin(settings, path)))
        for path, value in _leaves(settings, ())
    ]


def as_toml(value: object) -> str:
    """Return a value as an operator writes it in the configuration file."""
    match value:
        case bool():
            return "true" if value else "false"
        case Enum():
            return json.dumps(value.value)
        case timedelta():
            return json.dumps(write_duration(value))
        case range():
            return json.dumps(f"{value.start}-{value.stop - 1}")
        case tuple():
            return f"[{', '.join(as_toml(part) for part in value)}]"
        case None:
            return '""'
        case int() if type(value) is int:
            return str(value)
    return json.dumps(str(value), ensure_ascii=False)


def _leaves(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, object]]:
    if isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            yield from _leaves(getattr(value, name), (*path, info.alias or name))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, str(key)))
    elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        for index, row in enumerate(value):
            yield from _leaves(row, (*path, index))
    elif not (value in ((), None) and len(path) == 1):  # a table that is not there has nothing to show
        yield path, value


def _origin(settings: Settings, path: KeyPath) -> Origin:
    return settings.origins.known.get(path, DEFAULT)


def _masked(path: KeyPath, value: object) -> str:
    secret = str(path[-1]).endswith(_SECRET_ENDINGS) and value
    return '"********"' if secret else as_toml(value)
