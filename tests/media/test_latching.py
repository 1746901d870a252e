"""Whose packets count (design section 9, RTP-1): the signalled party's, and nobody else's."""

from __future__ import annotations

import asyncio
import time

from callrec.media import Latched, StatsReport
from callrec.sip.events import Address
from tests.media.support import Bridge, Hall, Party, bridge, open_party, remote_of


def listener_from(target: Party, host: str) -> Party:
    """Return another party that sends to the same leg."""
    other = Party(host)
    other.target = target.target
    return other


async def test_the_signalled_source_is_connected(hall: Hall) -> None:
    """A source equal to the signalled address is told as latched, once."""
    call = await bridge(hall)
    await call.latch()
    latched = await hall.event(Latched, lambda event: event.leg == call.a)
    assert (latched.address, latched.how) == (call.caller.address, "signalled")
    await call.latch()
    assert len(hall.told(Latched)) == 2
    call.close()


async def test_prompts_and_audio_go_to_the_signalled_address_before_anything_is_heard(hall: Hall) -> None:
    """A party that has sent nothing hears the other at its signalled address."""
    call = await bridge(hall)
    said = call.caller.speak()
    assert (await call.callee.hear()).payload == said.payload
    call.close()


async def test_a_peer_behind_nat_is_answered_where_it_sends_from(hall: Hall) -> None:
    """With nat = true the first source with an agreed payload type is latched on to, and then nobody else."""
    call, caller, callee = "call", Party("127.0.0.5"), Party()
    private = Address("192.0.2.7", 4000)
    caller.target = await hall.service.open_leg(call, "a", "127.0.0.1")
    hall.service.set_remote("a", remote_of(caller, address=private, nat=True))
    await open_party(hall, call, "b", callee)
    hall.service.link("a", "b")
    await hall.settled()
    stray = listener_from(caller, "127.0.0.6")
    stray.send(stray.packet(b"x" * 160, payload_type=77))
    caller.speak()
    await callee.hear()
    latched = await hall.event(Latched, lambda event: event.leg == "a")
    assert (latched.address, latched.how) == (caller.address, "nat")
    said = callee.speak()
    assert (await caller.hear()).payload == said.payload
    stray.speak()
    await asyncio.wait_for(strangers_counted(hall, "a", 1), 5)
    assert not callee.heard()
    assert not stray.heard()


async def received(hall: Hall, leg: str, at_least: int) -> None:
    await hall.event(
        StatsReport, lambda r: any(each.leg == leg and each.packets_received >= at_least for each in r.legs)
    )


async def strangers_counted(hall: Hall, leg: str, at_least: int) -> None:
    await hall.event(
        StatsReport, lambda r: any(each.leg == leg and each.packets_dropped >= at_least for each in r.legs)
    )


async def test_a_permitted_source_is_heard_but_not_sent_to(hall: Hall) -> None:
    """Media from another address of media_addresses is relayed; ours goes on to the signalled address."""
    call, caller, callee = "call", Party("127.0.0.5"), Party()
    await open_party(hall, call, "a", caller, media_addresses=("127.0.0.16/28",))
    await open_party(hall, call, "b", callee)
    hall.service.link("a", "b")
    await hall.settled()
    gateway = listener_from(caller, "127.0.0.17")
    said = gateway.speak()
    assert (await callee.hear()).payload == said.payload
    answer = callee.speak()
    assert (await caller.hear()).payload == answer.payload
    assert not gateway.heard()
    stranger = listener_from(caller, "127.0.0.40")
    stranger.speak()
    gateway.speak()
    await callee.hear()
    assert not callee.heard()
    assert [event.how for event in hall.told(Latched, lambda event: event.leg == "a")] == ["permitted"]


async def test_strangers_are_neither_relayed_nor_answered(hall: Hall) -> None:
    """20 strangers who spray a leg before and after it latched reach nobody and hear nothing."""
    call = await bridge(hall)
    strangers = [listener_from(call.caller, f"127.0.0.{100 + index}") for index in range(20)]
    for stranger in strangers:
        stranger.speak()
    said = call.caller.speak()  # queued behind them, before connect()
    for stranger in strangers:
        stranger.speak()
    assert (await call.callee.hear()).payload == said.payload
    await call.latch()
    for stranger in strangers:
        stranger.socket.setblocking(False)
        try:
            stranger.speak()
        except ConnectionRefusedError:
            continue
    await hall.settled()
    assert not call.callee.heard()
    assert not any(stranger.heard() for stranger in strangers)
    call.close()


async def test_a_new_offer_moves_the_media(hall: Hall) -> None:
    """After a re-INVITE with another address the old source is a stranger and the new one is connected."""
    call = await bridge(hall)
    await call.latch()
    await until_settled(call)
    moved = listener_from(call.caller, "127.0.0.9")
    hall.service.set_remote(call.a, remote_of(moved))
    await hall.settled()
    call.caller.speak()
    said = moved.speak()
    assert (await call.callee.hear()).payload == said.payload
    assert not call.callee.heard()
    answer = call.callee.speak()
    assert (await moved.hear()).payload == answer.payload
    call.close()


async def until_settled(call: Bridge) -> None:
    """Talk until the kernel has the checking."""
    end = time.monotonic() + 0.15
    while time.monotonic() < end:
        await call.latch()


async def test_an_unchanged_offer_keeps_the_latch(hall: Hall) -> None:
    """A re-INVITE that moves nothing leaves a NAT peer where it was found."""
    caller, callee = Party("127.0.0.5"), Party()
    caller.target = await hall.service.open_leg("call", "a", "127.0.0.1")
    remote = remote_of(caller, address=Address("192.0.2.7", 4000), nat=True)
    hall.service.set_remote("a", remote)
    await open_party(hall, "call", "b", callee)
    hall.service.link("a", "b")
    await hall.settled()
    caller.speak()
    await callee.hear()
    hall.service.set_remote("a", remote)
    await hall.settled()
    said = callee.speak()
    assert (await caller.hear()).payload == said.payload


async def test_a_party_on_hold_is_sent_nothing(hall: Hall) -> None:
    """While the far end does not want to hear, or its address is 0.0.0.0, nothing goes there."""
    call = await bridge(hall)
    await call.latch()
    for changes in ({"may_send": False}, {"address": Address("0.0.0.0", 4000)}):
        hall.service.set_remote(call.a, remote_of(call.caller, **changes))
        await hall.settled()
        call.callee.speak()
        await received(hall, call.b, len(call.callee.sent))
        assert not call.caller.heard()
    hall.service.set_remote(call.a, remote_of(call.caller))
    await hall.settled()
    said = call.callee.speak()
    assert (await call.caller.hear()).payload == said.payload
    call.close()
