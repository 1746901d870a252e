"""Legs: one INVITE, the dialog it makes, and what is going on in it; found by id and by dialog."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from callrec.sip.admission import session_of
from callrec.sip.building import HeaderPairs
from callrec.sip.dialog import Dialog, DialogKey
from callrec.sip.events import Flow, LegId
from callrec.sip.transactions import Transaction

if TYPE_CHECKING:
    from callrec.sip.message import Request, Response
    from callrec.sip.provisional import OwedPrack, ReliableResponses
    from callrec.sip.session_timer import SessionTimer

log = logging.getLogger("callrec.sip")

MAX_BRANCHES = 16
"""Branches of one fork that are followed; more 2xx or early dialogs than this are not answered."""


class LegState(Enum):
    """Where a leg stands; only `Leg.move` changes it."""

    INCOMING = auto()
    """Their INVITE waits for our final response."""
    ANSWERED = auto()
    """Our 2xx waits for their ACK."""
    HANGING_UP = auto()
    """As ANSWERED, but the user hung up: BYE follows the ACK (RFC 3261 15)."""
    CALLING = auto()
    """Our INVITE waits for a final response."""
    CANCELLING = auto()
    """As CALLING, but the user took the INVITE back."""
    OFFERED = auto()
    """Their 2xx carried the offer: the user owes the answer, which goes in the ACK."""
    CONFIRMED = auto()
    """Both sides agree that the call is up."""
    ENDING = auto()
    """Our BYE is on its way; for the user the leg is over."""
    OVER = auto()


class LegTimer(Enum):
    """Timers of a leg; each has at most one instant at a time."""

    REPEAT_2XX = auto()
    NO_ACK = auto()
    REPEAT_1XX = auto()
    NO_FINAL = auto()
    GLARE = auto()
    REPEAT_RELIABLE = auto()
    NO_PRACK = auto()
    REFRESH = auto()
    EXPIRY = auto()
    NO_ANSWER = auto()


class Reoffer(NamedTuple):
    """A re-INVITE or UPDATE that is to be sent: its session (None asks for an offer) and headers."""

    session: bytes | None
    headers: HeaderPairs
    update: bool = False
    """By UPDATE, where the far side takes it."""
    refresh: bool = False
    """It changes nothing and is told to nobody: the session timer's (RFC 4028)."""


@dataclass(slots=True)
class AwaitedAck:
    """A 2xx of ours that repeats until its ACK comes (RFC 3261 13.3.1.4)."""

    transaction: Transaction
    carried_offer: bool
    interval: float


class SentAck(NamedTuple):
    """An ACK that goes out again with every copy of the 2xx it belongs to, and the way of its dialog."""

    request: Request
    branch: str
    flow: Flow


