"""Paths about backups: made while the recorder runs, the copies that exist, and a person's word after a restore."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from callrec.api.parts import MayAdminister, Parts
from callrec.api.ports import Recorder
from callrec.api.problems import problem_of
from callrec.api.replies import JsonReply, encode
from callrec.errors import CallrecError
from callrec.tasks import Tasks

router = APIRouter(tags=["backups"])

Line = Mapping[str, Any]


class BackupParameters(BaseModel):
    """Where to, and how much."""

    model_config = ConfigDict(extra="forbid")

    to: str = Field(
        min_length=1, max_length=4096, description="A folder, as an absolute path on the recorder's machine."
    )
    keys_only: bool = Field(default=False, description="Copy the keyring alone.")


class Acceptance(BaseModel):
    """Why what a restore left in doubt is right."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(max_length=2000)


@router.get("/backups")
async def copies(parts: Parts, _actor: MayAdminister) -> JsonReply:
    """Return the copies of keyring and catalogue that are known to exist, the oldest first."""
    return JsonReply({"items": await parts.recorder.backups.copies(), "next": None})


@router.post("/backups")
async def create(parts: Parts, actor: MayAdminister, asked: Annotated[BackupParameters, Query()]) -> StreamingResponse:
    """Make a backup: JSON lines `{"recordings": n}` now and then, and `{"set": …}` as the last."""
    return StreamingResponse(_lines(parts.recorder, asked, actor.name), media_type="application/x-ndjson")


@router.post("/backups/accept")
async def accept(parts: Parts, actor: MayAdminister, given: Acceptance) -> JsonReply:
    """Accept the ledger as it is, and promises that a restored catalogue lacks as lost."""
    accepted = await parts.recorder.backups.accept(reason=given.reason, actor=actor.name)
    return JsonReply({"accepted": accepted})


async def _lines(recorder: Recorder, asked: BackupParameters, actor: str) -> AsyncIterator[bytes]:
    said: asyncio.Queue[Line | None] = asyncio.Queue()
    tasks = Tasks("backup")
    tasks.start("create", _work(recorder, asked, actor, said))
    try:
        while (line := await said.get()) is not None:
            yield encode(line) + b"\n"
    finally:
        await tasks.stop()


async def _work(recorder: Recorder, asked: BackupParameters, actor: str, said: asyncio.Queue[Line | None]) -> None:
    def tell(count: int) -> None:
        said.put_nowait({"recordings": count})

    try:
        made = await recorder.backups.create(asked.to, keys_only=asked.keys_only, actor=actor, tell=tell)
        said.put_nowait({"set": made})
    except CallrecError as error:
        said.put_nowait({"problem": problem_of(error).document()})
    finally:
        said.put_nowait(None)
