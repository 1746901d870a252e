"""The transparent way, as conversations."""

from __future__ import annotations

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from callrec.calls import commands as do
from callrec.calls import inputs as given
from callrec.calls.announced import AnnouncedCall, Keys
from callrec.calls.call import Call, State
from callrec.calls.inputs import Input, Side, Timer
from callrec.calls.outcome import Kind, Outcome, Reason
from callrec.calls.refused import RefusedCall
from callrec.calls.routing import Readiness, called_forms, matches, why_not_recorded
from callrec.calls.transparent import TransparentCall

CALLER, DESTINATION = Side.CALLER, Side.DESTINATION


def play(call: Call, script: list[tuple[Input, list[do.Command]]]) -> None:
    for step, (event, expected) in enumerate(script, 1):
        assert call.handle(event) == expected, f"step {step}: after {event!r}"


def finish(reason: Reason) -> do.Finish:
    return do.Finish(Outcome(reason))


def test_law_1_a_call_without_a_capture_rule_passes_and_is_not_recorded() -> None:
    """LAW-1: the destination's responses pass through, and no command stores anything."""
    play(
        TransparentCall(Reason.NO_CAPTURE_RULE),
        [
            (given.Started(), [do.Prepare()]),
            (given.Prepared(row_kept=True, media=True), [do.Dial(), do.SetTimer(Timer.ANSWER)]),
            (given.DestinationProgress(180, early_media=False), [do.PassProgress()]),
            (given.DestinationProgress(183, early_media=True), [do.PassProgress()]),
            (
                given.DestinationAnswered(),
                [do.StopTimer(Timer.ANSWER), do.PassAnswer(), do.Link(), do.SetTimer(Timer.LONGEST_CALL)],
            ),
            (given.Acknowledged(), []),
            (given.HungUp(CALLER), [do.HangUp(DESTINATION), finish(Reason.NO_CAPTURE_RULE)]),
        ],
    )


def test_fail_1_an_emergency_call_has_no_timer_and_goes_on_without_row_or_media() -> None:
    """FAIL-1: nothing that is missing keeps an emergency call back."""
    play(
        TransparentCall(Reason.EMERGENCY),
        [
            (given.Started(), [do.Prepare()]),
            (given.Prepared(row_kept=False, media=False), [do.Dial()]),
            (given.DestinationAnswered(), [do.PassAnswer(), do.Link()]),
            (given.HungUp(DESTINATION), [do.HangUp(CALLER), finish(Reason.EMERGENCY)]),
        ],
    )


def test_a_call_that_cannot_do_without_ports_is_refused_while_they_run_short() -> None:
    """Overload: with its media past us it would not be what it must be."""
    play(
        TransparentCall(Reason.NO_CAPTURE_RULE),
        [
            (given.Started(), [do.Prepare()]),
            (given.Prepared(row_kept=True, media=False, short=True), [do.RejectCaller(503), finish(Reason.CAPACITY)]),
        ],
    )


def test_fail_1_an_emergency_call_is_never_refused_for_want_of_ports() -> None:
    """FAIL-1: whatever is short."""
    call = TransparentCall(Reason.EMERGENCY)
    call.handle(given.Started())
    assert call.handle(given.Prepared(row_kept=True, media=False, short=True)) == [do.Dial()]


def test_fail_4_a_line_that_must_not_run_unrecorded_refuses() -> None:
    """FAIL-4: 503 before anything is prepared, with the cause as its outcome."""
    play(
        RefusedCall(Reason.STORAGE_UNAVAILABLE),
        [(given.Started(), [do.RejectCaller(503), finish(Reason.STORAGE_UNAVAILABLE)]), (given.Cancelled(), [])],
    )


