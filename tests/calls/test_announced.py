"""The announced way, as conversations: what is told, and what the call then asks for."""

from __future__ import annotations

import pytest

from callrec.calls import commands as do
from callrec.calls import inputs as given
from callrec.calls.announced import AnnouncedCall, Keys
from callrec.calls.inputs import Input, Side, Timer
from callrec.calls.outcome import Outcome, Reason

Script = list[tuple[Input, list[do.Command]]]
CALLER, DESTINATION = Side.CALLER, Side.DESTINATION


def play(call: AnnouncedCall, script: Script) -> None:
    """Feed each input and compare what the call asked for."""
    for step, (event, expected) in enumerate(script, 1):
        assert call.handle(event) == expected, f"step {step}: after {event!r}"


def new_call(menu: str = "", *, prompt: bool = False, stop_key: str = "") -> AnnouncedCall:
    return AnnouncedCall(Keys("9", "*9", frozenset(menu), stop_key), menu_prompt=prompt)


TO_NOTICE: Script = [
    (given.Started(), [do.Prepare()]),
    (given.Prepared(row_kept=True, media=True), [do.AnswerCaller()]),
    (given.Acknowledged(), [do.PlayNotice()]),
]
DIALLED: list[do.Command] = [do.Dial(), do.SetTimer(Timer.ANSWER)]
TO_DIALLING: Script = [*TO_NOTICE, (given.PlayEnded(completed=True), DIALLED)]
TO_RECORDING: Script = [
    *TO_DIALLING,
    (given.DestinationProgress(180, early_media=False), [do.PlayTone(do.Tone.RINGBACK, forever=True)]),
    (
        given.DestinationAnswered(),
        [
            do.StopPlay(),
            do.Link(),
            do.StartRecording(),
            do.StopTimer(Timer.ANSWER),
            do.SetTimer(Timer.LONGEST_CALL),
        ],
    ),
]


def finish(reason: Reason) -> do.Finish:
    return do.Finish(Outcome(reason))


def test_a_call_is_recorded_from_answer_after_the_whole_notice() -> None:
    """NOT-2, LAW-1: the recording begins at the later of notice completed and PBX answered."""
    play(
        new_call(),
        [*TO_RECORDING, (given.HungUp(CALLER), [do.HangUp(DESTINATION), finish(Reason.COMPLETE)])],
    )


def test_either_party_may_hang_up() -> None:
    """A BYE from the PBX ends the caller's leg, and the recording is whole."""
    play(
        new_call(),
        [*TO_RECORDING, (given.HungUp(DESTINATION), [do.HangUp(CALLER), finish(Reason.COMPLETE)])],
    )


def test_not_3_a_notice_that_did_not_complete_leaves_the_call_unrecorded() -> None:
    """NOT-3: the call goes on, the recording does not."""
    call = new_call()
    play(call, [*TO_NOTICE, (given.PlayEnded(completed=False), DIALLED)])
    connected = call.handle(given.DestinationAnswered())
    assert do.StartRecording() not in connected
    assert do.Link() in connected
    assert call.handle(given.HungUp(CALLER))[-1] == finish(Reason.NOTICE_INCOMPLETE)


def test_not_14_hold_during_the_notice_means_not_completed() -> None:
    """NOT-14: a caller who put us on hold did not hear the notice to its end."""
    call = new_call()
    play(
        call,
        [
            *TO_NOTICE,
            (given.Reoffered(CALLER, held=True), [do.AcceptReoffer(CALLER)]),
            (given.Reoffered(CALLER, held=False), [do.AcceptReoffer(CALLER)]),
            (given.PlayEnded(completed=True), DIALLED),
        ],
    )
    assert do.StartRecording() not in call.handle(given.DestinationAnswered())


def test_not_4_hang_up_during_the_notice_is_abandoned_in_notice() -> None:
    """NOT-4: no audio, the outcome says where the caller left."""
    play(new_call(), [*TO_NOTICE, (given.HungUp(CALLER), [finish(Reason.ABANDONED_IN_NOTICE)])])


