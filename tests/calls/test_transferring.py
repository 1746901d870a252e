"""Transfers as conversations: who is told what, who hears what, and that a stop always wins."""

from __future__ import annotations

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from callrec.calls import commands as do
from callrec.calls import inputs as given
from callrec.calls.announced import AnnouncedCall, Keys
from callrec.calls.call import State
from callrec.calls.inputs import Input, Side, Timer
from callrec.calls.outcome import Outcome, Reason
from callrec.calls.transferring import MOST_TRANSFERS
from callrec.calls.transparent import TransparentCall
from tests.calls.test_announced import TO_RECORDING, Script, play

CALLER, DESTINATION = Side.CALLER, Side.DESTINATION
RINGING = do.PlayTone(do.Tone.RINGBACK, forever=True)
ASKED: Script = [(given.TransferAsked(DESTINATION), [do.BeginTransfer(), do.SetTimer(Timer.TRANSFER)])]
DONE = [do.StopTimer(Timer.TRANSFER), do.TellTransfer(200), do.PutThrough(DESTINATION), do.Link()]


def recorded() -> AnnouncedCall:
    """Return a call that is being recorded."""
    call = AnnouncedCall(Keys("9", "*9"))
    play(call, TO_RECORDING)
    return call


def test_sip_9_a_blind_transfer_is_told_step_by_step_and_the_recording_goes_on() -> None:
    """RFC 3515: progress and end by NOTIFY; the old parties talk until the new one answers."""
    call = recorded()
    play(
        call,
        [
            *ASKED,
            (given.TargetProgress(180), [do.TellTransfer(180)]),
            (given.TargetAnswered(), DONE),
            (given.HungUp(CALLER), [do.HangUp(DESTINATION), do.Finish(Outcome(Reason.COMPLETE))]),
        ],
    )


def test_sip_9_a_transferor_that_leaves_at_once_leaves_the_other_with_ringing_and_nothing_stored() -> None:
    """NOT-20: from its BYE to the answer nobody is recorded."""
    call = recorded()
    play(
        call,
        [
            *ASKED,
            (given.HungUp(DESTINATION), [do.Hold(), RINGING]),
            (given.TargetProgress(180), [do.TellTransfer(180)]),
            (given.TargetAnswered(), [
                do.StopTimer(Timer.TRANSFER), do.StopPlay(CALLER), do.TellTransfer(200), do.PutThrough(DESTINATION),
                do.Link(), do.Resume(),
            ]),
        ],
    )  # fmt: skip


def test_sip_9_a_party_on_hold_is_taken_off_it_when_the_new_one_answers() -> None:
    """An attended transfer begins with hold: who was told of it is told of its end."""
    call = recorded()
    call.handle(given.Reoffered(DESTINATION, held=True))
    call.handle(given.ReofferAnswered(CALLER, held=True))
    play(call, [*ASKED, (given.TargetAnswered(), [*DONE[:3], do.RepeatSession(CALLER), do.Link(), do.Resume()])])


@pytest.mark.parametrize("status", [404, 486, 603])
def test_sip_9_a_failed_transfer_is_told_and_the_old_parties_talk_on(status: int) -> None:
    """RFC 3515: the final NOTIFY says why."""
    call = recorded()
    failed = [do.StopTimer(Timer.TRANSFER), do.TellTransfer(status), do.EndTransfer()]
    play(call, [*ASKED, (given.TargetFailed(status), failed), *ASKED])
    assert call.is_recording


def test_sip_9_a_failed_transfer_whose_transferor_has_left_ends_the_call() -> None:
    """Nobody is left ringing for ever; what was recorded stays."""
    call = recorded()
    play(
        call,
        [
            *ASKED,
            (given.HungUp(DESTINATION), [do.Hold(), RINGING]),
            (given.TimerFired(Timer.TRANSFER), [
                do.StopTimer(Timer.TRANSFER), do.TellTransfer(408), do.EndTransfer(), do.StopPlay(CALLER),
                do.HangUp(CALLER, Reason.NOT_ANSWERED), do.Finish(Outcome(Reason.COMPLETE)),
            ]),
        ],
    )  # fmt: skip


def test_sip_9_the_other_party_may_leave_while_somebody_is_called_for_it() -> None:
    """Whoever was called is called no longer."""
    call = recorded()
    play(
        call,
        [
            *ASKED,
            (given.HungUp(CALLER), [
                do.EndTransfer(), do.HangUp(DESTINATION), do.Finish(Outcome(Reason.COMPLETE)),
            ]),
        ],
    )  # fmt: skip


