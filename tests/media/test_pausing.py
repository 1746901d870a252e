"""A paused recording in a real media worker: nothing said while it is on is stored, whatever becomes of the worker."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from callrec.media import RecordingPaused, Sealed, WorkerReplaced
from callrec.vault.part_reader import RecordingReader
from callrec.vault.recording_format import Direction, Mark
from callrec.vault.rendering import render
from tests.media.support import Bridge, Hall, bridge, part_source, read_back


async def paused(hall: Hall, call: Bridge, *, on: bool) -> None:
    """Pause or resume, and wait until the worker says that it is so."""
    hall.events = [event for event in hall.events if not isinstance(event, RecordingPaused)]
    hall.service.pause(call.call, on=on)
    await hall.event(RecordingPaused, lambda event: event.on is on)


async def sealed(hall: Hall, call: Bridge) -> Sealed:
    await hall.settled()
    hall.service.seal(call.call)
    return await hall.event(Sealed)


def files_of(event: Sealed) -> list[Path]:
    """Return the parts that exist: a worker that is killed at once has written nothing yet."""
    return [path for part in event.parts if (path := Path(part.path)).exists()]


def said(call: Bridge) -> list[bytes]:
    return [packet.serialize() for party in (call.caller, call.callee) for packet in party.sent]


async def test_law_72_a_pause_is_in_force_when_the_worker_says_so(hall: Hall, tmp_path: Path) -> None:
    """LAW-72, LAW-73: neither voice nor digits of the paused span, all of both other spans, and the span is marked."""
    call = await bridge(hall)
    await call.latch()
    source, key = part_source(tmp_path)
    hall.service.record(call.call, outside=call.a, ours=call.b, parts=source)
    await call.say(call.caller, 5)
    await paused(hall, call, on=True)
    before = set(said(call))
    for party in (call.caller, call.callee):
        await call.say(party, 10)
        party.send(party.packet(bytes([5, 0x8A, 0, 160]), payload_type=101))
    await hall.settled()
    secret = set(said(call)) - before
    await paused(hall, call, on=False)
    await call.say(call.caller, 5)
    event = await sealed(hall, call)
    taped = read_back(files_of(event), key, source.recording_id)
    stored = {packet for packets in taped.packets.values() for packet in packets}
    assert len(secret) >= 22
    assert not secret & stored
    assert len(taped.packets[Direction.OUTSIDE]) == 10
    assert [mark.mark for mark in taped.marks if mark.mark in (Mark.PAUSE, Mark.PAUSE_ENDED)] == [
        Mark.PAUSE,
        Mark.PAUSE_ENDED,
    ]
    reader = RecordingReader(files_of(event), key, source.recording_id)
    rendering = render(reader)
    reader.close()
    assert [span.state for span in rendering.segments] == ["recorded", "paused", "recorded"]
    call.close()


async def test_law_72_a_recording_may_begin_paused(hall: Hall, tmp_path: Path) -> None:
    """LAW-72: not one packet before the pause that was asked for while it rang."""
    call = await bridge(hall)
    await call.latch()
    source, key = part_source(tmp_path)
    hall.service.record(call.call, outside=call.a, ours=call.b, parts=source, paused=True)
    await call.say(call.caller, 5)
    await hall.event(RecordingPaused)
    event = await sealed(hall, call)
    taped = read_back(files_of(event), key, source.recording_id)
    assert not any(taped.packets.values())
    call.close()


async def test_law_73_what_waits_in_the_socket_at_the_end_of_a_pause_is_not_stored(hall: Hall, tmp_path: Path) -> None:
    """LAW-73: a worker that stood still reads the paused span late: it is relayed, and kept nowhere."""
    call = await bridge(hall)
    await call.latch()
    source, key = part_source(tmp_path)
    hall.service.record(call.call, outside=call.a, ours=call.b, parts=source)
    await paused(hall, call, on=True)
    os.kill(hall.worker_pid, signal.SIGSTOP)
    try:
        secret = {call.caller.speak().serialize() for _ in range(30)}
        await asyncio.sleep(0.05)
        hall.service.pause(call.call, on=False)
    finally:
        os.kill(hall.worker_pid, signal.SIGCONT)
    await hall.event(RecordingPaused, lambda event: not event.on)
    await call.say(call.caller, 3)
    event = await sealed(hall, call)
    taped = read_back(files_of(event), key, source.recording_id)
    assert not secret & set(taped.packets[Direction.OUTSIDE])
    assert len(taped.packets[Direction.OUTSIDE]) == 3
    call.close()


@pytest.mark.parametrize("resumed", [False, True])
async def test_law_73_a_pause_survives_its_worker(hall: Hall, tmp_path: Path, resumed: bool) -> None:
    """LAW-73: a worker's successor begins paused; resumed meanwhile, it leaves what came in the pause where it was."""
    call = await bridge(hall)
    await call.latch()
    source, key = part_source(tmp_path)
    hall.service.record(call.call, outside=call.a, ours=call.b, parts=source)
    await call.say(call.caller, 3)
    await paused(hall, call, on=True)
    os.kill(hall.worker_pid, signal.SIGSTOP)
    secret = {call.caller.speak().serialize() for _ in range(20)}
    await asyncio.sleep(0.05)
    if resumed:
        hall.service.pause(call.call, on=False)
        await asyncio.sleep(0.05)
        secret_ends = call.caller.speak().serialize()
    os.kill(hall.worker_pid, signal.SIGKILL)
    await hall.event(WorkerReplaced)
    await hall.settled()
    await call.say(call.caller, 3)
    event = await sealed(hall, call)
    taped = read_back(files_of(event), key, source.recording_id)
    kept = set(taped.packets[Direction.OUTSIDE])
    assert not secret & kept
    assert (secret_ends in kept) if resumed else (len(kept) <= 3)
    call.close()


@pytest.mark.parametrize("seed", [1, 2])
async def test_law_73_any_order_of_pause_hold_and_lost_workers(hall: Hall, tmp_path: Path, seed: int) -> None:
    """LAW-73, NOT-20: random orders in a real worker: what was said in a paused or held span is in no part."""
    chance, call = random.Random(seed), await bridge(hall)
    await call.latch()
    source, key = part_source(tmp_path)
    hall.service.record(call.call, outside=call.a, ours=call.b, parts=source)
    state, secret = {"pause": False, "hold": False}, set[bytes]()
    for _ in range(30):
        what = chance.choice(
            ["pause", "hold", "say", "say", "kill"] if chance.random() < 0.2 else ["pause", "say", "hold"]
        )
        if what == "say":
            speaker = chance.choice([call.caller, call.callee])
            await call.say(speaker, 2)
            if any(state.values()):
                secret |= {packet.serialize() for packet in speaker.sent[-2:]}
        elif what == "kill":
            hall.events.clear()
            os.kill(hall.worker_pid, signal.SIGKILL)
            await hall.event(WorkerReplaced)
            await hall.settled()
        else:
            state[what] = not state[what]
            (hall.service.pause if what == "pause" else hall.service.hold)(call.call, on=state[what])
            await hall.settled()
    event = await sealed(hall, call)
    taped = read_back(files_of(event), key, source.recording_id)
    assert not secret & {packet for packets in taped.packets.values() for packet in packets}
    call.close()
