"""Who of a call is heard: one-way audio (RTP-10), calls that nobody hangs up, quality and evidence by RTCP."""

from __future__ import annotations

import logging

import pytest

from callrec.catalogue.values import CallChange
from callrec.media import Confirmed, LegQuality, LegStats, StatsReport
from callrec.recorder.hearing import FLAG_ONE_WAY_AUDIO
from callrec.recorder.leg_quality import quality_item
from callrec.recorder.rows import merged
from callrec.sip import events as sip
from tests.support.hall_house import OTHER_PBX, PBX, HallHouse, sdp
from tests.support.stories import connect
from tests.support.transfers import Transferor, colleague_takes_it
from tests.support.virtual_time import virtual

ONE_WAY = "call/one_way_audio"


async def pass_seconds(house: HallHouse, seconds: int, *, caller_speaks: bool, destination_speaks: bool) -> None:
    """Let the worker tell its counters once a second."""
    call, began = house.call, house.now
    for _ in range(seconds):
        await house.settle(1.0)
        silent = house.now - began
        house.media.tell_stats(
            {
                call.caller.id: 0.02 if caller_speaks else silent,
                call.destination.id: 0.02 if destination_speaks else silent,
            }
        )
    await house.settle(0.1)


@virtual
async def test_one_way_audio_is_told_within_ten_seconds_and_taken_back(caplog: pytest.LogCaptureFixture) -> None:
    """RTP-10: a flag on the call, an event, a line in the log; gone when the party is heard again."""
    house = HallHouse()
    with caplog.at_level(logging.INFO, "callrec.calls"):
        talk = await connect(house)
        await pass_seconds(house, 8, caller_speaks=True, destination_speaks=False)
        assert ONE_WAY not in house.item().events
        await pass_seconds(house, 10, caller_speaks=True, destination_speaks=False)
        assert house.item().events.count(ONE_WAY) == 1, "told once"
        assert house.call.unheard is house.call.destination
        assert "no RTP from our side" in caplog.text
        await pass_seconds(house, 1, caller_speaks=True, destination_speaks=True)
        assert house.call.unheard is None
        assert house.item().events.count(ONE_WAY) == 2
        assert "our side is heard again" in caplog.text
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("complete")
    final = house.item().end.final
    assert (final.add_flags, final.drop_flags) == ((), (FLAG_ONE_WAY_AUDIO,))


@virtual
async def test_the_alarm_ends_with_the_party_that_a_transfer_replaced() -> None:
    """RTP-10: who was not heard has left; the new party is judged by its own voice."""
    house = HallHouse()
    talk = await connect(house)
    first = house.call.destination
    await pass_seconds(house, 12, caller_speaks=True, destination_speaks=False)
    assert house.call.unheard is first
    await Transferor(house, talk).refer(f"<sip:202@{OTHER_PBX}>")
    await colleague_takes_it(house)
    assert house.call.destination is not first
    await pass_seconds(house, 2, caller_speaks=True, destination_speaks=True)
    assert house.call.unheard is None
    assert house.item().events.count(ONE_WAY) == 2
    await pass_seconds(house, 12, caller_speaks=True, destination_speaks=False)
    assert house.call.unheard is house.call.destination, "another alarm, of the new party"
    await pass_seconds(house, 1, caller_speaks=True, destination_speaks=True)
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("complete")
    assert FLAG_ONE_WAY_AUDIO not in house.item().end.final.add_flags


@virtual
async def test_a_call_that_ends_one_way_says_so() -> None:
    """RTP-10: the flag of a party who was never heard stays with the row."""
    house = HallHouse()
    talk = await connect(house)
    await pass_seconds(house, 12, caller_speaks=False, destination_speaks=True)
    house.pbx.endpoint.hang_up(talk.inside, house.now)
    await house.check("complete")
    assert house.item().end.final.add_flags == (FLAG_ONE_WAY_AUDIO,)


@virtual
async def test_silence_in_a_hold_is_no_alarm() -> None:
    """RTP-10: music on hold from one side alone is normal; after the hold each has its time to begin again."""
    house = HallHouse()
    talk = await connect(house)
    for held in (True, False):
        offer = sdp("8 101", "a=sendonly" if held else "a=sendrecv", version=3 - held)
        house.trunk.endpoint.reoffer(talk.outside, offer, house.now)
        asked = await house.pbx.await_event(sip.Reoffered)
        house.pbx.endpoint.accept_offer(asked.leg, sdp("8 101", port=5000, host=PBX), house.now)
        await house.trunk.await_event(sip.ReofferAnswered)
        await pass_seconds(house, 30 if held else 8, caller_speaks=True, destination_speaks=False)
        assert ONE_WAY not in house.item().events
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("complete")


