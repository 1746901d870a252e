"""How the threads of the recorder share the interpreter: only one runs Python at a time."""

from __future__ import annotations

import sys

_TURN_S = 0.0005


def take_short_turns() -> None:
    """Let no thread keep the interpreter from another for longer than half a millisecond; Python lets it for five.

    A transaction of the catalogue lets go of the interpreter at each of its statements and asks for it again, and
    waited up to five milliseconds each time while the event loop was busy.
    """
    sys.setswitchinterval(_TURN_S)
