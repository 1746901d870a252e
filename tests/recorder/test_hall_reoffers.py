"""re-INVITEs from both sides: hold, resume, refusal, collision, and offers that come late."""

from __future__ import annotations

import asyncio

import pytest

from callrec.sdp import SessionDescription, audio_of
from callrec.sip import events as sip
from tests.support.hall_house import PBX, HallHouse, sdp
from tests.support.joined import Phone, kind_of
from tests.support.stories import Talk, connect, hear_notice
from tests.support.virtual_time import virtual

HOLD, RESUME = "a=sendonly", "a=sendrecv"


class Asker:
    """One side of a connected call asks for something, the other answers by itself."""

    def __init__(self, house: HallHouse, talk: Talk, *, inside: bool) -> None:
        self.house = house
        self.phone, self.leg = (house.pbx, talk.inside) if inside else (house.trunk, talk.outside)
        self.other, self.other_leg = (house.trunk, talk.outside) if inside else (house.pbx, talk.inside)
        self.host, self.port = (PBX, 5000) if inside else ("127.0.0.1", 4000)
        self.version = 1

    def session(self, *lines: str, formats: str = "8 101") -> bytes:
        self.version += 1
        return sdp(formats, *lines, port=self.port, host=self.host, version=self.version)

    def ask(self, *lines: str) -> None:
        self.phone.endpoint.reoffer(self.leg, self.session(*lines), self.house.now)

    async def other_answers(self, *lines: str) -> bytes | None:
        asked = await self.other.await_event(sip.Reoffered)
        host, port = (PBX, 5000) if self.other is self.house.pbx else ("127.0.0.1", 4000)
        self.other.endpoint.accept_offer(asked.leg, sdp("8 101", *lines, port=port, host=host), self.house.now)
        return asked.offer

    async def hold(self) -> None:
        self.ask(HOLD)
        await self.other_answers("a=recvonly")
        answered = await self.phone.await_event(sip.ReofferAnswered)
        assert audio_of(SessionDescription.parse(answered.session or b"")).direction.value == "recvonly"
        await self.house.settle(0.1)

    async def resume(self) -> None:
        self.ask(RESUME)
        await self.other_answers(RESUME)
        await self.phone.await_event(sip.ReofferAnswered)
        await self.house.settle(0.1)


def is_held(house: HallHouse) -> bool:
    return house.media.recordings[house.call.call_id].held


async def end(house: HallHouse, talk: Talk, outcome: str = "complete") -> None:
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check(outcome)


@pytest.mark.parametrize("inside", [False, True])
@virtual
async def test_not_20_hold_from_either_side_stores_nothing_until_it_resumes(inside: bool) -> None:
    """NOT-20: between hold and resume nothing is stored; the time line keeps the span."""
    house = HallHouse()
    talk = await connect(house)
    asker = Asker(house, talk, inside=inside)
    await asker.hold()
    assert is_held(house)
    await house.settle(10.0)
    await asker.resume()
    assert not is_held(house)
    await house.settle(5.0)
    await end(house, talk)
    states = [segment["state"] for segment in house.item().change.segments]
    assert states == ["recorded", "hold", "recorded"]


@pytest.mark.parametrize("inside", [False, True])
@virtual
async def test_a_resume_without_an_offer_resumes_both_sides(inside: bool) -> None:
    """SIP-6: who asks for an offer to resume gets the other party's, and its answer goes back in the ACK."""
    house = HallHouse()
    talk = await connect(house)
    asker = Asker(house, talk, inside=inside)
    await asker.hold()
    asker.phone.endpoint.reoffer(asker.leg, None, house.now)
    offer = await asker.other_answers(RESUME)
    assert offer is None
    answered = await asker.phone.await_event(sip.ReofferAnswered)
    offered = audio_of(SessionDescription.parse(answered.session or b""))
    assert offered.direction.value == "sendrecv"
    assert offered.address == "127.0.1.1"
    asker.phone.endpoint.acknowledge(asker.leg, asker.session(RESUME), house.now)
    acknowledged = await asker.other.await_event(sip.Acknowledged)
    assert audio_of(SessionDescription.parse(acknowledged.answer or b"")).direction.value == "sendrecv"
    assert not is_held(house)
    await asker.hold()
    assert is_held(house)
    await end(house, talk)


