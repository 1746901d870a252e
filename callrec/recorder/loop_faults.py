"""What the event loop cannot tell anybody else: one line a minute where connections wait for descriptors."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from callrec.descriptors import is_shortage
from callrec.signalling.rate_limit import RateLimit

log = logging.getLogger("callrec.health")

_EVERY_S = 60.0


class LoopFaults:
    """Takes what goes wrong in callbacks.

    Without a descriptor asyncio tries a full backlog of connections, five hundred at once, tells each with a
    traceback, and waits for a second: it is the telling that would take the processor, and fill the log.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._limit = RateLimit(1, _EVERY_S)
        loop.set_exception_handler(self._take)

    def _take(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or not is_shortage(error):
            loop.default_exception_handler(context)
        elif self._limit.admits(loop.time()) is not None:
            log.warning("connections wait: %s; raise LimitNOFILE (ulimit -n) or lower [sip] max_calls", error.strerror)
