"""20,000 hostile datagrams: audio goes on, nothing grows, nobody else hears anything."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

from callrec.media import WorkerReplaced
from tests.media.support import Bridge, Hall, Party, bridge, part_source


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


async def test_hostile_packets_from_the_party_itself_end_nothing(hall: Hall, tmp_path: Path) -> None:
    """A latched party that sends 20,000 broken datagrams is still heard, recorded, and costs no memory."""
    call = await bridge(hall)
    source, _ = part_source(tmp_path)
    hall.service.record(call.call, outside=call.a, ours=call.b, parts=source)
    await call.latch()
    rng = random.Random(4733)
    pid = hall.worker_pid
    before = 0
    for round_ in range(100):
        for _ in range(200):
            data = hostile(rng, call.caller.packet(os.urandom(160)).serialize())
            call.caller.send_raw(data)
        await asyncio.sleep(0.005)
        call.callee.heard()
        if round_ == 60:  # by then buffers and arenas have their size
            before = memory_kib(pid)
    await hall.settled()
    await until_heard(call)
    await call.say(call.callee)
    assert memory_kib(pid) - before < 4096
    assert hall.worker_pid == pid
    assert not hall.told(WorkerReplaced)
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
    """5,000 packets from 50 sources to a latched leg change nothing for its parties."""
    call = await bridge(hall)
    await call.latch()
    assert call.caller.target is not None
    strangers = [Party(f"127.0.1.{number + 1}") for number in range(50)]
    for stranger in strangers:
        stranger.target = call.caller.target
        for _ in range(100):
            try:
                stranger.speak()
            except ConnectionRefusedError:
                continue
    await hall.settled()
    assert not call.callee.heard()
    await call.say(call.caller)
    assert not any(stranger.heard() for stranger in strangers)
    call.close()
    for stranger in strangers:
        stranger.close()
