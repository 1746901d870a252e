"""A hall between a stack in its own words and one of our telephones: the stack as trunk outside, or as PBX inside."""

from __future__ import annotations

from typing import Any

from callrec.sdp import SessionDescription, audio_of
from callrec.sip import events as sip
from callrec.sip.events import Address
from tests.support.hall_house import OTHER_PBX, PBX, RECORDER, TABLES, TRUNK, HallHouse, sdp
from tests.support.recorded_peer import RecordedPeer, address_of
from tests.support.stories import Talk

HERE = Address(RECORDER, 5060)


def outside_house(stack: str, *, pbx: Any = None) -> tuple[HallHouse, RecordedPeer]:
    """Return a house whose trunk is this stack; its PBX is one of ours."""
    number_format = "nsn" if stack == "uk-nsn" else "auto"
    trunk = {**TABLES["peer"][0], "addresses": [TRUNK, "192.0.2.0/24"], "number_format": number_format}
    house = HallHouse(peer=[trunk, pbx or TABLES["peer"][1]])
    return house, RecordedPeer(house.wire, stack, HERE)


def inside_house(stack: str, *, rule: str = "inbound") -> tuple[HallHouse, RecordedPeer]:
    """Return a house whose PBX is this stack; its trunk is one of ours, and so is the colleague."""
    address = address_of(stack, inside=True)
    pbx = {**TABLES["peer"][1], "addresses": [PBX, OTHER_PBX, "198.51.100.0/24"]}
    route = {"from": "trunk", "called": "*", "destination": f"sip:201@{address.host}", "answer_timeout": "30s"}
    routes = [{**route, "rule": rule} if rule else route, TABLES["route"][-1]]
    house = HallHouse(peer=[TABLES["peer"][0], pbx], route=routes, far=("timer", "100rel"))
    return house, RecordedPeer(house.wire, stack, HERE, inside=True)


async def connect_outside(house: HallHouse, peer: RecordedPeer, name: str = "invite", ack: str = "") -> Talk:
    """Let the stack call, hear the notice, and be put through to the PBX."""
    peer.call(name)
    await peer.answered(ack)
    incoming = await house.pbx.await_event(sip.IncomingCall)
    talk = Talk("", incoming.leg, incoming.request, incoming.offer)
    house.pbx.endpoint.ring(incoming.leg, house.now)
    offered = audio_of(SessionDescription.parse(incoming.offer))
    answer = sdp(f"{offered.codecs[0].payload_type} 101" if offered.telephone_events else "8", port=5000, host=PBX)
    house.pbx.endpoint.answer(incoming.leg, answer, house.now)
    await house.pbx.await_event(sip.Acknowledged)
    await house.settle(2.0)
    return talk


async def connect_inside(house: HallHouse, peer: RecordedPeer) -> Talk:
    """Let one of ours call the stack, which rings and answers."""
    talk = Talk(house.dial())
    await house.trunk.await_event(sip.Answered)
    talk.invite = await peer.called()
    peer.respond("ringing")
    await house.settle(1.0)
    peer.respond("answer")
    await peer.next("ACK")
    await house.settle(2.0)
    return talk


async def finish(house: HallHouse, *outcomes: str) -> Any:
    """Let everything end, nothing having been sent to strangers; return the row."""
    await house.check(*outcomes)
    assert not house.wire.strangers, house.wire.strangers
    return house.item()


def states(row: Any) -> list[str]:
    """Return what became of the audio of a call, span by span."""
    return [segment["state"] for segment in row.change.segments]


def is_held(house: HallHouse) -> bool:
    """Return whether nothing is stored at the moment."""
    return house.media.recordings[house.call.call_id].held
