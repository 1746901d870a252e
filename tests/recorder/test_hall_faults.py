"""Calls fail open, recording fails closed: each fault at its worst moment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callrec.catalogue.values import CallChange, CallEnd
from callrec.recorder.admission import REFUSED_ROWS
from callrec.recorder.health import SPACE, Code
from callrec.sip import events as sip
from callrec.sip.uri import Uri
from tests.support.hall_house import PBX, Complaints, HallHouse, sdp
from tests.support.stories import ANSWER, Talk, connect, connect_transparent, hear_notice, pbx_that_answers, reach_pbx
from tests.support.virtual_time import virtual

TRANSPARENT = "02079465555"


async def end(house: HallHouse, talk: Talk, *outcomes: str) -> None:
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check(*outcomes)


# Emergency


def break_everything(house: HallHouse) -> None:
    house.media.broken = True
    house.keyring.empty = True
    house.catalogue.fails = True
    house.prompts.loaded = None
    for code in (Code.KEYS_UNAVAILABLE, Code.STORAGE_UNAVAILABLE, Code.NOTICE_INVALID, Code.CAPACITY):
        house.health.raise_problem(code, "broken")
    house.hall.draining = True


@pytest.mark.parametrize("called", ["999", "112", "18000"])
@virtual
async def test_fail_1_an_emergency_call_passes_with_everything_broken(called: str) -> None:
    """FAIL-1: no worker, no key, no disk, draining, full: the call passes at once, its SDP untouched."""
    house = HallHouse(sip={"max_calls": 1})
    other = await connect_transparent(house)
    break_everything(house)
    dialled_at = house.now
    talk = await reach_pbx(house, Talk(house.dial(called)))
    assert house.now - dialled_at < 0.1
    assert talk.offer == sdp()
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    answered = await house.trunk.await_event(sip.Answered)
    assert answered.session == ANSWER
    await house.settle(7300)
    assert len(house.hall) >= 1, "no limit of time ends an emergency call"
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    house.trunk.endpoint.hang_up(other.outside, house.now)
    await house.check("no_capture_rule", "emergency")
    assert house.call.call_id in house.journal.ended


@virtual
async def test_fail_1_nothing_that_hangs_delays_an_emergency_call() -> None:
    """FAIL-1: ports that do not open and a disk that does not answer cost at most 0.2 s."""
    house = HallHouse()
    house.media.opening_s = house.catalogue.delay_s = house.journal.delay_s = 30.0
    dialled_at = house.now
    talk = await reach_pbx(house, Talk(house.dial("999")))
    assert house.now - dialled_at < 0.3
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.settle(2.0)
    await end(house, talk, "emergency")


@virtual
async def test_fail_1_an_emergency_row_that_is_slow_keeps_its_events_in_order() -> None:
    """FAIL-1: the row is written afterwards; the answer that came before it is not lost."""
    house = HallHouse()
    house.catalogue.delay_s = 0.4
    talk = await reach_pbx(house, Talk(house.dial("999")))
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.settle(5.0)
    assert house.item().events == ["call/started", "call/answered"]
    await end(house, talk, "emergency")
    assert house.item().events == ["call/started", "call/answered", "call/ended"]


@virtual
async def test_fail_1_a_service_urn_goes_on_as_an_emergency_number() -> None:
    """RFC 5031: `urn:service:sos` is an emergency; the trunk and the PBX dial digits, the To keeps the URN."""
    house = HallHouse()
    talk = await reach_pbx(house, Talk(house.dial(uri="urn:service:sos.fire")))
    assert str(talk.invite.uri) == f"sip:112@{PBX}"
    assert talk.invite.headers.get("To") == "<urn:service:sos.fire>"
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.trunk.await_event(sip.Answered)
    await end(house, talk, "emergency")


# Drain and overload


@virtual
async def test_fail_2_drain_refuses_new_calls_and_lets_live_ones_run_on() -> None:
    """FAIL-2: 503 with Retry-After for new INVITEs; the live call ends by itself, and then the drain."""
    house = HallHouse()
    talk = await connect(house)
    drained = asyncio.ensure_future(house.hall.drain(600.0))  # noqa: TID251 - awaited below
    await house.settle(1.0)
    house.dial()
    failed = await house.trunk.await_event(sip.Failed)
    assert failed.response is not None
    assert (failed.response.status, failed.response.headers.get("Retry-After")) == (503, "10")
    await house.settle(60.0)
    assert not drained.done()
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await asyncio.wait_for(drained, 2.0)
    await house.check("complete", "capacity")


async def refused(house: HallHouse, **tables: Any) -> None:
    """Dial a number of ours and expect 503 with Retry-After within 100 ms, at the worst moment of the disk."""
    dialled_at = house.now
    house.dial(**tables)
    failed = await house.trunk.await_event(sip.Failed)
    assert failed.response is not None
    assert (failed.response.status, failed.response.headers.get("Retry-After")) == (503, "10")
    assert house.now - dialled_at <= 0.1


@virtual
async def test_without_a_free_port_calls_to_be_recorded_are_refused_and_others_pass() -> None:
    """RTP-11, overload: 503 at once, also while the disk is slow; a live call, a transparent one and 999 go on."""
    house = HallHouse()
    live = await connect(house)
    house.media.full = True
    house.catalogue.delay_s = 0.4
    await refused(house)
    passing = await connect_transparent(house)
    urgent = await reach_pbx(house, Talk(house.dial("999")))
    assert urgent.offer == sdp()
    house.pbx.endpoint.answer(urgent.inside, ANSWER, house.now)
    await house.trunk.await_event(sip.Answered)
    house.media.full = False
    for talk in (live, passing, urgent):
        house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.settle(2.0)
    await house.check("complete", "capacity", "no_capture_rule", "emergency")


@virtual
async def test_a_call_between_two_versions_of_ip_cannot_do_without_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Overload: without our media its parties could not reach each other; an emergency call is tried all the same."""
    house = HallHouse()
    house.media.full = True
    far = sip.Flow("udp", sip.Address("2001:db8::1", 5060), sip.Address("2001:db8::2", 5060))

    async def resolve(_uri: Uri) -> sip.Flow:
        return far

    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(house.tools.driver, "resolve", resolve)
        await refused(house, called=TRANSPARENT)
    urgent = await reach_pbx(house, Talk(house.dial("999")))
    house.trunk.endpoint.cancel(urgent.outside, house.now)
    await house.check("capacity", "emergency")


