"""Whoever asked not to be recorded is not: on either side of a call, hidden or not, before it and while it lives."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from callrec.calls.call import State
from callrec.calls.outcome import Reason
from callrec.recorder.protecting import LivePeople
from callrec.recorder.recording import FLAG_RECORDING_ENDED
from tests.support.hall_house import DDI, SOURCES, HallHouse
from tests.support.stories import ANSWER, connect, hear_notice, pbx_that_answers, reach_pbx
from tests.support.virtual_time import virtual

SHOWN = "+447700900123"
NETWORK = "+441632960001"
OUR_DDI = "+442079460123"
HIDDEN = [("P-Asserted-Identity", f"<sip:{NETWORK}@trunk.example>"), ("Privacy", "id")]
ASSERTED = [("P-Asserted-Identity", f"<sip:{NETWORK}@trunk.example>")]
DIVERTED = [("Diversion", f"<sip:{NETWORK}@trunk.example>;reason=unconditional")]
Headers = Sequence[tuple[str, str]]


async def outcome_of_a_call(house: HallHouse, headers: Headers = (), called: str = DDI) -> str:
    """Let a call be answered, spoken and ended; return its outcome."""
    pbx_that_answers(house)
    leg = house.dial(called, headers=headers)
    await house.settle(20.0)
    recorded = bool(house.media.recordings)
    house.trunk.endpoint.hang_up(leg, house.now)
    await house.check()
    outcome = house.outcome(house.call)
    assert recorded == (outcome == "complete")
    return outcome


@pytest.mark.parametrize(
    ("stopped", "headers"),
    [(SHOWN, ()), (SHOWN, ASSERTED), (NETWORK, ASSERTED), (NETWORK, HIDDEN), (OUR_DDI, ())],
    ids=["shown", "shown beside another", "network", "withheld", "called"],
)
@virtual
async def test_law_39_a_stopped_number_is_never_recorded(stopped: str, headers: Headers) -> None:
    """LAW-39, CLI-12: caller or called, as shown, as the network has it, or withheld; nobody hears a notice."""
    house = HallHouse()
    house.stop(stopped)
    assert await outcome_of_a_call(house, headers) == "stop_list"
    assert house.item().new.audio_key_id is None
    assert house.item().change.notice is None


@pytest.mark.parametrize("headers", [(), ASSERTED, HIDDEN], ids=["shown", "network", "withheld"])
@virtual
async def test_a_stop_is_about_nobody_else(headers: Headers) -> None:
    """A list with other numbers on it costs nobody a recording."""
    house = HallHouse()
    house.stop("+447700900999")
    assert await outcome_of_a_call(house, headers) == "complete"


@virtual
async def test_law_39_whoever_forwarded_the_call_does_not_speak_in_it() -> None:
    """A diverting number on the list does not stop the recording of somebody else."""
    house = HallHouse()
    house.stop(NETWORK)
    assert await outcome_of_a_call(house, DIVERTED) == "complete"


@virtual
async def test_cli_12_a_withheld_number_is_compared_and_not_kept() -> None:
    """CLI-12: the asserted number is compared in memory; the row has no digit of it."""
    house = HallHouse()
    house.stop(NETWORK)
    assert await outcome_of_a_call(house, HIDDEN) == "stop_list"
    assert NETWORK[3:] not in repr(house.item().new)


@virtual
async def test_law_39_a_number_that_a_menu_leads_to_is_stopped_too() -> None:
    """LAW-39: both sides: the list is asked again for the destination that a key chose."""
    digits = {"1": "sip:07700900777@127.0.0.2", "2": "sip:202@127.0.0.2"}
    for key, outcome in (("1", "stop_list"), ("2", "complete")):
        house = HallHouse(menu=[{"name": "main", "prompt": "", "timeout": "5s", "digits": digits}])
        house.stop("+447700900777")
        talk = await hear_notice(house, called="02079467777")
        await house.settle(6.0)
        house.press(key)
        await reach_pbx(house, talk)
        house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
        await house.settle(5.0)
        assert bool(house.media.recordings) is (outcome == "complete")
        house.trunk.endpoint.hang_up(talk.outside, house.now)
        await house.check(outcome)


@virtual
async def test_law_39_a_list_that_is_not_loaded_lets_calls_pass_unrecorded() -> None:
    """LAW-39: recording fails closed, the call does not fail."""
    house = HallHouse()
    house.stop_list._number_key = None
    assert await outcome_of_a_call(house) == "storage_unavailable"


@virtual
async def test_fail_1_an_emergency_call_is_compared_with_no_list() -> None:
    """FAIL-1, NOT-23: 999 goes its way whoever is on the list."""
    house = HallHouse()
    house.stop(SHOWN)
    leg = house.dial("999")
    await house.settle(1.0)
    assert house.call.machine.why_not is Reason.EMERGENCY
    house.trunk.endpoint.cancel(leg, house.now)
    await house.check("emergency")


# Live


@virtual
async def test_law_40_a_stop_between_notice_and_answer_counts() -> None:
    """LAW-40: the list is asked once more when the recording would begin."""
    house = HallHouse()
    talk = await reach_pbx(house)
    house.stop(SHOWN)
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.settle(5.0)
    assert not house.media.recordings
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("stop_list")


@virtual
async def test_law_39_a_live_stop_seals_what_there_is_and_the_call_goes_on() -> None:
    """LAW-39: recorded until the stop, cut because its end is missing, and the parties talk on."""
    house = HallHouse()
    talk = await connect(house)
    live = LivePeople(house.tools, house.hall.calls)
    await house.settle(10.0)
    house.stop(SHOWN)
    (stopped,) = live.stop(live.speaking(house.stop_list), discard=False)
    assert (stopped.left, stopped.discarded) == (True, False)
    await house.settle(30.0)
    assert not house.media.recordings, "nothing more is stored"
    assert house.call.machine.state is State.CONNECTED
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("cut")
    (segment,) = house.item().end.final.segments
    assert 9_000 < segment["end_ms"] < 12_000
    assert house.item().end.cut
    assert FLAG_RECORDING_ENDED in house.item().change.add_flags


@pytest.mark.parametrize("later", [False, True])
@virtual
async def test_law_39_what_a_live_stop_found_stored_is_discarded_at_a_word(later: bool) -> None:
    """LAW-39: at once, or when the offer is taken up; the outcome is that of a call that was never recorded."""
    house = HallHouse()
    talk = await connect(house)
    live = LivePeople(house.tools, house.hall.calls)
    await house.settle(10.0)
    house.stop(SHOWN)
    if later:
        live.stop(live.speaking(house.stop_list), discard=False)
        await house.settle(10.0)
    (stopped,) = live.stop(live.speaking(house.stop_list), discard=True)
    assert (stopped.left, stopped.discarded) == (False, True)
    await house.settle(5.0)
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("stop_list")
    assert house.call.keys is not None
    assert house.call.keys.audio_key_id in house.keyring.destroyed
    assert house.item().end.final.recording_id is None


@pytest.mark.parametrize("how", ["*9", "stop"])
@virtual
async def test_law_53_a_hold_keeps_what_a_live_call_has_stored(how: str) -> None:
    """LAW-53: nothing more is stored, and what there is stays, whoever asks for it to go."""
    house = HallHouse()
    talk = await connect(house)
    live = LivePeople(house.tools, house.hall.calls)
    live.protect([house.call.call_id])
    await house.settle(10.0)
    if how == "*9":
        house.press("*9")
    else:
        live.stop([house.call.call_id], discard=True)
    await house.settle(10.0)
    assert not house.media.recordings
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("cut")
    assert house.stop_list.new_calls, "its row is to come under the hold"
    assert house.call.keys is not None
    assert house.call.keys.audio_key_id not in house.keyring.destroyed


@virtual
async def test_law_53_a_released_call_is_discarded_again_at_the_callers_word() -> None:
    """LAW-53: the hold is over, and *9 means what the notice says."""
    house = HallHouse()
    talk = await connect(house)
    live = LivePeople(house.tools, house.hall.calls)
    live.protect([house.call.call_id])
    live.protect([house.call.call_id], on=False)
    house.press("*9")
    await house.settle(5.0)
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("opt_out")


# The key


@pytest.mark.parametrize(
    ("headers", "number"), [((), SHOWN), (ASSERTED, SHOWN), (HIDDEN, NETWORK)], ids=["shown", "asserted", "withheld"]
)
@virtual
async def test_not_16_the_offered_key_enters_the_callers_own_number(headers: Headers, number: str) -> None:
    """NOT-16: after declining, one key stops all later recordings; the call goes on unrecorded."""
    house = HallHouse(attendant={"stop_key": "5"})
    house.prompts.stop_offer = SOURCES
    entered: list[str] = []

    async def add_stop(number: str) -> None:
        entered.append(number)

    house.tools.add_stop = add_stop
    talk = await hear_notice(house, headers=headers)
    await house.settle(1.0)
    house.press("9")
    await house.settle(6.0)
    assert house.call.machine.state is State.OFFERING
    house.press("5")
    await reach_pbx(house, talk)
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.settle(1.0)
    assert entered == [number]
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("opt_out")


@pytest.mark.parametrize("missing", ["prompt", "key"])
@virtual
async def test_not_16_nothing_is_offered_that_is_not_configured_and_spoken(missing: str) -> None:
    """NOT-16: without a key, or without the words that name it, declining leads straight on."""
    house = HallHouse(attendant={"stop_key": "5" if missing == "prompt" else ""})
    house.prompts.stop_offer = SOURCES if missing == "key" else None
    talk = await hear_notice(house)
    await house.settle(1.0)
    house.press("9")
    await reach_pbx(house, talk)
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("opt_out")
