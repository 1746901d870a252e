"""What the parts of an endpoint share: its stores, its queues, and how a message of ours is made."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from callrec.identifiers import RandomBytes
from callrec.sip.building import HeaderPairs, body_headers, contact_of, via_of
from callrec.sip.dialog import Dialog, request_in
from callrec.sip.events import Event, Flow
from callrec.sip.headers import Headers
from callrec.sip.legs import Leg, Legs, LegState, LegTimer
from callrec.sip.message import REASON_PHRASES, CSeq, Request, Response
from callrec.sip.profile import EndpointProfile
from callrec.sip.timers import Timers
from callrec.sip.transactions import Transaction, Transactions
from callrec.sip.uri import Uri
from callrec.sip.via import BRANCH_COOKIE

LARGEST_DATAGRAM = 1300
"""Bytes of a request that goes by UDP where a stream may be had (RFC 3261 18.1.1)."""


class Outgoing(NamedTuple):
    """One message for the driver to send."""

    data: bytes
    flow: Flow


@dataclass(slots=True)
class EndpointCounters:
    """What happened, counted."""

    unparseable: int = 0
    """Messages that were none; `answered_400` of them had a usable Via."""
    answered_400: int = 0
    stray_responses: int = 0
    stray_acks: int = 0
    overloaded: int = 0
    """Requests refused because a store was full."""
    large: int = 0
    """Requests of ours that were too large for a datagram and went by a stream."""
    fell_back: int = 0
    """Of these, requests that went by UDP after all: nobody took the connection."""


@dataclass(slots=True)
class Core:
    """The shared middle of an endpoint."""

    profile: EndpointProfile
    random: RandomBytes
    timers: Timers = field(default_factory=Timers)
    legs: Legs = field(default_factory=Legs)
    events: deque[Event] = field(default_factory=deque)
    outgoing: list[Outgoing] = field(default_factory=list)
    counters: EndpointCounters = field(default_factory=EndpointCounters)
    transactions: Transactions = field(init=False)
    own_mark: str = field(init=False)

    def __post_init__(self) -> None:
        self.transactions = Transactions(self.timers, self.send, self.profile.max_transactions)
        self.own_mark = BRANCH_COOKIE + self.random(4).hex()

    def send(self, data: bytes, flow: Flow) -> None:
        """Queue a message for the driver."""
        if not self.outgoing:
            self.profile.wake()
        self.outgoing.append(Outgoing(data, flow))

    def tell(self, event: Event) -> None:
        """Queue an event for the user."""
        if not self.events:
            self.profile.wake()
        self.events.append(event)

    def token(self) -> str:
        """Return a fresh random word, for tags and the like."""
        return self.random(8).hex()

    def retry_after(self) -> tuple[str, str]:
        """Return a Retry-After of 0 to 10 s, so that two peers that collided part (RFC 3261 14.2)."""
        return "Retry-After", str(self.random(1)[0] % 11)

    def set_timer(self, leg: Leg, timer: LegTimer, when: float) -> None:
        """Start a timer of a leg, or move it."""
        leg.deadlines[timer] = when
        self.timers.set(leg, timer, when)

    # Requests of ours.

    def branch(self, uri: Uri) -> str:
        """Return a fresh branch that shows us our own request, and whether its Request-URI is still the same."""
        return f"{self.own_mark}{zlib.crc32(str(uri).encode('utf-8', 'surrogateescape')):08x}{self.random(8).hex()}"

    def has_looped(self, request: Request) -> bool:
        """Whether a request passed us before and nobody has changed where it goes since (RFC 3261 16.3 step 4)."""
        if len(request.headers.get_all("Via")) == 1 and "," not in (request.headers.get("Via") or ""):
            return False  # the top Via is the sender's, never ours
        mark = self.own_mark + f"{zlib.crc32(str(request.uri).encode('utf-8', 'surrogateescape')):08x}"
        return any((via.branch or "").startswith(mark) for via in request.via_list[1:])

    def via(self, flow: Flow, branch: str) -> str:
        """Return our Via for a request that goes by a flow."""
        return via_of(flow, self.profile.advertise(flow), branch)

    def contact(self, flow: Flow) -> tuple[str, str]:
        """Return our Contact for a message that goes by a flow."""
        return "Contact", contact_of(flow, self.profile.contact_user, self.profile.advertise(flow))

    def capabilities(self, flow: Flow) -> HeaderPairs:
        """Return Allow and Supported for a message that goes by a flow."""
        refer = ("REFER",) if self.profile.takes_refer(flow) else ()
        allow = ("Allow", ", ".join((*self.profile.allow, *refer)))
        return (allow, ("Supported", ", ".join(self.profile.supported))) if self.profile.supported else (allow,)

    def named(self, name: str) -> HeaderPairs:
        """Return User-Agent or Server, where we have a name."""
        return ((name, self.profile.user_agent),) if self.profile.user_agent else ()

    def request_in(
        self, dialog: Dialog, cseq: CSeq, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> tuple[Request, str, Flow]:
        """Return a request inside a dialog, its branch and the way it goes."""
        hop = dialog.next_hop
        flow = self.profile.route(hop, dialog.flow)
        branch = self.branch(hop)
        pairs = (*headers, *self.named("User-Agent"), *own_body_headers(headers, body))
        return request_in(dialog, cseq, self.via(flow, branch), pairs, body), branch, flow

    def ask(  # noqa: PLR0913 - what a request has
        self, request: Request, branch: str, flow: Flow, now: float, owner: object, *, urgent: bool = False
    ) -> Transaction:
        """Send a request of ours by a flow, or by a stream beside it where it is too large for a datagram."""
        sent, by = self.fitting(request, branch, flow, urgent=urgent)
        self.counters.large += by is not flow
        return self.transactions.start_client(sent, branch, by, now, owner, way=flow)

    def fitting(self, request: Request, branch: str, flow: Flow, *, urgent: bool) -> tuple[Request, Flow]:
        """Return a request and the way that fits its size: that given, or a stream beside it with a Via of its own."""
        if flow.transport != "udp" or len(request.serialize()) <= LARGEST_DATAGRAM:
            return request, flow
        stream = self.profile.stream(flow, urgent)
        return (request, flow) if stream is None else (self.by(request, branch, stream), stream)

    def by(self, request: Request, branch: str, flow: Flow) -> Request:
        """Return a request as it goes by another way: with our Via for that."""
        return replace(request, headers=request.headers.replace("Via", self.via(flow, branch)))

    # Responses of ours.

    def respond(self, transaction: Transaction, status: int, now: float, *, headers: HeaderPairs = ()) -> None:
        """Send a response without a body."""
        self.send_response(transaction, self.response(transaction, status, headers=headers), now)

    def send_response(self, transaction: Transaction, response: Response, now: float) -> None:
        """Send a response to a request that is still waiting for one."""
        self.transactions.respond(transaction, response, now)

    def response(
        self,
        transaction: Transaction,
        status: int,
        *,
        reason: str | None = None,
        headers: HeaderPairs = (),
        body: bytes = b"",
    ) -> Response:
        """Return a response to a request, with a To tag that stays the same for the transaction."""
        if not transaction.to_tag:
            transaction.to_tag = self.token()
        echoed = echo(transaction.request, transaction.vias, status, transaction.to_tag)
        own = own_body_headers(headers, body)
        phrase = REASON_PHRASES.get(status, "") if reason is None else reason
        return Response(status, phrase, Headers([*echoed, *headers, *self.named("Server"), *own]), body)

    # Legs.

    def end(self, leg: Leg) -> None:
        """Let a leg be over: no timer, no dialog, no id, no INVITE of ours that still waits is left."""
        leg.move(LegState.OVER)
        if leg.ours is not None:
            self.transactions.abandon(leg.ours)
            leg.ours = None
        if leg.our_update is not None:
            self.transactions.abandon(leg.our_update)
            leg.our_update = None
        leg.deadlines.clear()
        self.legs.forget(leg)


def own_body_headers(given: Iterable[tuple[str, str]], body: bytes) -> HeaderPairs:
    """Return the headers of a body that were not given: a body without a Content-Type is SDP."""
    typed = any(name.lower() == "content-type" for name, _ in given)
    return body_headers(body, None)[-1:] if typed else body_headers(body, None)


def echo(request: Request, vias: tuple[str, ...], status: int, to_tag: str) -> list[tuple[str, str]]:
    """Return the headers a response copies from its request (RFC 3261 8.2.6.2), our tag in To."""
    headers = request.headers
    to = headers.get("To") or ""
    if status != 100 and request.to.tag is None:
        to = f"{to};tag={to_tag}" if ">" in to else str(request.to.with_tag(to_tag))
    pairs = [("Via", via) for via in vias or headers.get_all("Via")]
    pairs += [("From", headers.get("From") or ""), ("To", to)]
    pairs += [("Call-ID", request.call_id), ("CSeq", str(request.cseq))]
    if status == 100:
        pairs += [("Timestamp", value) for value in headers.get_all("Timestamp")]
    elif status < 300 and request.method == "INVITE":
        pairs += [("Record-Route", value) for value in headers.get_all("Record-Route")]
    return pairs
