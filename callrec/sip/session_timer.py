"""Session timers: who refreshes a call, how often, and when it counts as dead (RFC 4028, SIP-10).

Each leg has its own: what one side agreed says nothing about the other. What is negotiated is here, as values; what is
done about it is in `refreshing`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from callrec.errors import PeerError
from callrec.sip.building import HeaderPairs

if TYPE_CHECKING:
    from callrec.sip.message import Request, Response

OPTION = "timer"
SMALLEST = 90
"""Seconds: no session interval is shorter, and a Min-SE that is not said means this (RFC 4028 5)."""
LONGEST = 24 * 3600
"""Seconds; what a peer asks beyond it is not kept waiting for."""
_BYE_BEFORE = 32.0

_VALUE = re.compile(r"\s*([0-9]{1,10})\s*(?:;(.*))?", re.DOTALL)
_REFRESHER = re.compile(r"(?:^|;)\s*refresher\s*=\s*(uac|uas)\s*(?:;|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SessionTimer:
    """What was agreed: seconds until the session counts as dead, and whether we refresh it or they do."""

    interval: int
    we_refresh: bool

    @property
    def refresh_after(self) -> float:
        """Seconds after which the refresher refreshes (RFC 4028 7.2)."""
        return self.interval / 2

    @property
    def end_after(self) -> float:
        """Seconds after which a session nobody refreshed is ended (RFC 4028 10)."""
        return self.interval - min(_BYE_BEFORE, self.interval / 3)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What we ask for, and the least that we take; seconds."""

    expires: int = 1800
    minimum: int = SMALLEST


WANTED = Wanted()


def _read(message: Request | Response, name: str) -> tuple[int, str | None] | None:
    """Return the seconds of a header and its refresher; None where there is none.

    Raises:
        PeerError: where it cannot be read.
    """
    text = message.headers.get(name)
    if text is None:
        return None
    if (found := _VALUE.fullmatch(text)) is None:
        raise PeerError(f"{name}: found {text[:40]!r}, expected seconds such as 1800")
    refresher = _REFRESHER.search(found[2] or "")
    return int(found[1]), None if refresher is None else refresher[1].lower()


def _minimum_of(message: Request | Response) -> int:
    found = _read(message, "Min-SE")
    return SMALLEST if found is None else max(SMALLEST, found[0])


def supports(message: Request | Response, option: str) -> bool:
    """Whether a message names an extension in Supported or Require."""
    return any(option in message.headers.words(name) for name in ("Supported", "Require"))


def too_short(request: Request, wanted: Wanted) -> bool:
    """Whether a request gets 422: it asks for less than we take, and would understand (RFC 4028 9).

    Raises:
        PeerError: where Session-Expires cannot be read.
    """
    asked = _read(request, "Session-Expires")
    return asked is not None and asked[0] < wanted.minimum and supports(request, OPTION)


# RFC 4028 table 2: (they support it, the refresher they named) -> the refresher we name. Where they leave it to us and
# could do it, they do: they asked for the timer.
_REFRESHER_OF = {
    (False, None): "uas",
    (False, "uac"): "uas",
    (False, "uas"): "uas",
    (True, None): "uac",
    (True, "uac"): "uac",
    (True, "uas"): "uas",
}


def grant(request: Request, wanted: Wanted, least: int = 0) -> tuple[SessionTimer | None, HeaderPairs]:
    """Return the timer that our 2xx to a request sets, and the headers that say so (RFC 4028 9).

    Without Session-Expires a timer is set only where the other side has the extension. `least`: as below.
    """
    supported = supports(request, OPTION)
    try:
        asked, minimum = _read(request, "Session-Expires"), _minimum_of(request)
    except PeerError:
        return None, ()
    if asked is None and not supported:
        return None, ()
    seconds, named = asked or (wanted.expires, None)
    interval = min(max(min(seconds, wanted.expires), minimum, wanted.minimum, least), LONGEST)
    refresher = _REFRESHER_OF[supported, named]
    pairs: HeaderPairs = (("Session-Expires", f"{interval};refresher={refresher}"),)
    if refresher == "uac":
        pairs = (("Require", OPTION), *pairs)
    return SessionTimer(interval, refresher == "uas"), pairs


def agreed(response: Response) -> SessionTimer | None:
    """Return the timer that a 2xx to a request of ours sets; without Session-Expires there is none (RFC 4028 7.2)."""
    try:
        said = _read(response, "Session-Expires")
    except PeerError:
        return None
    if said is None:
        return None
    seconds, refresher = said
    return SessionTimer(min(max(seconds, SMALLEST), LONGEST), refresher != "uas")


def request_headers(wanted: Wanted, running: SessionTimer | None, least: int) -> HeaderPairs:
    """Return what a request of ours asks for; a role once agreed is kept (RFC 4028 7.4).

    `least`: the largest Min-SE that the far side told in a 422.
    """
    expires = max(wanted.expires if running is None else running.interval, least, wanted.minimum)
    refresher = "" if running is None else f";refresher={'uac' if running.we_refresh else 'uas'}"
    minimum = max(wanted.minimum, least)
    pairs: HeaderPairs = (("Session-Expires", f"{expires}{refresher}"),)
    return (*pairs, ("Min-SE", str(minimum))) if minimum > SMALLEST else pairs


def least_of(refusal: Response) -> int | None:
    """Return the Min-SE of a 422; None where it names none that could be met."""
    try:
        found = _read(refusal, "Min-SE")
    except PeerError:
        return None
    return found[0] if found is not None and found[0] <= LONGEST else None