def test_not_16_the_opt_out_key_ends_the_notice_and_the_recording_but_not_the_call() -> None:
    """NOT-16: key 9 during the notice is confirmed by voice, then the destination is called unrecorded."""
    call = new_call()
    play(
        call,
        [
            *TO_NOTICE,
            (given.KeyPressed(CALLER, "9"), [do.StopPlay(), do.PlayOptOutConfirmed()]),
            (given.PlayEnded(completed=True), DIALLED),
        ],
    )
    assert do.StartRecording() not in call.handle(given.DestinationAnswered())
    assert call.handle(given.HungUp(DESTINATION))[-1] == finish(Reason.OPT_OUT)


@pytest.mark.parametrize("key", ["1", "0", "*", "#", "A"])
def test_other_keys_do_not_interrupt_the_notice(key: str) -> None:
    """Only the opt-out key and the menu's keys do anything during the notice."""
    play(new_call(), [*TO_NOTICE, (given.KeyPressed(CALLER, key), []), (given.PlayEnded(completed=True), DIALLED)])


def test_the_opt_out_sequence_after_connect_discards_what_was_stored() -> None:
    """NOT-16: `*9` after connect; a plain 9 belongs to the PBX's own menu."""
    play(
        new_call(),
        [
            *TO_RECORDING,
            (given.KeyPressed(CALLER, "9"), []),
            (given.KeyPressed(CALLER, "*"), []),
            (given.KeyPressed(CALLER, "9"), [do.DiscardRecording()]),
            (given.KeyPressed(CALLER, "*"), []),
            (given.KeyPressed(CALLER, "9"), []),
            (given.HungUp(CALLER), [do.HangUp(DESTINATION), finish(Reason.OPT_OUT)]),
        ],
    )


def test_keys_of_our_own_side_do_not_decline_for_the_caller() -> None:
    """An agent's `*9` is not the caller's wish."""
    play(
        new_call(),
        [
            *TO_RECORDING,
            (given.KeyPressed(DESTINATION, "*"), []),
            (given.KeyPressed(DESTINATION, "9"), []),
            (given.HungUp(CALLER), [do.HangUp(DESTINATION), finish(Reason.COMPLETE)]),
        ],
    )


def test_a_menu_key_after_the_notice_selects_the_destination() -> None:
    """The menu opens when the notice has been heard; its key decides who is called."""
    play(
        new_call("12"),
        [
            *TO_NOTICE,
            (given.PlayEnded(completed=True), [do.SetTimer(Timer.MENU)]),
            (given.KeyPressed(CALLER, "7"), []),
            (given.KeyPressed(CALLER, "2"), [do.StopTimer(Timer.MENU), do.Dial("2"), do.SetTimer(Timer.ANSWER)]),
        ],
    )


def test_a_caller_who_presses_nothing_reaches_the_routes_own_destination() -> None:
    """A menu never costs a call."""
    play(
        new_call("12"),
        [
            *TO_NOTICE,
            (given.PlayEnded(completed=True), [do.SetTimer(Timer.MENU)]),
            (given.TimerFired(Timer.MENU), DIALLED),
        ],
    )


def test_the_menu_tells_its_keys_after_the_notice() -> None:
    """A prompt of the menu's own may be cut short by a key, for the notice was heard to its end."""
    told: Script = [*TO_NOTICE, (given.PlayEnded(completed=True), [do.PlayMenu()])]
    chosen: list[do.Command] = [do.Dial("1"), do.SetTimer(Timer.ANSWER)]
    play(new_call("12", prompt=True), [*told, (given.KeyPressed(CALLER, "1"), [do.StopPlay(), *chosen])])
    patient = new_call("12", prompt=True)
    play(
        patient,
        [
            *told,
            (given.PlayEnded(completed=True), [do.SetTimer(Timer.MENU)]),
            (given.KeyPressed(CALLER, "1"), [do.StopTimer(Timer.MENU), *chosen]),
        ],
    )
    assert do.StartRecording() in patient.handle(given.DestinationAnswered())


