"""One registration of ours at a trunk: refreshed, retried, taken back (RFC 3261 10.2, SIP-11); no I/O.

The states are a table; instants are seconds of the monotonic clock, the jitter is a number from 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from callrec.errors import PeerError

if TYPE_CHECKING:
    from callrec.sip.message import Response
    from callrec.sip.uri import Uri

WANTED = 3600
"""Seconds a registration is asked for; the registrar grants what it likes."""
LONGEST = 86_400
"""Seconds that a Min-Expires may ask of us."""
FIRST_RETRY_S = 30.0
LONGEST_RETRY_S = 1800.0
"""Bounds of the pause after a failure, which doubles (RFC 5626 4.5)."""
EARLY_S = 60.0
"""A refresh comes so long before the end, or half-way where less was granted: time for another try."""


class State(Enum):
    """Where a registration stands."""

    IDLE = auto()
    ASKING = auto()
    REGISTERED = auto()
    FAILED = auto()
    LEAVING = auto()
    GONE = auto()


class Input(Enum):
    """What can happen to it."""

    DUE = auto()
    ACCEPTED = auto()
    TOO_BRIEF = auto()
    ELSEWHERE = auto()
    REFUSED = auto()
    LEAVE = auto()


class Action(Enum):
    """What follows."""

    NOTHING = auto()
    ASK = auto()
    PLAN_REFRESH = auto()
    PLAN_RETRY = auto()
    TAKE_BACK = auto()


TABLE: dict[tuple[State, Input], tuple[State, Action]] = {
    (State.IDLE, Input.DUE): (State.ASKING, Action.ASK),
    (State.REGISTERED, Input.DUE): (State.ASKING, Action.ASK),
    (State.FAILED, Input.DUE): (State.ASKING, Action.ASK),
    (State.ASKING, Input.ACCEPTED): (State.REGISTERED, Action.PLAN_REFRESH),
    (State.ASKING, Input.TOO_BRIEF): (State.ASKING, Action.ASK),
    (State.ASKING, Input.ELSEWHERE): (State.ASKING, Action.ASK),
    (State.ASKING, Input.REFUSED): (State.FAILED, Action.PLAN_RETRY),
    (State.IDLE, Input.LEAVE): (State.GONE, Action.NOTHING),
    (State.FAILED, Input.LEAVE): (State.GONE, Action.NOTHING),
    (State.ASKING, Input.LEAVE): (State.LEAVING, Action.TAKE_BACK),
    (State.REGISTERED, Input.LEAVE): (State.LEAVING, Action.TAKE_BACK),
    (State.LEAVING, Input.ACCEPTED): (State.GONE, Action.NOTHING),
    (State.LEAVING, Input.TOO_BRIEF): (State.GONE, Action.NOTHING),
    (State.LEAVING, Input.REFUSED): (State.GONE, Action.NOTHING),
}
"""What is not here changes nothing."""


class Register(NamedTuple):
    """A REGISTER to send."""

    registrar: Uri
    address_of_record: Uri
    call_id: str
    cseq: int
    expires: int
    """Seconds; 0 takes the registration back."""


@dataclass(slots=True)
class Registration:
    """One address of record at one registrar; the Call-ID stays for life (RFC 3261 10.2)."""

    registrar: Uri
    address_of_record: Uri
    call_id: str
    due: float = 0.0
    """When the next REGISTER is to go, while none is under way."""
    state: State = State.IDLE
    wanted: int = WANTED
    cseq: int = 0
    failures: int = 0
    why: str | None = None
    """Why it failed; None while it stands or has not been tried."""

    @property
    def waits(self) -> bool:
        """Whether nothing is under way."""
        return self.state in {State.IDLE, State.REGISTERED, State.FAILED}

    def on_due(self) -> Register | None:
        """Return the REGISTER whose time has come."""
        return self._next(self._step(Input.DUE))

    def leave(self) -> Register | None:
        """Return what takes the registration back, None where there is none."""
        return self._next(self._step(Input.LEAVE))

    def elsewhere(self) -> Register | None:
        """Return the REGISTER for the registrar's next host, where one did not answer or said 503 (RFC 3263 4.3)."""
        return self._next(self._step(Input.ELSEWHERE))

    def replied(self, response: Response, now: float, jitter: float) -> Register | None:
        """Take a final response; return the REGISTER that follows at once."""
        self.cseq = max(self.cseq, response.cseq.number)  # an answered challenge took a number as well
        if response.is_success:
            self._step(Input.ACCEPTED)
            if self.state is State.REGISTERED:
                granted = granted_by(response, self.wanted)
                self.due = now + max(granted - EARLY_S, granted / 2)
                self.failures, self.why = 0, None
            return None
        least = _seconds(response.headers.get("Min-Expires")) if response.status == 423 else None
        if least is not None and self.wanted < least <= LONGEST:
            self.wanted = least
            return self._next(self._step(Input.TOO_BRIEF))
        self.failed(f"was answered {response.status}", now, jitter)
        return None

    def failed(self, why: str, now: float, jitter: float) -> None:
        """Take the news that a REGISTER brought nothing; the next try waits longer each time."""
        if self._step(Input.REFUSED) is Action.PLAN_RETRY:
            pause = min(FIRST_RETRY_S * 2.0 ** min(self.failures, 10), LONGEST_RETRY_S)
            self.due = now + pause * (0.5 + jitter / 2)
            self.failures += 1
            self.why = why

    def _step(self, given: Input) -> Action:
        self.state, action = TABLE.get((self.state, given), (self.state, Action.NOTHING))
        return action

    def _next(self, action: Action) -> Register | None:
        if action not in {Action.ASK, Action.TAKE_BACK}:
            return None
        self.cseq += 1
        expires = self.wanted if action is Action.ASK else 0
        return Register(self.registrar, self.address_of_record, self.call_id, self.cseq, expires)


def granted_by(response: Response, wanted: int) -> int:
    """Return how long a 200 lets us stay, seconds: the Contact's word before the header's (RFC 3261 10.2.4).

    Of several contacts, which may be other devices, the briefest counts: refreshing early does no harm.
    """
    try:
        named = [_seconds(contact.parameter("expires")) for contact in response.contacts]
    except PeerError:
        named = []
    found = [seconds for seconds in named if seconds]
    return max(1, min([*found, wanted]) if found else _seconds(response.headers.get("Expires")) or wanted)


def _seconds(text: str | None) -> int | None:
    text = (text or "").strip().strip('"')
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else None
