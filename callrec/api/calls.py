"""Paths that find and show calls."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from callrec.api.parts import MayFind, Parts
from callrec.api.problems import misuse
from callrec.api.replies import JsonReply, shown_to
from callrec.calling_line import mask, normalise_query
from callrec.catalogue.values import NOT_RECORDED_REASONS, RECORDED_REASONS, FindQuery

router = APIRouter(tags=["calls"])

LARGEST_PAGE = 200
"""Items at once: 3 ms of the event loop. Whoever wants all follows `next`."""

_ENDING = re.compile(r"\*\d{4,15}")
_OUTCOMES = frozenset({"recorded", "not_recorded"}) | RECORDED_REASONS | NOT_RECORDED_REASONS


class FindParameters(BaseModel):
    """What to look for. All conditions must hold; none means every call."""

    model_config = ConfigDict(extra="forbid")

    number: str | None = Field(None, max_length=64, description="In any spelling; `*0123` = ends with.")
    text: str | None = Field(None, max_length=128, description="Words of a name, or a call reference.")
    since: AwareDatetime | None = Field(None, description="RFC 3339; calls that began then or later.")
    until: AwareDatetime | None = Field(None, description="RFC 3339; calls that began before.")
    direction: Literal["inbound", "outbound", "internal"] | None = None
    outcome: str | None = Field(None, description="`recorded`, `not_recorded` or an outcome reason.")
    limit: int = Field(100, ge=1, le=LARGEST_PAGE)
    cursor: str | None = Field(None, max_length=512, description="`next` of the page before.")


@router.get("/calls")
async def find(parts: Parts, actor: MayFind, asked: Annotated[FindParameters, Query()]) -> JsonReply:
    """Return a page of calls, newest first."""
    query = query_of(asked)
    page = await parts.recorder.find(query)
    if asked.cursor is None:  # one search is one entry, however many pages it has
        await parts.recorder.audit(actor.name, "calls.find", _masked_search(query))
    return JsonReply({"items": [shown_to(actor, item) for item in page.items], "next": page.next})


@router.get("/calls/{call}")
async def show(parts: Parts, actor: MayFind, call: str) -> JsonReply:
    """Return one call, named by a call id, recording id, call reference or a unique prefix of an id."""
    item = await parts.recorder.get(call)
    await parts.recorder.audit(actor.name, "calls.show", {"call_id": item["call_id"]})
    return JsonReply(shown_to(actor, item))


def query_of(asked: FindParameters) -> FindQuery:
    """Return what the catalogue is asked.

    Raises:
        OperatorError: with exit code 2, if the number or the outcome cannot be understood.
    """
    if asked.outcome is not None and asked.outcome not in _OUTCOMES:
        expected = ", ".join(sorted(_OUTCOMES))
        raise misuse(f"outcome: found {asked.outcome!r}, expected one of {expected}")
    return FindQuery(
        number=None if asked.number is None else number_of(asked.number),
        text=asked.text,
        since=asked.since,
        until=asked.until,
        direction=asked.direction,
        outcome=asked.outcome,
        limit=asked.limit,
        cursor=asked.cursor,
    )


def number_of(text: str) -> str:
    """Return a number as the catalogue's index knows it: E.164, or `*` and the last digits.

    Raises:
        OperatorError: with exit code 2, if it is no number.
    """
    text = text.strip()
    if text.startswith("*"):
        ending = "*" + re.sub(r"[\s().-]", "", text[1:])
        if not _ENDING.fullmatch(ending):
            raise misuse("number: after * the last four digits or more are expected, such as *0123")
        return ending
    number = normalise_query(text)
    if number is None:
        raise misuse(f"number: found {text!r}, expected a number such as 020 7946 0123, +442079460123 or *0123")
    return number


def whole_number_of(text: str) -> str:
    """Return a number in E.164.

    Raises:
        OperatorError: with exit code 2, if it is none, or only its end: the last digits may belong to several people.
    """
    number = number_of(text)
    if number.startswith("*"):
        raise misuse("number: a whole number is expected; the last digits may belong to several people")
    return number


def _masked_search(query: FindQuery) -> dict[str, Any]:
    """Return a search as it may be written down (an audit row about no one call holds masked numbers only)."""
    detail: dict[str, Any] = {}
    if query.number is not None:
        detail["number"] = mask(query.number)
    if query.text is not None:
        detail["text"] = "given"
    for name in ("since", "until", "direction", "outcome"):
        value = getattr(query, name)
        if value is not None:
            detail[name] = value.isoformat() if isinstance(value, datetime) else value
    return detail
