"""Their UPDATE with an offer: taken, refused where another offer is under way, and answered (RFC 3311, SIP-8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callrec.sip.building import HeaderPairs
from callrec.sip.dialog import refreshed
from callrec.sip.events import ReofferCancelled, Reoffered
from callrec.sip.legs import Leg, LegState, LegTimer

if TYPE_CHECKING:
    from callrec.sip.core import Core
    from callrec.sip.message import Request
    from callrec.sip.refreshing import Refreshing
    from callrec.sip.reoffering import Reoffering
    from callrec.sip.transactions import Transaction

LONGEST_ANSWER = 10.0
"""Seconds an UPDATE may wait for the user; 504 then asks for a re-INVITE, which has more time (RFC 3311 5.3)."""


class Updating:
    """UPDATEs with an offer that come to us, also before the call is answered."""

    def __init__(self, core: Core, refreshing: Refreshing, reoffering: Reoffering) -> None:
        self._core = core
        self._refreshing = refreshing
        self._reoffering = reoffering

    def take(self, leg: Leg, transaction: Transaction, request: Request, now: float) -> None:
        """Tell the user of an offer, or refuse it (RFC 3311 5.2)."""
        core, tag = self._core, request.from_.tag or ""
        if _ours_is_pending(leg, tag):
            core.respond(transaction, 491, now)
            return
        if _theirs_is_pending(leg):
            core.respond(transaction, 500, now, headers=(core.retry_after(),))
            return
        dialog = leg.dialog_with(tag)
        if dialog is not None:
            leg.keep_dialog(refreshed(dialog, request))
        transaction.to_tag = leg.local_tag
        leg.their_update = transaction
        core.set_timer(leg, LegTimer.NO_ANSWER, now + LONGEST_ANSWER)
        core.tell(Reoffered(leg.id, request, request.session))

    def on_no_answer(self, leg: Leg, now: float) -> None:
        """Give an UPDATE up that the user did not answer in time."""
        if self.reject(leg, 504, (), now):
            self._core.tell(ReofferCancelled(leg.id))

    def answer(self, leg: Leg, session: bytes | None, headers: HeaderPairs, now: float) -> bool:
        """Send 200 to the UPDATE (or PRACK) that waits."""
        update, leg.their_update = leg.their_update, None
        leg.stop(LegTimer.NO_ANSWER)
        if update is None or not update.unanswered:
            return False
        core = self._core
        own: HeaderPairs = (core.contact(update.flow),)
        if update.request.method == "UPDATE":
            own += (
                *core.capabilities(update.flow),
                *(self._refreshing.granting(leg, update.request, now) if leg.speaks else ()),
            )
        core.send_response(update, core.response(update, 200, headers=(*own, *headers), body=session or b""), now)
        leg.session = session or leg.session
        self._reoffering.send_waiting(leg, now)
        return True

    def reject(self, leg: Leg, status: int, headers: HeaderPairs, now: float) -> bool:
        """Refuse the UPDATE (or PRACK) that waits; the session stays."""
        update, leg.their_update = leg.their_update, None
        leg.stop(LegTimer.NO_ANSWER)
        if update is None or not update.unanswered:
            return False
        core = self._core
        core.send_response(update, core.response(update, status, headers=headers), now)
        self._reoffering.send_waiting(leg, now)
        return True


def _ours_is_pending(leg: Leg, tag: str) -> bool:
    """Whether an offer of ours waits for their answer."""
    if leg.our_update is not None:
        return True
    if leg.ours is not None:
        # Our first INVITE is answered as far as the session goes where a reliable response did (RFC 3262).
        return leg.ours is not leg.first_invite or tag not in leg.agreed
    if leg.awaited_ack is not None and leg.awaited_ack.carried_offer:
        return True
    return leg.reliable is not None and leg.reliable.sent is not None and leg.offers_late


def _theirs_is_pending(leg: Leg) -> bool:
    """Whether an offer of theirs waits for our answer."""
    if leg.update_waits or leg.owed_cseq is not None or leg.owed_prack is not None:
        return True
    if leg.state is LegState.INCOMING:
        return leg.reliable is None or not leg.reliable.agreed
    return leg.theirs is not None
