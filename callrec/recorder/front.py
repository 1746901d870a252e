"""The front of the house: what people, programs and the broker see of a recorder, over one set of stores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from callrec.events import Publisher
from callrec.recorder.desk import Desk
from callrec.recorder.hall import Hall
from callrec.recorder.protecting import load_stop_list, protect_calls
from callrec.recorder.requesting import RequestKeeping
from callrec.recorder.restored import ReplayedOutbox
from callrec.recorder.retaining import RetentionKeeping
from callrec.recorder.tools import Tools
from callrec.recorder.tying import tie_calls
from callrec.recorder.watching import Watching
from callrec.tasks import Tasks


class Server(Protocol):
    """Something that answers people while the recorder runs: the API."""

    async def start(self) -> None:
        """Begin to answer."""

    async def stop(self) -> None:
        """Answer no longer."""


class Front:
    """Desk, API, events and the eyes on health; built anew where the stores are others."""

    def __init__(
        self, tools: Tools, hall: Hall, make_server: Callable[[Desk], Server], reload_notices: Callable[[], None]
    ) -> None:
        stores = tools.stores
        self._tools = tools
        self._tasks = Tasks("front")
        self._desk = Desk(tools, hall, reload_notices)
        hear = stores.guard.hear if stores.guard is not None else None
        self._publisher = Publisher(
            tools.settings.mqtt,
            tools.settings.node.id,
            ReplayedOutbox(stores),
            self._desk.status,
            tools.clock,
            hear=hear,
        )
        self._desk.join(self._publisher)
        self._watching = Watching(tools, self._publisher, lambda: len(hall))
        # Half a second of imports, while other things start.
        self._making = self._tasks.start("make-server", asyncio.to_thread(make_server, self._desk))
        self._server: Server | None = None

    async def open(self, instead_of: Front | None = None) -> None:
        """Look once at everything, then let people in; the door of another front is closed a moment before."""
        await load_stop_list(self._tools, self._desk.promises.protections)
        server: Server = await self._making
        if instead_of is not None:
            await instead_of.close()
        await self._watching.look()
        self._server = server
        await server.start()

    def run(self) -> None:
        """Begin what goes on for as long as the recorder runs."""
        self._tasks.start("mqtt", self._publisher.run())
        self._tasks.start("mqtt-wake", self._watching.wake_publisher())
        self._tasks.start("watch", self._watching.run())
        self._tasks.start("stop-list", protect_calls(self._tools, self._desk.promises.protections))
        self._tasks.start("tying", tie_calls(self._tools.stores, self._desk.promises.relationships))
        self._tasks.start("backups", self._desk.backups.run())
        promises = self._desk.promises
        self._tasks.start("requests", RequestKeeping(self._tools.stores, promises.requests, promises.watch).run())
        self._tasks.start("retention", RetentionKeeping(self._tools.stores, promises.retention).run())

    async def close_door(self) -> None:
        """Let nobody in any more; may be repeated."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    async def close(self) -> None:
        """End all of it; what is in the outbox stays there."""
        await self.close_door()
        await self._publisher.stop()
        await self._tasks.stop()
