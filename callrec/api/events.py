"""Paths that read the stored events: a page, or a stream that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from callrec.api.parts import MayReadEvents, Parts
from callrec.api.ports import Document, Recorder
from callrec.api.replies import JsonReply, encode, shown_to
from callrec.api.roles import Actor

router = APIRouter(tags=["events"])

LARGEST_PAGE = 500
HEARTBEAT_S = 15.0
"""An empty line as often as this tells both ends that the other is there."""

After = Annotated[int, Query(ge=0, lt=10**20, description="Events with a higher sequence.")]
Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE)]


@router.get("/events")
async def page(parts: Parts, actor: MayReadEvents, after: After = 0, limit: Limit = LARGEST_PAGE) -> JsonReply:
    """Return stored events in order; `next` is the sequence to go on after, or null at the end."""
    documents = await parts.recorder.events_after(after, limit)
    following = _sequence(documents[-1]) if len(documents) == limit else None
    return JsonReply({"items": [_shown(actor, document) for document in documents], "next": following})


@router.get("/events/stream")
async def stream(parts: Parts, actor: MayReadEvents, after: After = 0) -> StreamingResponse:
    """Return stored events and those to come, one JSON document a line; empty lines mean nothing."""
    return StreamingResponse(_lines(parts.recorder, actor, after), media_type="application/x-ndjson")


async def _lines(recorder: Recorder, actor: Actor, after: int) -> AsyncIterator[bytes]:
    while True:
        documents = await recorder.events_after(after, LARGEST_PAGE)
        if documents:
            yield b"".join(encode(_shown(actor, document)) + b"\n" for document in documents)
            after = _sequence(documents[-1])
            continue
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await recorder.wait_for_events(after)
        except TimeoutError:
            yield b"\n"


def _sequence(document: Document) -> int:
    return int(document["sequence"])


def _shown(actor: Actor, document: Document) -> dict[str, Any]:
    return {**document, "data": shown_to(actor, document.get("data") or {})}
