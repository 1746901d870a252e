"""New offers of ours inside a dialog: re-INVITE or UPDATE, its answer, and glare (RFC 3261 14.1, RFC 3311, SIP-4).

The refreshes of session timers go the same way: an UPDATE without a session, else a re-INVITE that repeats it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from callrec.sip.admission import session_of
from callrec.sip.dialog import refreshed
from callrec.sip.events import ReofferAnswered, ReofferFailed
from callrec.sip.legs import Leg, LegState, LegTimer, Reoffer
from callrec.sip.message import CSeq, Response
from callrec.sip.transactions import Happening, Told, Transaction

if TYPE_CHECKING:
    from callrec.sip.calling import Calling
    from callrec.sip.core import Core
    from callrec.sip.dialog import Dialog
    from callrec.sip.hanging_up import HangingUp
    from callrec.sip.refreshing import Refreshing

LONGEST_REOFFER = 60.0
"""Seconds a re-INVITE may wait for its final response once a provisional one came."""
GLARE_TRIES = 5
"""Retries after 491 before the user is told."""


class Reoffering:
    """re-INVITEs and UPDATEs that we send."""

    def __init__(self, core: Core, calling: Calling, hanging_up: HangingUp, refreshing: Refreshing) -> None:
        self._core = core
        self._calling = calling
        self._hanging_up = hanging_up
        self._refreshing = refreshing

    def reoffer(self, leg: Leg, offer: Reoffer, now: float) -> bool:
        """Send a new offer, or keep it (the latest only) until no other of the dialog is pending.

        Before the call is answered only an UPDATE can go, and only at once (RFC 3311 5.1).
        """
        if not leg.speaks:
            return self._update_early(leg, offer, now)
        leg.next_reoffer = offer
        leg.glare_tries = 0
        leg.stop(LegTimer.GLARE)
        self.send_waiting(leg, now)
        return True

    def send_waiting(self, leg: Leg, now: float) -> None:
        """Send the re-INVITE that waits, if its time has come."""
        if leg.next_reoffer is None or leg.dialog is None or _is_busy(leg):
            return
        offer, leg.next_reoffer = leg.next_reoffer, None
        leg.sent_reoffer = offer
        if offer.update and "UPDATE" in leg.allowed and (offer.session is not None or offer.refresh):
            self._send(leg, leg.dialog, offer, "UPDATE", now)
            return
        self._send(leg, leg.dialog, offer, "INVITE", now)
        self._core.set_timer(leg, LegTimer.NO_FINAL, now + LONGEST_REOFFER)

    def _send(self, leg: Leg, dialog: Dialog, offer: Reoffer, method: str, now: float) -> None:
        core, cseq = self._core, CSeq(dialog.local_cseq + 1, method)
        dialog = replace(dialog, local_cseq=cseq.number)
        leg.keep_dialog(dialog)
        flow = core.profile.route(dialog.next_hop, dialog.flow)
        pairs = (core.contact(flow), *core.capabilities(flow))
        pairs += (*(self._refreshing.asking(leg) if leg.speaks else ()), *offer.headers)
        session = leg.session if offer.refresh and method == "INVITE" else offer.session
        request, branch, flow = core.request_in(dialog, cseq, pairs, session or b"")
        sent = core.ask(request, branch, flow, now, leg, urgent=leg.spared)
        if method == "INVITE":
            leg.ours = sent
        else:
            leg.our_update = sent

    def can_update_early(self, leg: Leg) -> bool:
        """Whether a new offer may go to the far side before the call is answered: reliably agreed, nothing pending."""
        if self._early_dialog(leg) is None or "UPDATE" not in leg.allowed:
            return False
        return leg.our_update is None and not leg.update_waits

    @staticmethod
    def _early_dialog(leg: Leg) -> Dialog | None:
        if leg.state is LegState.INCOMING:
            return leg.dialog if leg.reliable is not None and leg.reliable.agreed else None
        if leg.state is not LegState.CALLING:
            return None
        return next((dialog for tag, dialog in reversed(leg.early.items()) if tag in leg.agreed), None)

    def _update_early(self, leg: Leg, offer: Reoffer, now: float) -> bool:
        dialog = self._early_dialog(leg)
        if dialog is None or offer.session is None or not self.can_update_early(leg):
            return False
        leg.sent_reoffer = offer
        self._send(leg, dialog, offer, "UPDATE", now)
        return True

    # Refreshes (RFC 4028 7.4, 10).

    def refresh(self, leg: Leg, now: float) -> None:
        """Refresh the session; an offer that is under way or waits does it as well."""
        if leg.state is not LegState.CONFIRMED:
            return
        if leg.next_reoffer is None:
            leg.next_reoffer = Reoffer(None, (), update=True, refresh=True)
            leg.glare_tries = 0
        self.send_waiting(leg, now)

    # What comes.

    def on_told(self, leg: Leg, told: Told, now: float) -> None:
        """Take what happened to a re-INVITE of ours."""
        if told.what is not Happening.RESPONSE:
            if told.transaction in {leg.ours, leg.our_update}:
                spared = leg.spared and leg.sent_reoffer is not None and leg.sent_reoffer.refresh
                if leg.is_early or spared:  # of an early dialog, or an emergency call, only this request is lost
                    self._tell_failed(leg, None, now)
                    return
                self._ended(leg)
                transport = told.what is Happening.TRANSPORT_ERROR
                self._hanging_up.on_gone(leg, now, transport=transport, say_bye=not transport)
        elif isinstance(told.message, Response) and told.message.status >= 200:
            self._on_final(leg, told.transaction, told.message, now)

    def _on_final(self, leg: Leg, transaction: Transaction, response: Response, now: float) -> None:
        if response.status < 300:
            self._on_success(leg, transaction, response, now)
        elif transaction in {leg.ours, leg.our_update}:
            self._on_failure(leg, transaction, response, now)
        self.send_waiting(leg, now)

    def _on_updated(self, leg: Leg, response: Response, now: float) -> None:
        """Take the 2xx to an UPDATE of ours."""
        offer = leg.sent_reoffer or Reoffer(None, ())
        self._ended(leg)
        leg.note_allowed(response)
        dialog = leg.dialog_with(response.to.tag or "")
        if dialog is not None:
            leg.keep_dialog(refreshed(dialog, response))
        if leg.speaks:
            self._refreshing.on_success(leg, response, now)
        leg.session = offer.session or leg.session
        if not offer.refresh and leg.state is not LegState.OVER:
            self._core.tell(ReofferAnswered(leg.id, response, session_of(response)))

    def _on_success(self, leg: Leg, transaction: Transaction, response: Response, now: float) -> None:
        if transaction is leg.our_update:
            self._on_updated(leg, response, now)
            return
        cseq = transaction.request.cseq.number
        if transaction is not leg.ours or leg.dialog is None:
            self._calling.on_late_success(leg, response)
            return
        offer = leg.sent_reoffer or Reoffer(None, ())
        self._ended(leg)
        leg.note_allowed(response)
        leg.dialog = refreshed(leg.dialog, response)
        self._refreshing.on_success(leg, response, now)
        leg.session = session_of(transaction.request) or leg.session
        session = session_of(response)
        if session_of(transaction.request) is None and session is not None and leg.state is LegState.CONFIRMED:
            leg.owed_cseq = cseq
        else:
            self._calling.ack_reinvite(leg, cseq)
        if leg.state is LegState.CONFIRMED:
            self._core.tell(ReofferAnswered(leg.id, response, session, refresh=offer.refresh))

    def _on_failure(self, leg: Leg, transaction: Transaction, response: Response, now: float) -> None:
        offer = leg.sent_reoffer
        if leg.is_early:
            self._tell_failed(leg, response, now)
            return
        self._ended(leg)
        if not leg.speaks:
            return
        if transaction.request.method == "UPDATE" and response.status in {405, 415, 420, 501, 504}:
            leg.allowed -= {"UPDATE"}  # RFC 3311 5.3: 504 asks for a re-INVITE, which a person may take their time for
            leg.next_reoffer = leg.next_reoffer or offer
        elif self._refreshing.take_refusal(leg, response):
            leg.next_reoffer = leg.next_reoffer or offer
        elif response.status == 491 and leg.glare_tries < GLARE_TRIES:
            self._wait_for_glare(leg, offer, now)
        elif response.status in {408, 481}:  # RFC 3261 12.2.1.2: the dialog is gone
            self._hanging_up.on_gone(leg, now, transport=False, say_bye=response.status == 408)
        else:
            leg.sent_reoffer = offer
            self._tell_failed(leg, response, now)

    def _tell_failed(self, leg: Leg, response: Response | None, now: float) -> None:
        offer = leg.sent_reoffer
        self._ended(leg)
        if offer is not None and offer.refresh:
            self._refreshing.retry_later(leg, now)
        else:
            self._core.tell(ReofferFailed(leg.id, response))

    def _wait_for_glare(self, leg: Leg, offer: Reoffer | None, now: float) -> None:
        """Wait as RFC 3261 14.1 says, in steps of 10 ms: 2.1 to 4 s who made the Call-ID, 0 to 2 s the other."""
        leg.glare_tries += 1
        if leg.next_reoffer is None:
            leg.next_reoffer = offer
        roll = int.from_bytes(self._core.random(2), "big")
        steps = 210 + roll % 191 if leg.dialled else roll % 201
        self._core.set_timer(leg, LegTimer.GLARE, now + steps / 100)

    def on_glare_over(self, leg: Leg, now: float) -> None:
        """Send the re-INVITE again that met one of theirs."""
        leg.stop(LegTimer.GLARE)
        self.send_waiting(leg, now)

    def on_no_final(self, leg: Leg, now: float) -> None:
        """Give up on a re-INVITE that got provisional responses only; the old session stays."""
        if leg.ours is not None:
            self._core.transactions.abandon(leg.ours)
        self._tell_failed(leg, None, now)
        self.send_waiting(leg, now)

    def _ended(self, leg: Leg) -> None:
        if leg.ours is not leg.first_invite:  # an early UPDATE ends while the INVITE goes on
            leg.ours = None
        leg.our_update = leg.sent_reoffer = None
        leg.stop(LegTimer.NO_FINAL)


def _is_busy(leg: Leg) -> bool:
    return (
        leg.state is not LegState.CONFIRMED
        or leg.ours is not None
        or leg.our_update is not None
        or leg.update_waits
        or leg.theirs is not None
        or leg.awaited_ack is not None
        or leg.owed_cseq is not None
        or LegTimer.GLARE in leg.deadlines
    )
