"""Paths about the recorder itself: its state, the description of this API, and new notices."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from callrec.api.parts import MayAdminister, MaySeeStatus, Parts
from callrec.api.replies import JsonReply

router = APIRouter(tags=["recorder"])


@router.get("/status")
async def status(parts: Parts, _actor: MaySeeStatus) -> JsonReply:
    """Return how the recorder is: `pid, version, recording, problems, active_calls, workers, outbox, broker, …`."""
    return JsonReply(parts.recorder.status())


@router.get("/openapi.json")
async def openapi(request: Request, _actor: MaySeeStatus) -> JsonReply:
    """Return this description."""
    description: dict[str, Any] = request.app.openapi()
    return JsonReply(description)


@router.post("/notices/reload")
async def reload_notices(parts: Parts, actor: MayAdminister) -> JsonReply:
    """Take newly imported notices into use for calls to come."""
    parts.recorder.reload_notices()
    await parts.recorder.audit(actor.name, "notice.reload", {})
    return JsonReply({"reloaded": True})
