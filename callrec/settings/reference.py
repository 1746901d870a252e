"""The reference of all settings as Markdown, made from the model so that it cannot grow apart from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from callrec.settings.choices import choices_of
from callrec.settings.explain import as_toml
from callrec.settings.model import Settings

_KINDS = {bool: "true or false", int: "whole number", str: "text", Path: "path"}


def reference() -> str:
    """Return a table for each section: key, type, default, meaning."""
    return "\n".join(line for name, info in Settings.model_fields.items() for line in _section(name, info))


def _section(name: str, info: FieldInfo) -> Iterator[str]:
    model = next((kind for kind in _inner(info.annotation) if issubclass(kind, BaseModel)), None)
    if model is None:  # [roles] is a table of names the operator chooses
        yield from (f"### `[{name}]`", "", info.description or "", "", f"Default: `{_roles(info.default)}`", "")
        return
    heading = f"[[{name}]]" if get_origin(info.annotation) is tuple else f"[{name}]"
    yield from (f"### `{heading}`", "", (model.__doc__ or "").strip(), "")
    yield from ("| key | type | default | meaning |", "| --- | --- | --- | --- |")
    for key, field in model.model_fields.items():
        shown = (f"`{field.alias or key}`", _type_of(field), _default_of(field), field.description or "")
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in shown)} |"
    yield ""


def _roles(default: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {as_toml(role)}" for name, role in default.items())


def _inner(annotation: Any) -> list[type]:
    """Return the classes an annotation speaks of."""
    parts = (annotation, *get_args(annotation))
    return [part for part in parts if isinstance(part, type) and get_origin(part) is None]


def _type_of(field: FieldInfo) -> str:
    if words := choices_of(field.annotation):
        return ", ".join(words)
    if get_origin(field.annotation) is tuple and field.title is None:
        element = get_args(field.annotation)[0]
        titles = [part.title for part in getattr(element, "__metadata__", ()) if isinstance(part, FieldInfo)]
        return f"array of {titles[0]}" if titles else "array"
    if get_origin(field.annotation) is dict:
        return "table"
    return field.title or next((_KINDS[kind] for kind in _inner(field.annotation) if kind in _KINDS), "text")


def _default_of(field: FieldInfo) -> str:
    return "required" if field.is_required() else f"`{as_toml(field.default)}`"
