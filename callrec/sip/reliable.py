"""Provisional responses that arrive for sure: 100rel and PRACK, on the side that is called and on the one that calls.

RFC 3262; SIP-5, SIP-6. A reliable response with a session is an answer, or the offer where the INVITE had none.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from callrec.sip.admission import session_of
from callrec.sip.building import HeaderPairs
from callrec.sip.events import Acknowledged, HungUp, Reoffered
from callrec.sip.legs import Leg, LegState, LegTimer
from callrec.sip.message import CSeq
from callrec.sip.provisional import Final, OwedPrack, Provisional, ReliableResponses, Unacknowledged
from callrec.sip.session_timer import supports
from callrec.sip.transactions import GIVE_UP, T1

if TYPE_CHECKING:
    from callrec.sip.core import Core
    from callrec.sip.dialog import Dialog
    from callrec.sip.message import Request, Response
    from callrec.sip.transactions import Transaction

OPTION = "100rel"
_LAST_RSEQ = 2**32 - 1
_RACK = re.compile(r"\s*([0-9]{1,10})\s+([0-9]{1,10})\s+(\S+)\s*")


class ReliableAnswering:
    """Reliable responses to INVITEs that came to us."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._on = OPTION in core.profile.supported

    def wanted(self, leg: Leg, session: bytes | None) -> bool:
        """Whether a response above 100 goes reliably: where it must, or has a session and may."""
        if not self._on or leg.theirs is None:
            return False
        if OPTION in leg.theirs.request.headers.words("Require"):
            return True
        return session is not None and supports(leg.theirs.request, OPTION)

    def ring(self, leg: Leg, provisional: Provisional, now: float) -> None:
        """Send a response, or let it wait for the PRACK of the one before (RFC 3262 3)."""
        if leg.reliable is None:
            leg.reliable = ReliableResponses(int.from_bytes(self._core.random(2), "big"))
        if leg.reliable.sent is not None:
            leg.reliable.waiting.append(provisional)
        else:
            self._send(leg, leg.reliable, provisional, now)

    def _send(self, leg: Leg, reliable: ReliableResponses, provisional: Provisional, now: float) -> None:
        core, invite = self._core, leg.theirs
        if invite is None:
            return
        session = None if reliable.session_sent else provisional.session  # a second one would be another offer
        reliable.rseq += 1
        reliable.last = provisional
        pairs: HeaderPairs = (("Require", OPTION), ("RSeq", str(reliable.rseq)), core.contact(invite.flow))
        pairs += (*core.capabilities(invite.flow), *provisional.headers)
        response = core.response(invite, provisional.status, headers=pairs, body=session or b"")
        core.send_response(invite, response, now)
        reliable.sent = Unacknowledged(reliable.rseq, invite.data, session is not None)
        reliable.session_sent = reliable.session_sent or session is not None
        core.set_timer(leg, LegTimer.REPEAT_RELIABLE, now + T1)
        core.set_timer(leg, LegTimer.NO_PRACK, now + GIVE_UP)

    def repeat(self, leg: Leg, now: float) -> None:
        """Say once more what was said last, for proxies that give an INVITE up after minutes (RFC 3261 13.3.1.1)."""
        reliable = leg.reliable
        if reliable is not None and reliable.sent is None and reliable.last is not None:
            self._send(leg, reliable, reliable.last._replace(session=None), now)

    def keeps_waiting(self, leg: Leg, final: Final) -> bool:
        """Keep a 2xx back until the session that was sent before has been acknowledged; return whether it waits."""
        reliable = leg.reliable
        if reliable is None or leg.state is not LegState.INCOMING:
            return False
        reliable.waiting.clear()
        if reliable.sent is None or not reliable.sent.has_session:
            leg.stop(LegTimer.REPEAT_RELIABLE, LegTimer.NO_PRACK)
            return False
        reliable.final = final
        return True

    def on_prack(self, leg: Leg, transaction: Transaction, prack: Request, now: float) -> Final | None:
        """Take a PRACK; return the 2xx that waited for it."""
        core, reliable = self._core, leg.reliable
        sent = None if reliable is None else reliable.sent
        invite = leg.first_invite
        named = _rack_of(prack)
        if reliable is None or sent is None or invite is None or named != (sent.rseq, invite.request.cseq.number):
            core.respond(transaction, 481, now)
            return None
        reliable.sent = None
        leg.stop(LegTimer.REPEAT_RELIABLE, LegTimer.NO_PRACK)
        session = session_of(prack)
        offered = sent.has_session and leg.offers_late
        if session is not None and not offered and reliable.session_sent and leg.their_update is None:
            leg.their_update = transaction  # a new offer in the PRACK is answered as one in an UPDATE (RFC 3262 5)
            core.tell(Reoffered(leg.id, prack, session))
        else:
            core.respond(transaction, 200, now)
        if sent.has_session:
            reliable.agreed = session is not None or not offered
        if offered:
            core.tell(Acknowledged(leg.id, session))
        return self._go_on(leg, reliable, now)

    def _go_on(self, leg: Leg, reliable: ReliableResponses, now: float) -> Final | None:
        if reliable.final is not None:
            final, reliable.final = reliable.final, None
            return final
        if reliable.waiting:
            self._send(leg, reliable, reliable.waiting.popleft(), now)
        return None

    def on_timer(self, leg: Leg, timer: LegTimer, now: float) -> None:
        """Repeat a response, or give the INVITE up: nobody hears us (RFC 3262 3)."""
        core, invite = self._core, leg.theirs
        sent = None if leg.reliable is None else leg.reliable.sent
        if sent is None or invite is None:
            return
        if timer is LegTimer.REPEAT_RELIABLE:
            core.send(sent.data, invite.flow)
            sent.interval *= 2
            core.set_timer(leg, LegTimer.REPEAT_RELIABLE, now + sent.interval)
            return
        leg.theirs = None
        core.respond(invite, 504, now)
        core.end(leg)
        core.tell(HungUp(leg.id, None, "no_acknowledgement"))


