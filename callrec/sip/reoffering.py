"""New offers of ours inside a dialog: re-INVITE, its answer, and glare (RFC 3261 14.1, SIP-4)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from callrec.sip.admission import session_of
from callrec.sip.building import HeaderPairs
from callrec.sip.dialog import refreshed
from callrec.sip.events import ReofferAnswered, ReofferFailed
from callrec.sip.legs import Leg, LegState, LegTimer, Reoffer
from callrec.sip.message import CSeq, Response
from callrec.sip.transactions import Happening, Told, Transaction

if TYPE_CHECKING:
    from callrec.sip.calling import Calling
    from callrec.sip.core import Core
    from callrec.sip.hanging_up import HangingUp

LONGEST_REOFFER = 60.0
"""Seconds a re-INVITE may wait for its final response once a provisional one came."""
GLARE_TRIES = 5
"""Retries after 491 before the user is told."""


class Reoffering:
    """re-INVITEs that we send."""

    def __init__(self, core: Core, calling: Calling, hanging_up: HangingUp) -> None:
        self._core = core
        self._calling = calling
        self._hanging_up = hanging_up

    def reoffer(self, leg: Leg, session: bytes | None, headers: HeaderPairs, now: float) -> bool:
        """Send a re-INVITE, or keep it (the latest only) until no other INVITE of the dialog is pending."""
        if leg.state not in {LegState.CONFIRMED, LegState.ANSWERED, LegState.OFFERED}:
            return False
        leg.next_reoffer = Reoffer(session, headers)
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
        cseq = leg.dialog.local_cseq + 1
        leg.dialog = replace(leg.dialog, local_cseq=cseq)
        core = self._core
        flow = core.profile.route(leg.dialog.next_hop, leg.dialog.flow)
        pairs = (core.contact(flow), *core.capabilities(), *offer.headers)
        request, branch, flow = core.request_in(leg.dialog, CSeq(cseq, "INVITE"), pairs, offer.session or b"")
        leg.ours = core.transactions.start_client(request, branch, flow, now, leg)
        core.set_timer(leg, LegTimer.NO_FINAL, now + LONGEST_REOFFER)

    def on_told(self, leg: Leg, told: Told, now: float) -> None:
        """Take what happened to a re-INVITE of ours."""
        if told.what is not Happening.RESPONSE:
            if told.transaction is leg.ours:
                self._ended(leg)
                transport = told.what is Happening.TRANSPORT_ERROR
                self._hanging_up.on_gone(leg, now, transport=transport, say_bye=not transport)
        elif isinstance(told.message, Response) and told.message.status >= 200:
            self._on_final(leg, told.transaction, told.message, now)

    def _on_final(self, leg: Leg, transaction: Transaction, response: Response, now: float) -> None:
        if response.status < 300:
            self._on_success(leg, transaction, response)
        elif transaction is leg.ours:
            self._on_failure(leg, response, now)
        self.send_waiting(leg, now)

    def _on_success(self, leg: Leg, transaction: Transaction, response: Response) -> None:
        cseq = transaction.request.cseq.number
        if transaction is not leg.ours or leg.dialog is None:
            self._calling.on_late_success(leg, response)
            return
        self._ended(leg)
        leg.dialog = refreshed(leg.dialog, response)
        session = session_of(response)
        if session_of(transaction.request) is None and session is not None and leg.state is LegState.CONFIRMED:
            leg.owed_cseq = cseq
        else:
            self._calling.ack_reinvite(leg, cseq)
        if leg.state is LegState.CONFIRMED:
            self._core.tell(ReofferAnswered(leg.id, response, session))

    def _on_failure(self, leg: Leg, response: Response, now: float) -> None:
        offer = leg.sent_reoffer
        self._ended(leg)
        if leg.state is not LegState.CONFIRMED:
            return
        if response.status == 491 and leg.glare_tries < GLARE_TRIES:
            self._wait_for_glare(leg, offer, now)
        elif response.status in {408, 481}:  # RFC 3261 12.2.1.2: the dialog is gone
            self._hanging_up.on_gone(leg, now, transport=False, say_bye=response.status == 408)
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
        self._ended(leg)
        self._core.tell(ReofferFailed(leg.id, None))
        self.send_waiting(leg, now)

    def _ended(self, leg: Leg) -> None:
        leg.ours = leg.sent_reoffer = None
        leg.stop(LegTimer.NO_FINAL)


def _is_busy(leg: Leg) -> bool:
    return (
        leg.state is not LegState.CONFIRMED
        or leg.ours is not None
        or leg.theirs is not None
        or leg.awaited_ack is not None
        or leg.owed_cseq is not None
        or LegTimer.GLARE in leg.deadlines
    )
