"""Paths in the configuration: relative to its file, and bare names of `_file` keys as systemd credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, ValidationInfo


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a path is read against: the folder of the configuration file and the environment."""

    base: Path
    environ: Mapping[str, str]


def _resolve(value: object, info: ValidationInfo) -> object:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("a path, not empty")
    surroundings = info.context
    return surroundings.base / value if isinstance(surroundings, Surroundings) else Path(value)


def _resolve_file(value: object, info: ValidationInfo) -> object:
    """Keep a bare name as it is: what it means depends on `paths.state`, which is not known yet."""
    if value == "":
        return None  # an optional file that is not set; a required one is refused by its type
    if isinstance(value, str) and "/" not in value:
        return Path(value)
    return _resolve(value, info)


ResolvedPath = Annotated[Path, BeforeValidator(_resolve)]
ResolvedFile = Annotated[Path, BeforeValidator(_resolve_file)]
OptionalFile = Annotated[Path | None, BeforeValidator(_resolve_file)]


def credential_path(name: Path, state: Path, environ: Mapping[str, str]) -> Path:
    """Return where the file of a bare name lies: among the systemd credentials, else in the state folder.

    Under systemd a name that is no credential of this unit but lies in the state folder is taken from there, so that
    a unit may be given the broker's password as a credential and keep its master key in a file.
    """
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    if not directory:
        return state / name
    credential = Path(directory) / name
    if not credential.exists() and (state / name).exists():
        return state / name
    return credential
