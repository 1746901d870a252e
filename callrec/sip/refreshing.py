"""Carries out session timers: refreshes of ours in time, and the end of a call that nobody refreshes (RFC 4028)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callrec.sip.building import HeaderPairs
from callrec.sip.events import HungUp
from callrec.sip.legs import Leg, LegState, LegTimer
from callrec.sip.session_timer import OPTION, SessionTimer, agreed, grant, least_of, request_headers

if TYPE_CHECKING:
    from callrec.sip.core import Core
    from callrec.sip.hanging_up import HangingUp
    from callrec.sip.message import Request, Response

EXPIRED = ("Reason", 'SIP;cause=408;text="Session expired"')
_SOONEST_RETRY = 5.0


class Refreshing:
    """The session timers of all legs."""

    def __init__(self, core: Core, hanging_up: HangingUp) -> None:
        self._core = core
        self._hanging_up = hanging_up
        self._on = OPTION in core.profile.supported

    def asking(self, leg: Leg) -> HeaderPairs:
        """Return what an INVITE or UPDATE of ours asks for."""
        return (
            request_headers(self._core.profile.session_timer, leg.session_timer, leg.least_expires) if self._on else ()
        )

    def granting(self, leg: Leg, request: Request, now: float) -> HeaderPairs:
        """Set the timer that our 2xx to their INVITE or UPDATE agrees to; return its headers."""
        if not self._on:
            return ()
        timer, pairs = grant(request, self._core.profile.session_timer, leg.least_expires)
        self._set(leg, timer, now)
        return pairs

    def on_success(self, leg: Leg, response: Response, now: float) -> None:
        """Set the timer that their 2xx to our INVITE or UPDATE agrees to."""
        if self._on:
            self._set(leg, agreed(response), now)

    def take_refusal(self, leg: Leg, response: Response) -> bool:
        """Take a 422: return whether the request may be sent again, with what the far side takes (RFC 4028 7.3)."""
        least = least_of(response) if self._on and response.status == 422 else None
        if least is None or least <= leg.least_expires:
            return False
        leg.least_expires = least
        return True

    def _set(self, leg: Leg, timer: SessionTimer | None, now: float) -> None:
        leg.session_timer = timer
        leg.stop(LegTimer.REFRESH, LegTimer.EXPIRY)
        if timer is None:
            return
        self._core.set_timer(leg, LegTimer.EXPIRY, now + timer.end_after)
        if timer.we_refresh:
            self._core.set_timer(leg, LegTimer.REFRESH, now + timer.refresh_after)

    def retry_later(self, leg: Leg, now: float) -> None:
        """Try a refresh again that was refused, while there is time (RFC 4028 10)."""
        expiry = leg.deadlines.get(LegTimer.EXPIRY)
        if expiry is not None and expiry - now > 2 * _SOONEST_RETRY:
            self._core.set_timer(leg, LegTimer.REFRESH, now + max(_SOONEST_RETRY, (expiry - now) / 2))

    def on_expiry(self, leg: Leg, now: float) -> None:
        """End a call whose far side is gone: nobody refreshed it in time."""
        if leg.state in {LegState.CONFIRMED, LegState.OFFERED} and not leg.spared:
            leg.hang_up_headers = (EXPIRED,)
            self._hanging_up.send_bye(leg, now)
            self._core.tell(HungUp(leg.id, None, "session_expired"))