@virtual
async def test_both_parties_are_told_why_we_end_a_silent_call() -> None:
    """limits.rtp_silence: BYE with a Reason on both legs (RFC 3326); two silent parties are no one-way audio."""
    house = HallHouse()
    await connect(house)
    call = house.call
    await house.settle(61.0)
    house.media.tell_stats({call.caller.id: 61.0, call.destination.id: 61.0})
    for phone in (house.pbx, house.trunk):
        assert (await phone.await_event(sip.HungUp)).reason == 'Q.850;cause=102;text="no RTP from either side"'
    await house.check("complete")
    assert ONE_WAY not in house.item().events


@virtual
async def test_both_parties_are_told_why_we_end_the_longest_call() -> None:
    """limits.longest_call: BYE with a Reason on both legs."""
    house = HallHouse()
    await connect(house)
    await house.settle(7201.0)
    for phone in (house.pbx, house.trunk):
        assert (await phone.await_event(sip.HungUp)).reason == 'Q.850;cause=102;text="the longest time of a call"'
    await house.check("complete")


@virtual
async def test_a_late_report_makes_the_evidence_better_and_quality_reaches_the_row() -> None:
    """NOT-13: grade B becomes A when the far side tells that the notice's end reached it; too much loss leaves B."""
    house = HallHouse()
    talk = await connect(house)
    caller = house.call.caller.id
    assert house.call.notice_evidence is not None
    assert house.call.notice_evidence["grade"] == "B"
    house.hall.on_media(Confirmed(house.call.call_id, caller, "p", 0.3, 250))
    assert house.call.notice_evidence["grade"] == "B"
    house.hall.on_media(Confirmed(house.call.call_id, caller, "p", 0.05, 250))
    house.hall.on_media(LegQuality(house.call.call_id, caller, 1500, 4000, 40_000, 5, 0.1, 3000))
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("complete")
    final = house.item().end.final
    assert (final.notice["grade"], final.notice["rtcp_loss_fraction"]) == ("A", 0.05)
    assert final.notice["rtcp_highest_sequence"] == 250
    assert "quality" in final.legs[0]


def stats(received: int, lost: int, sent: int) -> LegStats:
    return LegStats("call", "a", received, lost, sent, 0, 0, 0)


@virtual
async def test_a_worker_that_took_over_counts_on() -> None:
    """A leg's counters go on over a lost worker, whose successor begins at nothing."""
    house = HallHouse()
    talk = await connect(house)
    caller = house.call.caller
    for received, lost in ((100, 2), (200, 3), (10, 0), (30, 1)):
        rows = (LegStats(house.call.call_id, caller.id, received, lost, received, 0, 0, 20),)
        house.hall.on_media(StatsReport(1, rows))
    assert caller.stats is not None
    assert (caller.stats.packets_received, caller.stats.packets_lost, caller.stats.silent_ms) == (230, 4, 20)
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("complete")


def test_quality_shows_both_ways() -> None:
    """Loss, jitter and MOS (ITU-T G.107) of what we hear and of what the far side says it hears."""
    item = quality_item(stats(95, 5, 200), LegQuality("call", "a", 2000, 9000, 80_000, 0, 0.0, 1000), "PCMA", 20)
    assert item["round_trip_ms"] == 80.0
    received, reported = item["received"], item["reported"]
    assert received == {"packets_lost": 5, "loss_percent": 5.0, "jitter_ms": 2.0, "jitter_max_ms": 9.0, "mos": 3.86}
    assert reported == {"packets_lost": 0, "loss_percent": 0.0, "jitter_ms": 1.0, "loss_max_percent": 0.0, "mos": 4.38}


def test_what_nothing_is_known_of_is_none() -> None:
    """A far side without RTCP reports nothing; a party that was never heard has no quality."""
    item = quality_item(stats(0, 0, 200), LegQuality("call", "a", None, None, None, None, None, None), "PCMA", 20)
    assert item == {"received": None, "reported": None, "round_trip_ms": None}


def test_of_flags_the_last_word_counts() -> None:
    """A flag set, taken away and set again holds; set and taken away does not; others stay."""
    on, off = CallChange(add_flags=("x", "y")), CallChange(drop_flags=("x",))
    assert merged(on, off).add_flags == ("y",)
    assert merged(on, off).drop_flags == ("x",)
    again = merged(merged(on, off), CallChange(add_flags=("x",)))
    assert (again.add_flags, again.drop_flags) == (("y", "x"), ())
