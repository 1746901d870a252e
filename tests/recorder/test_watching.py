"""What goes wrong by itself becomes a problem within a second, and is none any more when it is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from callrec.events import BrokerState
from callrec.recorder.watching import Watching
from callrec.sip import events as sip
from tests.support.hall_house import PBX, HallHouse
from tests.support.joined import DELAY_S
from tests.support.stories import Talk, connect, hear_notice
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


@virtual
async def test_a_full_disk_under_the_catalogues_log_is_told_and_mended(tmp_path: Path) -> None:
    """FAIL-1: rows still go into the log, but not for ever; nothing is recorded until there is room."""
    house = house_in(tmp_path)
    watching = watched(house)
    text: Any = "the catalogue's log cannot be brought into catalogue.db (disk full)"
    house.catalogue.log_problem = text
    assert (await problems(house, watching))["storage_unavailable"] == text
    assert not house.health.recording
    house.catalogue.log_problem = None
    assert await problems(house, watching) == {}


@virtual
async def test_a_pbx_that_does_not_answer_is_told_until_it_does(tmp_path: Path) -> None:
    """`peer_down` names the peer, also where the caller left before Timer B; the next word of it is enough."""
    house = house_in(tmp_path)
    watching = watched(house)
    silent = True
    house.wire.fate = lambda _message, flow: [] if silent and flow.remote.host == PBX else [DELAY_S]
    talk: Talk = await hear_notice(house)
    await house.settle(12.0)
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    assert await problems(house, watching) == {}
    await house.settle(32.0)
    text = (await problems(house, watching))["peer_down"]
    assert "pbx" in text
    assert PBX in text
    assert house.health.recording
    silent = False
    house.driver.reachability.look()
    await house.settle(1.0)
    assert "peer_down" in await problems(house, watching), "it is asked every half minute"
    await house.settle(30.0)
    house.driver.reachability.look()
    house.driver.flush()
    await house.settle(1.0)
    assert await problems(house, watching) == {}
    assert [message for _, message in house.wire.log if getattr(message, "method", "") == "OPTIONS"]
    other = await connect(house)
    house.trunk.endpoint.hang_up(other.outside, house.now)
    await house.check("not_answered", "complete")


@virtual
async def test_a_call_that_reaches_the_pbx_mends_what_one_before_found(tmp_path: Path) -> None:
    """No question is needed where calls speak for themselves."""
    house = house_in(tmp_path)
    watching = watched(house)
    house.driver.reachability.call_failed(sip.Flow("udp", house.driver.address, house.pbx.driver.address), "timeout")
    assert "peer_down" in await problems(house, watching)
    talk = await connect(house)
    assert await problems(house, watching) == {}
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("complete")
