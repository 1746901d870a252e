"""The transparent way: the destination answers, its responses pass through, and nothing is recorded."""

from __future__ import annotations

from callrec.calls import commands as do
from callrec.calls import inputs as given
from callrec.calls.call import State
from callrec.calls.inputs import Input, Side, Timer
from callrec.calls.outcome import Reason, reason_of_failure
from callrec.calls.transferring import TransferableCall


class TransparentCall(TransferableCall):
    """A call that is not recorded: no capture rule, a stop, an emergency, or recording is unavailable.

    `prepared`: another way has already opened what could be opened; nothing is prepared again.
    An emergency call waits for nothing (FAIL-1): neither row nor timer stands in its way.
    """

    def __init__(
        self, why_not: Reason, *, prepared: bool = False, late_offer: bool = False, next_on_busy: bool = False
    ) -> None:
        # Whatever keeps one way out from taking an emergency call, the next may take it (FAIL-1).
        super().__init__(why_not, next_on_busy=next_on_busy or why_not is Reason.EMERGENCY)
        self._emergency = why_not is Reason.EMERGENCY
        self._is_prepared = prepared
        self._late_offer = late_offer
        self._acknowledged = False

    def _by_state(self, event: Input) -> list[do.Command]:
        match self.state, event:
            case State.NEW, given.Started():
                if self._is_prepared:
                    return self._dial()
                self.state = State.PREPARING
                return [do.Prepare()]
            case State.PREPARING, given.Prepared(short=True) if not self._emergency:
                self._why_not = Reason.CAPACITY
                return self._refuse(Reason.CAPACITY)
            case State.PREPARING, given.Prepared():
                return self._dial()
            case State.DIALLING, _:
                return self._dialling(event)
            case State.CONNECTED, given.Acknowledged():
                return self._acknowledge()
        return []

    def _dial(self) -> list[do.Command]:
        self.state = State.DIALLING
        return [do.Dial()] if self._emergency else [do.Dial(), do.SetTimer(Timer.ANSWER)]

    def _dialling(self, event: Input) -> list[do.Command]:
        match event:
            case given.Trying():
                return self._trying(event)
            case given.Redirected():
                return self._dial_next()
            case given.DestinationProgress():
                return [do.PassProgress()]
            case given.Acknowledged():  # the caller's PRACK: it answers an offer that came in a reliable 18x
                return self._acknowledge()
            case given.DestinationAnswered(held=held):
                return self._answered(held=held)
            case given.DestinationFailed(status):
                if self._tries_next(status):
                    return self._dial_next()
                return [do.RejectCaller(), self._finish(reason_of_failure(status))]
            case given.TimerFired(Timer.ANSWER | Timer.REPLY) if self._more:
                return [do.CancelDestination(), *self._dial_next()]
            case given.TimerFired(Timer.ANSWER):
                return [do.CancelDestination(), do.RejectCaller(480), self._finish(Reason.NOT_ANSWERED)]
        return []

    def _dial_next(self) -> list[do.Command]:
        limit = [] if self._emergency else [do.SetTimer(Timer.ANSWER)]
        return [*self._leave_destination(), do.DialNext(), *limit]

    def _answered(self, *, held: bool) -> list[do.Command]:
        self.state = State.CONNECTED
        if held:
            self._held.add(Side.DESTINATION)
        if self._emergency:
            return [do.PassAnswer(), do.Link()]
        return [do.StopTimer(Timer.ANSWER), do.PassAnswer(), do.Link(), do.SetTimer(Timer.LONGEST_CALL)]

    def _acknowledge(self) -> list[do.Command]:
        if not self._late_offer or self._acknowledged:
            return []
        self._acknowledged = True
        return [do.PassAcknowledgement()]

    def _cancelled(self) -> list[do.Command]:
        if self.state is State.CONNECTED:  # the CANCEL crossed the destination's answer
            return [do.HangUp(Side.DESTINATION), self._finish(Reason.NOT_ANSWERED)]
        dialled = [do.CancelDestination()] if self.state is State.DIALLING else []
        return [*dialled, self._finish(Reason.NOT_ANSWERED)]

    def _hung_up(self, side: Side) -> list[do.Command]:
        if self.state is State.CONNECTED:
            return [do.HangUp(side.other), self._finish(Reason.NOT_ANSWERED)]
        if side is Side.DESTINATION:
            return [do.RejectCaller(480), self._finish(Reason.NOT_ANSWERED)]
        return self._cancelled()

    def _seal_now(self) -> list[do.Command]:
        match self.state:
            case State.DIALLING:
                return [do.CancelDestination(), do.RejectCaller(503), self._finish(Reason.NOT_ANSWERED)]
            case State.CONNECTED:
                return [do.HangUp(Side.DESTINATION), do.HangUp(Side.CALLER), self._finish(Reason.NOT_ANSWERED)]
        return [do.RejectCaller(503), self._finish(Reason.DESTINATION_FAILED)]
