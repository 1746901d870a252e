"""What every call has in common: its outcome, its two legs, hold, and re-INVITEs passed from one side to the other."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from callrec.calls import commands as do
from callrec.calls import inputs as given
from callrec.calls.inputs import Input, Side
from callrec.calls.outcome import Outcome, Reason


@dataclass(frozen=True, slots=True)
class Passing:
    """A re-INVITE under way from one side to the other: what it asks, and what was so before."""

    asker: Side
    held: bool
    held_before: bool


class State(Enum):
    """Where a call is; the announced way passes through more of these than the transparent one."""

    NEW = "new"
    PREPARING = "preparing"
    ANSWERING = "answering"
    ANNOUNCING = "announcing"
    CONFIRMING = "confirming"
    CHOOSING = "choosing"
    DIALLING = "dialling"
    RECODING = "recoding"
    CONNECTED = "connected"
    TELLING = "telling"
    OVER = "over"


class Call:
    """One call as values: feed it inputs, carry out the commands it returns, in order.

    An input that does not fit the state is absorbed: what comes from outside may cross what we sent.
    """

    def __init__(self, why_not: Reason | None = None) -> None:
        self.state = State.NEW
        self._why_not = why_not
        self._recording = False
        self._held: set[Side] = set()
        self._passing: Passing | None = None

    @property
    def held(self) -> bool:
        """Whether a party has the call on hold now."""
        return bool(self._held)

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
            case given.Reoffered(side, held):
                return self._reoffered(side, held=held)
            case given.ReofferAnswered() | given.ReofferFailed():
                return self._reoffer_ended(event)
            case given.RecordingStopped():
                return self._stop_recording(Reason.STOP_LIST)
            case given.RecordingLost():
                return self._lose_recording()
            case given.SealNow():
                return self._seal_now()
            case given.TimerFired(given.Timer.LONGEST_CALL) | given.Silent():
                return self._seal_now()
        return self._by_state(event)

    def _by_state(self, event: Input) -> list[do.Command]:
        raise NotImplementedError

    def _cancelled(self) -> list[do.Command]:
        raise NotImplementedError

    def _hung_up(self, side: Side) -> list[do.Command]:
        raise NotImplementedError

    # Ending

    def _finish(self, otherwise: Reason) -> do.Finish:
        """End the call: a recording is complete; without one the first cause that prevented it is told."""
        self.state = State.OVER
        if self._recording:
            return do.Finish(Outcome(Reason.COMPLETE))
        return do.Finish(Outcome(self._why_not or otherwise))

    def _seal_now(self) -> list[do.Command]:
        """End both legs, whatever the state; subclasses know which legs there are."""
        raise NotImplementedError

    # Recording

    def _start_recording(self) -> list[do.Command]:
        if self._why_not is not None or self._recording:
            return []
        self._recording = True
        return [do.StartRecording(), *([do.Hold()] if self._held else [])]

    def _stop_recording(self, reason: Reason) -> list[do.Command]:
        """Record nothing more of this call, and discard what it stored."""
        self._why_not = self._why_not or reason
        if not self._recording:
            return []
        self._recording = False
        return [do.DiscardRecording()]

    def _lose_recording(self) -> list[do.Command]:
        self._why_not = self._why_not or Reason.STORAGE_UNAVAILABLE
        self._recording = False
        return []

    # Hold and re-INVITE

    def _set_held(self, side: Side, *, held: bool) -> list[do.Command]:
        """Note what a side's offer or answer says, and stop or go on storing when the whole changes."""
        before = bool(self._held)
        (self._held.add if held else self._held.discard)(side)
        if before == bool(self._held) or not self._recording:
            return []
        return [do.Hold()] if self._held else [do.Resume()]

    def _reoffered(self, side: Side, *, held: bool | None) -> list[do.Command]:
        if self.state is not State.CONNECTED:
            changes = self._set_held(side, held=held) if held is not None else []
            return [*changes, do.AcceptReoffer(side)]
        if self._passing is not None:
            return [do.RefuseReoffer(side, 491)]  # RFC 3261 14.2: the other side's offer is still under way
        if held is None:
            return [do.AcceptReoffer(side)]
        self._passing = Passing(side, held, held_before=side in self._held)
        changes = self._set_held(side, held=True) if held else []  # stop storing before anybody has answered
        return [*changes, do.PassReoffer(side)]

    def _reoffer_ended(self, event: given.ReofferAnswered | given.ReofferFailed) -> list[do.Command]:
        passing = self._passing
        if passing is None or passing.asker is event.side:
            return []
        self._passing = None
        if isinstance(event, given.ReofferFailed):
            return self._reoffer_failed(passing, event.status)
        changes = self._set_held(passing.asker, held=passing.held)
        if not passing.held:
            # To an offer that holds, an answer that does not send is a consequence, not the other side's own hold.
            changes += self._set_held(event.side, held=event.held)
        return [do.PassReofferAnswer(passing.asker), *changes]

    def _reoffer_failed(self, passing: Passing, status: int) -> list[do.Command]:
        """Refuse as the other side did: the session of both stays as it was."""
        return [do.RefuseReoffer(passing.asker, status), *self._set_held(passing.asker, held=passing.held_before)]
