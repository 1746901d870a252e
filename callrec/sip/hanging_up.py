"""The end of a call: BYE from either side (RFC 3261 15)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from callrec.sip.building import HeaderPairs
from callrec.sip.events import HungUp
from callrec.sip.legs import Leg, LegState
from callrec.sip.message import CSeq

if TYPE_CHECKING:
    from callrec.sip.core import Core
    from callrec.sip.dialog import Dialog
    from callrec.sip.message import Request
    from callrec.sip.transactions import Transaction


class HangingUp:
    """BYE, sent and received."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def send_bye(self, leg: Leg, now: float) -> None:
        """End the dialog of a leg; for the user it is over, its dialog is kept until the BYE is answered."""
        core, dialog = self._core, leg.dialog
        leg.deadlines.clear()
        self._drop_waiting(leg, now)
        core.legs.close(leg)
        if dialog is None:
            core.end(leg)
            return
        cseq = dialog.local_cseq + 1
        leg.dialog = replace(dialog, local_cseq=cseq)
        leg.move(LegState.ENDING)
        self._bye(dialog, cseq, leg.hang_up_headers, leg, now)

    def _drop_waiting(self, leg: Leg, now: float) -> None:
        """Answer their requests that still wait: nobody will (RFC 3261 15.1.2)."""
        for waiting in (leg.theirs, leg.their_update):
            if waiting is not None and waiting.unanswered:
                self._core.respond(waiting, 487, now)
        leg.theirs = leg.their_update = None

    def send_bye_to_branch(self, dialog: Dialog, headers: HeaderPairs, now: float) -> None:
        """End the dialog of one branch of a fork, or of a call that was cancelled too late."""
        self._bye(dialog, dialog.local_cseq + 1, headers, None, now)

    def _bye(self, dialog: Dialog, cseq: int, headers: HeaderPairs, owner: Leg | None, now: float) -> None:
        request, branch, flow = self._core.request_in(dialog, CSeq(cseq, "BYE"), headers)
        self._core.ask(request, branch, flow, now, owner, urgent=owner is not None and owner.spared)

    def on_bye_done(self, leg: Leg) -> None:
        """Forget a leg whose BYE was answered, or will not be."""
        if leg.state is LegState.ENDING:
            self._core.end(leg)

    def on_bye(self, leg: Leg, transaction: Transaction, request: Request, now: float) -> None:
        """Take their BYE: 200, and 487 to an INVITE of theirs that waits (RFC 3261 15.1.2)."""
        core = self._core
        core.respond(transaction, 200, now)
        told = leg.state not in {LegState.ENDING, LegState.HANGING_UP} and not leg.silent
        self._drop_waiting(leg, now)
        leg.awaited_ack = None
        core.end(leg)  # also where they never let us hear their 2xx, and will not repeat it after BYE
        if told:
            core.tell(HungUp(leg.id, request.headers.get("Reason")))

    def on_gone(self, leg: Leg, now: float, *, transport: bool, say_bye: bool) -> None:
        """End a leg whose dialog died: a request of ours was answered 481 or 408, or not at all (RFC 3261 12.2.1.2)."""
        if leg.state is not LegState.CONFIRMED:
            return
        if say_bye:
            self.send_bye(leg, now)
        else:
            self._core.end(leg)
        self._core.tell(HungUp(leg.id, None, "transport" if transport else "gone"))
