"""Whole calls through the real hall and real endpoints, in virtual time."""

from __future__ import annotations

from callrec.sip import events as sip
from tests.support.hall_house import HallHouse
from tests.support.stories import connect
from tests.support.virtual_time import virtual


@virtual
async def test_a_call_is_announced_connected_recorded_and_ended() -> None:
    """NOT-2: the recording starts when the PBX has answered; both legs end, the row says complete."""
    house = HallHouse()
    talk = await connect(house)
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.pbx.await_event(sip.HungUp)
    await house.check("complete")
    row = house.item()
    assert row.events == ["call/started", "notice/completed", "call/answered", "recording/started",
                          "recording/sealed", "call/ended"]  # fmt: skip
    assert row.change.answered_at is not None
    assert [leg["codec"] for leg in row.change.legs] == ["PCMA", "PCMA"]
