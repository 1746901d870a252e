"""The gate before every path: who asks, and has he any business here? Decided before a body is read."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import Request

from callrec.api.peer import Identity, Peer, identify
from callrec.api.problems import Problem, not_allowed, problem_of
from callrec.api.replies import problem_response
from callrec.api.roles import Actor, Permission, actor_of
from callrec.errors import ExitCode
from callrec.settings import Role

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("callrec.api")

LARGEST_BODY = 1_048_576
"""Bytes of a request; the largest that is needed is a list of a few thousand ids."""

LARGER_BODIES: Mapping[str, int] = {"/api/v1/relationships/import": 16_777_216}
"""Bytes where a whole file is sent: some 200,000 lines of customers."""

_NAMES_KEPT = 256
_NAMES_LAST_S = 60.0


class _TooLargeError(Exception):
    """The body of a request grew beyond the limit."""


class Gate:
    """ASGI middleware that puts the actor into `scope["state"]["actor"]`, or answers 403."""

    def __init__(self, app: ASGIApp, roles: Callable[[], Mapping[str, Role]]) -> None:
        self._app = app
        self._roles = roles
        self._names = _Names()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request of somebody with a role through."""
        if scope["type"] != "http":
            return
        identity = await self._names.of(scope["state"]["peer"])
        actor = actor_of(identity, self._roles())
        if not actor.roles:
            log.warning("api: user %s has no role in [roles] and was refused", actor.name)
            error = not_allowed(_stranger(actor))
            await problem_response(problem_of(error), close=True)(scope, receive, send)
            return
        limit = LARGER_BODIES.get(scope["path"], LARGEST_BODY)
        if _announced_size(scope) > limit:
            detail = f"the request has more than {limit} bytes; ask for less at once"
            problem = Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, ExitCode.USAGE)
            await problem_response(problem, close=True)(scope, receive, send)
            return
        scope["state"]["actor"] = actor
        await self._guarded(scope, receive, send, limit)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        """Answer for whatever fails unexpectedly; what was asked stays out of answer and log."""
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, _Limited(receive, limit), noted)
        except Exception as error:
            # The outermost place of a request. Its message may hold a number: type and frames say enough.
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("api: %s failed: %s\n%s", _path_of(scope), type(error).__name__, frames)  # noqa: TRY400
            if not started:
                detail = "the recorder could not do this; its log says why (journalctl -u callrec)"
                await problem_response(Problem(500, detail, ExitCode.FAILED), close=True)(scope, receive, send)


class _Limited:
    """The body of a request, up to its limit."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._taken = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._taken += len(message.get("body", b""))
        if self._taken > self._limit:
            raise _TooLargeError
        return message


def _announced_size(scope: Scope) -> int:
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0


def _path_of(scope: Scope) -> str:
    """Return the path's pattern, without what was asked."""
    return str(getattr(scope.get("route"), "path", "a request"))


def _stranger(actor: Actor) -> str:
    return (
        f"user {actor.name} has no role here; the administrator gives one in the configuration: "
        f'[roles] {actor.name} = "operator" (or one of its groups)'
    )


@dataclass(frozen=True, slots=True)
class _Known:
    identity: Identity
    until: float


class _Names:
    """Names of users and groups, asked of the system in a thread and kept for a minute."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, int, tuple[int, ...]], _Known] = OrderedDict()

    async def of(self, peer: Peer) -> Identity:
        key = (peer.uid, peer.gid, peer.groups)
        now = asyncio.get_running_loop().time()
        known = self._known.get(key)
        if known is None or known.until < now:
            known = _Known(await asyncio.to_thread(identify, peer), now + _NAMES_LAST_S)
            self._known[key] = known
            while len(self._known) > _NAMES_KEPT:
                self._known.popitem(last=False)
        return known.identity


@dataclass(frozen=True, slots=True)
class Needs:
    """The dependency of a path: it names the permission, and gives the actor that has it."""

    permission: Permission

    async def __call__(self, request: Request) -> Actor:
        """Return the actor.

        Raises:
            OperatorError: with exit code 4, if none of the actor's roles carries the permission.
        """
        actor: Actor = request.state.actor
        if not actor.may(self.permission):
            held = ", ".join(sorted(role.value for role in actor.roles))
            raise not_allowed(f"user {actor.name} ({held}) may not {self.permission.value}")
        return actor
