"""A PBX that is gone: its callers hear so, status names it, and all is well with the first call it takes again."""

from __future__ import annotations

from demonstration.telephony.line import Line
from tests.support.house import House
from tests.support.processes import wait_until
from tests.support.recorder import PBX


def peers_down(house: House) -> list[str]:
    return [problem["text"] for problem in house.recorder.status_now()["problems"] if problem["code"] == "peer_down"]


def test_a_pbx_that_is_gone_is_told_until_it_takes_a_call() -> None:
    """Its own word is enough, whichever comes first: an answer to OPTIONS, or to a call."""
    with House() as house:
        port = house.pbx.address[1]
        house.pbx.close()
        talk = house.hear_notice(house.dial("+447700900601"))
        wait_until(lambda: bool(peers_down(house)), "status names the PBX", 10)
        (text,) = peers_down(house)
        assert f"peer pbx cannot be reached at {PBX}:{port}" in text
        outcome = house.recorder.run("status")
        assert outcome.code == 1
        assert "peer_down" in outcome.out.decode()
        assert house.recorder.status_now()["recording"], "it is no reason to record nothing"
        assert talk.out.wait_ended(15) == "bye"
        house.pbx = Line(PBX, port, user="desk")
        again = house.connect("+447700900602")
        wait_until(lambda: not peers_down(house), "the PBX is well", 5)
        again.hang_up()
        house.check_exports([again], [house.item_of(again)])
        assert house.item_of(talk)["outcome_reason"] == "destination_failed"
