"""A call that is going on, and a transfer under way in it: machine, legs and row; nothing is decided here."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from callrec.calls.call import Call
from callrec.calls.commands import Command
from callrec.calls.destinations import Destination, Destinations
from callrec.calls.inputs import Input, Side, Timer
from callrec.notice import NoticeAsset
from callrec.recorder.leg import Leg
from callrec.tasks import Tasks

if TYPE_CHECKING:
    from callrec.recorder.arrival import Arrival
    from callrec.recorder.passed_headers import Header
    from callrec.recorder.recording import LiveRecording
    from callrec.recorder.rows import Row
    from callrec.sip.events import Reoffered
    from callrec.sip.message import Response
    from callrec.sip.uri import Uri
    from callrec.vault.keyring import CallKeys

log = logging.getLogger("callrec.calls")


@dataclass(frozen=True, slots=True)
class PassedInfo:
    """An INFO of one party that the other has not answered yet."""

    token: str
    """By which its sender is answered."""
    limit: asyncio.TimerHandle


@dataclass(slots=True)
class Exchange:
    """What the two parties last sent and the other has not been given yet."""

    response: Response | None = None
    """The destination's last response to our INVITE."""
    session: bytes | None = None
    """Its SDP, or that of the caller's ACK or of a party's answer to a re-INVITE."""
    reoffers: dict[Side, Reoffered] = field(default_factory=dict)
    """The re-INVITE of each party that waits for our final response."""
    passing: Side | None = None
    """Whose re-INVITE is under way to the other party."""
    failure: int | None = None
    """Why no INVITE went out, as a SIP status."""
    infos: dict[str, PassedInfo] = field(default_factory=dict)
    """By the token of our own request."""


