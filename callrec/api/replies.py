"""What goes back: JSON as contract.md writes it, problems, and calls with numbers as the actor may see them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse

from callrec.api.problems import MEDIA_TYPE, Problem
from callrec.api.roles import Actor, Permission
from callrec.calling_line import mask
from callrec.clock import rfc3339

NUMBER_FIELDS = (
    "network_number",
    "presentation_number",
    "presentation_other",
    "called_number",
    "diverting_number",
    "original_called_number",
)
"""Fields of an item, and of an event's data, that hold a telephone number."""


class JsonReply(JSONResponse):
    """JSON in UTF-8, times as RFC 3339 in UTC."""

    def render(self, content: Any) -> bytes:
        """Return the content as bytes."""
        return encode(content)


def encode(content: Any) -> bytes:
    """Return content as compact JSON in UTF-8."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=_plain).encode()


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"internal error: {type(value).__name__} has no form in JSON")


def problem_response(problem: Problem, *, close: bool = False) -> JsonReply:
    """Return a problem as its HTTP response; `close` ends the connection after it."""
    headers = {"connection": "close"} if close else None
    return JsonReply(problem.document(), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def shown_to(actor: Actor, item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an item, or an event's data, as the actor may see it: numbers in full, or masked and without a name."""
    return item if actor.may(Permission.NUMBERS) else masked(item)


def masked(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item with its numbers masked and its name left out."""
    copy = dict(item)
    for name in NUMBER_FIELDS:
        if isinstance(number := copy.get(name), str):
            copy[name] = mask(number)
    if copy.get("display_name"):
        copy["display_name"] = None
    return copy
