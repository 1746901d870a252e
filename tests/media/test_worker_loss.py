"""A media process that dies or hangs: both parties hear each other again, and it stays one recording."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from callrec.media import CapacityError, Discarded, Gap, MediaLost, Play, Played, PlayKind, Sealed, WorkerReplaced
from callrec.rtp import RINGBACK, RtpPacket, tone_sources
from callrec.vault.part_reader import RecordingReader
from callrec.vault.recording_format import Direction, Mark, parse_gap
from callrec.vault.rendering import render
from tests.media.support import Bridge, Hall, Party, bridge, files_in, is_alive, open_party, part_source, read_back


async def talking(call: Bridge, stop: asyncio.Event) -> None:
    """Let both parties talk without a break."""
    due = time.monotonic()
    while not stop.is_set():
        call.caller.speak()
        call.callee.speak()
        due += 0.02
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def heard_again(party: Party, since: int) -> float:
    """Return when a party hears something sent after `since` packets of the other."""
    while True:
        packet = await party.hear()
        if int.from_bytes(packet.payload[:4], "big") >= since:
            return time.monotonic()


@pytest.mark.alone
@pytest.mark.parametrize(("how", "limit_s"), [(signal.SIGKILL, 1.5), (signal.SIGSTOP, 3.5)])
async def test_both_parties_hear_each_other_again(
    hall: Hall, tmp_path: Path, how: signal.Signals, limit_s: float
) -> None:
    """Within 1.5 s of a kill, and 1.5 s of noticing a silence of 2 s; one recording with one gap of at most 2 s."""
    call = await bridge(hall)
    await call.latch()
    source, key = part_source(tmp_path)
    hall.service.record(call.call, outside=call.a, ours=call.b, parts=source)
    stop = asyncio.Event()
    talk = asyncio.get_running_loop().create_task(talking(call, stop))
    await asyncio.sleep(0.8)
    for party in (call.caller, call.callee):
        party.heard()
    old, lost_at = hall.worker_pid, time.monotonic()
    os.kill(old, how)
    await hall.event(WorkerReplaced)
    for party in (call.caller, call.callee):
        party.heard()
        await party.hear()
    assert time.monotonic() - lost_at < limit_s
    gap = await hall.event(Gap)
    await asyncio.sleep(0.6)
    stop.set()
    await talk
    await call.latch()  # the last of what was said has been dealt with
    assert hall.worker_pid != old
    assert not is_alive(old)
    hall.service.seal(call.call)
    event = await hall.event(Sealed)
    assert [part.sealed for part in event.parts] == [False, True]
    taped = read_back([Path(part.path) for part in event.parts], key, source.recording_id)
    assert taped.parts == 2
    gaps = [(mark.offset_us, *parse_gap(mark.body)) for mark in taped.marks if mark.mark is Mark.GAP]
    assert [(start, reason) for start, _, reason in gaps] == [(0, "interrupted")]
    assert (gap.reason, gap.final) == ("interrupted", True)
    assert 0 <= gap.end_ms - gap.start_ms <= 2000
    assert_kept_but_for_a_second(call, taped.packets)
    assert_renders_as_one(event, key, source.recording_id)
    call.close()


def assert_kept_but_for_a_second(call: Bridge, kept: dict[Direction, list[bytes]]) -> None:
    """At most the second before the loss is missing: what waited in the sockets is kept."""
    for party, direction in ((call.caller, Direction.OUTSIDE), (call.callee, Direction.OURS)):
        said = [packet.serialize() for packet in party.sent[1:]]
        missing = [index for index, packet in enumerate(said) if packet not in set(kept[direction])]
        assert len(missing) <= 50
        assert not missing or missing[-1] - missing[0] < 60


def assert_renders_as_one(event: Sealed, key: bytes, recording_id: str) -> None:
    reader = RecordingReader([Path(part.path) for part in event.parts], key, recording_id)
    rendering = render(reader)
    reader.close()
    length_ms = len(rendering.left) * 1000 // rendering.rate
    assert abs(length_ms - event.duration_ms) < 150
    gaps = [segment for segment in rendering.segments if segment.state == "gap"]
    assert len(gaps) <= 1, gaps


@pytest.mark.alone
async def test_the_stream_of_a_leg_goes_on_in_another_worker(hall: Hall) -> None:
    """SSRC, sequence numbers and timestamps run on: the far end's receiver notices nothing but a loss."""
    call = await bridge(hall)
    await call.latch()
    stop = asyncio.Event()
    talk = asyncio.get_running_loop().create_task(talking(call, stop))
    await asyncio.sleep(1.2)
    before = RtpPacket.parse(call.caller.heard()[-1])
    os.kill(hall.worker_pid, signal.SIGKILL)
    await hall.event(WorkerReplaced)
    call.caller.heard()
    after = await call.caller.hear()
    stop.set()
    await talk
    assert after.ssrc == before.ssrc
    assert 0 < (after.sequence_number - before.sequence_number) & 0xFFFF < 3000
    assert 0 < (after.timestamp - before.timestamp) & 0xFFFFFFFF < 16_000
    call.close()


