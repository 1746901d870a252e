"""The door of the sip package: bytes and wishes in, bytes and events out, never a socket or a clock.

Five verbs for the driver (`receive`, `to_send`, `next_timer`, `timer_fired`, `next_event`), and what a user may do with
a leg. A wish for a leg that is over, or that no longer fits, does nothing and returns False: events and wishes cross.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from callrec.errors import PeerError
from callrec.sip.answering import Answering
from callrec.sip.asking import Asking, Question
from callrec.sip.authentication import Authentication
from callrec.sip.calling import Calling, Dial
from callrec.sip.core import Core, EndpointCounters, Outgoing
from callrec.sip.dialog import DEFAULT_PORT, Dialog, DialogKey, is_literal
from callrec.sip.events import Address, Event, Flow, LegId
from callrec.sip.failure import parse_failure_reply, usable_via
from callrec.sip.framing import is_keep_alive
from callrec.sip.hanging_up import HangingUp
from callrec.sip.incoming import Incoming, reply_flow
from callrec.sip.large_requests import LargeRequests
from callrec.sip.legs import Leg, LegState, LegTimer, Reoffer
from callrec.sip.message import Response, parse_message
from callrec.sip.profile import EndpointProfile
from callrec.sip.refreshing import Refreshing
from callrec.sip.reoffering import Reoffering
from callrec.sip.transactions import Happening, Told, Transaction, client_key
from callrec.sip.updating import Updating

if TYPE_CHECKING:
    from callrec.identifiers import RandomBytes
    from callrec.sip.registration import Register

__all__ = ["Dial", "Endpoint", "EndpointCounters", "EndpointProfile", "Outgoing"]


class Endpoint:
    """A SIP user agent on both sides of a call; many legs, bounded stores."""

    def __init__(self, profile: EndpointProfile, random: RandomBytes) -> None:
        self._core = core = Core(profile, random)
        self._authentication = Authentication(core)
        self._large = LargeRequests(core)
        self._hanging_up = HangingUp(core)
        self._refreshing = Refreshing(core, self._hanging_up)
        self._calling = Calling(core, self._hanging_up, self._refreshing)
        self._reoffering = Reoffering(core, self._calling, self._hanging_up, self._refreshing)
        self._answering = Answering(core, self._hanging_up, self._reoffering, self._refreshing)
        self._updating = Updating(core, self._refreshing, self._reoffering)
        self._asking = Asking(core)
        self._incoming = Incoming(core, self._answering, self._hanging_up, self._updating, self._refreshing)

    # The five verbs.

    def receive(self, data: bytes, flow: Flow, now: float) -> PeerError | None:
        """Take one message; return why it was none, so that the driver may log it, else None."""
        if is_keep_alive(data):
            return None
        try:
            message = parse_message(data)
        except PeerError as error:
            self._on_unparseable(data, flow, error)
            return error
        if isinstance(message, Response):
            self._on_response(message, now)
        else:
            self._incoming.on_request(message, flow, now)
        self._settle(now)
        return None

    def to_send(self, now: float) -> list[Outgoing]:
        """Return what is to be sent, in order, and forget it."""
        del now
        outgoing, self._core.outgoing = self._core.outgoing, []
        return outgoing

    def next_timer(self) -> float | None:
        """Return when `timer_fired` is due, None while nothing waits."""
        return self._core.timers.next()

    def timer_fired(self, now: float) -> None:
        """Do whatever is due."""
        while (due := self._core.timers.take_due(now)) is not None:
            owner, timer = due
            if isinstance(owner, Transaction):
                self._core.transactions.fire(owner, timer, now)
            elif isinstance(owner, Leg) and isinstance(timer, LegTimer):
                self._on_leg_timer(owner, timer, now)
            self._settle(now)

    def next_event(self) -> Event | None:
        """Return the next event and forget it, None where there is none."""
        return self._core.events.popleft() if self._core.events else None

    def transport_failed(self, flow: Flow, now: float) -> None:
        """Take the news that a flow is dead: a connection closed, or an address that answers with ICMP."""
        self._core.transactions.transport_failed(flow, now)
        self._settle(now)
        if flow.transport != "udp":
            self._leave_connection(flow)

    def not_sent(self, data: bytes, flow: Flow, now: float) -> None:
        """Take the news that one message cannot go by its flow: it is too large, or too many wait for a connection."""
        self._core.transactions.not_sent(data, flow, now)
        self._settle(now)

    # As server.

    def ring(
        self,
        leg: LegId,
        now: float,
        *,
        status: int = 180,
        session: bytes | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> bool:
        """Send a provisional response, with early media where there is a session; repeated each minute."""
        found = self._leg(leg)
        return found is not None and self._answering.ring(found, status, session, tuple(headers), now)

    def answer(self, leg: LegId, session: bytes | None, now: float, *, headers: Iterable[tuple[str, str]] = ()) -> bool:
        """Send 200 with the answer, or with the offer where their INVITE had none; repeated until the ACK comes."""
        found = self._leg(leg)
        if found is None or found.state is not LegState.INCOMING:
            return False
        return self._answering.answer(found, session, tuple(headers), now)

    def reject(
        self,
        leg: LegId,
        status: int,
        now: float,
        *,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> bool:
        """Send a final response of 300 or above; the leg is over."""
        found = self._leg(leg)
        if found is None or found.state is not LegState.INCOMING:
            return False
        return self._answering.reject(found, status, reason, tuple(headers), now)

    # As client.

    def dial(self, dial: Dial, now: float) -> None:
        """Send an INVITE; `dial.leg` is a new id of the user's."""
        self._calling.dial(dial, now)

    def cancel(self, leg: LegId, now: float, *, headers: Iterable[tuple[str, str]] = ()) -> bool:
        """Take back an INVITE of ours that nobody answered; `Failed` follows."""
        found = self._leg(leg)
        return found is not None and self._calling.cancel(found, tuple(headers), now)

    def acknowledge(self, leg: LegId, session: bytes | None, now: float) -> bool:
        """Send the answer to an offer that came in a 2xx (our INVITE or re-INVITE had none)."""
        found = self._leg(leg)
        done = found is not None and self._calling.acknowledge(found, session, now)
        if found is not None:
            self._reoffering.send_waiting(found, now)
        return done

    # In a dialog.

    def hang_up(self, leg: LegId, now: float, *, headers: Iterable[tuple[str, str]] = ()) -> bool:
        """End a leg as its state needs: BYE, CANCEL, 480, or BYE after the ACK; no event follows."""
        found = self._leg(leg)
        if found is None:
            return False
        found.hang_up_headers = tuple(headers)
        self._hang_up(found, now)
        return True

    def reoffer(
        self,
        leg: LegId,
        session: bytes | None,
        now: float,
        *,
        headers: Iterable[tuple[str, str]] = (),
        update: bool = False,
    ) -> bool:
        """Send a re-INVITE, as soon as no other is pending; None asks the far side for its offer.

        `update`: by UPDATE where the far side takes it, which is the only way before the call is answered.
        """
        found = self._leg(leg)
        offer = Reoffer(session, tuple(headers), update)
        return found is not None and self._reoffering.reoffer(found, offer, now)

    def spare(self, leg: LegId) -> None:
        """Never end a leg because its session timer ran out (RFC 4028): it is one of an emergency call (FAIL-1)."""
        if (found := self._leg(leg)) is not None:
            found.spared = True

    def can_reoffer(self, leg: LegId) -> bool:
        """Whether `reoffer` can reach the far side now; before the answer that takes 100rel and UPDATE of theirs."""
        found = self._leg(leg)
        return found is not None and (found.speaks or self._reoffering.can_update_early(found))

    def accept_offer(
        self, leg: LegId, session: bytes | None, now: float, *, headers: Iterable[tuple[str, str]] = ()
    ) -> bool:
        """Send 200 to their re-INVITE or UPDATE."""
        found = self._leg(leg)
        if found is not None and found.their_update is not None:
            return self._updating.answer(found, session, tuple(headers), now)
        if found is None or found.state is LegState.INCOMING:
            return False
        return self._answering.answer(found, session, tuple(headers), now)

    def refuse_offer(self, leg: LegId, status: int, now: float, *, headers: Iterable[tuple[str, str]] = ()) -> bool:
        """Send a final response of 300 or above to their re-INVITE or UPDATE; the call goes on as it was."""
        found = self._leg(leg)
        if found is not None and found.their_update is not None:
            return self._updating.reject(found, status, tuple(headers), now)
        if found is None or found.state is LegState.INCOMING:
            return False
        return self._answering.reject(found, status, None, tuple(headers), now)

    def respond(  # noqa: PLR0913 - what a response can have
        self,
        token: str,
        status: int,
        now: float,
        *,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> bool:
        """Answer an `InDialogRequest`; a body is SDP unless `headers` name its Content-Type."""
        return self._incoming.respond(token, status, now, reason=reason, headers=tuple(headers), body=body)

    def ask(  # noqa: PLR0913 - what a request can have
        self,
        leg: LegId,
        method: str,
        token: str,
        now: float,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> bool:
        """Send another request in the dialog of a leg; `Replied` follows with this token of the user's.

        A body is SDP unless `headers` name its Content-Type.
        """
        found = self._leg(leg)
        return found is not None and self._asking.inside(found, method, token, tuple(headers), body, now)

    def ask_options(self, flow: Flow, token: str, now: float) -> None:
        """Send OPTIONS outside any dialog; `Replied` follows with this token of the user's, and no leg."""
        self._asking.options(flow, token, now)

    def register(self, flow: Flow, register: Register, token: str, now: float) -> None:
        """Send a REGISTER; `Replied` follows with this token of the user's, and no leg."""
        self._asking.register(flow, register, token, now)

    # What can be seen.

    @property
    def counters(self) -> EndpointCounters:
        """What happened, counted."""
        return self._core.counters

    @property
    def legs(self) -> int:
        """How many legs the user holds."""
        return len(self._core.legs)

    @property
    def transactions(self) -> int:
        """How many transactions live."""
        return len(self._core.transactions)

    def has_replied(self, leg: LegId) -> bool:
        """Whether any response to our INVITE of a leg has come, 100 Trying included."""
        found = self._leg(leg)
        return found is not None and (found.provisional or found.dialog is not None)

    def leg_of_dialog(self, call_id: str, local_tag: str, remote_tag: str) -> LegId | None:
        """Return the leg that a dialog belongs to, as Replaces names it (RFC 3891), None where it is over."""
        found = self._core.legs.match(DialogKey(call_id, local_tag, remote_tag))
        return found.id if found is not None and self._leg(found.id) is found else None

    def dialog(self, leg: LegId) -> Dialog | None:
        """Return the dialog of a leg as a value that can be written down."""
        found = self._leg(leg)
        return None if found is None else found.dialog

    # Inside.

    def _leg(self, leg: LegId) -> Leg | None:
        return self._core.legs.get(leg)

    def _on_unparseable(self, data: bytes, flow: Flow, error: PeerError) -> None:
        counters = self._core.counters
        counters.unparseable += 1
        via = usable_via(data)
        reply = parse_failure_reply(data, error, flow.remote) if via is not None else None
        if via is not None and reply is not None:
            counters.answered_400 += 1
            to_source = self._core.profile.reply_to_source(flow)
            self._core.send(reply, reply_flow(via, flow, to_source=to_source))

    def _on_response(self, response: Response, now: float) -> None:
        core = self._core
        transaction = core.transactions.find(client_key(response.via.branch or "", response.cseq.method))
        if transaction is not None and len(response.headers.get_all("Via")) == 1:
            core.transactions.receive_response(transaction, response, now)
            return
        if response.is_success and response.cseq.method == "INVITE":
            key = DialogKey(response.call_id, response.from_.tag or "", response.to.tag or "")
            if (leg := core.legs.match(key)) is not None:
                self._calling.on_late_success(leg, response)
                return
        core.counters.stray_responses += 1

    def _settle(self, now: float) -> None:
        """Act on what the transactions told, until they have nothing more to tell."""
        told = self._core.transactions.told
        while told:
            self._on_told(told.popleft(), now)

    def _on_told(self, told: Told, now: float) -> None:
        if self._authentication.take(told, now) or self._large.take(told, now):
            return
        transaction, leg = told.transaction, told.transaction.owner
        if isinstance(leg, Question):
            self._asking.on_told(leg, told)
        if not isinstance(leg, Leg):
            return
        if transaction.is_server:
            if told.what is Happening.ACK and not isinstance(told.message, Response) and told.message is not None:
                self._answering.on_ack(leg, told.message, now)
        elif transaction.request.method == "BYE":
            if not (isinstance(told.message, Response) and told.message.is_provisional):
                self._hanging_up.on_bye_done(leg)
        elif transaction is leg.first_invite or leg.first_invite is None:
            self._calling.on_told(leg, told, now)
        else:
            self._reoffering.on_told(leg, told, now)

    def _on_leg_timer(self, leg: Leg, timer: LegTimer, now: float) -> None:
        leg.stop(timer)
        if timer is LegTimer.GLARE:
            self._reoffering.on_glare_over(leg, now)
        elif timer is LegTimer.REFRESH:
            self._reoffering.refresh(leg, now)
        elif timer is LegTimer.NO_ANSWER:
            self._updating.on_no_answer(leg, now)
        elif timer is LegTimer.EXPIRY:
            self._refreshing.on_expiry(leg, now)
        elif timer is not LegTimer.NO_FINAL:
            self._answering.on_timer(leg, timer, now)
        elif leg.state is LegState.CANCELLING:
            self._calling.on_no_final(leg)
        else:
            self._reoffering.on_no_final(leg, now)

    def _hang_up(self, leg: Leg, now: float) -> None:
        match leg.state:
            case LegState.INCOMING:
                self._answering.reject(leg, 480, None, leg.hang_up_headers, now)
            case LegState.ANSWERED:
                leg.move(LegState.HANGING_UP)
                self._core.legs.close(leg)
            case LegState.CALLING | LegState.CANCELLING:
                leg.silent = True
                self._calling.cancel(leg, leg.hang_up_headers, now)
                self._core.legs.close(leg)
            case _:
                if leg.owed_cseq is not None:
                    self._calling.acknowledge(leg, None, now)
                self._hanging_up.send_bye(leg, now)

    def _leave_connection(self, flow: Flow) -> None:
        """Let legs of a closed connection go on by the address their far side listens at (RFC 3261 18.2.2)."""
        for leg in self._core.legs.on_connection(flow):
            hop = None if leg.dialog is None else leg.dialog.next_hop
            if leg.dialog is not None and hop is not None and is_literal(hop.host):
                remote = Address(hop.host, hop.port or DEFAULT_PORT)
                leg.dialog = replace(leg.dialog, flow=Flow(flow.transport, flow.local, remote))
            self._redirect_response(leg, flow)

    def _redirect_response(self, leg: Leg, flow: Flow) -> None:
        waiting = leg.theirs or (leg.awaited_ack.transaction if leg.awaited_ack else None)
        if waiting is not None and waiting.flow == flow:
            via = waiting.request.via
            port = via.port if via.port is not None else via.default_port
            waiting.flow = Flow(flow.transport, flow.local, Address(flow.remote.host, port))
