"""The side that is called: INVITEs to us, from the first to the ACK of their 2xx (RFC 3261 13.3, 14.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from callrec.identifiers import new_id
from callrec.sip.admission import session_of
from callrec.sip.building import HeaderPairs
from callrec.sip.dialog import dialog_of_request, refreshed
from callrec.sip.events import (
    Acknowledged,
    Cancelled,
    Flow,
    HungUp,
    IncomingCall,
    ReofferCancelled,
    Reoffered,
)
from callrec.sip.legs import AwaitedAck, Leg, LegState, LegTimer
from callrec.sip.provisional import Final, Provisional
from callrec.sip.reliable import ReliableAnswering
from callrec.sip.transactions import GIVE_UP, T1, T2

if TYPE_CHECKING:
    from callrec.sip.core import Core
    from callrec.sip.hanging_up import HangingUp
    from callrec.sip.message import Request
    from callrec.sip.refreshing import Refreshing
    from callrec.sip.reoffering import Reoffering
    from callrec.sip.transactions import Transaction

REPEAT_1XX = 60.0
"""Seconds between copies of a provisional response while nobody answers (RFC 3261 13.3.1.1)."""


class Answering:
    """INVITEs that come to us."""

    def __init__(self, core: Core, hanging_up: HangingUp, reoffering: Reoffering, refreshing: Refreshing) -> None:
        self._core = core
        self._hanging_up = hanging_up
        self._reoffering = reoffering
        self._refreshing = refreshing
        self._reliable = ReliableAnswering(core)

    # What comes.

    def on_invite(self, transaction: Transaction, request: Request, flow: Flow, now: float) -> None:
        """Begin a leg with an INVITE that was judged; 100 goes out first.

        Raises:
            PeerError: where Contact or Record-Route are malformed.
        """
        core = self._core
        tag = transaction.to_tag = core.token()
        dialog = dialog_of_request(request, tag, flow)
        leg = Leg(new_id(core.random), flow, tag, LegState.INCOMING, dialog)
        leg.theirs = leg.first_invite = transaction
        leg.note_allowed(request)
        transaction.owner = leg
        core.legs.add(leg)
        core.legs.enter(dialog.key, leg)
        core.respond(transaction, 100, now)
        core.tell(IncomingCall(leg.id, request, flow, request.session))

    def on_reinvite(self, leg: Leg, transaction: Transaction, request: Request, now: float) -> None:
        """Take a re-INVITE that has its place in the dialog: told to the user, or refused where another is pending."""
        core = self._core
        if leg.ours is not None or leg.our_update is not None or leg.owed_cseq is not None:
            core.respond(transaction, 491, now)  # RFC 3261 14.2: ours is pending
        elif leg.theirs is not None or leg.update_waits:
            core.respond(transaction, 500, now, headers=(core.retry_after(),))  # RFC 3261 14.2: theirs is pending
        elif leg.awaited_ack is not None and leg.awaited_ack.carried_offer:
            core.respond(transaction, 491, now)  # RFC 5407 3.1.4: the answer to our offer is still to come
        else:
            self._take_reinvite(leg, transaction, request, now)

    def _take_reinvite(self, leg: Leg, transaction: Transaction, request: Request, now: float) -> None:
        transaction.owner = leg
        transaction.to_tag = leg.local_tag
        leg.theirs = transaction
        if leg.awaited_ack is not None:
            # They know our 2xx, or they could not speak in its dialog: the ACK itself was lost (RFC 5407 3.1.4).
            self._acknowledged(leg, None, now)
        leg.note_allowed(request)
        if leg.dialog is not None:
            leg.dialog = refreshed(leg.dialog, request)
        self._core.respond(transaction, 100, now)
        self._core.tell(Reoffered(leg.id, request, request.session))

    def on_ack(self, leg: Leg, ack: Request, now: float) -> None:
        """Take the ACK of a 2xx of ours."""
        awaited = leg.awaited_ack
        if awaited is not None and awaited.transaction.request.cseq.number == ack.cseq.number:
            self._acknowledged(leg, session_of(ack) if awaited.carried_offer else None, now)

    def _acknowledged(self, leg: Leg, answer: bytes | None, now: float) -> None:
        awaited, leg.awaited_ack = leg.awaited_ack, None
        leg.stop(LegTimer.REPEAT_2XX, LegTimer.NO_ACK)
        if leg.state is LegState.HANGING_UP:
            self._hanging_up.send_bye(leg, now)
            return
        if leg.state is LegState.ANSWERED:
            leg.move(LegState.CONFIRMED)
        first = awaited is not None and awaited.transaction is leg.first_invite
        self._core.tell(Acknowledged(leg.id, answer, reoffer=not first))
        self._reoffering.send_waiting(leg, now)

    def on_cancel(self, leg: Leg, invite: Transaction, cancel: Request, now: float) -> None:
        """Take back an INVITE that has no final response yet; after one a CANCEL changes nothing (RFC 3261 9.2)."""
        if leg.theirs is not invite or not invite.unanswered:
            return
        self._core.respond(invite, 487, now)
        leg.theirs = None
        if leg.state is LegState.INCOMING:
            self._core.end(leg)
            self._core.tell(Cancelled(leg.id, cancel.headers.get("Reason")))
        else:
            self._core.tell(ReofferCancelled(leg.id))
            self._reoffering.send_waiting(leg, now)

    def on_timer(self, leg: Leg, timer: LegTimer, now: float) -> None:
        """Repeat a 2xx or a provisional response, or give up waiting for the ACK."""
        if timer in {LegTimer.REPEAT_RELIABLE, LegTimer.NO_PRACK}:
            self._reliable.on_timer(leg, timer, now)
        elif timer is LegTimer.REPEAT_1XX and leg.theirs is not None:
            if leg.reliable is not None:
                self._reliable.repeat(leg, now)
            else:
                self._core.transactions.resend(leg.theirs)
            self._core.set_timer(leg, LegTimer.REPEAT_1XX, now + REPEAT_1XX)
        elif timer is LegTimer.REPEAT_2XX and leg.awaited_ack is not None:
            awaited = leg.awaited_ack
            self._core.transactions.resend(awaited.transaction)
            awaited.interval = min(2 * awaited.interval, T2)
            self._core.set_timer(leg, LegTimer.REPEAT_2XX, now + awaited.interval)
        elif timer is LegTimer.NO_ACK:
            self._give_up(leg, now)

    def _give_up(self, leg: Leg, now: float) -> None:
        # RFC 3261 13.3.1.4: the dialog is confirmed all the same, and ended with BYE.
        told = leg.state is not LegState.HANGING_UP
        leg.awaited_ack = None
        self._hanging_up.send_bye(leg, now)
        if told:
            self._core.tell(HungUp(leg.id, None, "no_acknowledgement"))

    def on_prack(self, leg: Leg, transaction: Transaction, prack: Request, now: float) -> None:
        """Take the PRACK of a reliable response; a 2xx that waited for it goes out."""
        final = self._reliable.on_prack(leg, transaction, prack, now)
        if final is not None:
            self.answer(leg, final.session, final.headers, now)

    # What the user wants.

    def ring(self, leg: Leg, status: int, session: bytes | None, headers: HeaderPairs, now: float) -> bool:
        """Send a provisional response above 100, reliably where the caller wants that (RFC 3262)."""
        invite = leg.theirs
        if invite is None or leg.state is not LegState.INCOMING:
            return False
        core = self._core
        if self._reliable.wanted(leg, session):
            self._reliable.ring(leg, Provisional(status, session, headers), now)
        else:
            pairs = (core.contact(invite.flow), *core.capabilities(invite.flow), *headers)
            core.send_response(invite, core.response(invite, status, headers=pairs, body=session or b""), now)
        leg.session = session or leg.session
        core.set_timer(leg, LegTimer.REPEAT_1XX, now + REPEAT_1XX)
        return True

    def answer(self, leg: Leg, session: bytes | None, headers: HeaderPairs, now: float) -> bool:
        """Send 200 to their INVITE or re-INVITE and repeat it until the ACK comes."""
        invite = leg.theirs
        if invite is None:
            return False
        if self._reliable.keeps_waiting(leg, Final(session, headers)):
            return True
        core, leg.theirs = self._core, None
        if leg.reliable is not None and leg.reliable.agreed and session_of(invite.request) is None:
            session = None  # our offer went out reliably and was answered in the PRACK
        pairs = (
            core.contact(invite.flow),
            *core.capabilities(invite.flow),
            *self._refreshing.granting(leg, invite.request, now),
        )
        response = core.response(invite, 200, headers=(*pairs, *headers), body=session or b"")
        core.send_response(invite, response, now)
        leg.session = session or leg.session
        if leg.state is LegState.INCOMING:
            leg.move(LegState.ANSWERED)
        leg.stop(LegTimer.REPEAT_1XX)
        offered = session_of(invite.request) is None and session is not None
        leg.awaited_ack = AwaitedAck(invite, offered, T1)
        # RFC 3261 13.3.1.4: over a stream too, for a proxy behind it may use UDP.
        core.set_timer(leg, LegTimer.REPEAT_2XX, now + T1)
        core.set_timer(leg, LegTimer.NO_ACK, now + GIVE_UP)
        return True

    def reject(self, leg: Leg, status: int, reason: str | None, headers: HeaderPairs, now: float) -> bool:
        """Send a final response of 300 or above to their INVITE (the leg is over) or re-INVITE (the call goes on)."""
        invite = leg.theirs
        if invite is None:
            return False
        core, leg.theirs = self._core, None
        core.send_response(invite, core.response(invite, status, reason=reason, headers=headers), now)
        if leg.state is LegState.INCOMING:
            core.end(leg)
        self._reoffering.send_waiting(leg, now)
        return True


def cseq_taken(leg: Leg, tag: str, number: int) -> bool:
    """Note the CSeq of a request of theirs; False where it is older than one before (RFC 3261 12.2.2)."""
    dialog = leg.dialog_with(tag)
    if dialog is None:
        return True
    if dialog.remote_cseq is not None and number < dialog.remote_cseq:
        return False
    leg.keep_dialog(replace(dialog, remote_cseq=number))
    return True