def test_a_menu_key_during_the_notice_connects_unrecorded() -> None:
    """NOT-14: who cuts the notice short has not heard it, so nothing is stored."""
    call = new_call("12")
    play(
        call,
        [
            *TO_NOTICE,
            (given.KeyPressed(CALLER, "1"), [do.StopPlay(), do.Dial("1"), do.SetTimer(Timer.ANSWER)]),
        ],
    )
    assert do.StartRecording() not in call.handle(given.DestinationAnswered())
    assert call.handle(given.HungUp(CALLER))[-1] == finish(Reason.NOTICE_INCOMPLETE)


@pytest.mark.parametrize(
    ("status", "reason", "tone"),
    [
        (486, Reason.BUSY, do.Tone.BUSY),
        (600, Reason.BUSY, do.Tone.BUSY),
        (603, Reason.DECLINED, do.Tone.BUSY),
        (480, Reason.NOT_ANSWERED, do.Tone.UNOBTAINABLE),
        (404, Reason.DESTINATION_FAILED, do.Tone.UNOBTAINABLE),
        (503, Reason.DESTINATION_FAILED, do.Tone.UNOBTAINABLE),
    ],
)
def test_a_destination_that_fails_is_told_by_a_tone_and_a_bye(status: int, reason: Reason, tone: do.Tone) -> None:
    """The failure of the second leg is heard for at most ten seconds, then BYE with its Q.850 cause."""
    play(
        new_call(),
        [
            *TO_DIALLING,
            (
                given.DestinationFailed(status),
                [do.StopTimer(Timer.ANSWER), do.StopPlay(), do.PlayTone(tone), do.SetTimer(Timer.TONE)],
            ),
            (given.PlayEnded(completed=True), [do.HangUp(CALLER, reason), finish(reason)]),
        ],
    )


def test_a_destination_that_does_not_answer_is_cancelled() -> None:
    """The route's time limit ends the ringing, and a 200 that crosses the CANCEL changes nothing here."""
    play(
        new_call(),
        [
            *TO_DIALLING,
            (
                given.TimerFired(Timer.ANSWER),
                [
                    do.CancelDestination(),
                    do.StopTimer(Timer.ANSWER),
                    do.StopPlay(),
                    do.PlayTone(do.Tone.UNOBTAINABLE),
                    do.SetTimer(Timer.TONE),
                ],
            ),
            (given.DestinationFailed(487), []),
            (given.TimerFired(Timer.TONE), [do.HangUp(CALLER, Reason.NOT_ANSWERED), finish(Reason.NOT_ANSWERED)]),
        ],
    )


def test_a_caller_who_leaves_while_it_rings_cancels_the_destination() -> None:
    """A BYE while ringing cancels the PBX leg."""
    play(
        new_call(),
        [*TO_DIALLING, (given.HungUp(CALLER), [do.CancelDestination(), finish(Reason.NOT_ANSWERED)])],
    )


def test_early_media_is_relayed_and_not_recorded() -> None:
    """NOT-1: nothing before the answer is stored."""
    play(
        new_call(),
        [
            *TO_DIALLING,
            (given.DestinationProgress(183, early_media=True), [do.Link(early=True)]),
            (given.DestinationProgress(180, early_media=False), []),
        ],
    )


def test_488_from_the_destination_asks_the_caller_for_another_codec() -> None:
    """Nothing is transcoded: the caller's codec is changed by re-INVITE and the destination called again."""
    play(
        new_call(),
        [
            *TO_DIALLING,
            (given.DestinationFailed(488, another_codec=True), [do.RecodeCaller()]),
            (given.CallerRecoded(accepted=True), [do.DialAgain()]),
        ],
    )


def test_not_20_nothing_is_stored_while_either_side_holds() -> None:
    """NOT-20: storing stops when the hold is asked for and goes on when both sides talk again."""
    play(
        new_call(),
        [
            *TO_RECORDING,
            (given.Reoffered(CALLER, held=True), [do.Hold(), do.PassReoffer(CALLER)]),
            (given.ReofferAnswered(DESTINATION, held=True), [do.PassReofferAnswer(CALLER)]),
            (given.Reoffered(CALLER, held=False), [do.PassReoffer(CALLER)]),
            (given.ReofferAnswered(DESTINATION, held=False), [do.PassReofferAnswer(CALLER), do.Resume()]),
            (given.Reoffered(DESTINATION, held=True), [do.Hold(), do.PassReoffer(DESTINATION)]),
            (given.ReofferAnswered(CALLER, held=True), [do.PassReofferAnswer(DESTINATION)]),
            (given.HungUp(DESTINATION), [do.HangUp(CALLER), finish(Reason.COMPLETE)]),
        ],
    )


