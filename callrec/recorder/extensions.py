"""The SIP extensions that calls have (100rel, timer, replaces), and what is marked on a call because of SIP."""

from __future__ import annotations

from collections.abc import Callable

from callrec.calling_line import is_emergency
from callrec.catalogue.values import CallChange
from callrec.recorder.arrival import dialled_text, profile_of, user_of
from callrec.recorder.live_call import LiveCall
from callrec.recorder.passed_headers import Header
from callrec.settings import Peer, Settings
from callrec.sip import reliable, session_timer
from callrec.sip.message import Request

SUPPORTED = (reliable.OPTION, session_timer.OPTION, "replaces", "norefersub")

FLAG_FAX = "fax"
"""A party offered T.38: refused, so that the fax goes on as audio (RTP-7)."""
FLAG_SESSION_EXPIRED = "session_expired"
"""We ended the call: a party stopped refreshing it, or did not answer our refreshes (RFC 4028)."""


def session_timer_of(settings: Settings) -> session_timer.Wanted:
    """Return the session timer that the configuration asks for."""
    sip = settings.sip
    return session_timer.Wanted(
        int(sip.session_expires.total_seconds()), int(sip.min_session_expires.total_seconds())
    )  # fmt: skip


def spares(settings: Settings) -> Callable[[Request, Peer], bool]:
    """Return what says whether an INVITE is an emergency call: neither challenged nor refused for its timer (FAIL-1).

    It is decided as `Arrival` decides it, for the peer it comes from: what another peer's calls would be does not let
    anybody past a challenge.
    """
    country = settings.org.country

    def spared(request: Request, peer: Peer) -> bool:
        profile = profile_of(peer, country)
        texts = (dialled_text(request, peer.called_number_source), user_of(request.uri))
        return any(is_emergency(text, profile) for text in texts)

    return spared


def supported_onward(call: LiveCall) -> tuple[Header, ...]:
    """Return a Supported of its own for the INVITE to the destination, where it may not use every extension.

    Without an offer from the caller a reliable 18x would bring one, and its PRACK needs an answer (RFC 3262 5): a
    caller without 100rel could give none before its ACK.
    """
    late = call.arrival.incoming.offer is None and not call.answered_us
    if not late or session_timer.supports(call.arrival.request, reliable.OPTION):
        return ()
    return (("Supported", ", ".join(name for name in SUPPORTED if name != reliable.OPTION)),)


def mark(call: LiveCall, flag: str) -> None:
    """Write a flag into the row of a call that has one by now."""
    if call.row is not None:
        call.row.change(CallChange(add_flags=(flag,)))
