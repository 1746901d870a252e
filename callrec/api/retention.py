"""Paths about how long calls are kept. Plans are streams: they may have a line for every call there is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from callrec.api.once import OnceRoute
from callrec.api.parts import MayKeepPromises, Parts
from callrec.api.problems import problem_of
from callrec.api.replies import JsonReply, encode
from callrec.errors import CallrecError

router = APIRouter(tags=["retention"], route_class=OnceRoute)

_LINES_AT_ONCE = 200


class ClassRow(BaseModel):
    """A retention class as `[[retention_class]]` has it."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    keep: str = Field(min_length=2, max_length=16)
    from_: Literal["call", "relationship_end", "contract_end"] = Field("call", alias="from")


class Simulation(BaseModel):
    """Classes that would hold, and the day to look at."""

    model_config = ConfigDict(extra="forbid")

    classes: list[ClassRow] = Field(min_length=1, max_length=100)
    at: date | None = None


class Approval(BaseModel):
    """The plan that was looked at."""

    model_config = ConfigDict(extra="forbid")

    hash: str = Field(min_length=1, max_length=128)


@router.get("/retention")
async def show(parts: Parts, _actor: MayKeepPromises) -> JsonReply:
    """Return the classes in force, what waits for approval, and the last run."""
    return JsonReply(await parts.recorder.promises.retention.show())


@router.get("/retention/calls/{call}")
async def explain(parts: Parts, actor: MayKeepPromises, call: str) -> JsonReply:
    """Return in one sentence why a call still exists, and when it goes."""
    document = await parts.recorder.promises.retention.explain(call)
    await parts.recorder.audit(actor.name, "retention.explain", {"call_id": document["call_id"]})
    return JsonReply(document)


@router.get("/retention/plan")
async def plan(
    parts: Parts, actor: MayKeepPromises, at: Annotated[date | None, Query(description="Of that day.")] = None
) -> StreamingResponse:
    """Return a JSON line for each call that a run would delete, and last the sums with the hash to approve."""
    await parts.recorder.audit(actor.name, "retention.plan", {"at": at.isoformat() if at else None})
    return _stream(parts.recorder.promises.retention.plan(at))


@router.post("/retention/simulate")
async def simulate(parts: Parts, actor: MayKeepPromises, asked: Simulation) -> StreamingResponse:
    """Return a JSON line for each call whose end would move under other classes, and last the sums."""
    classes = [row.model_dump(by_alias=True) for row in asked.classes]
    await parts.recorder.audit(actor.name, "retention.simulate", {"classes": classes})
    return _stream(parts.recorder.promises.retention.simulate(classes, asked.at))


@router.post("/retention/approve")
async def approve(parts: Parts, actor: MayKeepPromises, given: Approval) -> JsonReply:
    """Let the plan of that hash be carried out by the next run."""
    return JsonReply(await parts.recorder.promises.retention.approve(given.hash, actor.name))


@router.post("/retention/run")
async def run(parts: Parts, actor: MayKeepPromises) -> JsonReply:
    """Delete what is due now, unless somebody has to approve it first."""
    return JsonReply(await parts.recorder.promises.retention.run(actor.name))


def _stream(documents: AsyncIterator[Mapping[str, Any]]) -> StreamingResponse:
    return StreamingResponse(_lines(documents), media_type="application/x-ndjson")


async def _lines(documents: AsyncIterator[Mapping[str, Any]]) -> AsyncIterator[bytes]:
    held: list[bytes] = []
    try:
        async for document in documents:
            held.append(encode(document) + b"\n")
            if len(held) >= _LINES_AT_ONCE:
                yield b"".join(held)
                held.clear()
    except CallrecError as error:
        held.append(encode({"problem": problem_of(error).document()}) + b"\n")
    yield b"".join(held)
