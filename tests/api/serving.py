"""The API of a fake recorder on a real UNIX socket, in the test's own loop or in a thread beside a real command."""

from __future__ import annotations

import asyncio
import getpass
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from callrec.api.app import create_app
from callrec.api.server import ApiServer
from callrec.settings import Role
from tests.api.fake_recorder import FakeRecorder

ME = getpass.getuser()
ADMIN: Mapping[str, Role] = {ME: Role.ADMIN}


@dataclass(frozen=True)
class Served:
    recorder: FakeRecorder
    socket: Path
    client: httpx.AsyncClient

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.client.get(path, params=query)


@contextmanager
def open_folder() -> Iterator[Path]:
    """Give a short folder that every user of the machine may enter."""
    with tempfile.TemporaryDirectory(prefix="callrec-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@asynccontextmanager
async def served(folder: Path, roles: Mapping[str, Role] = ADMIN) -> AsyncIterator[Served]:
    recorder = FakeRecorder(folder / "recordings")
    server = ApiServer(create_app(recorder, roles=lambda: roles), folder / "api" / "api.sock")
    await server.start()
    path = folder / "api" / "api.sock"
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://callrec/api/v1", timeout=20) as client:
            yield Served(recorder, path, client)
    finally:
        await server.stop()


class ServedInThread:
    """The same in a thread, for commands that block the test."""

    def __init__(self, folder: Path, roles: Mapping[str, Role] = ADMIN) -> None:
        self.socket = folder / "api.sock"
        self.recorder = FakeRecorder(folder / "recordings")
        self.roles = dict(roles)
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = ApiServer(create_app(self.recorder, roles=lambda: self.roles), self.socket)
        await server.start()
        self._ready.set()
        await self._stop.wait()
        await server.stop()

    def call(self, function: Any, *arguments: Any) -> None:
        """Run a function in the loop of the server."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(function, *arguments)

    def __enter__(self) -> ServedInThread:
        self._thread.start()
        assert self._ready.wait(10), "the API did not start"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._stop is not None
        self.call(self._stop.set)
        self._thread.join(10)