def test_sip_9_one_transfer_at_a_time_and_not_without_end() -> None:
    """Loops are bounded."""
    call = recorded()
    play(call, [*ASKED, (given.TransferAsked(DESTINATION), [do.RefuseTransfer(491)])])
    call.handle(given.TargetAnswered())
    for _ in range(MOST_TRANSFERS - 1):
        play(call, [*ASKED, (given.TargetAnswered(), DONE)])
    play(call, [(given.TransferAsked(DESTINATION), [do.RefuseTransfer(603)])])
    play(call, [(given.LegReplaced(DESTINATION, given.TargetAnswered()), [do.RefuseTransfer(603)])])


def test_not_10_a_new_party_from_outside_hears_the_notice_before_it_is_recorded() -> None:
    """NOT-10: nothing is stored until the whole notice was heard."""
    call = recorded()
    announce = [
        do.StopTimer(Timer.TRANSFER), do.Hold(), do.TellTransfer(200), do.PutThrough(DESTINATION), RINGING,
        do.RepeatNotice(DESTINATION),
    ]  # fmt: skip
    connect: list[do.Command] = [do.StopPlay(CALLER), do.Link(), do.Resume()]
    play(call, [*ASKED, (given.TargetAnswered(outside=True), announce)])
    play(call, [(given.PlayEnded(completed=True), connect)])
    assert call.is_recording


def test_not_3_a_new_party_that_did_not_hear_the_notice_is_not_recorded() -> None:
    """NOT-3, NOT-10: what was stored before it came stays."""
    call = recorded()
    call.handle(given.TransferAsked(DESTINATION))
    call.handle(given.TargetAnswered(outside=True))
    ended = call.handle(given.PlayEnded(completed=False))
    assert ended == [do.EndRecording(Reason.NOTICE_INCOMPLETE), do.StopPlay(CALLER), do.Link()]
    assert call.handle(given.HungUp(CALLER))[-1] == do.Finish(Outcome(Reason.CUT))


def test_not_16_a_new_party_declines_in_its_notice() -> None:
    """NOT-16: the key is the same for everybody who hears the notice; other keys do nothing."""
    call = recorded()
    call.handle(given.TransferAsked(DESTINATION))
    call.handle(given.TargetAnswered(outside=True))
    assert call.handle(given.KeyPressed(DESTINATION, "1")) == []
    declined = call.handle(given.KeyPressed(DESTINATION, "9"))
    assert declined == [
        do.EndRecording(Reason.OPT_OUT), do.StopPlay(DESTINATION), do.StopPlay(CALLER), do.Link(),
    ]  # fmt: skip
    assert not call.is_recording


def test_law_39_a_new_party_on_the_stop_list_ends_the_recording_before_its_first_packet() -> None:
    """LAW-39: a stop always wins; what was said before it came stays."""
    call = recorded()
    call.handle(given.TransferAsked(DESTINATION))
    asked = call.handle(given.TargetAnswered(stopped=True, outside=True))
    assert asked.index(do.EndRecording(Reason.STOP_LIST)) < asked.index(do.PutThrough(DESTINATION))
    assert do.RepeatNotice(DESTINATION) not in asked, "nobody hears a notice of a recording that is not made"


@pytest.mark.parametrize("completed", [True, False])
def test_not_10_a_redirection_to_the_outside_is_recorded_only_after_its_notice(completed: bool) -> None:
    """NOT-10: the destination's 302 led to an outside party; the recording begins with nothing of it stored before."""
    call = AnnouncedCall(Keys("9", "*9"))
    play(call, [*TO_RECORDING[:-1], (given.Redirected(), [do.DialNext(), do.SetTimer(Timer.ANSWER)])])
    asked = call.handle(given.DestinationAnswered(outside=True))
    assert asked == [do.RepeatNotice(DESTINATION), do.StopTimer(Timer.ANSWER), do.SetTimer(Timer.LONGEST_CALL)]
    start = [do.StartRecording()] if completed else []
    assert call.handle(given.PlayEnded(completed=completed)) == [do.StopPlay(CALLER), do.Link(), *start]
    reason = Reason.COMPLETE if completed else Reason.NOTICE_INCOMPLETE
    assert call.handle(given.HungUp(CALLER))[-1] == do.Finish(Outcome(reason))