@virtual
async def test_a_worker_that_is_gone_is_no_shortage() -> None:
    """Calls fail open: while workers are replaced a call passes unrecorded."""
    house = HallHouse()
    house.media.broken = True
    talk = await reach_pbx(house, Talk(house.dial()))
    assert talk.offer == sdp()
    house.trunk.endpoint.cancel(talk.outside, house.now)
    await house.check("capacity")


@virtual
async def test_fail_3_and_4_a_full_disk_passes_calls_or_refuses_them() -> None:
    """FAIL-3 by default, FAIL-4 with `full_disk = "refuse"`: 503 for calls to be recorded, never for emergencies."""
    for full_disk in ("pass", "refuse"):
        house = HallHouse(limits={"full_disk": full_disk})
        house.health.raise_problem(Code.STORAGE_UNAVAILABLE, "no room", about=SPACE)
        if full_disk == "pass":
            other = await connect_transparent(house, called="02079460123")
            await end(house, other, "storage_unavailable")
            continue
        await refused(house)
        passing = await connect_transparent(house)
        urgent = await reach_pbx(house, Talk(house.dial("112")))
        house.pbx.endpoint.answer(urgent.inside, ANSWER, house.now)
        await house.trunk.await_event(sip.Answered)
        house.trunk.endpoint.hang_up(passing.outside, house.now)
        await end(house, urgent, "storage_unavailable", "no_capture_rule", "emergency")


@virtual
async def test_fail_3_a_disk_that_is_broken_refuses_nobody() -> None:
    """`full_disk` speaks of space only: what is blocked or not writable fails open, as ever."""
    house = HallHouse(limits={"full_disk": "refuse"})
    house.health.raise_problem(Code.STORAGE_UNAVAILABLE, "not writable", about="disk")
    talk = await connect_transparent(house, called="02079460123")
    await end(house, talk, "storage_unavailable")


@virtual
async def test_a_call_that_waits_for_its_disk_does_not_count_against_the_limit() -> None:
    """FAIL-2: with a blocked disk ended calls wait to be sealed; new ones are taken all the same."""
    house = HallHouse(sip={"max_calls": 1})
    house.media.seal_s = 60.0
    talk = await connect(house)
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.settle(1.0)
    other = await connect_transparent(house)
    house.dial()
    failed = await house.trunk.await_event(sip.Failed)
    assert failed.response is not None
    assert failed.response.status == 503
    await end(house, other, "complete", "no_capture_rule", "capacity")


@virtual
async def test_calls_beyond_the_limit_are_refused_with_a_row_each_and_a_flood_of_them_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """FAIL-2: 503 at once; no loss is silent, and no flood fills the catalogue."""
    house = HallHouse(sip={"max_calls": 1})
    live = await connect_transparent(house)
    for _ in range(REFUSED_ROWS + 5):
        await refused(house, called=TRANSPARENT)
    await house.settle(1.5)
    await refused(house, called=TRANSPARENT)
    assert "5 calls beyond" in caplog.text
    await end(house, live, "no_capture_rule", *["capacity"] * (REFUSED_ROWS + 1))