@virtual
async def test_a_re_invite_without_an_offer_during_the_notice_is_offered_what_is_in_use() -> None:
    """SIP-6: its answer moves the caller's audio; the notice goes on."""
    house = HallHouse()
    talk = await hear_notice(house)
    await house.settle(1.0)
    house.trunk.endpoint.reoffer(talk.outside, None, house.now)
    answered = await house.trunk.await_event(sip.ReofferAnswered)
    codecs = audio_of(SessionDescription.parse(answered.session or b"")).codecs
    assert [codec.name for codec in codecs] == ["PCMA"]
    house.trunk.endpoint.acknowledge(talk.outside, sdp("8 101", port=4444, version=2), house.now)
    await house.settle(0.1)
    remote = house.media.legs[house.call.caller.id].remote
    assert remote is not None
    assert remote.address is not None
    assert remote.address.port == 4444
    await end(house, talk, "abandoned_in_notice")


@virtual
async def test_not_14_hold_during_the_notice_is_not_completed() -> None:
    """NOT-14: the call goes on, unrecorded."""
    house = HallHouse()
    talk = await hear_notice(house)
    for number, line in enumerate((HOLD, RESUME), 2):
        house.trunk.endpoint.reoffer(talk.outside, sdp("8 101", line, version=number), house.now)
        await house.trunk.await_event(sip.ReofferAnswered)
        await house.settle(0.5)
    await house.pbx.await_event(sip.IncomingCall)
    await end(house, talk, "notice_incomplete")


@virtual
async def test_a_re_invite_in_another_codec_during_the_notice_is_refused_and_changes_nothing() -> None:
    """RFC 3261 14.2: 488, the session stays as it was, the notice counts."""
    house = HallHouse()
    talk = await hear_notice(house)
    house.trunk.endpoint.reoffer(talk.outside, sdp("9", HOLD, port=4998, version=2), house.now)
    failed = await house.trunk.await_event(sip.ReofferFailed)
    assert failed.response is not None
    assert failed.response.status == 488
    assert not house.call.machine.held
    assert house.call.caller.audio is not None
    assert house.call.caller.audio.port == 4000
    await end(house, talk, "abandoned_in_notice")


@pytest.mark.parametrize("inside", [False, True])
@virtual
async def test_a_hold_that_the_other_side_refuses_is_refused(inside: bool) -> None:
    """RFC 3261 14.1: 488 goes back, both sessions stay, storing goes on."""
    house = HallHouse()
    talk = await connect(house)
    asker = Asker(house, talk, inside=inside)
    asker.ask(HOLD)
    asked = await asker.other.await_event(sip.Reoffered)
    assert is_held(house), "nothing is stored before anybody has answered"
    asker.other.endpoint.refuse_offer(asked.leg, 488, house.now)
    failed = await asker.phone.await_event(sip.ReofferFailed)
    assert failed.response is not None
    assert failed.response.status == 488
    assert not is_held(house)
    await end(house, talk)


@virtual
async def test_a_hold_that_the_other_side_cannot_answer_now_is_accepted_by_us() -> None:
    """SIP-4: a 500 of the PBX must not deny the caller its hold."""
    house = HallHouse()
    talk = await connect(house)
    asker = Asker(house, talk, inside=False)
    asker.ask(HOLD)
    asked = await asker.other.await_event(sip.Reoffered)
    asker.other.endpoint.refuse_offer(asked.leg, 500, house.now)
    answered = await asker.phone.await_event(sip.ReofferAnswered)
    assert audio_of(SessionDescription.parse(answered.session or b"")).direction.value == "recvonly"
    assert is_held(house)
    await end(house, talk)


