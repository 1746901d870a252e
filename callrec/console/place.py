"""The two settings a thin client needs, read without building them all: that takes longer than most commands."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from callrec.errors import ConfigurationError

DEFAULT_SOCKET = Path("/run/callrec/api.sock")
DEFAULT_ZONE = "Europe/London"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the recorder is, and whose days are counted."""

    socket: Path
    zone: ZoneInfo
    doubt: str = ""
    """Why the configuration could not be asked for the time zone; empty where it could."""


def read_place(
    config: Path, *, named: bool, socket: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Place:
    """Return `[api] socket` and `[org] timezone` of a configuration file, `conf.d/*.toml` and the environment.

    Args:
        config: the configuration file.
        named: whether a person named it; a default one that is missing or unreadable for this user means defaults.
        socket: the recorder's socket where it was named: then a configuration that cannot be used prevents nothing.
        environ: variables CALLREC_API__SOCKET and CALLREC_ORG__TIMEZONE count last.

    Raises:
        ConfigurationError: if no socket was named, and a file that was named cannot be read, or is no TOML.
    """
    if socket is None:
        return _read(config, environ, named=named)
    try:
        place = _read(config, environ, named=named)
    except ConfigurationError as error:
        return Place(socket, ZoneInfo(DEFAULT_ZONE), str(error))
    return Place(socket, place.zone)


def _read(config: Path, environ: Mapping[str, str], *, named: bool) -> Place:
    config = config.absolute()
    socket, zone = str(DEFAULT_SOCKET), DEFAULT_ZONE
    for path in (config, *sorted((config.parent / "conf.d").glob("*.toml"))):
        tables = _tables(path, needed=named)
        socket = _text(tables, "api", "socket") or socket
        zone = _text(tables, "org", "timezone") or zone
    socket = environ.get("CALLREC_API__SOCKET") or socket
    zone = environ.get("CALLREC_ORG__TIMEZONE") or zone
    return Place(config.parent / socket, _zone(config, zone))


def _tables(path: Path, *, needed: bool) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        if not needed:
            return {}
        advice = "name the configuration with --config FILE, or the socket with --socket FILE"
        raise ConfigurationError(f"{path}: found {error.strerror}, expected the configuration: {advice}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: found no TOML ({error}); callrec config check says more") from None


def _text(tables: Mapping[str, object], section: str, key: str) -> str:
    table = tables.get(section)
    value = table.get(key) if isinstance(table, dict) else None
    return value if isinstance(value, str) else ""


def _zone(config: Path, name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        found = f"org.timezone: found {name!r}, expected a time zone such as Europe/London"
        raise ConfigurationError(f"{config}: {found}") from None
