"""Whether the peers we call are there: told by calls that nobody answers, and asked by OPTIONS (RFC 3261 11).

A peer that leaves an INVITE without any response is down from then on; it is asked every half minute, and is there
again with the first word from it, whatever that says. One with `options_seconds` is also asked when it has been silent
for so long, and is down after two questions without an answer. Nobody else is ever asked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from callrec.settings import Peer
from callrec.sip.building import host_port
from callrec.sip.events import Address, Flow

log = logging.getLogger("callrec.signalling")

ASK_AGAIN_S = 30.0
"""Seconds between questions to a peer that is down."""
MISSES = 2
"""Questions without an answer after which a silent peer is down: a single datagram may be lost."""
LONGEST_BUSY_S = 300.0
"""Seconds that a Retry-After may keep calls from a place while another could take them."""
_REMEMBERED = 256
"""Places that are down and were not asked for in the configuration; more of them are not remembered."""
_WHY = {"timeout": "does not answer", "transport": "cannot be reached"}


@dataclass(slots=True)
class _Place:
    """One address of a peer that we call."""

    peer: str
    flow: Flow
    every_s: float
    """After how many seconds of silence it is asked while it is up; 0 never asks it."""
    watched: bool
    quiet_since: float
    token: str | None = None
    """Of the question under way."""
    misses: int = 0
    down: str | None = None

    def due(self, now: float) -> bool:
        every = self.every_s if self.down is None else ASK_AGAIN_S
        return self.token is None and every > 0 and now - self.quiet_since >= every


class Reachability:
    """The places we call, each up until it shows otherwise."""

    def __init__(
        self,
        peer_of: Callable[[Address], Peer | None],
        ask: Callable[[Flow, str], None],
        new_token: Callable[[], str],
        now: Callable[[], float],
        fault_of: Callable[[Flow], str | None] = lambda _: None,
    ) -> None:
        self._peer_of = peer_of
        self._ask = ask
        self._new_token = new_token
        self._now = now
        self._fault_of = fault_of
        self._places: dict[tuple[str, Address], _Place] = {}
        self._busy: dict[tuple[str, Address], float] = {}
        """Until when a place wants no further requests."""

    def watch(self, flows: Iterable[Flow]) -> None:
        """Take the ways to the destinations of the configuration; what is known of them stays known."""
        known, self._places = self._places, {}
        for flow in flows:
            peer = self._peer_of(flow.remote)
            if peer is not None and peer.options_seconds:
                old = known.get(_key(flow))
                place = old or _Place(peer.name, flow, 0.0, watched=True, quiet_since=self._now())
                place.peer, place.every_s, place.watched = peer.name, float(peer.options_seconds), True
                self._places[_key(flow)] = place
        for key, place in known.items():
            if key not in self._places and place.down is not None and self._peer_of(place.flow.remote) is not None:
                place.every_s, place.watched = 0.0, False
                self._places[key] = place

    def is_down(self, flow: Flow) -> bool:
        """Return whether a place did not answer when it last should have, or asked for a pause; nobody is asked now."""
        place = self._places.get(_key(flow))
        return (place is not None and place.down is not None) or self._busy.get(_key(flow), 0.0) > self._now()

    def is_busy(self, flow: Flow, retry_after: str | None) -> None:
        """Take a 503: with Retry-After other places are asked first for so many seconds (RFC 3261 21.5.4)."""
        seconds, now = (retry_after or "").partition("(")[0].partition(";")[0].strip(), self._now()
        if not seconds.isascii() or not seconds.isdecimal() or len(seconds) > 9:
            return
        self._busy = {key: until for key, until in self._busy.items() if until > now}
        if len(self._busy) < _REMEMBERED:
            self._busy[_key(flow)] = now + min(float(seconds), LONGEST_BUSY_S)

    def heard(self, flow: Flow) -> None:
        """Take any message of a place: it is there."""
        place = self._places.get(_key(flow))
        if place is not None:
            self._is_there(place)

    def call_failed(self, flow: Flow, cause: str) -> None:
        """Take the news that an INVITE got no response at all; only a peer counts."""
        peer = self._peer_of(flow.remote)
        if peer is None:
            return
        place = self._places.get(_key(flow))
        if place is None:
            if len(self._places) >= _REMEMBERED:
                return
            place = self._places[_key(flow)] = _Place(peer.name, flow, 0.0, watched=False, quiet_since=self._now())
        self._is_down(place, "call", cause)

    def replied(self, token: str, cause: str) -> None:
        """Take how a question ended."""
        place = next((place for place in self._places.values() if place.token == token), None)
        if place is None:
            return  # it was heard meanwhile, or is watched no longer
        place.token = None
        if cause == "response":
            self._is_there(place)
            return
        place.misses += 1
        place.quiet_since = self._now()
        if place.misses >= MISSES or place.down is not None:
            self._is_down(place, "OPTIONS", cause)

    def look(self) -> None:
        """Ask those whose time has come."""
        now = self._now()
        for place in list(self._places.values()):
            if place.due(now):
                place.token = self._new_token()
                self._ask(place.flow, place.token)

    def problems(self) -> dict[str, str]:
        """Return what is down now, by a name that stays the same: what was found, and what to do."""
        return {
            f"{place.peer} {place.flow.transport} {host_port(place.flow.remote)}": place.down
            for place in self._places.values()
            if place.down is not None
        }

    def _is_there(self, place: _Place) -> None:
        if place.down is not None:
            log.info("peer %s answers again at %s", place.peer, host_port(place.flow.remote))
        place.down, place.token, place.misses, place.quiet_since = None, None, 0, self._now()
        if not place.watched:
            self._places.pop(_key(place.flow), None)

    def _is_down(self, place: _Place, what: str, cause: str) -> None:
        if place.down is not None:
            return
        where = f"{host_port(place.flow.remote)} over {place.flow.transport}"
        fault = self._fault_of(place.flow)
        what = f"{what}: {fault}" if fault else what
        place.down = (
            f"peer {place.peer} {_WHY.get(cause, 'does not answer')} at {where} ({what}); "
            "calls to it fail: see that it runs and that the network leads there"
        )
        place.quiet_since = self._now()


def _key(flow: Flow) -> tuple[str, Address]:
    return flow.transport, flow.remote
