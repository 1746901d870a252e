"""`Idempotency-Key`: a request that is sent twice, because its answer was lost, is carried out once."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Header, Request, Response
from fastapi.routing import APIRoute

from callrec.api.problems import misuse
from callrec.api.replies import JsonReply

HEADER = "Idempotency-Key"
Key = Annotated[str | None, Header(alias=HEADER)]
"""The key of a request, for the books that know what was made under it."""
LONGEST_KEY = 255
_KEPT = 1000
_SAFE = frozenset({"GET", "HEAD"})

Answer = Callable[[Request], Awaitable[Response]]


@dataclass(slots=True)
class _Asked:
    """A request that was answered, or is being answered."""

    content: bytes
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    answer: JsonReply | None = None


class Answers:
    """The last thousand answers under a key, in memory; of what is made under a key the books know it after a restart.

    What names a person beyond the file of a request is not answered through here: erasing reaches every store.
    """

    def __init__(self) -> None:
        self._asked: OrderedDict[tuple[str, str, str], _Asked] = OrderedDict()

    async def once(self, key: str, request: Request, answer: Answer) -> Response:
        """Return the answer that was given under this key before, or give it now; a refusal may be tried again.

        Raises:
            OperatorError: with exit code 2, if another content came under the key.
        """
        if not key.isprintable() or len(key) > LONGEST_KEY:
            raise misuse(f"{HEADER}: expected at most {LONGEST_KEY} printable characters")
        content = hashlib.sha256(request.url.query.encode() + b"\n" + await request.body()).digest()
        place = (request.state.actor.name, f"{request.method} {request.url.path}", key)
        asked = self._asked.setdefault(place, _Asked(content))
        while len(self._asked) > _KEPT:
            self._asked.popitem(last=False)
        if asked.content != content:
            raise misuse(f"{HEADER}: found another content under this key before; take a new key")
        async with asked.turn:
            if asked.answer is not None:
                return asked.answer
            given = await answer(request)
            if isinstance(given, JsonReply):  # a stream can be read once, and changes nothing
                asked.answer = given
            return given


class OnceRoute(APIRoute):
    """A path that honours `Idempotency-Key` where it changes something."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return what answers a request."""
        answer = super().get_route_handler()

        async def handler(request: Request) -> Response:
            key = request.headers.get(HEADER)
            if key is None or request.method in _SAFE:
                return await answer(request)
            answers: Answers = request.app.state.answers
            return await answers.once(key, request, answer)

        return handler
