"""Opening the stores beside everything else: a disk that does not answer must keep no call waiting."""

from __future__ import annotations

import asyncio

from callrec.catalogue import Catalogue, Options
from callrec.clock import Clock
from callrec.errors import OperatorError
from callrec.recorder.health import Health
from callrec.recorder.stores import CATALOGUE, Stores, open_stores
from callrec.settings import Settings
from callrec.tasks import Tasks


class Opening:
    """The stores of a recorder on their way; the state folder is locked before anything else of it is touched.

    What is found wrong meanwhile is kept in `health`, for the problems of the recorder are its event loop's.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._tasks = Tasks("opening")
        self._work: asyncio.Task[Stores | OperatorError] | None = None
        self._taken = False
        self.health = Health(clock)

    async def within(self, limit_s: float) -> Stores | None:
        """Begin to open; return the stores if they are open in time.

        Raises:
            OperatorError: 75 if another recorder uses the state folder.
        """
        self._work = self._tasks.start("stores", self._open())
        done, _ = await asyncio.wait({self._work}, timeout=limit_s)
        return self._take(self._work) if done else None

    async def finish(self) -> Stores:
        """Wait for stores that were not open in time; raises as `within`."""
        assert self._work is not None, "internal error: nothing is being opened"
        await asyncio.wait({self._work})
        return self._take(self._work)

    async def stop(self) -> None:
        """Let go of stores that nobody took."""
        if self._work is not None and self._work.done() and not self._work.cancelled() and not self._taken:
            found = self._work.result()
            if isinstance(found, Stores):
                await found.close()
        await self._tasks.stop()

    async def _open(self) -> Stores | OperatorError:
        try:
            return await open_stores(self._settings, self._clock, self.health)
        except OperatorError as error:
            return error

    def _take(self, work: asyncio.Task[Stores | OperatorError]) -> Stores:
        found = work.result()
        if isinstance(found, OperatorError):
            raise found
        self._taken = True
        return found


def unopened_stores(settings: Settings, clock: Clock) -> Stores:
    """Return what stands for stores that are not open yet: it keeps calls in memory until they are."""
    state = settings.paths.state
    text = f"state folder {state}: its disk does not answer; mend it, calls pass unrecorded until it does"
    options = Options(settings.node.id, clock=clock)
    catalogue = Catalogue.unopened(state / CATALOGUE, options, text)
    return Stores(settings, catalogue, None, None, None, None, is_unopened=True)
