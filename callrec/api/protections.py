"""Paths about people who are never recorded, and calls that nobody may erase or use."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from callrec.api.calls import whole_number_of
from callrec.api.once import Key, OnceRoute
from callrec.api.parts import MayKeepPromises, Parts
from callrec.api.ports import Recorder
from callrec.api.replies import JsonReply

router = APIRouter(tags=["protections"], route_class=OnceRoute)

Id = Annotated[str, Field(min_length=1, max_length=64)]
Reason = Annotated[str, Field(max_length=2000)]

ACCESS_HOLD: Final = "sar_hold"
LEGAL_HOLD: Final = "legal_hold"
RESTRICTED: Final = "restricted"


class Stop(BaseModel):
    """Who is never to be recorded again: a number, or a party."""

    model_config = ConfigDict(extra="forbid")

    number: str | None = Field(None, max_length=64)
    party: str | None = Field(None, max_length=64)
    discard: bool = Field(default=False, description="Destroy what a call in progress has stored so far.")
    reason: Reason = ""

    @model_validator(mode="after")
    def _one_of_them(self) -> Stop:
        if (self.number is None) == (self.party is None):
            raise ValueError("either a number or a party is expected")
        return self


class Protection(BaseModel):
    """What is protected: calls, or what belongs to a number or a party, with what comes later."""

    model_config = ConfigDict(extra="forbid")

    ids: list[Id] = Field(default_factory=list, max_length=10_000)
    number: str | None = Field(None, max_length=64)
    party: str | None = Field(None, max_length=64)
    reason: str = Field(min_length=1, max_length=2000)
    review: date

    @model_validator(mode="after")
    def _one_of_them(self) -> Protection:
        if sum((bool(self.ids), self.number is not None, self.party is not None)) != 1:
            raise ValueError("either ids, or a number, or a party is expected")
        return self


class Hold(Protection):
    """A legal hold, or one until a person who asked for a copy is answered."""

    kind: Literal["legal_hold", "sar_hold"] = LEGAL_HOLD


class Release(BaseModel):
    """Why it is over."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = ""


@router.post("/stops")
async def add_stop(parts: Parts, actor: MayKeepPromises, given: Stop) -> JsonReply:
    """Never record somebody again, from this moment on; a call in progress stops being recorded at once."""
    document = await parts.recorder.promises.protections.stop_add(
        number=_number(given.number), party=given.party, discard=given.discard, reason=given.reason, actor=actor.name
    )
    return JsonReply(document)


@router.get("/stops")
async def list_stops(parts: Parts, actor: MayKeepPromises) -> JsonReply:
    """Return who is never recorded."""
    document = await parts.recorder.promises.protections.stop_list()
    await parts.recorder.audit(actor.name, "stop.list", {})
    return JsonReply({"next": None, **document})


@router.delete("/stops/{stop}")
async def remove_stop(parts: Parts, actor: MayKeepPromises, stop: str) -> JsonReply:
    """Lift a stop: calls of that person may be recorded again."""
    return JsonReply(await parts.recorder.promises.protections.stop_remove(stop, actor.name))


@router.post("/stops/{stop}/discard")
async def discard_stopped(parts: Parts, actor: MayKeepPromises, stop: str) -> JsonReply:
    """Destroy what calls had stored that were in progress when the stop ended their recording."""
    return JsonReply(await parts.recorder.promises.protections.stop_discard(stop, actor.name))


@router.post("/holds")
async def add_hold(parts: Parts, actor: MayKeepPromises, given: Hold, key: Key = None) -> JsonReply:
    """Keep calls from every erasure and every retention run, until somebody releases them."""
    return JsonReply(await _protect(parts.recorder, given.kind, given, actor.name, key))


@router.get("/holds")
async def list_holds(parts: Parts, actor: MayKeepPromises) -> JsonReply:
    """Return the holds in force, legal ones and those for a request for access, the oldest first."""
    document = await parts.recorder.promises.protections.list((LEGAL_HOLD, ACCESS_HOLD))
    await parts.recorder.audit(actor.name, "hold.list", {})
    return JsonReply({"next": None, **document})


@router.post("/restrictions")
async def add_restriction(parts: Parts, actor: MayKeepPromises, given: Protection, key: Key = None) -> JsonReply:
    """Keep calls, and let nobody play or export them without a reason."""
    return JsonReply(await _protect(parts.recorder, RESTRICTED, given, actor.name, key))


@router.get("/restrictions")
async def list_restrictions(parts: Parts, actor: MayKeepPromises) -> JsonReply:
    """Return the restrictions in force."""
    document = await parts.recorder.promises.protections.list(RESTRICTED)
    await parts.recorder.audit(actor.name, "restriction.list", {})
    return JsonReply({"next": None, **document})


@router.post("/holds/{protection}/release")
@router.post("/restrictions/{protection}/release")
async def release(parts: Parts, actor: MayKeepPromises, protection: str, given: Release) -> JsonReply:
    """Lift a hold or a restriction; erasures that waited for it go on."""
    return JsonReply(await parts.recorder.promises.protections.release(protection, actor.name, given.reason))


async def _protect(recorder: Recorder, kind: str, given: Protection, actor: str, key: str | None) -> Any:
    return await recorder.promises.protections.protect(
        kind,
        ids=given.ids,
        number=_number(given.number),
        party=given.party,
        reason=given.reason,
        review=given.review,
        actor=actor,
        idempotency_key=key,
    )


def _number(text: str | None) -> str | None:
    return None if text is None else whole_number_of(text)
