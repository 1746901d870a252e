"""What one party says the other hears, whatever else arrives."""

from __future__ import annotations

from itertools import pairwise

import pytest

from callrec.media import StatsReport
from callrec.rtp import RtpPacket
from tests.media.support import Hall, Party, bridge, open_party


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_both_parties_hear_each_other(hall: Hall, host: str) -> None:
    """Every payload arrives at the other side unchanged, over IPv4 and IPv6."""
    call = await bridge(hall, host)
    for speaker, listener in ((call.caller, call.callee), (call.callee, call.caller)):
        said = [speaker.speak() for _ in range(20)]
        heard = [await listener.hear() for _ in range(20)]
        assert [packet.payload for packet in heard] == [packet.payload for packet in said]
    call.close()


async def test_a_listener_gets_one_continuous_stream(hall: Hall) -> None:
    """Over a new SSRC, a timestamp jump of 2**31 and a restart of the numbers, one SSRC runs on without a gap."""
    call = await bridge(hall)
    await call.latch()
    heard = []
    for change in (lambda p: None, new_source, jump, lambda p: setattr(p, "sequence", 65530), new_source):
        change(call.caller)
        for _ in range(10):
            call.caller.speak()
            heard.append(await call.callee.hear())
    assert len({packet.ssrc for packet in heard}) == 1
    steps = [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(heard)]
    assert all(0 < step < 8000 for step in steps)
    call.close()


def new_source(party: Party) -> None:
    fresh = Party()
    party.ssrc, party.sequence, party.timestamp = fresh.ssrc, fresh.sequence, fresh.timestamp
    fresh.close()


def jump(party: Party) -> None:
    party.timestamp = (party.timestamp + (1 << 31)) & 0xFFFFFFFF


async def test_payload_types_are_rewritten_where_the_legs_number_them_otherwise(hall: Hall) -> None:
    """A codec that is 96 on one leg and 8 on the other is sent to each under its own number."""
    caller, callee = Party(payload_type=8), Party(payload_type=96)
    a = await open_party(hall, "call", "a", caller)
    b = await open_party(hall, "call", "b", callee)
    hall.service.link(a, b)
    await hall.settled()
    caller.speak()
    assert (await callee.hear()).payload_type == 96
    callee.speak()
    assert (await caller.hear()).payload_type == 8


async def test_junk_and_rtcp_on_the_rtp_port_end_nothing(hall: Hall) -> None:
    """0 to 11 bytes, RTCP, other versions and endless datagrams are dropped and counted; audio goes on."""
    call = await bridge(hall)
    await call.latch()
    for length in range(12):
        call.caller.send_raw(b"\x80" * length)
    call.caller.send_raw(bytes.fromhex("80c80006") + bytes(24))
    call.caller.send_raw(b"\x00" * 40)
    call.caller.send_raw(RtpPacket(8, 1, 1, 1, bytes(5000)).serialize())
    said = call.caller.speak()
    assert (await call.callee.hear()).payload == said.payload
    report = await hall.event(StatsReport, lambda r: any(leg.packets_dropped == 15 for leg in r.legs))
    assert not call.callee.heard()
    assert report.worker_pid == hall.worker_pid
    call.close()


async def test_a_refused_send_never_ends_audio(hall: Hall) -> None:
    """While the listener's port is closed, refusals are counted; a new listener there hears at once."""
    call = await bridge(hall)
    await call.latch()
    address = call.callee.address
    call.callee.close()
    for _ in range(10):
        await call.caller.talk(0.02)
    await hall.event(StatsReport, lambda r: any(leg.leg == call.b and leg.packets_refused >= 9 for leg in r.legs))
    call.callee.socket = type(call.callee.socket)(type=2)
    call.callee.socket.bind(address)
    call.callee.socket.setblocking(False)
    said = call.caller.speak()
    assert (await call.callee.hear()).payload == said.payload
    call.close()


async def test_losses_are_counted(hall: Hall) -> None:
    """Packets that never came are counted from the sequence numbers, over the wrap."""
    call = await bridge(hall)
    call.caller.sequence = 65533
    await call.latch()
    for lost in (0, 3, 0, 1):
        call.caller.sequence = (call.caller.sequence + lost) & 0xFFFF
        call.caller.speak()
    report = await hall.event(StatsReport, lambda r: any(leg.packets_received == 5 for leg in r.legs))
    assert [leg.packets_lost for leg in report.legs if leg.leg == call.a] == [4]
    call.close()


async def test_a_closed_leg_is_silent_and_its_port_rests(hall: Hall) -> None:
    """After close_call nothing is relayed, and the port is not offered again at once."""
    call = await bridge(hall)
    await call.latch()
    hall.service.close_call(call.call)
    await hall.settled()
    call.caller.speak()
    await hall.settled()
    assert not call.callee.heard()
    assert hall.service.workers()[0].calls == 0
    call.close()
