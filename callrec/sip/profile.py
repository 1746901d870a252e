"""Who an endpoint is, and what it asks of whoever knows the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from callrec.sip.building import HeaderPairs
from callrec.sip.dialog import literal_route
from callrec.sip.digest_answer import Credentials
from callrec.sip.events import Address, Flow
from callrec.sip.message import Request
from callrec.sip.session_timer import WANTED, Wanted
from callrec.sip.uri import Uri

ALLOW = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "UPDATE", "PRACK")


def _ready() -> tuple[int, HeaderPairs]:
    return 200, ()


def _do_nothing() -> None:
    pass


def _never(_flow: Flow) -> bool:
    return False


def _spares_nobody(_request: Request, _flow: Flow) -> bool:
    return False


def _no_credentials(_flow: Flow) -> Credentials | None:
    return None


def _unchallenged(_request: Request, _flow: Flow) -> Credentials | None:
    return None


def _no_stream(_flow: Flow, _urgent: bool) -> Flow | None:  # noqa: FBT001 - a hook has no keywords
    return None


def _ignore(_flow: Flow, _cause: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class EndpointProfile:
    """Who the endpoint is, and the decisions it leaves to whoever knows the network."""

    user_agent: str
    """Sent as User-Agent and Server; "" for none."""
    advertise: Callable[[Flow], Address]
    """The address others reach us at, for Via and Contact of what goes by a flow."""
    supported: tuple[str, ...] = ()
    """Option tags (RFC 3261 19.2) for Supported; a Require of any other gets 420."""
    session_timer: Wanted = WANTED
    """How long a session lasts that nobody refreshes; counts where `supported` names "timer" (RFC 4028)."""
    spares: Callable[[Request, Flow], bool] = _spares_nobody
    """Whether an INVITE that comes by a flow is never refused for its session timer: an emergency call (FAIL-1)."""
    options_reply: Callable[[], tuple[int, Sequence[tuple[str, str]]]] = _ready
    """Status and further headers of the answer to OPTIONS."""
    allow: tuple[str, ...] = ALLOW
    """Methods named in Allow, of everybody."""
    takes_refer: Callable[[Flow], bool] = _never
    """Whether whoever is at the far end of a flow is told in Allow that it may transfer by REFER: some never try
    without, and others leave a transfer to us that they would do themselves."""
    route: Callable[[Uri, Flow], Flow] = literal_route
    """The way to the next hop of a dialog that was set up by the given flow."""
    stream: Callable[[Flow, bool], Flow | None] = _no_stream
    """The stream beside a way by UDP, for a request too large for a datagram (RFC 3261 18.1.1); None where there is
    none. True asks for one that is open already: an emergency call waits for no connection (FAIL-1)."""
    reply_to_source: Callable[[Flow], bool] = _never
    """Whether responses go to the source port even where the Via has no `rport` (a peer behind NAT)."""
    wake: Callable[[], None] = _do_nothing
    """Called when there is something to send or to tell where there was nothing: a driver plans its next round."""
    on_silence: Callable[[Flow, str], None] = _ignore
    """Called when an INVITE of ours got no response at all: where it went, and "timeout" or "transport"."""
    credentials: Callable[[Flow], Credentials | None] = _no_credentials
    """What we answer a challenge with that comes by a flow; None lets the challenge be the answer."""
    challenge: Callable[[Request, Flow], Credentials | None] = _unchallenged
    """What an INVITE outside a dialog has to show; None for nothing. Whom `spares` names is never asked (FAIL-1)."""
    contact_user: str = "callrec"
    max_transactions: int = 50_000
    max_legs: int = 10_000
