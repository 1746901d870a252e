"""What goes wrong by itself becomes a problem within a second, and is none any more when it is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from callrec.events import BrokerState
from callrec.recorder.watching import Watching
from tests.support.hall_house import HallHouse
from tests.support.virtual_time import virtual


class NoBroker:
    """A publisher that was given no broker."""

    state = BrokerState.OFF
    reason = None


def watched(house: HallHouse) -> Watching:
    publisher: Any = NoBroker()
    return Watching(house.tools, publisher, lambda: len(house.hall))


async def problems(house: HallHouse, watching: Watching) -> dict[str, str]:
    await watching.look()
    return {problem.code.value: problem.text for problem in house.health.problems()}


def house_in(folder: Path) -> HallHouse:
    return HallHouse(paths={"recordings": str(folder)}, limits={"min_free": "1kB"})


@virtual
async def test_a_lack_of_media_is_told_and_mended(tmp_path: Path) -> None:
    """`capacity` stands while a call would find no port, descriptor or worker, and no longer."""
    house = house_in(tmp_path)
    watching = watched(house)
    assert await problems(house, watching) == {}
    house.media.broken = True
    assert "no media worker" in (await problems(house, watching))["capacity"]
    assert house.health.recording, "a call that finds media is recorded"
    house.media.broken = False
    assert await problems(house, watching) == {}
