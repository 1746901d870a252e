"""What a transport asks and tells its driver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from callrec.sip.events import Address, Flow


@dataclass(frozen=True, slots=True)
class Hooks:
    """The driver, as a transport sees it."""

    is_known: Callable[[Address], bool]
    """Whether a source may speak to us; asked before anything is read."""
    receive: Callable[[bytes, Flow], None]
    """Take one message."""
    read_all: Callable[[], None]
    """Called once the messages at hand are taken: now answers may leave."""
    failed: Callable[[Flow], None]
    """A flow is dead."""
    now: Callable[[], float]
    """The monotonic clock, in seconds."""
