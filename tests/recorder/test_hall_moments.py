"""An end at every moment of a call, from either side and from the recorder itself: one outcome, nothing left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from callrec.sip import events as sip
from tests.support.hall_house import DDI, HallHouse
from tests.support.stories import pbx_that_answers
from tests.support.virtual_time import virtual

ANNOUNCED, TRANSPARENT, EMERGENCY, MENU = DDI, "02079465555", "999", "02079467777"
# Messages take 10 ms, rows and ports 5 ms, the notice 5 s; the PBX rings after 0.3 s and answers after 1 s.
MOMENTS = sorted(
    {round(base + step / 1000, 4) for base in (0.0, 0.01, 0.02) for step in range(0, 30, 2)}
    | {round(base + step / 1000, 4) for base in (0.31, 1.0, 5.0, 5.3, 6.0) for step in range(0, 80, 5)}
    | {2.5, 8.0, 12.0}
)
CROSSING = [0.01, 0.015, 0.02, 0.03, 1.02, 1.03, 1.04, 1.05, 6.04, 6.05, 6.06, 6.07]
End = Callable[[HallHouse, str], None]


def outside_hangs_up(house: HallHouse, leg: str) -> None:
    house.trunk.endpoint.hang_up(leg, house.now)


def inside_hangs_up(house: HallHouse, _leg: str) -> None:
    """The desk hangs up, rejects, or has not been called yet."""
    while not house.pbx.told.empty():
        event = house.pbx.told.get_nowait()
        if isinstance(event, sip.IncomingCall):
            house.pbx.endpoint.hang_up(event.leg, house.now)


def recorder_ends(house: HallHouse, _leg: str) -> None:
    house.ending = asyncio.ensure_future(house.seal_all())  # noqa: TID251 - awaited by the loop's end


def media_is_lost(house: HallHouse, _leg: str) -> None:
    if house.admitted:
        house.media.lose(house.call.call_id)


async def story(called: str, moment: float, end: End) -> HallHouse:
    house = HallHouse()
    pbx_that_answers(house)
    leg = house.dial(called)
    await asyncio.sleep(moment)
    end(house, leg)
    await asyncio.sleep(30)
    outside_hangs_up(house, leg)
    inside_hangs_up(house, leg)
    await house.check()
    return house


@pytest.mark.parametrize("called", [ANNOUNCED, TRANSPARENT, EMERGENCY, MENU])
@pytest.mark.parametrize("end", [outside_hangs_up, inside_hangs_up, recorder_ends, media_is_lost])
def test_a_call_may_end_at_any_moment(called: str, end: End, complaints: object) -> None:
    """FAIL-2, SIP-3: CANCEL, BYE, SIGTERM and the loss of media at each moment leave one outcome and nothing else."""
    for moment in MOMENTS:

        @virtual
        async def told(moment: float = moment) -> None:
            house = await story(called, moment, end)
            assert len(house.admitted) <= 1

        try:
            told()
        except AssertionError as error:
            raise AssertionError(f"at {moment} s: {error}") from error
    if end is media_is_lost:
        complaints.found.clear()  # type: ignore[attr-defined] - the loss itself is told as an error
