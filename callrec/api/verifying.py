"""The path that verifies the store: every recording read to its end by a helper, and files that belong to none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import APIRouter
from starlette.responses import StreamingResponse

from callrec.api.helpers import Helpers
from callrec.api.parts import MayAdminister, Parts
from callrec.api.ports import Recorder, StoredRecording
from callrec.api.problems import problem_of
from callrec.api.replies import encode
from callrec.errors import CallrecError
from callrec.tasks import Tasks

router = APIRouter(tags=["store"])

VERIFY_JOB = "callrec.api.verify_job"

Line = Mapping[str, Any]


@router.post("/store/verify")
async def verify(parts: Parts, actor: MayAdminister) -> StreamingResponse:
    """Return one JSON line for each recording and each foreign file, and `{"done": true}` as the last."""
    await parts.recorder.audit(actor.name, "store.verify", {})
    return StreamingResponse(_lines(parts.recorder, parts.helpers), media_type="application/x-ndjson")


async def _lines(recorder: Recorder, helpers: Helpers) -> AsyncIterator[bytes]:
    said: asyncio.Queue[Line | None] = asyncio.Queue()
    tasks = Tasks("verify")
    work = tasks.start("store", _work(recorder, helpers, said))
    try:
        while (line := await said.get()) is not None:
            yield encode(line) + b"\n"
        await work
    finally:
        await tasks.stop()


async def _work(recorder: Recorder, helpers: Helpers, said: asyncio.Queue[Line | None]) -> None:
    try:
        await helpers.run(VERIFY_JOB, _jobs(recorder), said.put_nowait)
        for path in await recorder.stray_files():
            found = "belongs to no recording; look where it comes from, then move it away"
            said.put_nowait({"path": str(path), "state": "foreign", "found": found})
        said.put_nowait({"done": True})
    except CallrecError as error:
        said.put_nowait({"problem": problem_of(error).document()})
    finally:
        said.put_nowait(None)


async def _jobs(recorder: Recorder) -> AsyncIterator[str]:
    async for recording in recorder.recordings():
        yield json.dumps(job_of(recording))


def job_of(recording: StoredRecording) -> dict[str, Any]:
    """Return what the helper needs to verify a recording."""
    return {
        "call_id": recording.call_id,
        "recording_id": recording.recording_id,
        "audio_key": recording.audio_key.hex(),
        "parts": [{"path": str(part.path), "segments": part.segments, "cut": part.cut} for part in recording.parts],
    }
