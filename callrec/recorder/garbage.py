"""When the collector of cycles runs: seldom, and never through all that lives long while calls arrive.

Reference counts free nearly everything. A collection looks through every object of its generations, holds up every
thread for as long, and finds about ten objects a call (measured).
"""

from __future__ import annotations

import gc

_STARTING = 50_000
_AT_WORK = 2_000
_NEVER_BY_ITSELF = 1_000_000


def collect_little_while_starting() -> None:
    """Let the collector alone while modules are loaded: they stay, and looking at them is a seventh of a start."""
    gc.set_threshold(_STARTING, _NEVER_BY_ITSELF, _NEVER_BY_ITSELF)


def collect_garbage_rarely() -> None:
    """Keep the collector from looking through every live call while calls arrive.

    What a start makes stays for good. New objects are looked at by the two thousand, which takes about a millisecond:
    20,000 took 9 to 60 ms. What lives longer waits for a quiet moment (`Watching`): with 500 calls live at 50 a second,
    full collections took 190 to 460 ms and found next to nothing.
    """
    gc.freeze()
    gc.set_threshold(_AT_WORK, _NEVER_BY_ITSELF, _NEVER_BY_ITSELF)
