"""Pausing a recording, as conversations and over every order of what may happen (LAW-72, LAW-73, NOT-18)."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given as examples
from hypothesis import strategies as st

from callrec.calls import commands as do
from callrec.calls import inputs as given
from callrec.calls.announced import AnnouncedCall, Keys
from callrec.calls.inputs import Input, Pause, Side, Timer
from callrec.calls.outcome import Outcome, Reason
from callrec.calls.pausing import BY_KEY, PauseKeys
from callrec.calls.transparent import TransparentCall

CALLER, DESTINATION = Side.CALLER, Side.DESTINATION
CARD = Pause("alice", "card_payment")
PAGE = Pause("payments", "card_payment")
TO_DIALLING = [given.Started(), given.Prepared(row_kept=True, media=True), given.Acknowledged(), given.PlayEnded(True)]


def new_call(*, ours: Side = DESTINATION, pause: str = "*7", resume: str = "*8") -> AnnouncedCall:
    return AnnouncedCall(Keys("9", "*9", pausing=PauseKeys(pause, resume, ours)))


def connected(call: AnnouncedCall) -> AnnouncedCall:
    for event in (*TO_DIALLING, given.DestinationAnswered()):
        call.handle(event)
    return call


def press(call: AnnouncedCall, side: Side, keys: str) -> list[do.Command]:
    return [command for key in keys for command in call.handle(given.KeyPressed(side, key))]


PAUSED = [do.PauseRecording(CARD), do.SetTimer(Timer.PAUSE)]


def test_law_72_a_pause_stops_storing_and_its_end_goes_on() -> None:
    """LAW-72: pause and resume, each with who; a second pause is one pause, and its limit begins anew."""
    call = connected(new_call())
    assert call.handle(given.PauseAsked(CARD)) == PAUSED
    assert call.handle(given.PauseAsked(PAGE)) == [do.PauseRecording(PAGE), do.SetTimer(Timer.PAUSE)]
    assert call.handle(given.ResumeAsked("alice")) == [do.StopTimer(Timer.PAUSE), do.ResumeRecording("alice")]
    assert call.handle(given.ResumeAsked("alice")) == []


def test_law_72_a_pause_ends_by_itself_with_an_alert() -> None:
    """LAW-72: after the limit the recording goes on, and the command says that nobody asked for it."""
    call = connected(new_call())
    call.handle(given.PauseAsked(CARD))
    assert call.handle(given.TimerFired(Timer.PAUSE)) == [do.ResumeRecording("limit", expired=True)]


def test_law_72_a_call_that_ends_while_paused_is_complete() -> None:
    """LAW-72: a call ending while paused is normal."""
    call = connected(new_call())
    call.handle(given.PauseAsked(CARD))
    assert call.handle(given.HungUp(CALLER))[-1] == do.Finish(Outcome(Reason.COMPLETE))


def test_law_72_the_code_works_from_our_own_side_only() -> None:
    """LAW-72: the outside party presses the code as often as it likes; our side's keys pause and resume."""
    call = connected(new_call())
    assert press(call, CALLER, "*7*7") == []
    assert press(call, DESTINATION, "1*7") == [do.PauseRecording(BY_KEY), do.SetTimer(Timer.PAUSE)]
    assert press(call, CALLER, "*8") == []
    assert press(call, DESTINATION, "*8") == [do.StopTimer(Timer.PAUSE), do.ResumeRecording("key")]


def test_law_72_on_a_call_of_ours_the_caller_is_our_side() -> None:
    """LAW-72: outbound the caller pauses; `*9` of the same keys still declines the recording."""
    call = connected(new_call(ours=CALLER))
    assert press(call, DESTINATION, "*7") == []
    assert press(call, CALLER, "*7")[0] == do.PauseRecording(BY_KEY)
    assert press(call, CALLER, "*9") == [do.DiscardRecording()]


def test_law_72_whoever_comes_from_outside_in_our_place_has_no_code() -> None:
    """LAW-72, NOT-10: a transfer to an outside party takes the code away, one back to a colleague gives it back."""
    call = connected(new_call())
    call.handle(given.PauseAsked(CARD))
    call.handle(given.TransferAsked(DESTINATION))
    call.handle(given.TargetAnswered(outside=True))
    assert call.paused, "a transfer ends no pause"
    call.handle(given.PlayEnded(completed=True))
    assert do.ResumeRecording("key") not in press(call, DESTINATION, "*8*7*8")
    assert call.paused
    call.handle(given.TransferAsked(DESTINATION))
    call.handle(given.TargetAnswered())
    assert press(call, DESTINATION, "*8")[-1] == do.ResumeRecording("key")
    redirected = new_call()
    for event in (*TO_DIALLING, given.DestinationAnswered(outside=True), given.PlayEnded(completed=True)):
        redirected.handle(event)
    assert press(redirected, DESTINATION, "*7") == []


def test_one_code_may_be_a_switch() -> None:
    """Where both keys are the same, the code pauses and resumes in turn."""
    call = connected(new_call(pause="*7", resume="*7"))
    assert press(call, DESTINATION, "*7")[0] == do.PauseRecording(BY_KEY)
    assert press(call, DESTINATION, "*7")[-1] == do.ResumeRecording("key")


