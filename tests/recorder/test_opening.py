"""Stores that open late: calls pass meanwhile, and what is known of them reaches the stores once these are open."""

from __future__ import annotations

from typing import Any

import pytest

from callrec.recorder.health import Code
from callrec.recorder.opening import unopened_stores
from callrec.sip import events as sip
from tests.support.hall_house import Complaints, HallHouse
from tests.support.stories import ANSWER, Talk, connect, reach_pbx
from tests.support.virtual_time import virtual


async def pass_through(house: HallHouse) -> Talk:
    """Bring a call all the way that is not answered for the PBX."""
    talk = await reach_pbx(house, Talk(house.dial()))
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.trunk.await_event(sip.Answered)
    await house.settle(0.1)
    return talk


@virtual
async def test_calls_of_before_and_calls_that_go_on_reach_the_stores(complaints: Complaints) -> None:
    """Design 8: one row and one outcome for each, also for the call that began before and ends after."""
    house = HallHouse()
    before = house.tools.stores = unopened_stores(house.settings, house.clock)
    assert "does not answer" in complaints.found.pop()
    over = await pass_through(house)
    house.trunk.endpoint.hang_up(over.outside, house.now)
    goes_on = await pass_through(house)
    assert house.journal.used == 0
    house.tools.stores = house.stores
    await before.hand_over(house.stores)
    await before.close()
    assert (len(house.journal.opened), len(house.journal.ended)) == (2, 1)
    house.trunk.endpoint.hang_up(goes_on.outside, house.now)
    recorded = await connect(house)
    house.trunk.endpoint.hang_up(recorded.outside, house.now)
    await house.check("storage_unavailable", "storage_unavailable", "complete")
    await house.stores._complete()
    assert len(house.catalogue.rows) == 3
    assert all(row.end is not None for row in house.catalogue.rows.values())


@pytest.mark.parametrize(
    ("empty", "broken", "reason"),
    [(True, False, "keys_unavailable"), (True, True, "storage_unavailable"), (False, True, "storage_unavailable")],
)
@virtual
async def test_a_disk_is_blamed_for_keys_that_cannot_be_had_because_of_it(
    empty: bool, broken: bool, reason: str
) -> None:
    """The outcome names what a person has to mend."""
    house = HallHouse()
    house.keyring.empty = empty
    if broken:
        problem: Any = "the disk does not answer"
        house.catalogue.problem = problem
    talk = await pass_through(house)
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check(reason)


@virtual
async def test_keys_that_are_gone_are_blamed_whatever_else_is_wrong() -> None:
    """Without the master key nothing is recorded, with or without a disk."""
    house = HallHouse()
    house.keyring.empty = True
    house.health.raise_problem(Code.KEYS_UNAVAILABLE, "the master key is gone")
    house.health.raise_problem(Code.STORAGE_UNAVAILABLE, "the disk is full")
    talk = await pass_through(house)
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("keys_unavailable")
