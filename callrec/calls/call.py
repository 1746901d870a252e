"""What every call has in common: its outcome, its two legs, hold, and re-INVITEs passed from one side to the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from enum import Enum

from callrec.calls import commands as do
from callrec.calls import inputs as given
from callrec.calls.destinations import moves_on
from callrec.calls.inputs import Input, Side, Timer
from callrec.calls.outcome import Outcome, Reason
from callrec.calls.pausing import PauseKeys, Pausing


@dataclass(frozen=True, slots=True)
class Passing:
    """A re-INVITE under way from one side to the other: what it asks, and what was so before."""

    asker: Side
    held: bool
    held_before: bool
    late: bool = False
    """The asker made no offer: the other side's goes to it, and its answer comes in the ACK."""
    offered_held: bool | None = None
    """What that offer of the other side says, once it came."""
    cancelled: bool = False


class Waiting(Enum):
    """For what nothing is stored, beside a party that holds the other."""

    NOTICE = "notice"
    """A new party hears the notice (NOT-10)."""


class State(Enum):
    """Where a call is; the announced way passes through more of these than the transparent one."""

    NEW = "new"
    PREPARING = "preparing"
    ANSWERING = "answering"
    ANNOUNCING = "announcing"
    CONFIRMING = "confirming"
    OFFERING = "offering"
    CHOOSING = "choosing"
    DIALLING = "dialling"
    RECODING = "recoding"
    CONNECTED = "connected"
    TELLING = "telling"
    OVER = "over"