def test_without_codes_no_key_pauses() -> None:
    """An empty setting is none."""
    call = connected(new_call(pause="", resume=""))
    assert press(call, DESTINATION, "*7*8") == []


def test_law_72_a_pause_before_the_answer_begins_with_the_recording() -> None:
    """LAW-72: a payment page that is early loses nothing: the recording begins paused."""
    call = new_call()
    for event in TO_DIALLING:
        call.handle(event)
    assert call.handle(given.PauseAsked(CARD)) == [do.SetTimer(Timer.PAUSE)]
    assert do.StartRecording(CARD) in call.handle(given.DestinationAnswered())


def test_a_pause_in_a_hold_and_a_hold_in_a_pause_are_both_told() -> None:
    """NOT-20, LAW-72: each begins and ends for itself; the media stores only where neither is on."""
    call = connected(new_call())
    assert call.handle(given.Reoffered(CALLER, held=True))[0] == do.Hold()
    assert call.handle(given.PauseAsked(CARD)) == PAUSED
    call.handle(given.ReofferAnswered(DESTINATION, held=True))
    call.handle(given.Reoffered(CALLER, held=False))
    assert do.Resume() in call.handle(given.ReofferAnswered(DESTINATION, held=False))
    assert call.paused
    assert not call.held


def test_law_39_a_stop_while_paused_ends_the_recording() -> None:
    """LAW-39: nothing begins again when the limit comes."""
    call = connected(new_call())
    call.handle(given.PauseAsked(CARD))
    assert call.handle(given.RecordingStopped(discard=False)) == [do.EndRecording(Reason.STOP_LIST)]
    assert call.handle(given.TimerFired(Timer.PAUSE)) == []
    assert call.handle(given.ResumeAsked("alice")) == []


def test_a_call_that_is_not_recorded_pauses_nothing() -> None:
    """The transparent way stores nothing anyway."""
    call = TransparentCall(Reason.NO_CAPTURE_RULE)
    for event in (given.Started(), given.Prepared(row_kept=True, media=True), given.DestinationAnswered()):
        call.handle(event)
    assert do.PauseRecording(CARD) not in call.handle(given.PauseAsked(CARD))


# Every order


@dataclass
class Tape:
    """What a media worker stores, by what it was told, and what its successor is told (media-worker-protocol.md)."""

    running: bool = False
    held: bool = False
    paused: bool = False
    lost: bool = False
    stored: list[int] = field(default_factory=list)

    def take(self, commands: list[do.Command]) -> None:
        for command in commands:
            match command:
                case do.StartRecording(pause):
                    self.running, self.held, self.paused = True, False, pause is not None
                case do.Hold() | do.Resume():
                    self.held = isinstance(command, do.Hold)
                case do.PauseRecording() | do.ResumeRecording():
                    self.paused = isinstance(command, do.PauseRecording)
                case do.DiscardRecording():
                    self.running = False
                    self.stored.clear()
                case do.EndRecording() | do.Finish():
                    self.running = False

    def packet(self, number: int) -> None:
        if self.running and not self.held and not self.paused and not self.lost:
            self.stored.append(number)


STEPS = st.sampled_from(
    [
        given.PauseAsked(CARD),
        given.PauseAsked(PAGE),
        given.ResumeAsked("alice"),
        given.TimerFired(Timer.PAUSE),
        given.KeyPressed(DESTINATION, "*"),
        given.KeyPressed(DESTINATION, "7"),
        given.KeyPressed(DESTINATION, "8"),
        given.KeyPressed(CALLER, "*"),
        given.KeyPressed(CALLER, "8"),
        given.Reoffered(CALLER, held=True),
        given.Reoffered(CALLER, held=False),
        given.ReofferAnswered(DESTINATION, held=False),
        given.ReofferFailed(DESTINATION, 488),
        given.Reoffered(DESTINATION, held=True),
        given.ReofferAnswered(CALLER, held=True),
        given.DestinationAnswered(),
        given.TransferAsked(DESTINATION),
        given.TargetAnswered(outside=True),
        given.TargetAnswered(),
        given.PlayEnded(completed=True),
        given.RecordingStopped(discard=False),
        given.RecordingStopped(discard=True),
        given.Protected(),
        given.HungUp(CALLER),
        "packet",
        "worker lost",
        "worker replaced",
    ]
)


@examples(st.lists(STEPS, max_size=40), st.booleans())
def test_law_73_no_packet_of_a_paused_span_is_stored_in_any_order(steps: list[Input | str], ringing: bool) -> None:
    """LAW-73: over all orders of pause, resume, hold, stop, loss of a worker and the end of the call."""
    call, tape = new_call(), Tape()
    for event in TO_DIALLING if ringing else (*TO_DIALLING, given.DestinationAnswered()):
        tape.take(call.handle(event))
    said_while_paused, number = set(), 0
    for step in steps:
        if step == "packet":
            number += 1
            if call.paused or call.held:
                said_while_paused.add(number)
            tape.packet(number)
        elif isinstance(step, str):
            tape.lost = step == "worker lost"
        else:
            tape.take(call.handle(step))
    assert not said_while_paused & set(tape.stored)