def test_a_hold_the_far_side_refuses_does_not_stop_the_storing_for_ever() -> None:
    """A refused offer leaves the session as it was (RFC 3261 14.1), so the voices are stored again."""
    play(
        new_call(),
        [
            *TO_RECORDING,
            (given.Reoffered(CALLER, held=True), [do.Hold(), do.PassReoffer(CALLER)]),
            (given.ReofferFailed(DESTINATION, 488), [do.RefuseReoffer(CALLER, 488), do.Resume()]),
        ],
    )


def test_sip_4_a_second_re_invite_under_way_is_refused_491() -> None:
    """SIP-4: glare between the two sides of the B2BUA."""
    play(
        new_call(),
        [
            *TO_RECORDING,
            (given.Reoffered(CALLER, held=False), [do.PassReoffer(CALLER)]),
            (given.Reoffered(DESTINATION, held=True), [do.RefuseReoffer(DESTINATION, 491)]),
        ],
    )


@pytest.mark.parametrize(
    ("row_kept", "media", "reason"),
    [(False, True, Reason.STORAGE_UNAVAILABLE), (True, False, Reason.CAPACITY)],
)
def test_calls_fail_open_when_recording_cannot_be_prepared(row_kept: bool, media: bool, reason: Reason) -> None:
    """No row or no port: the call passes unrecorded, and nobody hears a notice."""
    play(
        new_call(),
        [
            (given.Started(), [do.Prepare()]),
            (given.Prepared(row_kept=row_kept, media=media), [do.GoTransparent(reason)]),
        ],
    )


def test_a_call_to_be_recorded_is_refused_while_ports_run_short() -> None:
    """RTP-11, overload: 503 and `capacity`, before anybody was answered or called."""
    call = new_call()
    play(
        call,
        [
            (given.Started(), [do.Prepare()]),
            (given.Prepared(row_kept=False, media=False, short=True), [do.RejectCaller(503), finish(Reason.CAPACITY)]),
        ],
    )
    assert call.handle(given.Prepared(row_kept=True, media=True)) == [], "it is over"


def test_a_live_stop_discards_the_recording_and_the_call_goes_on() -> None:
    """LAW-39: a stop during a live call stops at once."""
    play(
        new_call(),
        [
            *TO_RECORDING,
            (given.RecordingStopped(), [do.DiscardRecording()]),
            (given.HungUp(CALLER), [do.HangUp(DESTINATION), finish(Reason.STOP_LIST)]),
        ],
    )


def test_law_39_a_live_stop_may_leave_what_was_stored() -> None:
    """LAW-39: it stops at once and only offers to discard: what was stored is sealed, and its end is missing."""
    play(
        new_call(),
        [
            *TO_RECORDING,
            (given.RecordingStopped(discard=False), [do.EndRecording(Reason.STOP_LIST)]),
            (given.RecordingStopped(discard=False), []),
            (given.HungUp(CALLER), [do.HangUp(DESTINATION), finish(Reason.CUT)]),
        ],
    )


def test_law_39_what_a_live_stop_left_may_be_discarded_later() -> None:
    """LAW-39: the offer stands while the call lives; then the outcome is that of a call never recorded."""
    play(
        new_call(),
        [
            *TO_RECORDING,
            (given.RecordingStopped(discard=False), [do.EndRecording(Reason.STOP_LIST)]),
            (given.RecordingStopped(), [do.DiscardRecording()]),
            (given.HungUp(CALLER), [do.HangUp(DESTINATION), finish(Reason.STOP_LIST)]),
        ],
    )


