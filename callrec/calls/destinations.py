"""Whom a call tries, one after the other, and after which answers it tries the next (SIP-12, FAIL-2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callrec.sip.events import Flow

MOST_HOPS = 5
"""Redirections that one attempt may go through (RFC 3261 8.1.3.4 leaves the limit to us)."""
MOST_CONTACTS = 5
"""Contacts of one redirection that are tried; the best of them."""
MOST_REDIRECTED = 10
"""Contacts of all redirections of one call."""

_SOMEBODY_SAID_NO = frozenset({403, 486, 600, 603, 607, 608})
"""A person or a screen: the next place would ring somebody who was not to be rung, so it is tried only where asked."""
_THE_CALLER_IS_WRONG = frozenset({400, 413, 414, 416, 420, 421, 482, 483, 484, 493})
"""What was sent cannot be taken anywhere; another place would say the same."""


def moves_on(status: int, *, when_busy: bool = False) -> bool:
    """Return whether another destination is tried after this final status (408 and 503 stand for silence).

    No answer (408, 480, 487), an unknown number (404, 410), a place that wants what we have not (401, 407, 415, 488)
    and every failure of a server (5xx) lead to the next one; busy and declined only with `when_busy`.
    """
    if status in _SOMEBODY_SAID_NO:
        return when_busy
    return status not in _THE_CALLER_IS_WRONG


def asks_next_host(status: int, *, silent: bool) -> bool:
    """Return whether the next host of the same destination is tried: after silence or 503 only (RFC 3263 4.3)."""
    return silent or status == 503


@dataclass(frozen=True, slots=True)
class Destination:
    """One place to call."""

    uri: str
    hops: int = 0
    """Redirections that led here; 0 is a place of the configuration."""
    put_off: bool = False
    """It was down when its turn came, and is tried last: calls fail open."""
    target: Flow | None = None
    """The one of its hosts that is called; None until its name is looked up (RFC 3263)."""


class Destinations:
    """The places of one call, in the order in which they are tried; each is tried once."""

    def __init__(self, uris: Sequence[str]) -> None:
        self._waiting = deque(Destination(uri) for uri in dict.fromkeys(uris))
        self._known = set(uris)
        self._redirected = 0

    @property
    def more(self) -> bool:
        """Whether another is left."""
        return bool(self._waiting)

    def take(self) -> Destination | None:
        """Return the next one, or None."""
        return self._waiting.popleft() if self._waiting else None

    def put_off(self, destination: Destination) -> bool:
        """Try a dead one after all others; False where it is its turn all the same."""
        if destination.put_off or not self._waiting:
            return False
        self._waiting.append(replace(destination, put_off=True))
        return True

    def spread(self, destination: Destination, up: Sequence[Flow], down: Sequence[Flow] = ()) -> Destination:
        """Return the first of the hosts of a destination; the others come next, those that are down after all else."""
        first, *others = up
        self._waiting.extendleft(replace(destination, target=target) for target in reversed(others))
        self._waiting.extend(replace(destination, target=target, put_off=True) for target in down)
        return replace(destination, target=first)

    def settle(self, destination: Destination) -> None:
        """Leave out the other hosts of a destination: one of them has spoken for all (RFC 3263 4.3)."""
        self._waiting = deque(one for one in self._waiting if one.target is None or one.uri != destination.uri)

    def redirect(self, come_from: Destination, contacts: Iterable[tuple[float, str]]) -> int:
        """Try the contacts of a 3xx before what else is left, the highest q first; return how many are new.

        Nobody is tried twice, so that no loop comes of it, and nobody beyond the limits.
        """
        if come_from.hops >= MOST_HOPS:
            return 0
        best = sorted(contacts, key=lambda contact: -contact[0])[:MOST_CONTACTS]
        fresh = [uri for uri in dict.fromkeys(uri for _, uri in best) if uri not in self._known]
        fresh = fresh[: max(0, MOST_REDIRECTED - self._redirected)]
        self._redirected += len(fresh)
        self._known.update(fresh)
        self._waiting.extendleft(Destination(uri, come_from.hops + 1) for uri in reversed(fresh))
        return len(fresh)
