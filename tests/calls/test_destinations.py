"""Several destinations: who is tried, in which order, after which answers; as tables and as conversations."""

from __future__ import annotations

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from callrec.calls import commands as do
from callrec.calls import inputs as given
from callrec.calls.announced import AnnouncedCall, Keys
from callrec.calls.destinations import MOST_CONTACTS, MOST_HOPS, MOST_REDIRECTED, Destinations, moves_on
from callrec.calls.inputs import Timer
from callrec.calls.outcome import Outcome, Reason
from callrec.calls.transparent import TransparentCall
from tests.calls.test_announced import TO_DIALLING, play

ONE, TWO, THREE = "sip:10.0.0.1", "sip:10.0.0.2", "sip:10.0.0.3"
RINGBACK = do.PlayTone(do.Tone.RINGBACK, forever=True)
NEXT: list[do.Command] = [do.StopTimer(Timer.REPLY), do.DialNext(), do.SetTimer(Timer.ANSWER)]


@pytest.mark.parametrize(
    ("status", "moves", "moves_when_busy"),
    [
        (408, True, True), (480, True, True), (404, True, True), (487, True, True), (488, True, True),
        (500, True, True), (502, True, True), (503, True, True), (302, True, True),
        (486, False, True), (600, False, True), (603, False, True), (403, False, True),
        (400, False, False), (420, False, False), (482, False, False), (484, False, False),
    ],
)  # fmt: skip
def test_fail_2_the_next_is_tried_where_nobody_has_said_no(status: int, moves: bool, moves_when_busy: bool) -> None:
    """FAIL-2: no answer, failure and silence lead on; busy and declined only where it is configured."""
    assert moves_on(status) is moves
    assert moves_on(status, when_busy=True) is moves_when_busy


def test_destinations_come_in_order_and_a_dead_one_last() -> None:
    """FAIL-2: a dead one is put off, and tried all the same when all others were."""
    places = Destinations([ONE, TWO])
    dead = places.take()
    assert dead is not None
    assert places.put_off(dead)
    second, last = places.take(), places.take()
    assert (second and second.uri, last and last.uri) == (TWO, ONE)
    assert last is not None
    assert not places.put_off(last), "everybody was tried: now it is its turn"


def test_sip_12_contacts_are_tried_by_q_before_what_is_left() -> None:
    """RFC 3261 8.1.3.4: the highest q first, among equals in their order; then the list goes on."""
    places = Destinations([ONE, TWO])
    first = places.take()
    assert first is not None
    assert places.redirect(first, [(0.5, "sip:a@x"), (1.0, "sip:b@x"), (0.5, "sip:c@x")]) == 3
    assert [place.uri for place in iter(places.take, None)] == ["sip:b@x", "sip:a@x", "sip:c@x", TWO]


def test_sip_12_redirections_end_where_they_loop() -> None:
    """RFC 3261 8.1.3.4: nobody is tried twice."""
    places = Destinations([ONE])
    first = places.take()
    assert first is not None
    assert places.redirect(first, [(1.0, ONE)]) == 0
    assert places.redirect(first, [(1.0, TWO)]) == 1
    second = places.take()
    assert second is not None
    assert places.redirect(second, [(1.0, ONE), (1.0, TWO)]) == 0


@examples(st.lists(st.lists(st.integers(0, 200), max_size=9), min_size=1, max_size=60))
def test_sip_12_redirections_are_bounded_whatever_they_name(answers: list[list[int]]) -> None:
    """SIP-12: each place once, few contacts a time, few hops, few in all."""
    places, tried, fresh = Destinations([ONE]), [], 0
    for contacts in answers:
        place = places.take()
        if place is None:
            break
        tried.append(place)
        added = places.redirect(place, [(1.0, f"sip:{number}@x") for number in contacts])
        assert added <= MOST_CONTACTS
        fresh += added
    assert len({place.uri for place in tried}) == len(tried)
    assert fresh <= MOST_REDIRECTED
    assert all(place.hops <= MOST_HOPS for place in tried)


def new_call(*, next_on_busy: bool = False) -> AnnouncedCall:
    return AnnouncedCall(Keys("9", "*9"), next_on_busy=next_on_busy)


