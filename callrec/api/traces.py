"""The path that shows what a call's signalling was: its ladder, and what is known of its media."""

from __future__ import annotations

from fastapi import APIRouter

from callrec.api.parts import MayTrace, Parts
from callrec.api.replies import JsonReply
from callrec.sip.ladder import ladder

router = APIRouter(tags=["calls"])

_SHOWN = (
    "call_id",
    "call_reference",
    "direction",
    "started_at",
    "answered_at",
    "ended_at",
    "recording_started_at",
    "outcome",
    "outcome_reason",
    "recording_id",
    "flags",
    "legs",
    "segments",
)


@router.get("/calls/{call}/trace")
async def trace(parts: Parts, actor: MayTrace, call: str) -> JsonReply:
    """Return the SIP messages of a call as they went over the wire, and its legs and segments.

    Credentials, SRTP keys, and bodies in which digits may stand are crossed out. There is none of a withheld caller.
    """
    found = await parts.recorder.traces.read(call)
    await parts.recorder.audit(actor.name, "calls.trace", {"call_id": found.item["call_id"]})
    document = {name: found.item.get(name) for name in _SHOWN}
    messages = [rung.document() for rung in ladder(found.trace.messages)]
    return JsonReply({**document, "messages": messages, "left_out": found.trace.left_out})