class Call(ABC):
    """One call as values: feed it inputs, carry out the commands it returns, in order.

    An input that does not fit the state is absorbed: what comes from outside may cross what we sent.
    """

    def __init__(
        self, why_not: Reason | None = None, pause_keys: PauseKeys | None = None, *, next_on_busy: bool = False
    ) -> None:
        self.state = State.NEW
        self._next_on_busy = next_on_busy
        self._more = False
        """Another destination could be tried after this one."""
        self._pausing = Pausing(pause_keys)
        self._why_not = why_not
        self._recording = False
        self._kept = False
        """Something is stored, and nothing more will be: the recording ended before the call."""
        self._protected = False
        self._held: set[Side | Waiting] = set()
        self._passing: Passing | None = None
        self._before_accepting: tuple[bool, Reason | None] = (False, None)

    @property
    def held(self) -> bool:
        """Whether a party has the call on hold now."""
        return bool(self._held)

    @property
    def paused(self) -> bool:
        """Whether somebody paused the recording, or what would be one."""
        return self._pausing.now is not None

    def codes_of(self, side: Side) -> tuple[str, ...]:
        """Return the codes of keys by which whoever is on this side now may pause and resume."""
        return self._pausing.codes_of(side)

    @property
    def is_recording(self) -> bool:
        """Whether a recording of this call grows, paused or not."""
        return self._recording

    @property
    def has_stored(self) -> bool:
        """Whether a recording of this call grows, or is kept although nothing more is stored."""
        return self._recording or self._kept

    @property
    def why_not(self) -> Reason | None:
        """Return what prevents the recording, as far as it is known by now."""
        return self._why_not

    def handle(self, event: Input) -> list[do.Command]:
        """Return what is to be done about an input; an ended call asks for nothing."""
        if self.state is State.OVER:
            return []
        match event:
            case given.HungUp(side):
                return self._hung_up(side)
            case given.Cancelled():
                return self._cancelled()
            case given.Reoffered():
                return self._reoffered(event)
            case given.ReofferAcknowledged(side, held):
                return self._reoffer_acknowledged(side, held=held)
            case given.ReofferCancelled(side):
                return self._reoffer_cancelled(side)
            case given.ReofferNotAccepted(side):
                return self._not_accepted(side)
            case given.ReofferAnswered() | given.ReofferFailed():
                return self._reoffer_ended(event)
            case given.RecordingStopped(discard):
                return self._stop_recording(Reason.STOP_LIST, discard=discard)
            case given.PauseAsked(pause):
                return self._pausing.pause(pause, recording=self._recording)
            case given.ResumeAsked(by):
                return self._pausing.end(by, recording=self._recording)
            case given.TimerFired(given.Timer.PAUSE):
                return self._pausing.end("limit", recording=self._recording, expired=True)
            case given.Protected(on):
                self._protected = on
                return []
            case given.RecordingLost():
                return self._lose_recording()
            case given.SealNow():
                return self._seal_now()
            case given.TimerFired(given.Timer.LONGEST_CALL) | given.Silent():
                return self._seal_now()
        return self._by_state(event)

    @abstractmethod
    def _by_state(self, event: Input) -> list[do.Command]:
        """Take what the state decides about."""

    @abstractmethod
    def _cancelled(self) -> list[do.Command]:
        """Take the news that the caller took its INVITE back."""

    @abstractmethod
    def _hung_up(self, side: Side) -> list[do.Command]:
        """Take the news that a side hung up."""

    def _refuse(self, reason: Reason) -> list[do.Command]:
        """Refuse the call for now: whoever sent it has another way, or tries again (RFC 3261 21.5.4)."""
        self._why_not = self._why_not or reason
        return [do.RejectCaller(503), self._finish(reason)]

    # One destination after the other

    def _trying(self, event: given.Trying) -> list[do.Command]:
        """Note whether this is the last one; another is not left in silence for as long as SIP would wait."""
        self._more = event.more
        return [do.SetTimer(Timer.REPLY)] if event.more else []

    def _leave_destination(self) -> list[do.Command]:
        """Return what ends the wait for one destination; whether there is another after the next is told anew."""
        waited, self._more = self._more, False
        return [do.StopTimer(Timer.REPLY)] if waited else []

    def _tries_next(self, status: int) -> bool:
        return self._more and moves_on(status, when_busy=self._next_on_busy)

    # Ending

    def _finish(self, otherwise: Reason) -> do.Finish:
        """End the call: a recording is complete; without one the first cause that prevented it is told.

        One that ended before the call is cut: its end is missing.
        """
        self.state = State.OVER
        if self._kept:
            return do.Finish(Outcome(Reason.CUT))
        if self._recording:
            return do.Finish(Outcome(Reason.COMPLETE))
        return do.Finish(Outcome(self._why_not or otherwise))

    @abstractmethod
    def _seal_now(self) -> list[do.Command]:
        """End both legs, whatever the state; subclasses know which legs there are."""

    # Recording

    def _start_recording(self) -> list[do.Command]:
        if self._why_not is not None or self._recording:
            return []
        self._recording = True
        return [do.StartRecording(self._pausing.now), *([do.Hold()] if self._held else [])]

    def _stop_recording(self, reason: Reason, *, discard: bool = True) -> list[do.Command]:
        """Record nothing more of this call, and discard what it stored, if that is asked and no hold forbids it."""
        had_recording, discard = self.has_stored, discard and not self._protected
        if discard and had_recording:
            self._why_not, self._recording, self._kept = reason, False, False
            return [do.DiscardRecording()]
        self._why_not = self._why_not or reason
        if not self._recording:
            return []
        self._recording, self._kept = False, True
        return [do.EndRecording(reason)]

    def _lose_recording(self) -> list[do.Command]:
        self._why_not = self._why_not or Reason.STORAGE_UNAVAILABLE
        self._recording = self._kept = False
        return []

    # Hold and re-INVITE

    def _set_held(self, side: Side | Waiting, *, held: bool) -> list[do.Command]:
        """Note what a side's offer or answer says, and stop or go on storing when the whole changes."""
        before = bool(self._held)
        (self._held.add if held else self._held.discard)(side)
        if before == bool(self._held) or not self._recording:
            return []
        return [do.Hold()] if self._held else [do.Resume()]

    def _reoffered(self, event: given.Reoffered) -> list[do.Command]:
        side, held = event.side, event.held
        if self.state is not State.CONNECTED and not event.early:
            return self._accept(side, held=held)
        if self._passing is not None:
            return [do.RefuseReoffer(side, 491)]  # RFC 3261 14.2: the other side's offer is still under way
        if event.late:
            before = side in self._held
            self._passing = Passing(side, before, held_before=before, late=True)
            return [do.PassReoffer(side)]
        if held is None:
            return self._accept(side, held=None)
        self._passing = Passing(side, held, held_before=side in self._held)
        changes = self._set_held(side, held=True) if held else []  # stop storing before anybody has answered
        return [*changes, do.PassReoffer(side)]

    def _accept(self, side: Side, *, held: bool | None) -> list[do.Command]:
        """Answer a re-INVITE ourselves."""
        self._before_accepting = side in self._held, self._why_not
        changes = self._set_held(side, held=held) if held is not None else []
        return [*changes, do.AcceptReoffer(side)]

    def _not_accepted(self, side: Side) -> list[do.Command]:
        held, self._why_not = self._before_accepting
        changes = self._set_held(side, held=held)
        self._why_not = self._before_accepting[1]
        return changes

    def _reoffer_ended(self, event: given.ReofferAnswered | given.ReofferFailed) -> list[do.Command]:
        passing = self._passing
        if passing is None or passing.asker is event.side or passing.offered_held is not None:
            return []
        if isinstance(event, given.ReofferFailed):
            self._passing = None
            return [] if passing.cancelled else self._reoffer_failed(passing, event.status)
        if passing.cancelled:
            self._passing = None
            return [do.RepeatSession(event.side)]
        if passing.late:
            self._passing = replace(passing, offered_held=event.held)
            return [do.PassReofferAnswer(passing.asker)]
        self._passing = None
        changes = self._set_held(passing.asker, held=passing.held)
        if not passing.held:
            # To an offer that holds, an answer that does not send is a consequence, not the other side's own hold.
            changes += self._set_held(event.side, held=event.held)
        return [do.PassReofferAnswer(passing.asker), *changes]

    def _reoffer_acknowledged(self, side: Side, *, held: bool | None) -> list[do.Command]:
        """Take the answer to an offer that a party had asked for: of the other side, or of ours."""
        passing = self._passing
        if passing is None or passing.asker is not side or passing.offered_held is None:
            return self._set_held(side, held=held) if held is not None else []
        self._passing = None
        changes: list[do.Command] = []
        if held is not None:
            changes = self._set_held(side.other, held=passing.offered_held)
            changes += self._set_held(side, held=held and not passing.offered_held)
        return [do.PassReofferAcknowledgement(side), *changes]

    def _reoffer_cancelled(self, side: Side) -> list[do.Command]:
        passing = self._passing
        if passing is None or passing.asker is not side:
            return []
        self._passing = replace(passing, cancelled=True)  # the other side may still accept it
        return self._set_held(side, held=passing.held_before)

    def _reoffer_failed(self, passing: Passing, status: int) -> list[do.Command]:
        """Refuse as the other side did: the session of both stays as it was."""
        return [do.RefuseReoffer(passing.asker, status), *self._set_held(passing.asker, held=passing.held_before)]
