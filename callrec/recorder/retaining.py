"""Retention while the recorder runs: what was cut off is completed, and once a night what is due is deleted."""

from __future__ import annotations

from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.retention_runs import RetentionBook
from callrec.recorder.rounds import keep_on
from callrec.recorder.stores import Stores
from callrec.recorder.tools import Tools

_EVERY_S = 60.0


def make_retention(tools: Tools, stores: PromiseStores) -> RetentionBook:
    """Return the book of retention over the recorder's stores; after a restore it deletes nothing while in doubt."""

    def promises_blocked() -> str | None:
        guard = tools.stores.guard
        return None if guard is None else guard.promises_blocked()

    return RetentionBook(stores, promises_blocked)


class RetentionKeeping:
    """Runs retention by itself; `run` does it until it is cancelled."""

    def __init__(self, stores: Stores, book: RetentionBook) -> None:
        self._stores = stores
        self._book = book
        self._resumed = False

    async def run(self) -> None:
        """Keep it for ever; a round that fails does not end the next."""
        await keep_on(self.turn, _EVERY_S, "retention")

    async def turn(self) -> None:
        """Do one round.

        Raises:
            CallrecError: if a store cannot be used; the next round does it.
        """
        guard = self._stores.guard
        if self._stores.eraser is None or (guard is not None and not guard.replayed):
            return
        await self._book.resume()
        if not self._resumed:
            # A start has enough to do: the run of the night can wait a minute.
            self._resumed = True
            return
        await self._book.nightly()