@pytest.mark.parametrize("event", [given.Cancelled(), given.HungUp(CALLER), given.SealNow()])
def test_fail_4_a_refused_call_ends_once_whatever_comes_first(event: Input) -> None:
    """Exactly one outcome."""
    commands = RefusedCall(Reason.STORAGE_UNAVAILABLE).handle(event)
    assert [command for command in commands if isinstance(command, do.Finish)] == [finish(Reason.STORAGE_UNAVAILABLE)]


def test_a_failure_of_the_destination_passes_to_the_caller() -> None:
    """We do not answer for the PBX: its own final response goes back."""
    play(
        TransparentCall(Reason.NO_CAPTURE_RULE),
        [
            (given.Started(), [do.Prepare()]),
            (given.Prepared(row_kept=True, media=True), [do.Dial(), do.SetTimer(Timer.ANSWER)]),
            (given.DestinationFailed(486), [do.RejectCaller(), finish(Reason.NO_CAPTURE_RULE)]),
        ],
    )


def test_sip_3_cancel_takes_the_second_leg_back() -> None:
    """SIP-3: the caller's CANCEL cancels the destination."""
    play(
        TransparentCall(Reason.STOP_LIST),
        [
            (given.Started(), [do.Prepare()]),
            (given.Prepared(row_kept=True, media=True), [do.Dial(), do.SetTimer(Timer.ANSWER)]),
            (given.Cancelled(), [do.CancelDestination(), finish(Reason.STOP_LIST)]),
        ],
    )


def test_sip_6_a_late_offer_is_answered_in_the_ack() -> None:
    """SIP-6: the answer of the caller's ACK goes on to the destination, once."""
    call = TransparentCall(Reason.NO_CAPTURE_RULE, late_offer=True)
    for event in (given.Started(), given.Prepared(row_kept=True, media=True), given.DestinationAnswered()):
        call.handle(event)
    assert call.handle(given.Acknowledged()) == [do.PassAcknowledgement()]
    assert call.handle(given.Acknowledged()) == []


ALL_INPUTS: list[Input] = [
    given.Started(),
    given.Prepared(row_kept=True, media=True),
    given.Prepared(row_kept=False, media=True),
    given.Acknowledged(),
    given.Acknowledged(usable=False),
    given.PlayEnded(completed=True),
    given.PlayEnded(completed=False),
    given.KeyPressed(CALLER, "9"),
    given.KeyPressed(CALLER, "*"),
    given.KeyPressed(CALLER, "1"),
    given.DestinationProgress(180, early_media=False),
    given.DestinationProgress(183, early_media=True),
    given.DestinationAnswered(),
    given.DestinationAnswered(held=True),
    given.DestinationFailed(486),
    given.DestinationFailed(488, another_codec=True),
    given.CallerRecoded(accepted=True),
    given.CallerRecoded(accepted=False),
    given.Cancelled(),
    given.HungUp(CALLER),
    given.HungUp(DESTINATION),
    given.Reoffered(CALLER, held=True),
    given.Reoffered(CALLER, held=False),
    given.Reoffered(DESTINATION, held=True),
    given.Reoffered(DESTINATION, held=None),
    given.ReofferAnswered(CALLER, held=False),
    given.ReofferAnswered(DESTINATION, held=True),
    given.ReofferFailed(DESTINATION, 491),
    given.ReofferFailed(CALLER, 488),
    given.TimerFired(Timer.ANSWER),
    given.TimerFired(Timer.MENU),
    given.TimerFired(Timer.TONE),
    given.TimerFired(Timer.LONGEST_CALL),
    given.Silent(),
    given.RecordingStopped(),
    given.RecordingStopped(discard=False),
    given.Protected(),
    given.TimerFired(Timer.STOP_OFFER),
    given.KeyPressed(CALLER, "5"),
    given.RecordingLost(),
    given.SealNow(),
]


