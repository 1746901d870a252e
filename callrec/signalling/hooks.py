"""What a transport asks and tells its driver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from callrec.sip.events import Address, Flow


def _nothing(_flow: Flow) -> None:
    pass


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
    not_sent: Callable[[bytes, Flow], None]
    """One message cannot go by its flow: it is too large for it, or too many wait; the flow lives."""
    now: Callable[[], float]
    """The monotonic clock, in seconds."""
    connected: Callable[[Flow], None] = _nothing
    """A connection was opened, by either side, and is no stranger's."""
    unconnected: Callable[[Flow], None] = _nothing
    """A connection could not be opened; `failed` follows."""
    patience: Callable[[Flow], float] = lambda _: inf
    """How many seconds a connection may take to open, where that is less than usual."""