@virtual
async def test_a_second_sigterm_seals_within_two_seconds() -> None:
    """FAIL-2: calls in every state end; what cannot be sealed in time is left to the next start."""
    house = HallHouse()
    await connect(house)
    await connect_transparent(house)
    house.dial()
    await house.settle(0.5)
    started = house.now
    await house.hall.seal_all()
    assert house.now - started <= 2.0
    await house.check("complete", "no_capture_rule", "abandoned_in_notice")


@virtual
async def test_what_cannot_be_sealed_in_time_is_let_go() -> None:
    """FAIL-2: after two seconds the recorder ends whatever its disk does; the next start ends the row."""
    house = HallHouse()
    talk = await connect(house)
    house.media.seal_s = None
    await house.hall.seal_all()
    await house.pbx.await_event(sip.HungUp)
    await house.hall.stop()
    assert len(house.hall) == 0
    assert not house.media.legs
    assert house.item().end is None
    assert talk


# Rows and stores


@pytest.mark.parametrize("delay_s", [0.4, 0.6, 3.0])
@virtual
async def test_a_row_that_is_not_durable_in_half_a_second_leaves_the_call_unrecorded(delay_s: float) -> None:
    """Design 5: the 200 waits for the row; beyond 500 ms the call passes, and hears no notice."""
    house = HallHouse()
    house.catalogue.delay_s = delay_s
    pbx_that_answers(house)
    talk = Talk(house.dial())
    await house.trunk.await_event(sip.Answered)
    house.catalogue.delay_s = 0.005
    await house.settle(20.0)
    plays = [asked for asked in house.media.asked if asked[0] == "play" and asked[2].kind.value == "notice"]
    assert bool(plays) is (delay_s < 0.5)
    await end(house, talk, "complete" if delay_s < 0.5 else "storage_unavailable")


@virtual
async def test_a_journal_that_hangs_as_well_costs_no_call() -> None:
    """FAIL-1: one disk for all: neither catalogue nor journal answers, and the call passes within a second or so."""
    house = HallHouse()
    house.catalogue.fails, house.journal.delay_s = True, 30.0
    pbx_that_answers(house)
    dialled_at = house.now
    talk = Talk(house.dial())
    await house.trunk.await_event(sip.Answered)
    assert house.now - dialled_at < 2.5
    await end(house, talk, "storage_unavailable")


@virtual
async def test_what_could_not_be_written_during_the_call_comes_with_its_end() -> None:
    """Design 8: the catalogue fails from the notice to the end of the call, and comes back: no event is lost."""
    house = HallHouse()
    talk = await hear_notice(house)
    house.catalogue.fails = True
    await reach_pbx(house, talk)
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.settle(5.0)
    house.catalogue.fails = False
    await end(house, talk, "complete")
    assert house.item().events == ["call/started", "notice/completed", "call/answered", "recording/started",
                                   "recording/sealed", "call/ended"]  # fmt: skip
    assert house.item().change.recording_id is not None


@virtual
async def test_an_end_that_cannot_be_written_is_kept_with_its_events() -> None:
    """Design 5: the reserve journal keeps the end and everything that was not told yet."""
    house = HallHouse()
    talk = await hear_notice(house)
    house.catalogue.fails = True
    await reach_pbx(house, talk)
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.settle(5.0)
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.settle(60.0)
    kept = house.journal.ended[house.call.call_id]
    assert kept.outcome_reason == "complete"
    assert kept.final.answered_at is not None
    assert house.journal.told[house.call.call_id][-2:] == ["recording/sealed", "call/ended"]
    await house.check("complete")


@virtual
async def test_a_change_in_flight_when_the_call_ends_is_not_lost() -> None:
    """The write that is under way fails after the end was made: the end repeats all that is known."""
    house = HallHouse()
    talk = await connect(house)
    house.catalogue.delay_s = 1.0
    house.call.row.change(CallChange(add_flags=("late",)))  # type: ignore[union-attr]
    await house.settle(0.1)
    house.catalogue.fails = True
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.settle(2.0)
    house.catalogue.fails = False
    await house.settle(30.0)
    ends: list[CallEnd | None] = [house.item().end, house.journal.ended.get(house.call.call_id)]
    (end_,) = [each for each in ends if each is not None]
    assert end_.final.add_flags == ("late",)
    await house.check("complete")


# Media


@virtual
async def test_no_port_means_the_call_passes_untouched() -> None:
    """Design 5: no worker: the SDP passes as it is, the outcome says capacity."""
    house = HallHouse()
    house.media.broken = True
    talk = await reach_pbx(house, Talk(house.dial()))
    assert talk.offer == sdp()
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    answered = await house.trunk.await_event(sip.Answered)
    assert answered.session == ANSWER
    house.trunk.endpoint.reoffer(talk.outside, sdp("8", "a=sendonly", version=2), house.now)
    asked = await house.pbx.await_event(sip.Reoffered)
    assert asked.offer == sdp("8", "a=sendonly", version=2)
    house.pbx.endpoint.accept_offer(asked.leg, ANSWER, house.now)
    await house.trunk.await_event(sip.ReofferAnswered)
    await end(house, talk, "capacity")


