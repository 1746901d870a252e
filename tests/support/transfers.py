"""The other sides of a transfer: who asks for it, and who takes the call."""

from __future__ import annotations

from typing import Any

from callrec.sip import events as sip
from tests.support.hall_house import OTHER_PBX, HallHouse, sdp
from tests.support.joined import Phone
from tests.support.stories import Talk

COLLEAGUE = sdp("8 101", port=6000, host=OTHER_PBX)


class Transferor:
    """The PBX with a call, as it transfers it: it answers our NOTIFYs and remembers what they said."""

    def __init__(self, house: HallHouse, talk: Talk, phone: Phone | None = None, leg: str = "") -> None:
        self.house, self.phone, self.leg = house, phone or house.pbx, leg or talk.inside
        self.told: list[str] = []
        self.states: list[str] = []
        self.events: list[str] = []
        self.phone.react = self._react

    def _react(self, event: sip.Event) -> bool:
        if not isinstance(event, sip.InDialogRequest) or event.request.method != "NOTIFY":
            return False
        self.told.append(event.request.body.decode().split("\r\n")[0])
        self.states.append(event.request.headers.get("Subscription-State") or "")
        self.events.append(event.request.headers.get("Event") or "")
        assert event.request.headers.get("Contact"), "RFC 6665 8.2.1"
        self.phone.endpoint.respond(event.token, 200, self.house.now)
        return True

    async def refer(self, to: str, *more: tuple[str, str]) -> Any:
        """Send a REFER, and return the answer to it."""
        headers = (("Refer-To", to), *more)
        assert self.phone.endpoint.ask(self.leg, "REFER", "t", self.house.now, headers=headers)
        return (await self.phone.await_event(sip.Replied)).response


async def colleague_takes_it(house: HallHouse, phone: Phone | None = None, answer: bytes = COLLEAGUE) -> Talk:
    """Let whom the call is put through to ring and answer."""
    phone = phone or house.other_pbx
    incoming = await phone.await_event(sip.IncomingCall)
    talk = Talk("", incoming.leg, incoming.request, incoming.offer)
    phone.endpoint.ring(incoming.leg, house.now)
    await house.settle(2.0)
    phone.endpoint.answer(incoming.leg, answer, house.now)
    await phone.await_event(sip.Acknowledged)
    await house.settle(0.2)
    return talk