@virtual
async def test_re_invites_of_both_sides_at_once_part_and_come_through() -> None:
    """SIP-4: 491 parts them; the hold that comes through in the end is the one that counts."""
    house = HallHouse()
    talk = await connect(house)
    outside, inside = Asker(house, talk, inside=False), Asker(house, talk, inside=True)
    house.wire.holding = lambda message: kind_of(message) == "INVITE"
    outside.ask(HOLD)
    inside.ask(HOLD)
    await house.settle(0.05)
    assert house.wire.held == 2
    for phone in (house.trunk, house.pbx):
        _accepts_everything(house, phone)
    house.wire.release()
    await house.settle(20.0)
    assert is_held(house)
    await end(house, talk)


def _accepts_everything(house: HallHouse, phone: Phone) -> None:
    host, port = (PBX, 5000) if phone is house.pbx else ("127.0.0.1", 4000)

    def react(event: sip.Event) -> bool:
        if isinstance(event, sip.Reoffered):
            phone.endpoint.accept_offer(event.leg, sdp("8 101", "a=recvonly", port=port, host=host), house.now)
        return False

    phone.react = react


@virtual
async def test_a_refresh_is_answered_by_us() -> None:
    """SIP-8: a re-INVITE that changes nothing (a session timer's) does not trouble the other side."""
    house = HallHouse()
    talk = await connect(house)
    house.trunk.endpoint.reoffer(talk.outside, sdp(), house.now)
    await house.trunk.await_event(sip.ReofferAnswered)
    assert not house.wire.sent_by(house.driver, "INVITE")[1:]
    await end(house, talk)


@virtual
async def test_a_re_invite_that_is_taken_back_leaves_both_as_they_were() -> None:
    """RFC 3261 9: the other side accepted the hold meanwhile, and is brought back by a re-INVITE of ours."""
    house = HallHouse()
    talk = await connect(house)
    asker = Asker(house, talk, inside=False)
    asker.ask(HOLD)
    asked = await house.pbx.await_event(sip.Reoffered)
    leg = house.trunk.endpoint._core.legs.get(talk.outside)
    assert leg is not None
    house.driver.endpoint._answering.on_cancel(*_cancelling(house))
    await asyncio.sleep(0.05)
    house.pbx.endpoint.accept_offer(asked.leg, sdp("8 101", "a=recvonly", port=5000, host=PBX), house.now)
    again = await house.pbx.await_event(sip.Reoffered)
    assert audio_of(SessionDescription.parse(again.offer or b"")).direction.value == "sendrecv"
    house.pbx.endpoint.accept_offer(again.leg, sdp("8 101", port=5000, host=PBX), house.now)
    await house.settle(1.0)
    assert not is_held(house)
    await end(house, talk)


def _cancelling(house: HallHouse) -> tuple[object, ...]:
    """Return what the endpoint sees of a CANCEL of the caller's re-INVITE: our phones cannot send one."""
    leg = house.driver.endpoint._core.legs.get(house.call.caller.sip_id)
    assert leg is not None
    assert leg.theirs is not None
    return leg, leg.theirs, leg.theirs.request, house.now


@virtual
async def test_fax_is_refused_so_that_it_falls_back_to_audio() -> None:
    """SIP-7: a T.38 offer gets 488; the call goes on as it was."""
    house = HallHouse()
    talk = await connect(house)
    fax = sdp(version=2).replace(b"m=audio 4000 RTP/AVP 8 0 101", b"m=image 4000 udptl t38")
    house.trunk.endpoint.reoffer(talk.outside, fax, house.now)
    failed = await house.trunk.await_event(sip.ReofferFailed)
    assert failed.response is not None
    assert failed.response.status == 488
    await end(house, talk)
