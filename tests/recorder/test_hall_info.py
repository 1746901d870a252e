"""INFO: a key in it is a key that was pressed, and once connected it reaches the other party."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from callrec.recorder.in_dialog import LARGEST_INFO
from callrec.sip import events as sip
from tests.support.hall_house import HallHouse
from tests.support.joined import Phone
from tests.support.stories import ANSWER, Talk, connect, connect_transparent, hear_notice, reach_pbx
from tests.support.virtual_time import virtual

RELAY = (("Content-Type", "application/dtmf-relay"),)
PICTURE = (("Content-Type", "application/media_control+xml"), ("Info-Package", "nothing"), ("Priority", "urgent"))


def key(digit: str) -> bytes:
    return f"Signal={digit}\r\nDuration=160\r\n".encode()


async def send(house: HallHouse, phone: Phone, leg: str, body: bytes = b"", headers: Any = RELAY) -> int | None:
    """Send an INFO and return the status of its answer."""
    assert phone.endpoint.ask(leg, "INFO", "asked", house.now, headers=headers, body=body)
    phone.driver.flush()
    response = (await phone.await_event(sip.Replied)).response
    return response.status if response is not None else None


def answering(house: HallHouse, phone: Phone, status: int = 200) -> list[sip.InDialogRequest]:
    """Let a phone answer every INFO; return what it gets."""
    found: list[sip.InDialogRequest] = []

    def react(event: sip.Event) -> bool:
        if not isinstance(event, sip.InDialogRequest):
            return False
        found.append(event)
        phone.endpoint.respond(event.token, status, house.now)
        return True

    phone.react = react
    return found


async def end(house: HallHouse, talk: Talk, *outcomes: str) -> None:
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check(*outcomes)


@virtual
async def test_not_16_a_key_in_info_declines_the_recording_in_the_notice() -> None:
    """NOT-16, NOT-17: 9 by INFO is heard as one by RFC 4733, and consumed: the PBX hears nothing of it."""
    house = HallHouse()
    got = answering(house, house.pbx)
    talk = await hear_notice(house)
    await house.settle(0.5)
    assert await send(house, house.trunk, talk.outside, key("9")) == 200
    house.pbx.react = lambda _event: False
    await reach_pbx(house, talk)
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.settle(1.0)
    await end(house, talk, "opt_out")
    assert got == []


@virtual
async def test_not_17_keys_in_info_decline_the_recording_after_connect() -> None:
    """NOT-17: *9 destroys what was stored; both keys go on to the PBX, as by RFC 4733."""
    house = HallHouse()
    talk = await connect(house)
    got = answering(house, house.pbx)
    for digit in "*9":
        assert await send(house, house.trunk, talk.outside, key(digit)) == 200
    await house.settle(1.0)
    assert [event.request.body for event in got] == [key("*"), key("9")]
    assert house.call.keys is not None
    assert house.call.keys.audio_key_id in house.keyring.destroyed
    await end(house, talk, "opt_out")


@pytest.mark.parametrize("transparent", [False, True])
@virtual
async def test_info_goes_both_ways_with_its_body_and_its_answer(transparent: bool) -> None:
    """RFC 6086: body and what describes it go on, and the other party's answer comes back; nothing else of it does."""
    house = HallHouse()
    talk = await (connect_transparent(house) if transparent else connect(house))
    inside, outside = answering(house, house.pbx, 469), answering(house, house.trunk)
    assert await send(house, house.trunk, talk.outside, b"<picture/>", PICTURE) == 469
    assert await send(house, house.pbx, talk.inside, key("5")) == 200
    ((there,), (back,)) = (inside, outside)
    assert there.request.body == b"<picture/>"
    given = {name: value for name, value in there.request.headers.items() if name in dict(PICTURE)}
    assert given == dict(PICTURE[:2])
    assert back.request.body == key("5")
    await end(house, talk, "no_capture_rule" if transparent else "complete")


@pytest.mark.parametrize(("status", "seen"), [(481, 500), (408, 500), (401, 500), (302, 500), (415, 415)])
@virtual
async def test_an_answer_that_would_end_the_asker_s_call_does_not_reach_it(status: int, seen: int) -> None:
    """RFC 3261 12.2.1.2: a 481 or 408 ends a dialog, a challenge is for us: the call goes on."""
    house = HallHouse()
    talk = await connect(house)
    answering(house, house.pbx, status)
    assert await send(house, house.trunk, talk.outside, b"<x/>", PICTURE) == seen
    await end(house, talk, "complete")


@virtual
async def test_a_party_that_does_not_answer_costs_nobody_the_call() -> None:
    """504 after ten seconds, long before the asker gives the dialog up; a late answer is absorbed."""
    house = HallHouse()
    talk = await connect(house)
    began = house.now
    assert await send(house, house.trunk, talk.outside, b"<x/>", PICTURE) == 504
    assert house.now - began == pytest.approx(10.0, abs=0.2)
    late = await house.pbx.await_event(sip.InDialogRequest)
    house.pbx.endpoint.respond(late.token, 200, house.now)
    await house.settle(1.0)
    await end(house, talk, "complete")


@virtual
async def test_before_the_other_party_is_there_only_a_key_is_taken() -> None:
    """200 to a key and to an empty INFO, 480 to what nobody could be given; 413 to what is too large."""
    house = HallHouse()
    talk = await hear_notice(house)
    assert await send(house, house.trunk, talk.outside, key("5")) == 200
    assert await send(house, house.trunk, talk.outside, b"", ()) == 200
    assert await send(house, house.trunk, talk.outside, b"<x/>", PICTURE) == 480
    assert await send(house, house.trunk, talk.outside, bytes(LARGEST_INFO + 1), PICTURE) == 413
    await end(house, talk, "abandoned_in_notice")


@virtual
async def test_info_that_crosses_the_end_of_its_call_is_answered() -> None:
    """The PBX hangs up while it owes an answer: the sender gets one all the same, and nothing is left."""
    house = HallHouse()
    talk = await connect(house)
    assert house.trunk.endpoint.ask(talk.outside, "INFO", "asked", house.now, headers=RELAY, body=key("1"))
    house.trunk.driver.flush()
    await house.pbx.await_event(sip.InDialogRequest)
    house.pbx.endpoint.hang_up(talk.inside, house.now)
    await house.check("complete")
    assert (await house.trunk.await_event(sip.Replied)).response is not None


@virtual
async def test_law_74_no_key_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """LAW-74: a card number keyed in by INFO is in no log, whatever its level, and in no row."""
    caplog.set_level(logging.DEBUG)
    house = HallHouse()
    talk = await connect(house)
    got = answering(house, house.pbx)
    for digit in "4929123":
        await send(house, house.trunk, talk.outside, key(digit))
    assert len(got) == 7
    await end(house, talk, "complete")
    assert "Signal" not in caplog.text
    assert "Signal" not in repr(house.item())
