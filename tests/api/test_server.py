"""The socket: never two recorders on one, never somebody else's file overwritten."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import httpx
import pytest

from callrec.api import server
from callrec.api.app import create_app
from callrec.api.server import ApiServer, bind_socket
from callrec.errors import OperatorError
from tests.api.fake_recorder import FakeRecorder
from tests.api.serving import ADMIN, Served, served


def test_a_socket_left_by_a_dead_process_is_replaced(folder: Path) -> None:
    """After kill -9 the name is still there; the next start takes it over."""
    path = folder / "api.sock"
    bind_socket(path).close()
    assert path.is_socket()
    with bind_socket(path):
        socket.socket(socket.AF_UNIX).connect(str(path))


def test_a_second_recorder_on_the_same_socket_is_told_so(folder: Path) -> None:
    """The one that answers keeps its socket; the other ends with 75."""
    path = folder / "api.sock"
    with bind_socket(path), pytest.raises(OperatorError, match="another recorder answers") as told:
        bind_socket(path)
    assert told.value.exit_code == 75


@pytest.mark.parametrize("name", ["file", "x" * 120])
def test_what_cannot_be_a_socket_is_a_fault_of_the_configuration(folder: Path, name: str) -> None:
    """A file in the place, or a path too long for the kernel: exit code 78, and the file is left alone."""
    path = folder / name
    if name == "file":
        path.write_text("precious")
    with pytest.raises(OperatorError, match=r"\[api\] socket") as told:
        bind_socket(path)
    assert told.value.exit_code == 78
    assert name != "file" or path.read_text() == "precious"


async def test_signals_stay_with_the_recorder(folder: Path) -> None:
    """The web server inside the recorder leaves SIGTERM and SIGINT alone."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    async with served(folder):
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


async def test_stopping_removes_the_socket_and_ends_streams(folder: Path) -> None:
    """Somebody who follows events does not keep the recorder from ending."""
    path = folder / "api.sock"
    server_under_test = ApiServer(create_app(FakeRecorder(folder), roles=lambda: ADMIN), path)
    await server_under_test.start()
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://callrec/api/v1") as client,
        client.stream("GET", "/events/stream") as reply,
        asyncio.timeout(5),
    ):
        assert reply.status_code == 200
        await server_under_test.stop()
    assert not path.exists()


async def test_one_user_cannot_take_every_connection(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit of one OS user, connections are closed at accept; when some go, others come in."""
    monkeypatch.setattr(server, "CONNECTIONS_PER_USER", 3)
    held = []
    for _ in range(5):
        reader, writer = await asyncio.open_unix_connection(str(api.socket))
        held.append((reader, writer))
    async with asyncio.timeout(5):
        for reader, _ in held[3:]:
            assert await _ended(reader)
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        while (await _status(api)) != 200:  # noqa: ASYNC110  the server tells nobody of connections that end
            await asyncio.sleep(0.01)


async def _ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read(1) == b""
    except ConnectionResetError:
        return True


async def _status(api: Served) -> int:
    try:
        return (await api.get("/status")).status_code
    except OSError:
        return 0