def test_law_39_a_stop_during_the_notice_leaves_nothing_to_discard() -> None:
    """LAW-39: a call stopped before it is recorded never is."""
    call = new_call()
    play(call, [*TO_NOTICE, (given.RecordingStopped(discard=False), []), (given.PlayEnded(completed=True), DIALLED)])
    assert do.StartRecording() not in call.handle(given.DestinationAnswered())
    assert call.handle(given.HungUp(CALLER))[-1] == finish(Reason.STOP_LIST)


def test_law_53_a_hold_keeps_what_an_opt_out_or_a_stop_would_discard() -> None:
    """LAW-53: nothing more is stored, as the person wishes; what was stored until then stays."""
    for keys in ([given.RecordingStopped()], [given.KeyPressed(CALLER, "*"), given.KeyPressed(CALLER, "9")]):
        call = new_call()
        play(call, [(given.Protected(), []), *TO_RECORDING])
        asked = [command for event in keys for command in call.handle(event)]
        reason = Reason.OPT_OUT if len(keys) == 2 else Reason.STOP_LIST
        assert asked == [do.EndRecording(reason)]
        assert call.handle(given.HungUp(CALLER))[-1] == finish(Reason.CUT)


TO_OFFER: Script = [
    *TO_NOTICE,
    (given.KeyPressed(CALLER, "9"), [do.StopPlay(), do.PlayOptOutConfirmed()]),
    (given.PlayEnded(completed=True), [do.PlayStopOffer()]),
]


@pytest.mark.parametrize("while_it_plays", [True, False])
def test_not_16_after_the_opt_out_a_key_stops_all_later_recordings(while_it_plays: bool) -> None:
    """NOT-16: suppression for future calls is a choice of its own, with its own key; the call goes on."""
    call = new_call(stop_key="5")
    play(call, TO_OFFER)
    ending: do.Command = do.StopPlay()
    if not while_it_plays:
        play(call, [(given.PlayEnded(completed=True), [do.SetTimer(Timer.STOP_OFFER)])])
        ending = do.StopTimer(Timer.STOP_OFFER)
    play(call, [(given.KeyPressed(CALLER, "5"), [ending, do.AddStop(), *DIALLED])])
    assert do.StartRecording() not in call.handle(given.DestinationAnswered())
    assert call.handle(given.HungUp(CALLER))[-1] == finish(Reason.OPT_OUT)


def test_not_16_whoever_does_not_take_the_offer_up_is_connected() -> None:
    """NOT-16: silence and any other key mean no."""
    play(
        new_call(stop_key="5"),
        [
            *TO_OFFER,
            (given.PlayEnded(completed=True), [do.SetTimer(Timer.STOP_OFFER)]),
            (given.TimerFired(Timer.STOP_OFFER), DIALLED),
        ],
    )
    play(new_call(stop_key="5"), [*TO_OFFER, (given.KeyPressed(CALLER, "7"), [do.StopPlay(), *DIALLED])])


def test_not_16_the_offer_is_made_once_and_leaves_the_menu_alone() -> None:
    """NOT-16: a key of the menu is taken as such; a second opt-out does not offer again."""
    play(
        new_call("1", stop_key="5"),
        [*TO_OFFER, (given.KeyPressed(CALLER, "1"), [do.StopPlay(), do.Dial("1"), do.SetTimer(Timer.ANSWER)])],
    )
    play(
        new_call("1", stop_key="5"),
        [
            *TO_OFFER,
            (given.KeyPressed(CALLER, "5"), [do.StopPlay(), do.AddStop(), do.SetTimer(Timer.MENU)]),
            (given.KeyPressed(CALLER, "9"), [do.StopTimer(Timer.MENU), do.PlayOptOutConfirmed()]),
            (given.PlayEnded(completed=True), [do.SetTimer(Timer.MENU)]),
        ],
    )


def test_an_ended_call_asks_for_nothing() -> None:
    """Whatever crosses the end is absorbed."""
    call = new_call()
    play(call, [*TO_RECORDING, (given.HungUp(CALLER), [do.HangUp(DESTINATION), finish(Reason.COMPLETE)])])
    for late in (given.HungUp(DESTINATION), given.KeyPressed(CALLER, "9"), given.PlayEnded(completed=True)):
        assert call.handle(late) == []
