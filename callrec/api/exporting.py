"""The path that gives a recording to somebody: rendered by a helper into memory, sent, and gone."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from callrec.api.helpers import Helpers, one
from callrec.api.parts import MayListen, Parts
from callrec.api.ports import StoredRecording
from callrec.api.problems import problem_of
from callrec.api.replies import encode, problem_response
from callrec.api.roles import Permission
from callrec.errors import CallrecError
from callrec.tasks import Tasks
from callrec.vault.export_order import ExportJob

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

log = logging.getLogger("callrec.api")

router = APIRouter(tags=["recordings"])

EXPORT_JOB = "callrec.vault.export_job"
FRAMED = "application/x-callrec-export"
"""Lines of JSON, `{"progress": 0.4}` …, the last `{"size": N, …}`, then N bytes of the file; or `{"problem": …}`."""

_CHUNK = 262_144
_PATIENCE_S = 60.0
"""A client that takes nothing for so long is given up."""


class Format(StrEnum):
    """What a recording can be exported as."""

    WAV = "wav"
    FLAC = "flac"
    MP3 = "mp3"
    OPUS = "opus"
    PCAPNG = "pcapng"


_MEDIA_TYPES: Mapping[Format, str] = {
    Format.WAV: "audio/wav",
    Format.FLAC: "audio/flac",
    Format.MP3: "audio/mpeg",
    Format.OPUS: "audio/ogg",
    Format.PCAPNG: "application/x-pcapng",
}


@router.get("/calls/{call}/export", response_class=Response)
async def export(  # noqa: PLR0913, PLR0917 - what a client may say in the query
    parts: Parts,
    actor: MayListen,
    call: str,
    format: Format = Format.WAV,  # noqa: A002  the name of the parameter is the name clients write
    progress: bool = False,  # noqa: FBT001, FBT002  a query parameter, always given by name
    reason: Annotated[str, Query(max_length=2000)] = "",
) -> Response:
    """Return a call's recording in a format; with `progress`, framed by lines that say how far the work is.

    What is restricted is used only by a role that keeps promises as well as listens, and with a reason (LAW-42).
    """
    despite = bool(reason.strip()) and actor.may(Permission.PROMISES)
    recording = await parts.recorder.recording(call, despite_restriction=despite)
    detail = {"call_id": recording.call_id, "format": format.value, **({"reason": reason} if reason else {})}
    await parts.recorder.audit(actor.name, "recording.export", detail)
    return ExportResponse(Export(parts.helpers, recording, format), framed=progress)


@dataclass(frozen=True, slots=True)
class Export:
    """One recording on its way out."""

    helpers: Helpers
    recording: StoredRecording
    format: Format

    def job(self, output: int) -> str:
        """Return the job for the helper, which writes into an open file."""
        recording = self.recording
        paths = tuple(part.path for part in recording.parts)
        return ExportJob(recording.recording_id, paths, recording.audio_key, self.format.value, fd=output).to_json()

    @property
    def names(self) -> dict[str, str]:
        """Return what is being exported, for the client's report."""
        recording = self.recording
        return {"call_id": recording.call_id, "recording_id": recording.recording_id, "format": self.format.value}

    @property
    def headers(self) -> dict[str, str]:
        """Return how the file is called; the name says nothing about whom it is of."""
        name = f"{self.recording.call_id}.{self.format.value}"
        return {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}


class ExportResponse(Response):
    """Renders while the client waits and sends from memory; a client that goes takes its helper with it."""

    def __init__(self, export: Export, *, framed: bool) -> None:
        super().__init__()
        self._export = export
        self._framed = framed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, for as long as somebody listens."""
        tasks = Tasks("export")
        gone = tasks.start("gone", _disconnected(receive))
        answer = tasks.start("answer", self._answer(scope, receive, send))
        try:
            await asyncio.wait({gone, answer}, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                await answer
        except TimeoutError:
            log.info("api: an export was given up: its client took nothing for %s s", _PATIENCE_S)
        finally:
            await tasks.stop()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._export.helpers.answer() as output:
            sender = _Sender(send, self._export)
            if self._framed:
                await self._framed_answer(sender, output)
                return
            try:
                await self._render(output, asyncio.Queue())
            except CallrecError as error:
                await problem_response(problem_of(error))(scope, receive, send)
                return
            await sender.begin(_MEDIA_TYPES[self._export.format], os.fstat(output).st_size)
            await sender.file(output)

    async def _framed_answer(self, sender: _Sender, output: int) -> None:
        """Send lines of progress while the helper works, then the size and the file."""
        await sender.begin(FRAMED, None)
        said: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue()
        tasks = Tasks("export")
        work = tasks.start("render", self._guarded(output, said))
        try:
            last: Mapping[str, Any] = {}
            while (line := await said.get()) is not None:
                last = line
                if line["type"] == "progress":
                    await sender.line({"progress": round(line["done"] / max(1, line["total"]), 3)})
            if (problem := await work) is not None:
                await sender.line({"problem": problem_of(problem).document()}, last=True)
                return
            details = {name: last.get(name) for name in ("duration_ms", "cut", "warnings")}
            await sender.line({**details, **self._export.names, "size": os.fstat(output).st_size})
            await sender.file(output)
        finally:
            await tasks.stop()

    async def _guarded(self, output: int, said: asyncio.Queue[Mapping[str, Any] | None]) -> CallrecError | None:
        try:
            await self._render(output, said)
        except CallrecError as error:
            return error
        finally:
            said.put_nowait(None)
        return None

    async def _render(self, output: int, said: asyncio.Queue[Mapping[str, Any] | None]) -> None:
        await self._export.helpers.run(EXPORT_JOB, one(self._export.job(output)), said.put_nowait, output=output)


class _Sender:
    """Sends the pieces of one response, and gives up on a client that takes none."""

    def __init__(self, send: Send, export: Export) -> None:
        self._send = send
        self._export = export

    async def begin(self, media_type: str, size: int | None) -> None:
        headers = {"content-type": media_type, **self._export.headers}
        if size is not None:
            headers["content-length"] = str(size)
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": raw})

    async def line(self, content: Mapping[str, Any], *, last: bool = False) -> None:
        await self._piece(encode(content) + b"\n", more=not last)

    async def file(self, descriptor: int) -> None:
        async for piece in _pieces(descriptor):
            await self._piece(piece, more=True)
        await self._piece(b"", more=False)

    async def _piece(self, body: bytes, *, more: bool) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            await self._send({"type": "http.response.body", "body": body, "more_body": more})


async def _pieces(descriptor: int) -> AsyncIterator[bytes]:
    """Give the file in pieces; it lies in memory, so reading it never waits for a disk."""
    offset = 0
    while piece := os.pread(descriptor, _CHUNK, offset):
        offset += len(piece)
        yield piece


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
