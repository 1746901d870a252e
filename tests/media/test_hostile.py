"""Thousands of hostile RTP and RTCP datagrams: audio goes on, nothing grows, nobody else hears anything."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from callrec.media import Sealed, WorkerReplaced
from callrec.rtp import Report, ReportBlock, compound_of
from callrec.vault.recording_format import Direction
from tests.media.support import Bridge, Hall, Party, bridge, part_source, read_back, remote_of


def memory_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def hostile(rng: random.Random, honest: bytes) -> bytes:
    """Return a datagram that some stack has stumbled over."""
    kind = rng.randrange(6)
    if kind == 0:
        return rng.randbytes(rng.randrange(0, 12))
    if kind == 1:
        return rng.randbytes(rng.randrange(12, 1500))
    data = bytearray(honest)
    if kind == 2:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 3:
        data[0] |= rng.randrange(0x40)  # padding, extension and contributors that are not there
    elif kind == 4:
        data[1] = rng.choice([101, 229, 200, 201, 13])
        del data[rng.randrange(12, len(data)) :]
    else:
        data[2:12] = rng.randbytes(10)
    return bytes(data)


def hostile_report(rng: random.Random, ssrc: int) -> bytes:
    """Return an RTCP datagram that some stack has stumbled over, and now and then a lie about our stream."""
    lie = ReportBlock(ssrc, rng.random(), rng.randrange(-9, 9), rng.randrange(2**32), rng.randrange(2**32))
    honest = compound_of(Report(rng.randrange(2**32), None, (lie,)), "x", goodbye=rng.random() < 0.5)
    kind = rng.randrange(6)
    if kind == 0:
        return rng.randbytes(rng.randrange(0, 1500))
    data = bytearray(honest)
    if kind == 1:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 2:
        data[2:4] = rng.randbytes(2)  # a length that lies
    elif kind == 3:
        data[0] |= 0x3F  # 31 blocks that are not there
    elif kind == 4:
        del data[rng.randrange(len(data)) :]
    return bytes(data) * rng.randrange(1, 8)


@pytest.mark.parametrize("count", [2_000, pytest.param(20_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("muxed", [False, True])
async def test_hostile_packets_from_the_party_itself_end_nothing(
    hall: Hall, tmp_path: Path, count: int, muxed: bool
) -> None:
    """A latched party that sends thousands of broken datagrams, RTP and RTCP, is still heard and costs no memory.

    Everything the other party said meanwhile is recorded, in order, and told to the hostile one.
    """
    call = await bridge(hall)
    hall.service.set_remote(call.a, remote_of(call.caller, rtcp_mux=muxed))
    source, key = part_source(tmp_path)
    hall.service.record(call.call, outside=call.a, ours=call.b, parts=source)
    await call.latch()
    assert call.caller.target is not None
    rng, pid, before, rounds = random.Random(4733), hall.worker_pid, 0, count // 200
    ours = (await call.say(call.callee)).ssrc
    rtcp = call.caller.target if muxed else (call.caller.target.host, call.caller.target.port + 1)
    said = []
    for round_ in range(rounds):
        for _ in range(100):
            call.caller.send_raw(hostile(rng, call.caller.packet(os.urandom(160)).serialize()))
            call.caller.socket.sendto(hostile_report(rng, ours), rtcp)
        said.append(call.callee.speak())
        await asyncio.sleep(0.01)
        call.callee.heard()
        if round_ == rounds * 3 // 5:  # by then buffers and arenas have their size
            before = memory_kib(pid)
    await hall.settled()
    await until_heard(call)
    await call.say(call.callee)
    assert memory_kib(pid) - before < 4096
    assert hall.worker_pid == pid
    assert not hall.told(WorkerReplaced)
    hall.service.seal(call.call)
    sealed = await hall.event(Sealed)
    taped = read_back([Path(part.path) for part in sealed.parts], key, source.recording_id)
    kept = taped.packets[Direction.OURS]
    voice = [packet.serialize() for packet in said]
    assert [data for data in kept if data in voice] == voice, "the other party's voice is whole"
    call.close()


async def until_heard(call: Bridge) -> None:
    """Talk until the other party hears it, once what fills the socket's queue is read."""
    end = asyncio.get_running_loop().time() + 10
    payload = os.urandom(160)
    while not any(data.endswith(payload) for data in call.callee.heard()):
        assert asyncio.get_running_loop().time() < end
        call.caller.speak(payload)
        await asyncio.sleep(0.02)


async def test_a_flood_of_strangers_reaches_nobody(hall: Hall) -> None:
    """10,000 packets, RTP and RTCP, from 50 sources to a latched leg change nothing for its parties."""
    call = await bridge(hall)
    await call.latch()
    assert call.caller.target is not None
    lie = compound_of(Report(1, None, (ReportBlock(2, 1.0, 9, 9, 9),)), "stranger", goodbye=True)
    strangers = [Party(f"127.0.1.{number + 1}") for number in range(50)]
    for stranger in strangers:
        stranger.target = call.caller.target
        for _ in range(100):
            try:
                stranger.speak()
                stranger.socket.sendto(lie, (call.caller.target.host, call.caller.target.port + 1))
            except ConnectionRefusedError:
                continue
    await hall.settled()
    assert not call.callee.heard()
    await call.say(call.caller)
    assert not any(stranger.heard() for stranger in strangers)
    call.close()
    for stranger in strangers:
        stranger.close()
