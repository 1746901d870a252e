"""The side that calls: our INVITEs, forks, CANCEL and the ACKs of 2xx (RFC 3261 9.1, 13.2, 14.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from callrec.errors import PeerError
from callrec.sip.admission import session_of
from callrec.sip.building import MAX_FORWARDS, HeaderPairs, body_headers, cancel_of, with_local_tag
from callrec.sip.dialog import Dialog, dialog_of_response
from callrec.sip.events import Answered, Failed, Flow, LegId, Progress
from callrec.sip.headers import Headers
from callrec.sip.legs import MAX_BRANCHES, Leg, LegState, LegTimer, SentAck
from callrec.sip.message import CSeq, Request, Response
from callrec.sip.reliable import ReliableCalling
from callrec.sip.transactions import GIVE_UP, Happening, Told, Transaction

if TYPE_CHECKING:
    from callrec.sip.core import Core
    from callrec.sip.hanging_up import HangingUp
    from callrec.sip.name_address import NameAddress
    from callrec.sip.refreshing import Refreshing
    from callrec.sip.uri import Uri


@dataclass(frozen=True, slots=True)
class Dial:
    """An INVITE to send: `leg` is the user's id, `flow` the way to the first hop."""

    leg: LegId
    flow: Flow
    request_uri: Uri
    to: NameAddress
    from_: NameAddress
    """Its tag is set by the endpoint; display name and URI go out byte for byte."""
    call_id: str | None = None
    session: bytes | None = None
    """The offer; None for a late offer."""
    headers: HeaderPairs = ()
    """Passed as given; where one has the name of a header that the endpoint would add (Max-Forwards, Contact, Allow,
    Supported, User-Agent, Content-Type), it stands instead."""
    max_forwards: int = MAX_FORWARDS
    """One less than the INVITE that this one passes on, so that loops end (RFC 3261 16.6)."""
    routes: tuple[str, ...] = ()
    """Route values to preload."""
    spared: bool = False
    """An emergency call (FAIL-1): it waits for no connection, and no session timer ends it."""


FailureCause = Literal["response", "timeout", "transport", "cancelled"]