def test_no_answer_in_time_calls_the_next_and_the_caller_hears_ringing_throughout() -> None:
    """FAIL-2: the tone goes on; each destination has its own time."""
    play(
        new_call(),
        [
            *TO_DIALLING,
            (given.Trying(more=True), [do.SetTimer(Timer.REPLY)]),
            (given.DestinationProgress(180, early_media=False), [RINGBACK]),
            (given.TimerFired(Timer.ANSWER), [do.CancelDestination(), *NEXT]),
            (given.Trying(more=False), []),
            (given.DestinationProgress(180, early_media=False), []),
            (given.DestinationAnswered(), [
                do.StopPlay(), do.Link(), do.StartRecording(), do.StopTimer(Timer.ANSWER),
                do.SetTimer(Timer.LONGEST_CALL),
            ]),
        ],
    )  # fmt: skip


def test_a_destination_that_says_nothing_is_left_soon_and_one_that_played_gives_way_to_ringing() -> None:
    """FAIL-2: not even 100 came; early media of the one before does not leave the caller in silence."""
    play(
        new_call(),
        [
            *TO_DIALLING,
            (given.Trying(more=True), [do.SetTimer(Timer.REPLY)]),
            (given.TimerFired(Timer.REPLY), [do.CancelDestination(), RINGBACK, *NEXT]),
            (given.Trying(more=True), [do.SetTimer(Timer.REPLY)]),
            (given.DestinationProgress(183, early_media=True), [do.StopPlay(), do.Link(early=True)]),
            (given.DestinationFailed(503), [RINGBACK, *NEXT]),
            (given.Trying(more=False), []),
            (given.DestinationProgress(183, early_media=True), [do.StopPlay(), do.Link(early=True)]),
        ],
    )


@pytest.mark.parametrize("next_on_busy", [False, True])
def test_busy_is_told_unless_it_is_to_move_on(next_on_busy: bool) -> None:
    """A person who declines does not make another telephone ring."""
    call = new_call(next_on_busy=next_on_busy)
    play(call, [*TO_DIALLING, (given.Trying(more=True), [do.SetTimer(Timer.REPLY)])])
    asked = call.handle(given.DestinationFailed(486))
    assert (do.DialNext() in asked) is next_on_busy
    assert (do.PlayTone(do.Tone.BUSY) in asked) is not next_on_busy


def test_the_last_destination_decides_how_the_call_ends() -> None:
    """Exactly one outcome."""
    call = new_call()
    play(call, [*TO_DIALLING, (given.Trying(more=True), [do.SetTimer(Timer.REPLY)])])
    call.handle(given.DestinationFailed(480))
    call.handle(given.Trying(more=False))
    call.handle(given.DestinationFailed(503))
    ended = call.handle(given.PlayEnded(completed=True))
    assert ended[-1] == do.Finish(Outcome(Reason.DESTINATION_FAILED))


def test_fail_1_an_emergency_call_tries_every_way_out_and_is_never_cut_off_while_it_rings() -> None:
    """FAIL-1: whatever one says, the next may take it; no time limit but that of a dead line."""
    call = TransparentCall(Reason.EMERGENCY)
    assert call.handle(given.Started()) == [do.Prepare()]
    assert call.handle(given.Prepared(row_kept=True, media=True)) == [do.Dial()]
    assert call.handle(given.Trying(more=True)) == [do.SetTimer(Timer.REPLY)]
    assert call.handle(given.DestinationFailed(486)) == [do.StopTimer(Timer.REPLY), do.DialNext()]
    assert call.handle(given.Trying(more=True)) == [do.SetTimer(Timer.REPLY)]
    assert call.handle(given.TimerFired(Timer.REPLY)) == [
        do.CancelDestination(), do.StopTimer(Timer.REPLY), do.DialNext(),
    ]  # fmt: skip
    assert call.handle(given.Trying(more=False)) == []
    assert call.handle(given.DestinationProgress(180, early_media=False)) == [do.PassProgress()]
    assert call.handle(given.DestinationAnswered()) == [do.PassAnswer(), do.Link()]


def test_sip_12_a_redirection_is_followed_in_both_ways() -> None:
    """SIP-12: also from the last destination."""
    play(
        new_call(),
        [
            *TO_DIALLING,
            (given.Trying(more=False), []),
            (given.Redirected(), [RINGBACK, do.DialNext(), do.SetTimer(Timer.ANSWER)]),
        ],
    )
    call = TransparentCall(Reason.NO_CAPTURE_RULE, prepared=True)
    assert call.handle(given.Started()) == [do.Dial(), do.SetTimer(Timer.ANSWER)]
    assert call.handle(given.Redirected()) == [do.DialNext(), do.SetTimer(Timer.ANSWER)]