async def test_a_notice_lost_with_its_worker_is_told_and_a_tone_goes_on(hall: Hall) -> None:
    """A notice is never complete on faith; a ringback tone is played again."""
    noticed, ringing = Party(), Party()
    await open_party(hall, "call", "a", noticed)
    await open_party(hall, "call", "b", ringing)
    hall.service.play("a", Play("notice", PlayKind.NOTICE, {"PCMA": bytes(80_000)}))
    hall.service.play("b", Play("tone", PlayKind.TONE, tone_sources(RINGBACK), loop=True))
    await noticed.hear()
    os.kill(hall.worker_pid, signal.SIGKILL)
    evidence = await hall.event(Played, lambda event: event.play_id == "notice")
    assert (evidence.completed, evidence.interrupted_by) == (False, "worker")
    ringing.heard()
    await ringing.hear(1.5)


async def test_a_recording_of_two_parts_is_discarded_whole(hall: Hall, tmp_path: Path) -> None:
    """An opt-out after a worker was lost removes the file it left, too."""
    call = await bridge(hall)
    source, _ = part_source(tmp_path)
    hall.service.record(call.call, outside=call.a, ours=call.b, parts=source)
    await call.caller.talk(0.5)
    os.kill(hall.worker_pid, signal.SIGKILL)
    await hall.event(WorkerReplaced)
    await call.caller.talk(0.5)
    assert len(files_in(tmp_path, "*.partial")) == 2
    hall.service.discard(call.call)
    await hall.event(Discarded)
    assert not files_in(tmp_path)
    call.close()


async def test_kills_in_a_row_are_survived(hall: Hall) -> None:
    """Each lost worker is replaced, the spare one too, and audio goes on."""
    call = await bridge(hall)
    await call.latch()
    for count in range(6):
        os.kill(hall.worker_pid, signal.SIGKILL)
        async with asyncio.timeout(5):
            while len(hall.told(WorkerReplaced)) <= count:  # noqa: ASYNC110 - the sixth of its kind, no event of its own
                await asyncio.sleep(0.01)
        assert len(hall.told(WorkerReplaced)) == count + 1
        await until_heard(call)
    call.close()


async def until_heard(call: Bridge) -> None:
    call.callee.heard()
    async with asyncio.timeout(3):
        while not call.callee.heard():
            call.caller.speak()
            await asyncio.sleep(0.02)


async def test_a_pause_of_the_recorder_kills_no_worker(hall: Hall) -> None:
    """Five seconds in which the event loop stands still are not the workers' silence, and they relay all along."""
    call = await bridge(hall)
    await call.latch()
    pid = hall.worker_pid
    said = []
    for _ in range(250):  # the loop stands still: this is the only thread of the recorder
        said.append(call.caller.speak().payload)
        time.sleep(0.02)  # noqa: ASYNC251 - that is the point
    await asyncio.sleep(0.8)
    assert hall.worker_pid == pid
    assert not hall.told(WorkerReplaced)
    assert [RtpPacket.parse(data).payload for data in call.callee.heard()] == said
    call.close()


@pytest.mark.alone
async def test_many_calls_are_heard_again_in_time(hall: Hall) -> None:
    """A hundred calls move to the spare worker together, and every party hears within 1.5 s."""
    calls = [await bridge(hall) for _ in range(100)]
    for call in calls:
        await call.latch()
    lost_at = time.monotonic()
    os.kill(hall.worker_pid, signal.SIGKILL)
    await hall.event(WorkerReplaced)
    silent = calls
    while silent:
        assert time.monotonic() - lost_at < 5
        for call in silent:
            call.caller.speak()
        await asyncio.sleep(0.02)
        silent = [call for call in silent if not call.callee.heard()]
    assert time.monotonic() - lost_at < 1.5
    for call in calls:
        call.close()


async def test_media_that_cannot_be_restored_is_told(
    hall: Hall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any worker to be had the call and what is kept of it are told; once one starts, calls are taken again."""
    call = await bridge(hall)
    source, _ = part_source(tmp_path)
    hall.service.record(call.call, outside=call.a, ours=call.b, parts=source)
    await call.caller.talk(0.6)
    with monkeypatch.context() as broken:
        broken.setattr("callrec.media.process._COMMAND", ("/nowhere/python",))
        spare = hall.service._fleet._spare
        assert spare is not None
        os.kill(spare.pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            while hall.service._fleet._spare is not None:  # noqa: ASYNC110 - a state, told by no event
                await asyncio.sleep(0.01)
        os.kill(hall.worker_pid, signal.SIGKILL)
        lost = await hall.event(MediaLost)
        assert lost.call_id == call.call
        sealed = await hall.event(Sealed)
        assert [part.sealed for part in sealed.parts] == [False]
        with pytest.raises(CapacityError):
            await hall.service.open_leg("another", "leg", "127.0.0.1")
    hall.service.close_call(call.call)
    async with asyncio.timeout(10):
        while not hall.service.workers():  # noqa: ASYNC110 - a state, told by no event
            await asyncio.sleep(0.05)
    later = await bridge(hall)
    await later.latch()
    later.close()
    call.close()
