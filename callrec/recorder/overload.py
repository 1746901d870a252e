"""When a call is not taken for now, and what its sender hears of it."""

from __future__ import annotations

from callrec.recorder.health import SPACE, Code
from callrec.recorder.tools import Tools
from callrec.settings import FullDisk

RETRY_LATER = (("Retry-After", "10"),)
"""Goes with each 503 of our own: seconds after which the same call may be tried here again (RFC 3261 20.33)."""


def is_full(tools: Tools, live: int) -> bool:
    """Return whether there are as many calls as there may be; emergency calls do not ask."""
    return live >= tools.settings.sip.max_calls


def refuses_for_space(tools: Tools) -> bool:
    """Return whether a call that is to be recorded is not taken: its line must not run unrecorded (FAIL-4)."""
    refuses = tools.settings.limits.full_disk is FullDisk.REFUSE
    return refuses and tools.health.stands(Code.STORAGE_UNAVAILABLE, about=SPACE)
