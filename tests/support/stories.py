"""Beginnings that many stories share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from callrec.sip import events as sip
from tests.support.hall_house import PBX, HallHouse, sdp

ANSWER = sdp("8 101", port=5000, host=PBX)


@dataclass
class Talk:
    """The far ends' legs of one call."""

    outside: str
    inside: str = ""
    invite: Any = None
    offer: bytes | None = None


async def hear_notice(house: HallHouse, **dialled: Any) -> Talk:
    """Dial, and wait for our 200: the notice plays."""
    talk = Talk(house.dial(**dialled))
    await house.trunk.await_event(sip.Answered)
    return talk


async def reach_pbx(house: HallHouse, talk: Talk | None = None, *, pbx: Any = None, **dialled: Any) -> Talk:
    """Wait until the PBX is called."""
    talk = talk or await hear_notice(house, **dialled)
    incoming = await (pbx or house.pbx).await_event(sip.IncomingCall)
    talk.inside, talk.invite, talk.offer = incoming.leg, incoming.request, incoming.offer
    return talk


async def connect(house: HallHouse, **dialled: Any) -> Talk:
    """Bring a call all the way: ringing, answered, acknowledged."""
    talk = await reach_pbx(house, **dialled)
    house.pbx.endpoint.ring(talk.inside, house.now)
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.pbx.await_event(sip.Acknowledged)
    await house.settle(0.1)
    return talk


async def connect_transparent(house: HallHouse, **dialled: Any) -> Talk:
    """Bring a call without a capture rule all the way."""
    talk = Talk(house.dial(**{"called": "02079465555", **dialled}))
    await reach_pbx(house, talk)
    house.pbx.endpoint.ring(talk.inside, house.now)
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.trunk.await_event(sip.Answered)
    await house.settle(0.1)
    return talk


def pbx_that_answers(house: HallHouse, *, rings_s: float = 0.3, after_s: float = 1.0, answer: bytes = ANSWER) -> None:
    """Let the PBX ring and answer by itself; where its INVITE was taken back meanwhile, nothing comes of it."""
    loop, endpoint = asyncio.get_running_loop(), house.pbx.endpoint

    def react(event: sip.Event) -> bool:
        if isinstance(event, sip.IncomingCall):
            loop.call_later(rings_s, lambda: endpoint.ring(event.leg, house.now))
            loop.call_later(after_s, lambda: endpoint.answer(event.leg, answer, house.now))
        return False

    house.pbx.react = react
