"""Requests too large for a datagram go by a stream, and by a datagram after all where there is none.

RFC 3261 18.1.1, SIP-13: a request over 1,300 bytes must not go by UDP where the way is not known to carry more; where
nobody takes the connection it is tried over UDP, in fragments if need be. Only the request changes its way: Contact and
dialog stay those of UDP, so that what is small goes on as a datagram.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from callrec.sip.resending import is_wanted, take_place
from callrec.sip.transactions import Happening, Told

if TYPE_CHECKING:
    from callrec.sip.core import Core


class LargeRequests:
    """Sends by UDP what no stream would take."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def take(self, told: Told, now: float) -> bool:
        """Send a request by UDP whose stream broke before anything came back; False where it is for its owner.

        Its CSeq stays: for the far side it is the same request, by another way.
        """
        before, core = told.transaction, self._core
        if told.what is not Happening.TRANSPORT_ERROR or not before.went_by_stream or before.heard:
            return False
        if not is_wanted(before):
            return False
        core.counters.fell_back += 1
        branch = core.branch(before.request.uri)
        again = core.by(before.request, branch, before.way)
        take_place(core, before, core.transactions.start_client(again, branch, before.way, now, before.owner))
        return True