@pytest.mark.parametrize("segments", [0, 4])
@virtual
async def test_a_disk_that_fails_in_the_call_cuts_the_recording_not_the_call(
    segments: int, complaints: Complaints
) -> None:
    """Design 6: what was stored until then is kept as cut; nothing stored is `storage_unavailable`."""
    house = HallHouse()
    talk = await connect(house)
    house.media.fail_recording(house.call.call_id, segments=segments)
    await house.settle(10.0)
    assert len(house.hall) == 1
    await end(house, talk, "cut" if segments else "storage_unavailable")
    complaints.found.clear()


@virtual
async def test_media_that_is_lost_for_good_ends_the_call(complaints: Complaints) -> None:
    """Design 2: nobody hears anybody any more: both legs are ended, the row says so."""
    house = HallHouse()
    await connect(house)
    house.media.lose(house.call.call_id)
    await house.pbx.await_event(sip.HungUp)
    await house.check("storage_unavailable")
    complaints.found.clear()


@virtual
async def test_silence_of_both_ends_a_call_but_ringing_and_hold_do_not_count() -> None:
    """rtp_silence: a call answered after 80 s of ringing is not ended at its first report; 60 s later it is."""
    house = HallHouse()
    talk = await reach_pbx(house, Talk(house.dial(TRANSPARENT)))
    house.pbx.endpoint.ring(talk.inside, house.now)
    await house.settle(80.0)
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.settle(1.0)
    house.media.tell_stats()
    await house.settle(0.1)
    assert len(house.hall) == 1
    house.media.legs[house.call.destination.id].silent_since = house.now + 55.0
    await house.settle(62.0)
    house.media.tell_stats()
    await house.settle(0.1)
    assert len(house.hall) == 1, "one party alone may be silent"
    house.media.tell_stats({house.call.caller.id: 130.0, house.call.destination.id: 61.0})
    await house.pbx.await_event(sip.HungUp)
    await house.check("no_capture_rule")


@virtual
async def test_silence_begins_anew_after_hold() -> None:
    """Ten minutes on hold, without RTP, and the first report after the resume: the call lives."""
    house = HallHouse()
    talk = await connect(house)
    call = house.call
    for held in (True, False):
        house.trunk.endpoint.reoffer(
            talk.outside, sdp("8 101", "a=inactive" if held else "a=sendrecv", version=3 - held), house.now
        )
        asked = await house.pbx.await_event(sip.Reoffered)
        house.pbx.endpoint.accept_offer(asked.leg, sdp("8 101", port=5000, host=PBX), house.now)
        await house.trunk.await_event(sip.ReofferAnswered)
        for _ in range(600 if held else 1):
            house.media.tell_stats({call.caller.id: 700.0, call.destination.id: 700.0})
            await house.settle(1.0)
    assert len(house.hall) == 1
    await end(house, talk, "complete")


@virtual
async def test_the_longest_call_is_ended_and_whole() -> None:
    """limits.longest_call: both legs get BYE, the recording is complete."""
    house = HallHouse()
    await connect(house)
    await house.settle(7201.0)
    await house.check("complete")


# Faults of our own


@pytest.mark.parametrize("where", ["link", "set_remote", "play", "record", "new_row", "resolve", "close"])
@virtual
async def test_a_fault_of_our_own_costs_at_most_its_call(where: str, complaints: Complaints) -> None:
    """Whatever raises: the call ends on both sides with its one outcome, and another call is not touched."""
    house = HallHouse()
    pbx_that_answers(house)

    def broken(*_arguments: Any, **_named: Any) -> Any:
        raise RuntimeError("internal error: a test")

    {
        "link": lambda: setattr(house.media, "link", broken),
        "set_remote": lambda: setattr(house.media, "set_remote", broken),
        "play": lambda: setattr(house.media, "play", broken),
        "record": lambda: setattr(house.media, "record", broken),
        "new_row": lambda: setattr(house.stores, "new_row", _once(house.stores.new_row, broken)),
        "resolve": lambda: setattr(house.driver, "resolving", broken),
        "close": lambda: setattr(house.media, "seal", _once(house.media.seal, broken)),
    }[where]()
    talk = Talk(house.dial())
    await house.settle(30.0)
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check()
    complaints.found.clear()


def _once(good: Any, bad: Any) -> Any:
    calls = iter([bad])

    def first_bad(*arguments: Any, **named: Any) -> Any:
        return next(calls, good)(*arguments, **named)

    return first_bad
