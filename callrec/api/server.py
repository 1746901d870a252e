"""The HTTP server on the UNIX socket, inside the recorder's event loop, without signal handlers of its own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from callrec.api.peer import Peer, peer_of
from callrec.errors import ExitCode, OperatorError
from callrec.tasks import Tasks

if TYPE_CHECKING:
    from fastapi import FastAPI

log = logging.getLogger("callrec.api")

SOCKET_MODE = 0o666
"""Anybody on this machine may knock; `[roles]` says who is let in (contract.md, "Who may")."""

DIRECTORY_MODE = 0o755

CONNECTIONS_PER_USER = 64
"""More at once from one OS user are closed at accept, so that nobody uses up the recorder's descriptors."""

_START_LIMIT_S = 5.0
_STOP_LIMIT_S = 2.0
_LONGEST_PATH = 107
"""sun_path of unix(7), without its closing zero."""


class PeerProtocol(H11Protocol):
    """HTTP/1.1 that knows the process at the other end: `scope["state"]["peer"]`."""

    _per_user: Counter[int]
    _uid: int | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Read the peer's credentials; close where the kernel gives none or the user holds too many connections."""
        super().connection_made(transport)
        self._per_user = self.server_state.__dict__.setdefault("connections_per_user", Counter())
        try:
            peer = peer_of(cast("socket.socket", transport.get_extra_info("socket")))
        except OSError:
            transport.abort()
            return
        self._count(peer, transport)
        self.app_state = {**self.app_state, "peer": peer}

    def _count(self, peer: Peer, transport: asyncio.Transport) -> None:
        self._uid = peer.uid
        self._per_user[peer.uid] += 1
        if self._per_user[peer.uid] > CONNECTIONS_PER_USER:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._uid is not None:
            self._per_user[self._uid] -= 1
            self._uid = None
        super().connection_lost(exc)


class _QuietServer(uvicorn.Server):
    """Signals belong to the recorder, not to the web server inside it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the process's signal handlers alone."""
        yield


class ApiServer:
    """The API on its socket: `await start()` returns when it answers, `await stop()` when it no longer does."""

    def __init__(self, app: FastAPI, path: Path) -> None:
        self._path = path
        self._tasks = Tasks("api")
        self._listener: socket.socket | None = None
        self._inode: int | None = None
        config = uvicorn.Config(
            app,
            http=PeerProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=65_536,
        )
        self._server = _QuietServer(config)
        self._task: asyncio.Task[Any] | None = None

    async def start(self) -> None:
        """Bind the socket and answer on it.

        Raises:
            OperatorError: if the socket cannot be bound, or another process answers on it (75).
        """
        self._listener = bind_socket(self._path)
        self._inode = self._path.stat().st_ino
        self._task = self._tasks.start("serve", self._server.serve(sockets=[self._listener]))
        deadline = asyncio.get_running_loop().time() + _START_LIMIT_S
        while not self._server.started:
            if self._task.done() or asyncio.get_running_loop().time() > deadline:
                raise OperatorError(f"the API does not start on {self._path}; see the log for the reason")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Stop answering, end what is under way after a second, and remove the socket."""
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_STOP_LIMIT_S)
        await self._tasks.stop()
        if self._listener is not None:
            self._listener.close()
        self._remove_socket()

    def _remove_socket(self) -> None:
        """Remove the socket's name, unless a successor has already put its own in place."""
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()


def bind_socket(path: Path) -> socket.socket:
    """Return a listening socket at `path`, open to every local user; a name left by a dead process is replaced.

    The socket is made under another name and renamed, so that nobody meets it before its mode is right.

    Raises:
        OperatorError: if it cannot be made (78), or somebody answers there (75).
    """
    aside = path.with_name(path.name + ".new")
    if len(str(aside).encode()) > _LONGEST_PATH:
        limit = _LONGEST_PATH - len(".new")
        message = f"[api] socket: found a path of {len(str(path))} bytes, expected at most {limit}: shorten {path}"
        raise OperatorError(message, exit_code=ExitCode.CONFIGURATION)
    if _answers(path):
        message = f"another recorder answers on {path}; stop it first, or give this one another [api] socket"
        raise OperatorError(message, exit_code=ExitCode.BUSY)
    if path.exists() and not path.is_socket():
        message = f"[api] socket: {path} is a file and no socket; move it away, or give another path"
        raise OperatorError(message, exit_code=ExitCode.CONFIGURATION)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        _make_directory(path.parent)
        aside.unlink(missing_ok=True)
        listener.bind(str(aside))
        aside.chmod(SOCKET_MODE)
        listener.listen(128)
        aside.rename(path)
    except OSError as error:
        listener.close()
        message = f"[api] socket: {path} cannot be made ({error.strerror}); make its directory writable for this user"
        raise OperatorError(message, exit_code=ExitCode.CONFIGURATION) from None
    return listener


def _make_directory(directory: Path) -> None:
    """Make the socket's directory open to all, whatever the umask; one that is there already is left as it is."""
    if not directory.exists():
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(DIRECTORY_MODE)


def _answers(path: Path) -> bool:
    """Say whether a process listens at `path`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(0)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # its queue is full: somebody is there
        except OSError as error:
            return error.errno not in {errno.ENOENT, errno.ECONNREFUSED, errno.ENOTSOCK, errno.ENOTDIR}
    return True
