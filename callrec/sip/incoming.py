"""Requests that come: copies to their transaction, the rest judged and handed to whoever answers them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callrec.errors import PeerError
from callrec.sip.admission import DELIVERED, Refusal, judge_inside, judge_outside, merge_key
from callrec.sip.answering import cseq_taken
from callrec.sip.building import HeaderPairs
from callrec.sip.challenging import Challenging
from callrec.sip.core import echo
from callrec.sip.dialog import DialogKey, refreshed
from callrec.sip.events import Address, Flow, InDialogRequest
from callrec.sip.grammar import split_list
from callrec.sip.headers import Headers
from callrec.sip.legs import Leg, LegState
from callrec.sip.message import REASON_PHRASES, Request, Response
from callrec.sip.transactions import Transaction, server_key

if TYPE_CHECKING:
    from callrec.sip.answering import Answering
    from callrec.sip.core import Core
    from callrec.sip.hanging_up import HangingUp
    from callrec.sip.refreshing import Refreshing
    from callrec.sip.updating import Updating
    from callrec.sip.via import Via


class Incoming:
    """Routes requests."""

    def __init__(
        self, core: Core, answering: Answering, hanging_up: HangingUp, updating: Updating, refreshing: Refreshing
    ) -> None:
        self._core = core
        self._answering = answering
        self._hanging_up = hanging_up
        self._updating = updating
        self._refreshing = refreshing
        self._challenging = Challenging(core.random)
        self._waiting: dict[str, tuple[Transaction, Leg]] = {}

    def on_request(self, request: Request, flow: Flow, now: float) -> None:
        """Take a request that could be parsed."""
        if request.method == "ACK":
            self._on_ack(request, now)
            return
        transactions = self._core.transactions
        key = server_key(request, request.method)
        known = transactions.find(key)
        if known is not None:
            transactions.receive_copy(known, now)
        elif transactions.full:
            self._refuse_statelessly(request, flow, 503)
        else:
            self._on_new(key, request, flow, now)

    def _on_ack(self, ack: Request, now: float) -> None:
        transactions = self._core.transactions
        invite = transactions.find(server_key(ack, "INVITE"))
        if invite is not None:
            transactions.receive_ack(invite, ack, now)
            return
        leg = self._core.legs.match(_dialog_key(ack))
        if leg is None:
            self._core.counters.stray_acks += 1
        else:
            self._answering.on_ack(leg, ack, now)

    def _on_new(self, key: tuple[object, ...], request: Request, flow: Flow, now: float) -> None:
        core = self._core
        merging = merge_key(request) if request.method != "CANCEL" else None
        merged = merging is not None and core.transactions.find_merged(merging) is not None
        reply_flow, vias = self._way_back(request, flow)
        transaction = core.transactions.start_server(key, request, reply_flow, now, None if merged else merging)
        transaction.vias = vias
        try:
            if request.method == "CANCEL":
                self._on_cancel(transaction, request, now)
            elif merged or core.has_looped(request):
                core.respond(transaction, 482, now)
            elif request.to.tag is not None:
                self._inside(transaction, request, now)
            else:
                self._outside(transaction, request, flow, now)
        except PeerError as error:
            if transaction.unanswered:
                core.respond(transaction, error.status, now)

    def _way_back(self, request: Request, flow: Flow) -> tuple[Flow, tuple[str, ...]]:
        """Return the way of the responses, and their Via lines (RFC 3261 18.2, RFC 3581 4)."""
        via = request.via
        stamped = via.with_source(*flow.remote)
        first, *others = request.headers.get_all("Via")
        if stamped is not via:
            first = ", ".join([str(stamped), *[value.strip() for value in split_list(first, "Via")[1:]]])
        return reply_flow(via, flow, to_source=self._core.profile.reply_to_source(flow)), (first, *others)

    def _on_cancel(self, transaction: Transaction, cancel: Request, now: float) -> None:
        core = self._core
        invite = core.transactions.find(server_key(cancel, "INVITE"))
        if invite is None:
            core.respond(transaction, 481, now)
            return
        transaction.to_tag = invite.to_tag  # RFC 3261 9.2: as in the response to the INVITE
        core.respond(transaction, 200, now)
        if isinstance(invite.owner, Leg):
            self._answering.on_cancel(invite.owner, invite, cancel, now)

    # Outside a dialog.

    def _outside(self, transaction: Transaction, request: Request, flow: Flow, now: float) -> None:
        core = self._core
        refusal = self._challenge(request, flow, now) or judge_outside(request, flow, core.profile)
        if refusal is not None:
            core.respond(transaction, refusal.status, now, headers=refusal.headers)
        elif request.method == "OPTIONS":
            self._answer_options(transaction, now)
        elif len(core.legs) >= core.profile.max_legs:
            core.counters.overloaded += 1
            core.respond(transaction, 503, now, headers=(core.retry_after(),))
        else:
            self._answering.on_invite(transaction, request, flow, now)

    def _challenge(self, request: Request, flow: Flow, now: float) -> Refusal | None:
        profile = self._core.profile
        wanted = profile.challenge(request, flow) if request.method == "INVITE" else None
        if wanted is None or profile.spares(request, flow):
            return None
        challenges = self._challenging.judge(request, wanted, now)
        return None if challenges is None else Refusal(401, challenges)

    def _answer_options(self, transaction: Transaction, now: float) -> None:
        core = self._core
        status, headers = core.profile.options_reply()
        pairs = (*core.capabilities(transaction.flow), ("Accept", "application/sdp"), *headers)
        core.respond(transaction, status, now, headers=pairs)

    def _refuse_statelessly(self, request: Request, flow: Flow, status: int) -> None:
        core = self._core
        core.counters.overloaded += 1
        way, vias = self._way_back(request, flow)
        pairs = [*echo(request, vias, status, core.token()), core.retry_after(), ("Content-Length", "0")]
        core.send(Response(status, REASON_PHRASES[status], Headers(pairs)).serialize(), way)

    # Inside a dialog.

    def _inside(self, transaction: Transaction, request: Request, now: float) -> None:
        core = self._core
        leg = core.legs.match(_dialog_key(request))
        if leg is None or (leg.state in {LegState.ENDING, LegState.HANGING_UP} and request.method != "BYE"):
            core.respond(transaction, 481, now)
            return
        refusal = judge_inside(request, core.profile)
        if refusal is not None:
            core.respond(transaction, refusal.status, now, headers=refusal.headers)
        elif not cseq_taken(leg, request.from_.tag or "", request.cseq.number):
            core.respond(transaction, 500, now)  # RFC 3261 12.2.2: out of order
        else:
            self._dispatch(leg, transaction, request, now)

    def _dispatch(self, leg: Leg, transaction: Transaction, request: Request, now: float) -> None:
        match request.method:
            case "BYE":
                self._hanging_up.on_bye(leg, transaction, request, now)
            case "INVITE":
                self._answering.on_reinvite(leg, transaction, request, now)
            case "OPTIONS":
                self._answer_options(transaction, now)
            case "PRACK":
                self._answering.on_prack(leg, transaction, request, now)
            case "UPDATE" if request.body:
                leg.note_allowed(request)
                self._updating.take(leg, transaction, request, now)
            case method if method in DELIVERED:
                self._deliver(leg, transaction, request, now)

    def _deliver(self, leg: Leg, transaction: Transaction, request: Request, now: float) -> None:
        core = self._core
        if request.method == "UPDATE":
            leg.note_allowed(request)
            dialog = leg.dialog_with(request.from_.tag or "")
            if dialog is not None:
                leg.keep_dialog(refreshed(dialog, request))
        token = core.token()
        self._waiting = {key: waiting for key, waiting in self._waiting.items() if waiting[0].unanswered}
        self._waiting[token] = transaction, leg
        core.tell(InDialogRequest(leg.id, request, token))

    def respond(  # noqa: PLR0913 - what a response can have
        self, token: str, status: int, now: float, *, reason: str | None, headers: HeaderPairs, body: bytes
    ) -> bool:
        """Answer a request that was delivered; False where it is answered or forgotten."""
        core = self._core
        if token not in self._waiting or not self._waiting[token][0].unanswered:
            self._waiting.pop(token, None)
            return False
        transaction, leg = self._waiting[token]
        if status >= 200:
            del self._waiting[token]
        if transaction.request.method == "UPDATE" and 200 <= status < 300:
            granted = self._refreshing.granting(leg, transaction.request, now) if leg.speaks else ()
            headers = (core.contact(transaction.flow), *core.capabilities(transaction.flow), *granted, *headers)
        core.send_response(
            transaction, core.response(transaction, status, reason=reason, headers=headers, body=body), now
        )
        return True


def reply_flow(via: Via, flow: Flow, *, to_source: bool) -> Flow:
    """Return the way of a response: always to the source host, never where the Via alone would send it.

    Over UDP the port is that of the source where the sender asked for it (`rport`), else that of sent-by.
    """
    if flow.transport != "udp" or to_source or via.wants_rport:
        return flow
    port = via.port if via.port is not None else via.default_port
    return Flow("udp", flow.local, Address(flow.remote.host, port))


def _dialog_key(request: Request) -> DialogKey:
    return DialogKey(request.call_id, request.to.tag or "", request.from_.tag or "")
