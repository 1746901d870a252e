"""The JSON Schemas of everything that is published (2020-12), shipped with the package."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

EVENT_TYPES: tuple[tuple[str, str], ...] = (
    ("call", "started"),
    ("call", "answered"),
    ("call", "transferred"),
    ("call", "one_way_audio"),
    ("call", "ended"),
    ("notice", "completed"),
    ("recording", "started"),
    ("recording", "sealed"),
    ("recording", "gap"),
    ("recording", "paused"),
    ("recording", "resumed"),
    ("recording", "erased"),
    ("subject", "erased"),
    ("request", "opened"),
    ("request", "approved"),
    ("request", "refused"),
    ("request", "due_soon"),
    ("request", "overdue"),
    ("request", "executed"),
    ("request", "completed"),
    ("system", "started"),
    ("system", "stopping"),
    ("system", "degraded"),
    ("system", "recovered"),
    ("event", "erased"),
)
"""Noun and verb of every event; `event/erased` is what is left of one about an erased call."""

_SHARED = ("envelope", "item", "request")


def load_schema(noun: str, verb: str) -> dict[str, Any]:
    """Return the schema of an event's whole document, the schemas it refers to bundled under `$defs`.

    Raises:
        KeyError: if there is no such event.
    """
    if (noun, verb) not in EVENT_TYPES:
        raise KeyError(f"{noun}/{verb}")
    schema = _read(f"{noun}.{verb}")
    schema["$defs"] = {name: _read(name) for name in _SHARED}
    return schema


def load_retained_schema(topic: str) -> dict[str, Any]:
    """Return the schema of a retained document: `info`, `health` or `stats`.

    Raises:
        KeyError: if there is no such document.
    """
    if topic not in {"info", "health", "stats"}:
        raise KeyError(topic)
    return _read(f"retained.{topic}")


def _read(name: str) -> dict[str, Any]:
    text = resources.files("callrec.events").joinpath("schemas", f"{name}.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
