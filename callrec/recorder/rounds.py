"""What goes on for as long as the recorder runs: a turn now and then, of which one that fails does not end the next."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Never

from callrec.errors import CallrecError

log = logging.getLogger("callrec.rounds")


async def keep_on(turn: Callable[[], Awaitable[object]], every_s: float, what: str) -> Never:
    """Take a turn for ever, the first at once.

    Args:
        turn: one round; a CallrecError of it means that a store cannot be used now, and the next round does it.
        every_s: how long to wait between two rounds.
        what: what is done in a round, for the log.
    """
    while True:
        try:
            await turn()
        except CallrecError as error:
            log.info("%s: goes on later: %s", what, error)
        except Exception:
            log.exception("internal error: %s: a round failed", what)
        await asyncio.sleep(every_s)