def _rack_of(prack: Request) -> tuple[int, int] | None:
    """Return RSeq and CSeq that a PRACK names, None where it names none of an INVITE."""
    found = _RACK.fullmatch(prack.headers.get("RAck") or "")
    return None if found is None or found[3] != "INVITE" else (int(found[1]), int(found[2]))


class ReliableCalling:
    """Reliable responses to INVITEs of ours."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._on = OPTION in core.profile.supported

    def take(self, leg: Leg, invite: Request, response: Response, now: float) -> bool:
        """Acknowledge a reliable response; return whether it is new and in order, so that it counts."""
        tag, rseq = response.to.tag or "", _rseq_of(response)
        if not self._on or rseq is None:
            return True
        last = leg.received_rseq.get(tag)
        if tag not in leg.early or (last is not None and rseq != last + 1):
            return False  # a copy, or one whose forerunner was lost: it comes again
        leg.received_rseq[tag] = rseq
        owed = OwedPrack(tag, f"{rseq} {invite.cseq.number} INVITE")
        session = session_of(response)
        if session is not None and session_of(invite) is None and tag not in leg.agreed:
            leg.owed_prack = owed
            return True
        if session is not None:
            leg.agreed.add(tag)
        self._send(leg, owed, None, now)
        return True

    def answer(self, leg: Leg, session: bytes | None, now: float) -> bool:
        """Send the PRACK that waits for the answer to an offer; False where none does."""
        owed, leg.owed_prack = leg.owed_prack, None
        if owed is None:
            return False
        leg.agreed.add(owed.tag)
        self._send(leg, owed, session, now)
        return True

    def _send(self, leg: Leg, owed: OwedPrack, session: bytes | None, now: float) -> None:
        dialog = leg.dialog_with(owed.tag)
        if dialog is None:
            return
        advanced: Dialog = replace(dialog, local_cseq=dialog.local_cseq + 1)
        leg.keep_dialog(advanced)
        cseq = CSeq(advanced.local_cseq, "PRACK")
        request, branch, flow = self._core.request_in(advanced, cseq, (("RAck", owed.rack),), session or b"")
        self._core.ask(request, branch, flow, now, None, urgent=leg.spared)


def _rseq_of(response: Response) -> int | None:
    """Return the number of a reliable response; None for one that is not reliable."""
    if OPTION not in response.headers.words("Require"):
        return None
    text = (response.headers.get("RSeq") or "").strip()
    return (
        int(text) if text.isascii() and text.isdecimal() and 0 < len(text) <= 10 and int(text) <= _LAST_RSEQ else None
    )
