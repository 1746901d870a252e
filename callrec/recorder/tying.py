"""Ties each call to its party soon after its row is written, so that its answer is told with it.

Looked at when it begins and when it ends; what could not be looked at is tried again. A start looks at the newest
calls once more, and completes what a crash cut off. Nothing here keeps a call waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from callrec.catalogue import Catalogue
from callrec.errors import CallrecError
from callrec.privacy.relationships import Relationships
from callrec.tasks import Tasks

if TYPE_CHECKING:
    from callrec.recorder.stores import Stores

log = logging.getLogger("callrec.tying")

_EVERY_S = 60.0
_AGAIN_S = 5.0
_NEWEST = 1000
_A_BATCH = 200


async def tie_calls(stores: Stores, book: Relationships) -> None:
    """Tie calls until cancelled; without keys no number is kept, and there is nothing to tie by."""
    if stores.keyring is None:
        return
    tasks = Tasks("tying")
    tasks.start("classes", follow_classes(book))
    try:
        await CallTying(book, stores.catalogue).run()
    finally:
        await tasks.stop()


async def follow_classes(book: Relationships) -> None:
    """Let the days in the rows follow the configured classes, for ever: it may be reloaded."""
    while True:
        try:
            await book.follow_classes()
        except CallrecError as error:
            log.info("calls are looked at later: %s", error)
        except Exception:
            log.exception("internal error: the retention classes are not followed")
        await asyncio.sleep(_EVERY_S)


class CallTying:
    """Looks at calls as the catalogue tells of them; `run` does it until it is cancelled."""

    def __init__(self, book: Relationships, catalogue: Catalogue) -> None:
        self._book = book
        self._catalogue = catalogue
        self._waiting: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._started = False
        self._complete_at = 0.0
        self.feed_level: str | None = None
        """How urgent the silence of the relationship feed was when it was last looked at (LAW-60)."""

    def look_at(self, call_id: str) -> None:
        """Look at a call soon."""
        self._waiting[call_id] = None
        self._wake.set()

    async def run(self) -> None:
        """Tie calls for ever; a store that cannot be used is asked again."""
        self._catalogue.on_call = self.look_at
        while True:
            self._wake.clear()
            try:
                await self._work()
            except CallrecError as error:
                log.info("calls are tied to their parties later: %s", error)
                await asyncio.sleep(_AGAIN_S)
                continue
            except Exception:
                log.exception("internal error: %d calls are not tied to their parties", len(self._waiting))
                self._waiting.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EVERY_S):
                    await self._wake.wait()

    async def _work(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._complete_at:
            await self._complete()
            self._complete_at = now + _EVERY_S
        while self._waiting:
            call_ids = list(self._waiting)[:_A_BATCH]
            for call_id in call_ids:
                del self._waiting[call_id]  # before, for it may be told of again meanwhile
            try:
                await self._book.tie(call_ids)
            except CallrecError:
                self._waiting |= dict.fromkeys(call_ids)
                raise

    async def _complete(self) -> None:
        """Complete what was cut off, and look how long nobody has told anything."""
        await self._book.resume()
        if not self._started:
            await self._book.tie(await self._book.newest_calls(_NEWEST))
            self._started = True
        feed = await self._book.feed()
        if feed["level"] != self.feed_level:
            self.feed_level = feed["level"]
            if feed["text"] is not None:
                log.warning("%s: %s (LAW-60)", self.feed_level, feed["text"])