@dataclass(slots=True, eq=False)
class Leg:
    """One leg, in the hands of the endpoint; the user knows it by its id."""

    id: LegId
    flow: Flow
    local_tag: str
    state: LegState
    dialog: Dialog | None = None
    """Theirs from the start (incoming) or from the first 2xx (dialled)."""
    early: dict[str, Dialog] = field(default_factory=dict)
    """Dialled: early dialogs by To tag (RFC 3261 12.1.2)."""
    early_sessions: dict[str, bytes] = field(default_factory=dict)
    theirs: Transaction | None = None
    """Their INVITE that waits for our final response."""
    ours: Transaction | None = None
    """Our INVITE that waits for their final response."""
    first_invite: Transaction | None = None
    """The INVITE that made the leg."""
    awaited_ack: AwaitedAck | None = None
    owed_cseq: int | None = None
    """CSeq of their 2xx whose ACK waits for the user's answer."""
    acks: dict[tuple[str, int], SentAck] = field(default_factory=dict)
    provisional: bool = False
    """A provisional response came: a CANCEL may follow (RFC 3261 9.1)."""
    cancel_headers: HeaderPairs | None = None
    """Set while a CANCEL waits for a provisional response."""
    hang_up_headers: HeaderPairs = ()
    silent: bool = False
    """The user hung up a leg it dialled: how the INVITE ends is not told."""
    sent_reoffer: Reoffer | None = None
    next_reoffer: Reoffer | None = None
    glare_tries: int = 0
    deadlines: dict[LegTimer, float] = field(default_factory=dict)
    allowed: frozenset[str] = frozenset()
    """The methods of their last Allow."""
    session: bytes | None = None
    """What they last took as ours: a refresh repeats it byte for byte."""
    their_update: Transaction | None = None
    """Their UPDATE (or PRACK) with an offer that waits for our answer."""
    our_update: Transaction | None = None
    reliable: ReliableResponses | None = None
    received_rseq: dict[str, int] = field(default_factory=dict)
    """Dialled: the last reliable response of each early dialog, by To tag."""
    agreed: set[str] = field(default_factory=set)
    """Dialled: To tags with whom offer and answer were completed reliably before the 2xx."""
    owed_prack: OwedPrack | None = None
    session_timer: SessionTimer | None = None
    spared: bool = False
    """Whatever its session timer says, we do not end it: an emergency call."""
    least_expires: int = 0
    """The Min-SE of their 422, seconds."""

    @property
    def offers_late(self) -> bool:
        """Whether the INVITE that made the leg had no offer: ours, or theirs, comes in a response."""
        return self.first_invite is not None and session_of(self.first_invite.request) is None

    @property
    def update_waits(self) -> bool:
        """Whether an UPDATE of theirs still waits for our answer."""
        return self.their_update is not None and self.their_update.unanswered

    @property
    def speaks(self) -> bool:
        """Whether both sides have answered, so that a session lasts."""
        return self.state in {LegState.ANSWERED, LegState.OFFERED, LegState.CONFIRMED}

    @property
    def is_early(self) -> bool:
        """Whether the INVITE that made the leg still waits for its final response."""
        return self.state in {LegState.INCOMING, LegState.CALLING, LegState.CANCELLING}

    def dialog_with(self, tag: str) -> Dialog | None:
        """Return the dialog with one remote tag, an early one too."""
        if self.dialog is not None and self.dialog.key.remote_tag == tag:
            return self.dialog
        return self.early.get(tag)

    def keep_dialog(self, dialog: Dialog) -> None:
        """Keep what became of a dialog."""
        tag = dialog.key.remote_tag
        if self.dialog is not None and self.dialog.key == dialog.key:
            self.dialog = dialog
        elif tag in self.early:
            self.early[tag] = dialog

    def note_allowed(self, message: Request | Response) -> None:
        """Keep which methods they take."""
        if "Allow" in message.headers:
            self.allowed = frozenset(name.upper() for name in message.headers.words("Allow"))

    @property
    def dialled(self) -> bool:
        """Whether the INVITE that made the leg was ours."""
        return self.first_invite is not None and not self.first_invite.is_server

    def runs(self, timer: Enum, when: float) -> bool:
        """Whether the timer set for this instant is still wanted."""
        return isinstance(timer, LegTimer) and self.deadlines.get(timer) == when

    def stop(self, *timers: LegTimer) -> None:
        """Stop timers."""
        for timer in timers:
            self.deadlines.pop(timer, None)

    def move(self, state: LegState) -> None:
        """Change the state; the one place that does."""
        log.debug("leg %s: %s -> %s", self.id, self.state.name, state.name)
        self.state = state


class Legs:
    """All legs: by id while the user may use them, by dialog while requests may come in it."""

    def __init__(self) -> None:
        self._by_id: dict[LegId, Leg] = {}
        self._by_dialog: dict[DialogKey, Leg] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    @property
    def dialogs(self) -> int:
        """How many dialogs, early ones included, requests are matched against."""
        return len(self._by_dialog)

    def add(self, leg: Leg) -> None:
        """Take a new leg."""
        self._by_id[leg.id] = leg

    def get(self, leg_id: LegId) -> Leg | None:
        """Return the leg of an id while it is not over."""
        return self._by_id.get(leg_id)

    def match(self, key: DialogKey) -> Leg | None:
        """Return the leg that a request with these tags belongs to."""
        return self._by_dialog.get(key)

    def enter(self, key: DialogKey, leg: Leg) -> None:
        """Let requests of a dialog find its leg."""
        self._by_dialog[key] = leg

    def close(self, leg: Leg) -> None:
        """Take a leg from the user; requests in its dialog still find it."""
        self._by_id.pop(leg.id, None)

    def forget(self, leg: Leg) -> None:
        """Take a leg and its dialogs away."""
        self.close(leg)
        dialogs = [*leg.early.values(), *([leg.dialog] if leg.dialog else [])]
        for dialog in dialogs:
            if self._by_dialog.get(dialog.key) is leg:
                del self._by_dialog[dialog.key]

    def forget_early(self, leg: Leg) -> None:
        """Take the early dialogs of a leg away."""
        for dialog in leg.early.values():
            if self._by_dialog.get(dialog.key) is leg:
                del self._by_dialog[dialog.key]
        leg.early.clear()
        leg.early_sessions.clear()

    def on_connection(self, flow: Flow) -> list[Leg]:
        """Return the legs whose dialog goes by a connection."""
        return [leg for leg in set(self._by_dialog.values()) if leg.dialog is not None and leg.dialog.flow == flow]
