"""From a file to settings: read the layers, check them, and tell the first fault in one line."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from callrec.errors import ConfigurationError
from callrec.settings.checks import first_problem
from callrec.settings.layers import Layers
from callrec.settings.model import Settings
from callrec.settings.origin import EnvironmentOrigin, FileOrigin, KeyPath, NamedOrigin, Origin, Origins, show_key
from callrec.settings.paths import Surroundings, credential_path
from callrec.settings.problem import Problem

_KINDS = {bool: "true or false", int: "a whole number", str: "text", list: "an array", dict: "a table"}
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "an array in brackets",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "path_type": "a path",
    "missing": "a value",
}


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """Return the settings of a configuration file, `conf.d/*.toml` beside it, and the environment.

    Raises:
        ConfigurationError: at the first fault, in one line: `file:line: key: found X, expected Y`.
    """
    path = path.absolute()
    layers = Layers()
    layers.add_file(path)
    for part in sorted((path.parent / "conf.d").glob("*.toml")):
        layers.add_file(part)
    layers.add_environment(environ)
    return _settings_of(layers, Surroundings(path.parent, environ))


def build(tables: Mapping[str, Any], *, base: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the defaults with some keys set by a program, checked like a file; relative paths count from `base`.

    Raises:
        ConfigurationError: as `load` does, with `embedded` for the file.
    """
    environ = environ or {}
    layers = Layers()
    layers.add_named(tables, NamedOrigin("embedded"))
    layers.add_environment(environ)
    return _settings_of(layers, Surroundings(base.absolute(), environ))


def _settings_of(layers: Layers, surroundings: Surroundings) -> Settings:
    try:
        settings = Settings.model_validate(layers.tables, context=surroundings, by_alias=True, by_name=False)
    except ValidationError as error:
        raise _refusal(error, layers.origins) from None
    if problem := first_problem(settings):
        raise _error(layers.origins, problem)
    settings = _with_credentials(settings, surroundings.environ)
    settings.origins.known.update(layers.origins.known)
    return settings


def _with_credentials(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Return settings whose bare `_file` names have become paths."""
    changed: dict[str, object] = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            changed[name] = _with_paths(value, settings.paths.state, environ)
        elif isinstance(value, tuple):
            changed[name] = tuple(_with_paths(row, settings.paths.state, environ) for row in value)
    return settings.model_copy(update=changed)


def _with_paths(section: BaseModel, state: Path, environ: Mapping[str, str]) -> BaseModel:
    files = {key: getattr(section, key) for key in type(section).model_fields if key.endswith("_file")}
    bare = {key: file for key, file in files.items() if file is not None and not file.is_absolute()}
    if not bare:
        return section
    return section.model_copy(update={key: credential_path(file, state, environ) for key, file in bare.items()})


def _refusal(error: ValidationError, origins: Origins) -> ConfigurationError:
    """Return the error of the fault that stands first in the files, so that repairs go from top to bottom."""
    details = error.errors(include_url=False)
    # A misspelt key is told rather than the absence of the key it was meant to be.
    misspelt = {detail["loc"][:-1] for detail in details if detail["type"] == "extra_forbidden"}
    told = [d for d in details if d["type"] != "missing" or d["loc"][:-1] not in misspelt]
    return _error(origins, min((_problem(detail) for detail in told), key=lambda p: _place(origins.nearest(p.path))))


def _place(origin: Origin) -> tuple[int, str, int]:
    match origin:
        case FileOrigin(path, line):
            return (0, str(path), line)
        case EnvironmentOrigin(name):
            return (1, name, 0)
        case _:
            return (2, "", 0)


def _problem(detail: ErrorDetails) -> Problem:
    """Return one fault of pydantic's in our words."""
    path = tuple(part for part in detail["loc"] if part != "[key]")
    match detail["type"]:
        case "extra_forbidden":
            return Problem(path, "an unknown key", _known_keys(path))
        case "missing":
            return Problem(path, "nothing", _meaning(path))
        case "value_error":
            return Problem(path, _shown(detail["input"]), str(detail["ctx"]["error"]))
        case "too_short":
            return Problem(path, "nothing", f"at least {detail['ctx']['min_length']}")
    return Problem(path, _shown(detail["input"]), _expected(detail))


def _expected(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "enum" | "literal_error":
            return str(context["expected"]).replace("'", '"')
        case "greater_than_equal":
            return f"at least {context['ge']}"
        case "less_than_equal":
            return f"at most {context['le']}"
    return _EXPECTED.get(detail["type"], detail["msg"])


def _shown(value: object) -> str:
    """Return a value as it stands in TOML, shortened."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value}"' if len(value) <= 80 and value.isprintable() else f"{value[:60]!r}…"
        case int() | float():
            return str(value)
        case list() | dict():
            return _KINDS[type(value)]
    return str(value)[:80]


def _model_at(path: KeyPath) -> type[BaseModel] | None:
    """Return the section that holds the last key of a path."""
    model: type[BaseModel] = Settings
    for part in path[:-1]:
        if isinstance(part, int):
            continue
        names = {info.alias or name: info for name, info in model.model_fields.items()}
        if part not in names:
            return None
        annotation = names[part].annotation
        inner = [
            kind
            for kind in (annotation, *get_args(annotation))
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        ]
        if not inner:
            return None
        model = inner[0]
    return model


def _known_keys(path: KeyPath) -> str:
    model = _model_at(path)
    if model is None:
        return "none here"
    names = sorted(info.alias or name for name, info in model.model_fields.items())
    near = get_close_matches(str(path[-1]), names, n=1)
    return f'"{near[0]}"' if near else f"one of {', '.join(names)}"


def _meaning(path: KeyPath) -> str:
    """Return what a missing key is for."""
    model = _model_at(path)
    for name, info in model.model_fields.items() if model else ():
        if (info.alias or name) == path[-1] and info.description:
            return f"a value: {info.description.rstrip('.')}"
    return "a value"


def _error(origins: Origins, problem: Problem) -> ConfigurationError:
    origin = origins.nearest(problem.path)
    where = f"{origin}" if origin else "default"
    return ConfigurationError(f"{where}: {show_key(problem.path)}: found {problem.found}, expected {problem.expected}")
