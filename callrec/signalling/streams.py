"""Streams beside UDP, for requests too large for a datagram (RFC 3261 18.1.1, SIP-13).

A peer that takes no connection is left alone with them for an hour: its large requests are datagrams from then on, at
once. A peer that is connected to us by TCP has shown that it speaks it, and is asked again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import TypeVar

from callrec.sip.building import host_port
from callrec.sip.events import Address, Flow

log = logging.getLogger("callrec.signalling")

CONNECT_S = 0.5
"""Seconds a connection may take where UDP would do as well: T1, after which a datagram would be repeated."""
WITHOUT_S = 3600.0
"""Seconds that a place counts as without TCP."""
PROVEN_S = 30.0
"""Seconds since the last word by a connection, after which an emergency call does not trust it any more."""
_REMEMBERED = 1024

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(slots=True)
class Streams:
    """Which places take TCP, as far as that is known; each does until it shows otherwise."""

    local_for: Callable[[str], Address | None]
    """Our place for TCP that leads to a host, None where there is none."""
    is_open: Callable[[Flow, float], bool]
    """Whether a connection lives by which something came within so many seconds."""
    now: Callable[[], float]
    _without: dict[Address, float] = field(default_factory=dict)
    _optional: dict[Flow, None] = field(default_factory=dict)

    def beside(self, flow: Flow, urgent: bool) -> Flow | None:  # noqa: FBT001 - a hook of the endpoint
        """Return the stream for a large request that was to go by UDP, None where it is better left to UDP.

        `urgent`: only a connection that has just been in use will do; an emergency call waits for none (FAIL-1).
        """
        local = self.local_for(flow.remote.host)
        if local is None:
            return None
        stream = Flow("tcp", local, flow.remote)
        if self.is_open(stream, PROVEN_S if urgent else inf):
            return stream
        if urgent or self._without.get(flow.remote, 0.0) > self.now():
            return None
        _put(self._optional, stream, None)
        return stream

    def asked_for(self, flow: Flow) -> None:
        """Take the news that TCP was chosen by name: a connection there may take its time."""
        self._optional.pop(flow, None)

    def patience(self, flow: Flow) -> float:
        """Return how many seconds a connection may take to open at most."""
        return CONNECT_S if flow in self._optional else inf

    def unconnected(self, flow: Flow) -> None:
        """Take the news that a connection could not be opened."""
        if flow in self._optional:
            del self._optional[flow]
            _put(self._without, flow.remote, self.now() + WITHOUT_S)
            log.info(
                "%s takes no TCP: requests over 1,300 bytes go to it over UDP for the next %d minutes",
                host_port(flow.remote), WITHOUT_S // 60,
            )  # fmt: skip

    def connected(self, flow: Flow) -> None:
        """Take the news that a connection was opened, by either side: whoever is there speaks TCP."""
        if flow.transport != "tcp":
            return
        self._optional.pop(flow, None)
        for place in [place for place in self._without if place.host == flow.remote.host]:
            del self._without[place]


def _put(remembered: dict[Key, Value], key: Key, value: Value) -> None:
    """Remember one more; the oldest is forgotten where there are too many."""
    if len(remembered) >= _REMEMBERED:
        del remembered[next(iter(remembered))]
    remembered[key] = value
