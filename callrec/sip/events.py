"""What a SIP endpoint tells its user: one value an event, each about one leg (one dialog and its INVITE)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from callrec.sip.message import Request, Response


class Address(NamedTuple):
    """An IP address and a port; the host is a literal, without brackets."""

    host: str
    port: int


SipTransport = Literal["udp", "tcp", "tls"]


class Flow(NamedTuple):
    """The way a message came or goes: transport, our listening address, the far address.

    For TCP and TLS the pair of addresses names a connection: the driver reuses it while it lives and opens one where it
    must.
    """

    transport: SipTransport
    local: Address
    remote: Address


LegId = str
"""A random id made by the endpoint for an incoming call and by the user for an outgoing one."""


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """A new INVITE; 100 Trying has been queued. `offer` is its SDP body, None for a late offer (SIP-6)."""

    leg: LegId
    request: Request
    flow: Flow
    offer: bytes | None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller took the INVITE back; 200 and 487 have been sent and the leg is over. `reason`: its Reason header."""

    leg: LegId
    reason: str | None


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The ACK to our 2xx arrived; `answer` is its SDP when our 2xx carried the offer.

    `reoffer`: the 2xx was that of `accept_offer`, not that of `answer`. Where a reliable 18x of ours carried the offer,
    the PRACK brings the answer and is told first; the ACK then has none (RFC 3262).
    """

    leg: LegId
    answer: bytes | None
    reoffer: bool = False


@dataclass(frozen=True, slots=True)
class HungUp:
    """The far side sent BYE (answered 200), or the dialog died; the leg is over.

    `cause` is None for a BYE, "no_acknowledgement" where no ACK came in 64*T1 (we sent BYE) or no PRACK (we sent 504),
    "session_expired" where nobody refreshed the session in time (RFC 4028; we sent BYE),
    "transport" or "gone" (481, 408 to a request of ours in the dialog).
    """

    leg: LegId
    reason: str | None
    cause: Literal["no_acknowledgement", "session_expired", "transport", "gone"] | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """A provisional response above 100 to our INVITE; `session` is its SDP (early media), if any."""

    leg: LegId
    response: Response
    session: bytes | None


@dataclass(frozen=True, slots=True)
class Answered:
    """The first 2xx to our INVITE; ACK is sent by the endpoint at once, unless the 2xx carries an offer.

    `session` is the SDP of the 2xx. Where our INVITE had no offer, the user must call `acknowledge` with the answer.
    """

    leg: LegId
    response: Response
    session: bytes | None


@dataclass(frozen=True, slots=True)
class Failed:
    """Our INVITE ended without a 2xx; the leg is over.

    `response` is the final response; None where none came: `cause` is then "timeout" (Timer B), or "transport".
    After `cancel` exactly one Failed follows: mostly with 487; "cancelled" where a 2xx crossed (its call was ended by
    ACK and BYE) or no final response came in 64*T1. After `hang_up` nothing follows.
    """

    leg: LegId
    response: Response | None
    cause: Literal["response", "timeout", "transport", "cancelled"]


@dataclass(frozen=True, slots=True)
class Reoffered:
    """A re-INVITE in an established dialog (100 queued); answer it with `accept_offer` or `refuse_offer`.

    Also an UPDATE with an offer, and a PRACK with a new one: these come in early dialogs as well (RFC 3311, RFC 3262),
    are answered in the same way, and no `Acknowledged` follows.
    """

    leg: LegId
    request: Request
    offer: bytes | None


@dataclass(frozen=True, slots=True)
class ReofferCancelled:
    """The far side took its re-INVITE back (487 sent), or its UPDATE waited too long for the user (504 sent).

    The old session stays, nothing need be answered.
    """

    leg: LegId


@dataclass(frozen=True, slots=True)
class ReofferAnswered:
    """The 2xx to our re-INVITE (ACK sent, unless it asked for an offer: then `acknowledge`); `session` is its SDP.

    `refresh`: the endpoint repeated the session for its timer (RFC 4028), and the answer may have changed.
    """

    leg: LegId
    response: Response
    session: bytes | None
    refresh: bool = False


@dataclass(frozen=True, slots=True)
class ReofferFailed:
    """Our re-INVITE was refused (the old session stays), with the final response or None for a timeout."""

    leg: LegId
    response: Response | None


@dataclass(frozen=True, slots=True)
class InDialogRequest:
    """Another request inside a dialog (INFO, UPDATE, REFER, NOTIFY, MESSAGE): answer it with `respond(token, …)`.

    One not answered in 64*T1 is forgotten. Methods the endpoint does not know it has answered 405 or 501 itself.
    """

    leg: LegId
    request: Request
    token: str


@dataclass(frozen=True, slots=True)
class Replied:
    """How a request of `ask` or `ask_options` ended; `leg` is empty for one outside any dialog.

    `response` is the final response; None where none came in 64*T1 ("timeout") or could come ("transport").
    """

    leg: LegId
    token: str
    response: Response | None
    cause: Literal["response", "timeout", "transport"]


Event = (
    IncomingCall
    | Cancelled
    | Acknowledged
    | HungUp
    | Progress
    | Answered
    | Failed
    | Reoffered
    | ReofferCancelled
    | ReofferAnswered
    | ReofferFailed
    | InDialogRequest
    | Replied
)