def test_sip_9_a_leg_is_replaced_by_an_invite_with_replaces() -> None:
    """RFC 3891: connected at once; nobody is told by NOTIFY, for nobody asked by REFER."""
    play(
        recorded(),
        [(given.LegReplaced(DESTINATION, given.TargetAnswered()), [do.PutThrough(DESTINATION), do.Link()])],
    )


def test_sip_9_calls_that_are_not_recorded_are_transferred_too() -> None:
    """The caller's side may be the one that transfers: an outbound call of the PBX."""
    call = TransparentCall(Reason.NO_CAPTURE_RULE, prepared=True)
    call.handle(given.Started())
    call.handle(given.DestinationAnswered())
    assert call.handle(given.TransferAsked(CALLER)) == [do.BeginTransfer(), do.SetTimer(Timer.TRANSFER)]
    assert call.handle(given.TargetAnswered(outside=True)) == [
        do.StopTimer(Timer.TRANSFER), do.TellTransfer(200), do.PutThrough(CALLER), do.Link(),
    ]  # fmt: skip


def test_sip_9_a_call_that_is_not_connected_is_not_transferred() -> None:
    """RFC 3515: what cannot be done now is refused."""
    assert AnnouncedCall(Keys("9", "*9")).handle(given.TransferAsked(DESTINATION)) == [do.RefuseTransfer(491)]


SIDES = st.sampled_from(Side)
EVENTS: st.SearchStrategy[Input] = st.one_of(
    st.builds(given.TransferAsked, SIDES),
    st.builds(given.TargetProgress, st.just(180)),
    st.builds(given.TargetAnswered, st.booleans(), st.booleans(), st.booleans()),
    st.builds(given.TargetFailed, st.sampled_from([404, 486, 503])),
    st.builds(given.LegReplaced, SIDES, st.builds(given.TargetAnswered, st.booleans(), st.booleans(), st.booleans())),
    st.builds(given.HungUp, SIDES),
    st.builds(given.Reoffered, SIDES, st.booleans()),
    st.builds(given.ReofferAnswered, SIDES, st.booleans()),
    st.builds(given.ReofferFailed, SIDES, st.just(488)),
    st.builds(given.PlayEnded, st.booleans()),
    st.builds(given.KeyPressed, SIDES, st.sampled_from("*9")),
    st.builds(given.RecordingStopped, st.booleans()),
    st.builds(given.PauseAsked, st.just(given.Pause("key", "card_payment"))),
    st.builds(given.ResumeAsked, st.just("key")),
    st.builds(given.TimerFired, st.sampled_from([Timer.TRANSFER, Timer.ANSWER, Timer.PAUSE])),
)
STORES = (do.StartRecording, do.Resume, do.ResumeRecording)


@examples(st.lists(EVENTS, max_size=30))
def test_law_39_a_stop_always_wins_whatever_crosses_a_transfer(events: list[Input]) -> None:
    """LAW-39: after a stop, or a new party on the stop list, nothing is stored any more; one end, and one only."""
    call = recorded()
    stopped, finished = False, 0
    for event in events:
        before = call.state
        asked = call.handle(event)
        finished += sum(isinstance(command, do.Finish) for command in asked)
        if stopped:
            assert not any(isinstance(command, STORES) for command in asked)
        put_through = any(isinstance(command, do.PutThrough) for command in asked)
        target = event.target if isinstance(event, given.LegReplaced) else event
        if isinstance(event, given.RecordingStopped) and before is not State.OVER:
            stopped = True
        if put_through and isinstance(target, given.TargetAnswered) and target.stopped:
            stopped = True
            assert not any(isinstance(command, STORES) for command in asked)
        assert not (stopped and call.is_recording)
    assert finished == (call.state is State.OVER)


@examples(st.lists(EVENTS, max_size=30))
def test_not_10_nobody_from_outside_is_stored_before_the_whole_notice(events: list[Input]) -> None:
    """NOT-10: from the moment such a party is put through until its notice ended, storing is held or over."""
    call, storing, announcing = recorded(), True, False
    for event in events:
        asked = call.handle(event)
        for command in asked:
            if isinstance(command, do.Hold | do.EndRecording | do.DiscardRecording):
                storing = False
            elif isinstance(command, do.Resume):
                storing = True
            elif isinstance(command, do.RepeatNotice):
                announcing = True
            elif isinstance(command, do.Link):
                announcing = False
            assert not (announcing and storing), f"{command} after {event}"
