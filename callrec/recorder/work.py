"""Work of a call that has to wait for something; if it fails, the call ends instead of waiting for ever."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any

from callrec.calls import inputs as given
from callrec.recorder.live_call import LiveCall
from callrec.recorder.tools import Tools

log = logging.getLogger("callrec.calls")


def start(tools: Tools, call: LiveCall, name: str, work: Coroutine[Any, Any, None]) -> None:
    """Start a task of a call; a failure costs at most this call."""
    call.tasks.start(f"{name}/{call.call_id}", _guarded(tools, call, name, work))


async def _guarded(tools: Tools, call: LiveCall, name: str, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:
        log.exception("internal error: call %s: %s failed; the call is ended", call.call_id, name)
        tools.feed(call, given.SealNow())