class Calling:
    """INVITEs that we send."""

    def __init__(self, core: Core, hanging_up: HangingUp, refreshing: Refreshing) -> None:
        self._core = core
        self._hanging_up = hanging_up
        self._refreshing = refreshing
        self._reliable = ReliableCalling(core)

    # What the user wants.

    def dial(self, dial: Dial, now: float) -> None:
        """Send the first INVITE of a leg."""
        core, tag = self._core, self._core.token()
        leg = Leg(dial.leg, dial.flow, tag, LegState.CALLING, spared=dial.spared)
        branch = core.branch(dial.request_uri)
        request = self._invite(leg, dial, branch)
        leg.session = dial.session
        core.legs.add(leg)
        leg.ours = leg.first_invite = core.ask(request, branch, dial.flow, now, leg, urgent=leg.spared)

    def _invite(self, leg: Leg, dial: Dial, branch: str) -> Request:
        core, body = self._core, dial.session or b""
        pairs = [("Via", core.via(dial.flow, branch))]
        pairs += [("Route", route) for route in dial.routes]
        pairs += [("From", with_local_tag(dial.from_, leg.local_tag)), ("To", str(dial.to.without_parameter("tag")))]
        pairs += [("Call-ID", dial.call_id or core.random(16).hex()), ("CSeq", "1 INVITE")]
        given = {name.lower() for name, _ in dial.headers}
        own = (("Max-Forwards", str(dial.max_forwards)), core.contact(dial.flow), *core.capabilities(dial.flow))
        own += self._refreshing.asking(leg)
        own += (*core.named("User-Agent"), *body_headers(body, None))
        pairs += [pair for pair in own if pair[0].lower() not in given]
        pairs += [pair for pair in dial.headers if pair[0].lower() != "content-length"]
        return Request("INVITE", dial.request_uri, Headers(pairs), body)

    def cancel(self, leg: Leg, headers: HeaderPairs, now: float) -> bool:
        """Take back an INVITE that has no final response; CANCEL waits for a provisional one (RFC 3261 9.1)."""
        if leg.state is not LegState.CALLING:
            return False
        leg.move(LegState.CANCELLING)
        leg.cancel_headers = headers
        if leg.provisional:
            self._send_cancel(leg, now)
        return True

    def _send_cancel(self, leg: Leg, now: float) -> None:
        headers, leg.cancel_headers = leg.cancel_headers, None
        if headers is None or leg.ours is None:
            return
        cancel = cancel_of(leg.ours.request, headers)
        branch = cancel.via.branch or ""
        self._core.transactions.start_client(cancel, branch, leg.ours.flow, now, None)
        self._core.set_timer(leg, LegTimer.NO_FINAL, now + GIVE_UP)

    def acknowledge(self, leg: Leg, answer: bytes | None, now: float) -> bool:
        """Send the ACK of a 2xx that carried the offer, with our answer."""
        leg.session = answer or leg.session
        if self._reliable.answer(leg, answer, now):
            return True
        cseq, leg.owed_cseq = leg.owed_cseq, None
        if cseq is None or leg.dialog is None:
            return False
        self._ack(leg, leg.dialog, cseq, answer)
        if leg.state is LegState.OFFERED:
            leg.move(LegState.CONFIRMED)
        return True

    def on_no_final(self, leg: Leg) -> None:
        """Give up on an INVITE whose CANCEL brought no final response (RFC 3261 9.1)."""
        if leg.ours is not None:
            self._core.transactions.abandon(leg.ours)
        self._failed(leg, None, "cancelled")

    # What comes.

    def on_told(self, leg: Leg, told: Told, now: float) -> None:
        """Take what happened to the first INVITE of a leg."""
        if told.what is Happening.RESPONSE and isinstance(told.message, Response):
            self._on_response(leg, told.transaction, told.message, now)
        elif told.transaction is leg.ours:
            cause: FailureCause = "timeout" if told.what is Happening.TIMEOUT else "transport"
            no_stream = cause == "transport" and told.transaction.went_by_stream  # says nothing of UDP
            if not leg.provisional and not no_stream:
                self._core.profile.on_silence(leg.flow, cause)  # also where nobody waits for the call any more
            self._failed(leg, None, cause)

    def _on_response(self, leg: Leg, transaction: Transaction, response: Response, now: float) -> None:
        if response.status < 200:
            self._on_provisional(leg, transaction, response, now)
        elif response.status < 300:
            self.on_success(leg, transaction.request, transaction.way, response, now)
        elif transaction is not leg.ours:
            return
        elif leg.state is LegState.CALLING and self._refreshing.take_refusal(leg, response):
            self.invite_again(leg, self._refreshing.asking(leg), now)
        else:
            self._failed(leg, response, "response")

    def invite_again(self, leg: Leg, headers: HeaderPairs, now: float) -> None:
        """Send the first INVITE of a leg once more, with these headers in place of those of their names."""
        core, before = self._core, leg.first_invite
        assert before is not None, "internal error: nobody was called"
        core.legs.forget_early(leg)
        leg.received_rseq.clear()
        branch, cseq = core.branch(before.request.uri), before.request.cseq.number + 1
        named = {name.lower() for name, _ in headers} | {"via", "cseq"}
        pairs = [("Via", core.via(before.way, branch)), ("CSeq", f"{cseq} INVITE")]
        pairs += [*headers, *(pair for pair in before.request.headers.items() if pair[0].lower() not in named)]
        request = Request("INVITE", before.request.uri, Headers(pairs), before.request.body)
        leg.provisional = False
        leg.ours = leg.first_invite = core.ask(request, branch, before.way, now, leg, urgent=leg.spared)

    def _on_provisional(self, leg: Leg, transaction: Transaction, response: Response, now: float) -> None:
        leg.provisional = True
        if leg.cancel_headers is not None:
            self._send_cancel(leg, now)
        if response.status == 100 or leg.state is not LegState.CALLING:
            return
        session = session_of(response)
        leg.note_allowed(response)
        if tag := response.to.tag:
            self._note_early(leg, tag, dialog_begun(transaction.request, response, leg.flow), session)
            if not self._reliable.take(leg, transaction.request, response, now):
                return
        self._core.tell(Progress(leg.id, response, session))

    def _note_early(self, leg: Leg, tag: str, dialog: Dialog, session: bytes | None) -> None:
        if tag not in leg.early and len(leg.early) >= MAX_BRANCHES:
            return
        if tag in leg.early:  # requests may have gone in it since: its CSeq goes on
            dialog = _gone_on(dialog, leg.early[tag])
        leg.early[tag] = dialog
        self._core.legs.enter(dialog.key, leg)
        if session is not None:
            leg.early_sessions[tag] = session

    def _failed(self, leg: Leg, response: Response | None, cause: FailureCause) -> None:
        leg.ours = None
        self._core.end(leg)
        if not leg.silent:
            self._core.tell(Failed(leg.id, response, cause))

    # 2xx.

    def on_success(self, leg: Leg, invite: Request, flow: Flow, response: Response, now: float) -> None:
        """Take a 2xx to the first INVITE: the first one, a copy, or that of another branch (RFC 3261 13.2.2.4)."""
        tag = response.to.tag or ""
        if (sent := leg.acks.get((tag, invite.cseq.number))) is not None:
            self._send_ack(leg, sent)
            return
        dialog = dialog_begun(invite, response, flow)
        if tag in leg.early:
            dialog = _gone_on(dialog, leg.early[tag])
        if leg.state is LegState.CALLING:
            leg.note_allowed(response)
            self._answered(leg, dialog, invite, response)
            self._refreshing.on_success(leg, response, now)
        elif leg.dialog is None or leg.dialog.key.remote_tag != tag:
            self._refuse_branch(leg, dialog, invite, now)
        # else: a copy of the 2xx whose answer the user still owes

    def _answered(self, leg: Leg, dialog: Dialog, invite: Request, response: Response) -> None:
        self._keep_branch(leg, dialog)
        session = session_of(response)
        agreed = dialog.key.remote_tag in leg.agreed
        if session_of(invite) is None and session is not None and not agreed:
            leg.owed_cseq = invite.cseq.number
            leg.move(LegState.OFFERED)
        else:
            leg.move(LegState.CONFIRMED)
            self._ack(leg, dialog, invite.cseq.number, None)
            if session is None:  # the answer came earlier, in a 183
                session = leg.early_sessions.get(dialog.key.remote_tag)
        leg.early_sessions.clear()
        self._core.tell(Answered(leg.id, response, session))

    def _keep_branch(self, leg: Leg, dialog: Dialog) -> None:
        """Let one branch be the dialog of a leg; the other early ones are no more."""
        core = self._core
        core.legs.forget(leg)
        leg.early.clear()
        leg.ours, leg.dialog = None, dialog
        core.legs.add(leg)
        core.legs.enter(dialog.key, leg)

    def _refuse_branch(self, leg: Leg, dialog: Dialog, invite: Request, now: float) -> None:
        """ACK and end a call that nobody wants: another branch of a fork, or one cancelled too late (SIP-2, SIP-3)."""
        if len(leg.acks) >= MAX_BRANCHES:
            return
        self._ack(leg, dialog, invite.cseq.number, None)
        self._hanging_up.send_bye_to_branch(dialog, leg.hang_up_headers, now)
        if leg.state in {LegState.CALLING, LegState.CANCELLING}:
            self._failed(leg, None, "cancelled")

    def _ack(self, leg: Leg, dialog: Dialog, cseq: int, answer: bytes | None) -> None:
        """Send the ACK of a 2xx along the route set, and keep it for copies (RFC 3261 13.2.2.4)."""
        sent = SentAck(*self._core.request_in(dialog, CSeq(cseq, "ACK"), body=answer or b""))
        leg.acks[dialog.key.remote_tag, cseq] = sent
        self._send_ack(leg, sent)

    def _send_ack(self, leg: Leg, sent: SentAck) -> None:
        """Send an ACK by the way that fits its size now: one that no stream took goes by UDP with the next 2xx."""
        request, flow = self._core.fitting(*sent, urgent=leg.spared)
        self._core.send(request.serialize(), flow)

    def ack_reinvite(self, leg: Leg, cseq: int) -> None:
        """Send the ACK of a 2xx to our re-INVITE; those of earlier INVITEs are not needed any more."""
        if leg.dialog is not None:
            leg.acks.clear()
            self._ack(leg, leg.dialog, cseq, None)

    def on_late_success(self, leg: Leg, response: Response) -> None:
        """Answer a copy of a 2xx whose transaction is over."""
        if (sent := leg.acks.get((response.to.tag or "", response.cseq.number))) is not None:
            self._send_ack(leg, sent)


def _gone_on(dialog: Dialog, early: Dialog) -> Dialog:
    """Return a dialog as a response describes it, with the counters of the early one that it confirms."""
    return replace(dialog, local_cseq=max(dialog.local_cseq, early.local_cseq), remote_cseq=early.remote_cseq)


def dialog_begun(invite: Request, response: Response, flow: Flow) -> Dialog:
    """Return the dialog of a response; where its Contact or Record-Route cannot be read, without them.

    A call must not fail for that: ACK and BYE then go to what was dialled.
    """
    try:
        return dialog_of_response(invite, response, flow)
    except PeerError:
        headers = response.headers.without("Contact", "Record-Route")
        return dialog_of_response(invite, Response(response.status, response.reason, headers), flow)