@dataclass
class LiveCall:
    """Everything about one call while it lives."""

    call_id: str
    arrival: Arrival
    machine: Call
    caller: Leg
    destination: Leg
    tasks: Tasks
    started_at: datetime
    keys: CallKeys | None = None
    notice: NoticeAsset | None = None
    row: Row | None = None
    recording: LiveRecording | None = None
    exchange: Exchange = field(default_factory=Exchange)
    timers: dict[Timer, asyncio.TimerHandle] = field(default_factory=dict)
    play_id: str | None = None
    notice_evidence: dict[str, Any] | None = None
    notice_ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the evidence of the notice is there; a caller who leaves in the notice still leaves its evidence."""
    notice_playing: bool = False
    codecs_refused: set[str] = field(default_factory=set)
    answered_at: datetime | None = None
    anchored: bool = True
    """False where the SDP passes untouched because there is no port or no worker."""
    dialled: bool = False
    menu_key: str | None = None
    """The key of the menu that chose the destination."""
    destinations: Destinations = field(default_factory=lambda: Destinations(()))
    """Who may still be called."""
    trying: Destination | None = None
    """Who was called last."""
    transfer: LiveTransfer | None = None
    """A transfer under way."""
    former: list[Leg] = field(default_factory=list)
    """Legs of parties that transferred the call and are in it no longer, the oldest first."""
    repeated_notice: str | None = None
    """The play of the notice that a new party hears (NOT-10)."""
    attempt: int = 0
    """How often somebody was to be called: what was found out for an earlier time is of no use."""
    diverted: tuple[tuple[str, str], ...] = ()
    """What those who sent us on said about why: Diversion and History-Info."""
    numbers_called: list[str] = field(default_factory=list)
    """Whom we called in E.164, where the destination names a number of its own; in memory only."""
    under_hold: bool = False
    """A hold names one of its numbers: its row is to come under it."""
    answered_us: bool = False
    """We have sent the caller a 2xx."""
    ended: bool = False
    dialogs: list[str] = field(default_factory=list)
    """The SIP legs by which events find this call."""
    heard_since: float = 0.0
    """From when on silence counts, on the monotonic clock: the answer, or the end of the last hold."""
    unheard: Leg | None = None
    """The leg that is not heard while the other speaks (RTP-10)."""
    our_reason: str | None = None
    """The Reason that both parties are told, where we end the call of our own accord (RFC 3326)."""
    legs_closing: set[str] = field(default_factory=set)
    """Legs whose last counters have not come yet."""
    counters_complete: asyncio.Event = field(default_factory=asyncio.Event)
    inputs: deque[Input] = field(default_factory=deque)
    """What the machine has not been told yet: carrying out a command may tell it something at once."""
    carrying_out: bool = False

    def leg(self, side: Side) -> Leg:
        """Return the leg of a side."""
        return self.caller if side is Side.CALLER else self.destination

    def side_of(self, leg_id: str) -> Side:
        """Return the side of a leg."""
        return Side.CALLER if leg_id in (self.caller.id, self.caller.sip_id) else Side.DESTINATION

    def leg_by_id(self, leg_id: str) -> Leg | None:
        """Return the leg that media knows by this id, also one that is to come or has left."""
        coming = [] if self.transfer is None else [self.transfer.leg]
        return next((leg for leg in (self.caller, self.destination, *coming, *self.former) if leg.id == leg_id), None)

    def legs(self) -> list[Leg]:
        """Return every leg there was, in the order in which they began."""
        begun = [leg for leg in (self.caller, self.destination, *self.former) if leg.started_at is not None]
        return sorted(begun, key=lambda leg: leg.started_at or self.started_at)

    def replace_leg(self, leg: Leg) -> Leg:
        """Let a new leg take its side; return the one that had it."""
        old = self.leg(leg.side)
        self.former.append(old)
        if leg.side is Side.CALLER:
            self.caller = leg
        else:
            self.destination = leg
        return old

    @property
    def outside(self) -> Leg:
        """Return the outside party's leg: the left channel."""
        return self.caller if self.arrival.inbound else self.destination

    @property
    def ours(self) -> Leg:
        """Return our side's leg: the right channel."""
        return self.destination if self.arrival.inbound else self.caller

    def note_called(self, user: str | None) -> None:
        """Keep the number that was called: whoever speaks there may be on the stop list (LAW-39)."""
        number = self.arrival.number_of(user)
        if number is not None and number not in self.numbers_called:
            self.numbers_called.append(number)

    def speaking(self) -> tuple[str, ...]:
        """Return the numbers of everybody who speaks in this call, in E.164, in memory only (LAW-39)."""
        return tuple(dict.fromkeys((*self.arrival.speaking(self.menu_key), *self.numbers_called)))

    def handle(self, event: Input) -> list[Command]:
        """Tell the machine and return what it asks for; each change of state is logged once."""
        before = self.machine.state
        commands = self.machine.handle(event)
        if self.machine.state is not before:
            log.debug("call %s: %s -> %s", self.call_id, before.value, self.machine.state.value)
        return commands

    def stop_timers(self) -> None:
        """Forget every timer."""
        for handle in self.timers.values():
            handle.cancel()
        self.timers.clear()


@dataclass(slots=True)
class Consultation:
    """The call that a party is taken out of, and its leg there."""

    call: LiveCall
    leg: Leg
    sip_id: str
    """Of the dialog that moves."""

    @property
    def numbers(self) -> tuple[str, ...]:
        """Return the numbers of the party, in E.164, in memory only (LAW-39)."""
        if self.leg.side is Side.CALLER:
            own = self.call.arrival.own_number()
            return () if own is None else (own,)
        called = self.call.arrival.called.e164
        return (*self.call.numbers_called, *([called] if called is not None else []))


@dataclass(slots=True)
class LiveTransfer:
    """One transfer; its leg is that of the new party until it takes the transferor's place."""

    side: Side
    leg: Leg
    token: str = ""
    """By which the REFER is answered; empty where an INVITE with Replaces came instead."""
    refer_to: Uri | None = None
    event_id: str = ""
    """The CSeq of the REFER, by which its NOTIFYs name it (RFC 3515 2.4.6)."""
    notifies: bool = True
    """False where the transferor wants no NOTIFY (RFC 4488)."""
    headers: tuple[Header, ...] = ()
    """For the INVITE to the new party: Referred-By, and Replaces as it was given."""
    destinations: Destinations = field(default_factory=lambda: Destinations(()))
    trying: Destination | None = None
    consultation: Consultation | None = None
    """Where the new party comes from, if that is another call of ours."""
    answer: bytes | None = None
    """What the new party is answered whose INVITE came with Replaces."""
    over: bool = False
