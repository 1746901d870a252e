"""Messages that cross each other, get lost, or come twice."""

from __future__ import annotations

import asyncio

import pytest

from callrec.sip import events as sip
from callrec.sip.message import Request
from tests.support.hall_house import HallHouse
from tests.support.joined import kind_of
from tests.support.stories import ANSWER, Talk, connect, hear_notice, reach_pbx
from tests.support.virtual_time import virtual


@virtual
async def test_a_cancel_that_crosses_the_answer_of_the_pbx_ends_both_legs() -> None:
    """SIP-3: CANCEL and the PBX's 200 are read in one turn; the PBX's leg gets ACK and BYE all the same."""
    house = HallHouse()
    talk = await reach_pbx(house, Talk(house.dial("02079465555")))
    house.pbx.endpoint.ring(talk.inside, house.now)
    await house.trunk.await_event(sip.Progress)
    house.wire.holding = lambda message: kind_of(message) in {"200", "CANCEL"}
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.settle(0.05)
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.settle(0.05)
    assert house.wire.held >= 2
    house.wire.release()
    await house.pbx.await_event(sip.HungUp)
    await house.check("no_capture_rule")
    assert len(house.wire.sent_by(house.driver, "BYE")) == 1


@virtual
async def test_an_answer_that_crosses_our_cancel_is_hung_up() -> None:
    """SIP-3: the answer time-out takes our INVITE back while the PBX answers: ACK and BYE, the caller hears a tone."""
    house = HallHouse()
    talk = await reach_pbx(house)
    house.pbx.endpoint.ring(talk.inside, house.now)
    await house.settle(29.0)
    house.wire.fate = lambda message, _flow: [3.0] if kind_of(message) in {"200", "CANCEL"} else [0.01]
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.check("not_answered")
    assert house.item().change.answered_at is None


@virtual
async def test_a_caller_that_never_acknowledges_gets_bye_after_64_t1() -> None:
    """SIP-2: nobody listened to the notice: abandoned; the 200 was repeated, then BYE."""
    house = HallHouse()
    house.wire.fate = lambda message, _flow: [] if kind_of(message) == "ACK" else [0.01]
    await hear_notice(house)
    await house.check("abandoned_in_notice")
    assert len(house.wire.sent_by(house.driver, "200")) >= 10


@virtual
async def test_a_lost_acknowledgement_costs_no_call() -> None:
    """SIP-2: the ACK of the repeated 200 is as good."""
    house, left = HallHouse(), [2]

    def fate(message: object, _flow: object) -> list[float]:
        if isinstance(message, Request) and message.method == "ACK" and left[0]:
            left[0] -= 1
            return []
        return [0.01]

    house.wire.fate = fate
    talk = await connect(house)
    house.pbx.endpoint.hang_up(talk.inside, house.now)
    await house.check("complete")


@virtual
async def test_a_caller_may_hang_up_between_our_200_and_its_ack() -> None:
    """NOT-4: the BYE overtakes the ACK; the call was abandoned in the notice."""
    house = HallHouse()
    house.wire.fate = lambda message, _flow: [] if kind_of(message) == "ACK" else [0.01]
    leg = house.dial()
    await house.trunk.await_event(sip.Answered)
    house.trunk.endpoint.hang_up(leg, house.now)
    await house.check("abandoned_in_notice")


@virtual
async def test_both_parties_may_hang_up_at_once() -> None:
    """SIP-5: two BYEs that cross are answered, and the recording is whole."""
    house = HallHouse()
    talk = await connect(house)
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    house.pbx.endpoint.hang_up(talk.inside, house.now)
    await house.check("complete")


@pytest.mark.parametrize("copies", [2, 3])
@virtual
async def test_repeated_messages_change_nothing(copies: int) -> None:
    """SIP-2: every message arrives several times: still one call, one row, one outcome."""
    house = HallHouse()
    house.wire.fate = lambda _message, _flow: [0.01 + 0.004 * number for number in range(copies)]
    talk = await connect(house)
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("complete")
    assert len(house.admitted) == 1


@pytest.mark.parametrize("gap_s", [0.0, 0.001, 0.004, 0.006])
@virtual
async def test_a_caller_that_leaves_while_ports_and_row_are_prepared_leaves_nothing(gap_s: float) -> None:
    """FAIL-2: INVITE and CANCEL in one turn, and while ports open slowly: the ports are closed again, the row ends."""
    house = HallHouse()
    house.media.opening_s = 0.3
    house.catalogue.delay_s = 0.2
    leg = house.dial()
    await house.settle(0.011)
    house.wire.holding = lambda message: kind_of(message) == "100"
    await asyncio.sleep(gap_s)
    house.trunk.endpoint.hang_up(leg, house.now)
    house.wire.release()
    await house.check("abandoned_in_notice")
    assert house.item().events == ["call/started", "call/ended"]


@virtual
async def test_a_fork_of_the_pbx_is_answered_by_one_branch() -> None:
    """SIP-2: early media of one branch, the answer of another: the audio follows the answer."""
    house = HallHouse()
    talk = await reach_pbx(house)
    other = ANSWER.replace(b"5000", b"5044")
    tags: list[str] = []

    def other_branch(data: bytes, _flow: object) -> bytes:
        if data.startswith(b"SIP/2.0 183"):
            tag = data.split(b"\r\nTo: ")[1].split(b"tag=")[1].split(b"\r\n")[0]
            tags.append(tag.decode())
            return data.replace(tag, b"otherbranch")
        return data

    house.wire.rewrite = other_branch
    house.pbx.endpoint.ring(talk.inside, house.now, status=183, session=other)
    await house.settle(0.5)
    house.wire.rewrite = lambda data, _flow: data
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.settle(1.0)
    assert tags
    remote = house.media.legs[house.call.destination.id].remote
    assert remote is not None
    assert remote.address is not None
    assert remote.address.port == 5000
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("complete")
