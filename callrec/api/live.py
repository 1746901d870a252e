"""Paths about calls that go on: listed, paused, resumed, and their recording ended (LAW-72, LAW-39, NOT-18)."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from callrec.api.once import OnceRoute
from callrec.api.parts import MayFind, MaySteer, Parts
from callrec.api.problems import not_allowed
from callrec.api.replies import JsonReply, shown_to
from callrec.api.roles import Permission

router = APIRouter(tags=["live calls"], route_class=OnceRoute)

Call = Annotated[str, Path(min_length=1, max_length=64, description="An id, its unique beginning, or a reference.")]


class Wish(BaseModel):
    """Why; runs of four digits or more in it are not written down."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", max_length=500)


class PauseWish(Wish):
    """What the pause is for, and why; the purpose is shown with the paused span."""

    purpose: Literal["card_payment", "bank_details", "security_check", "other"] = "card_payment"


class StopWish(Wish):
    """Whether what was stored so far is to be destroyed."""

    discard: bool = False


@router.get("/calls/live")
async def live(parts: Parts, actor: MayFind) -> JsonReply:
    """Return the calls in progress, newest first."""
    return JsonReply({"items": [shown_to(actor, item) for item in parts.recorder.live_calls()], "next": None})


@router.post("/calls/{call}/pause")
async def pause(parts: Parts, actor: MaySteer, call: Call, wish: PauseWish | None = None) -> JsonReply:
    """Store nothing of either side until `resume`; the answer comes when that is so. It ends by itself after a limit.

    A payment page calls this before it asks for the card. Asked again it is one pause, and the limit begins anew.
    """
    asked = wish or PauseWish()
    state = await parts.recorder.live.pause(call, purpose=asked.purpose, reason=asked.reason, actor=actor.name)
    return JsonReply(state.document())


@router.post("/calls/{call}/resume")
async def resume(parts: Parts, actor: MaySteer, call: Call, wish: Wish | None = None) -> JsonReply:
    """Store again what is said from now on; a call that is not paused stays as it is."""
    reason = (wish or Wish()).reason
    return JsonReply((await parts.recorder.live.resume(call, reason=reason, actor=actor.name)).document())


@router.post("/calls/{call}/stop")
async def stop(parts: Parts, actor: MaySteer, call: Call, wish: StopWish | None = None) -> JsonReply:
    """Record nothing more of this call; `discard`, for those who may delete, destroys what it stored."""
    asked = wish or StopWish()
    if asked.discard and not actor.may(Permission.DELETE):
        raise not_allowed(f"user {actor.name} may not {Permission.DELETE.value}; without discard the recording ends")
    state = await parts.recorder.live.stop(call, discard=asked.discard, reason=asked.reason, actor=actor.name)
    return JsonReply(state.document())