def _any_call() -> st.SearchStrategy[Call]:
    announced = st.tuples(st.sampled_from(["", "1"]), st.sampled_from(["", "5"])).map(
        lambda keys: AnnouncedCall(Keys("9", "*9", frozenset(keys[0]), keys[1]))
    )
    not_recorded = [reason for reason in Reason if Outcome(reason).kind is Kind.NOT_RECORDED]
    return st.one_of(announced, st.sampled_from(not_recorded).map(TransparentCall))


@hypothesis_given(_any_call(), st.lists(st.sampled_from(ALL_INPUTS), max_size=40))
def test_whatever_comes_in_whatever_order_ends_in_exactly_one_outcome(call: Call, events: list[Input]) -> None:
    """Every call ends in exactly one outcome, and nothing is stored without a completed notice (NOT-2)."""
    commands = [command for event in [given.Started(), *events, given.SealNow()] for command in call.handle(event)]
    ends = [command for command in commands if isinstance(command, do.Finish | do.GoTransparent)]
    assert len(ends) == 1
    assert commands[-1] is ends[0]
    assert call.state is State.OVER
    if do.StartRecording() in commands:
        started = commands.index(do.StartRecording())
        assert do.PlayNotice() in commands[:started]
        assert given.PlayEnded(completed=True) in events
        assert do.PlayOptOutConfirmed() not in commands[:started]
    finished = ends[0]
    if isinstance(finished, do.Finish) and finished.outcome.kind is Kind.RECORDED:
        assert do.StartRecording() in commands
        assert do.DiscardRecording() not in commands


@hypothesis_given(_any_call(), st.lists(st.sampled_from(ALL_INPUTS), max_size=40))
def test_law_39_a_call_that_was_stopped_is_never_recorded_from_then_on(call: Call, events: list[Input]) -> None:
    """LAW-39: whatever comes after a stop, nothing more is stored."""
    before = len(events) // 3
    for event in [given.Started(), *events[:before], given.RecordingStopped(discard=False)]:
        call.handle(event)
    commands = [command for event in [*events[before:], given.SealNow()] for command in call.handle(event)]
    assert not {do.StartRecording(), do.Resume()}.intersection(commands)


@hypothesis_given(_any_call(), st.lists(st.sampled_from(ALL_INPUTS), max_size=40))
def test_law_53_a_hold_always_wins_over_discarding(call: Call, events: list[Input]) -> None:
    """LAW-53: under a hold no key, stop or order discards what a call stored, and its outcome says that it is there."""
    inputs = [given.Protected(), given.Started(), *events, given.SealNow()]
    commands = [command for event in inputs for command in call.handle(event)]
    assert do.DiscardRecording() not in commands
    if do.StartRecording() in commands and given.RecordingLost() not in events:
        assert isinstance(commands[-1], do.Finish)
        assert commands[-1].outcome.kind is Kind.RECORDED


@hypothesis_given(
    st.booleans(), st.sampled_from(["", "inbound"]), st.booleans(), st.booleans(), st.tuples(*[st.booleans()] * 5)
)
def test_a_stop_wins_over_every_rule_but_an_emergency(
    emergency: bool, rule: str, stopped: bool, outbound: bool, ready: tuple[bool, bool, bool, bool, bool]
) -> None:
    """LAW-39, FAIL-1: no combination records a stopped number or touches an emergency call."""
    reason = why_not_recorded(
        emergency=emergency, rule=rule, stopped=stopped, outbound=outbound, readiness=Readiness(*ready)
    )
    if emergency:
        assert reason is Reason.EMERGENCY
    elif stopped or not rule or not all(ready) or outbound:
        assert reason is not None
    else:
        assert reason is None


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("*", True), ("+442079460123", True), ("02079460123", True), ("020 7946 012?", True), ("0161*", False)],
)
def test_a_route_names_a_ddi_in_any_form(pattern: str, expected: bool) -> None:
    """E.164, national, with `*` and `?`."""
    forms = called_forms("+442079460123", "2079460123", "02079460123")
    assert matches(pattern, forms) is expected
