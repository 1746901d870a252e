"""More calls than RTP ports: they pass all the same, status says what is short, and it ends by itself."""

from __future__ import annotations

from tests.support.house import House
from tests.support.processes import wait_until
from tests.support.recorder import Plan


def problems(house: House) -> dict[str, str]:
    return {problem["code"]: problem["text"] for problem in house.recorder.status_now()["problems"]}


def test_a_call_without_ports_passes_and_the_lack_is_told_until_it_is_over() -> None:
    """RTP-11: ports for one call; the second one's media goes past us, and it is not recorded because of `capacity`.

    The ports rest for five seconds after the first call; then another call would have media, and no problem is left.
    """
    with House(Plan(rtp_ports=4)) as house:
        first = house.connect("+447700900801")
        second = house.reach_desk(house.dial("+447700900802"))
        house.pick_up(second)
        assert second.out.wait_final(10).status == 200
        assert second.out.remote_session is not None
        assert second.out.remote_session.port == second.inside.voice.port, "the phones send to each other"
        wait_until(lambda: "capacity" in problems(house), "status tells the lack", 5)
        assert "[rtp] ports" in problems(house)["capacity"]
        for talk in (second, first):
            talk.out.hang_up()
        wait_until(lambda: not problems(house), "another call would have media", 20)
        third = house.connect("+447700900803")
        third.hang_up()
        outcomes = [house.item_of(talk)["outcome_reason"] for talk in (first, second, third)]
        assert outcomes == ["complete", "capacity", "complete"]
