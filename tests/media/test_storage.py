"""A disk that refuses or does not answer: no call notices, at most 5 s of each waits, every lost second is told."""

from __future__ import annotations

import asyncio
import os
import resource
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from callrec.media import Gap, Sealed, StorageBlocked, StorageRecovered
from callrec.media.tape import HELD_BACK_US, Tape
from callrec.media.writer import Track, TrackSealed, WriterThread
from callrec.vault.recording_format import OUTSIDE, Direction, Mark, encode_packet, parse_gap
from tests.media.support import Hall, bridge, part_source, read_back


async def test_a_disk_that_refuses_costs_no_packet_and_a_marked_gap(hall: Hall, tmp_path: Path) -> None:
    """Writes that fail are told within 5 s, tried again, and what could not be held back is one marked gap."""
    call = await bridge(hall)
    source, key = part_source(tmp_path)
    hall.service.record(call.call, outside=call.a, ours=call.b, parts=source)
    await call.say(call.caller, 20)
    refuse_writes(hall.worker_pid, 96)  # like a full disk: EFBIG for every byte after the header
    begun = time.monotonic()
    stop = asyncio.Event()
    talk = asyncio.get_running_loop().create_task(talking(call.caller, stop))
    blocked = await hall.event(StorageBlocked)
    assert time.monotonic() - begun < 5
    assert blocked.worker_pid == hall.worker_pid
    gap = await hall.event(Gap, limit_s=15)
    assert not gap.final
    call.callee.heard()
    await call.callee.hear(0.5)
    refuse_writes(hall.worker_pid, resource.RLIM_INFINITY)
    await hall.event(StorageRecovered)
    done = await hall.event(Gap, lambda event: event.final)
    await asyncio.sleep(0.3)
    stop.set()
    await talk
    hall.service.seal(call.call)
    event = await hall.event(Sealed)
    taped = read_back([Path(part.path) for part in event.parts], key, source.recording_id)
    ((start_us, end_us),) = [
        (mark.offset_us, parse_gap(mark.body)[0]) for mark in taped.marks if mark.mark is Mark.GAP
    ]  # fmt: skip
    assert (done.start_ms, done.end_ms, done.reason) == (start_us // 1000, end_us // 1000, "storage")
    lost = len(call.caller.sent) - len(taped.packets[Direction.OUTSIDE])
    assert abs(lost * 20 - (done.end_ms - done.start_ms)) < 400
    call.close()


def refuse_writes(pid: int, beyond: int) -> None:
    """Let the worker's files grow no further than this."""
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (beyond, hard))


async def talking(party: object, stop: asyncio.Event) -> None:
    due = time.monotonic()
    while not stop.is_set():
        party.speak()  # type: ignore[attr-defined]
        due += 0.02
        await asyncio.sleep(max(0.0, due - time.monotonic()))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A disk whose writes come back only while the event is set; no real one can be made to hang without root."""
    answers = threading.Event()
    answers.set()
    write = os.pwrite

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        answers.wait(30)
        return write(descriptor, data, offset)

    monkeypatch.setattr("callrec.vault.part_writer.os.pwrite", pwrite)
    yield answers
    answers.set()


@pytest.mark.alone
def test_a_write_that_hangs_holds_nobody_up(disk: threading.Event, tmp_path: Path) -> None:
    """While a write does not come back the loop goes on, keeps 5 s, then a gap; afterwards the part is whole."""
    source, key = part_source(tmp_path)
    writer = WriterThread(lambda: None)
    writer.start()
    gaps: list[tuple[int, int, bool]] = []

    def tell_gap(tape: Tape, reason: str, span: tuple[int, int], *, final: bool) -> None:
        assert (tape.call, reason) == (1, "storage")
        gaps.append((*span, final))

    clock = Seconds()
    started = clock.now_us
    tape = Tape(Track(1, source.next_part(datetime.now(UTC)), 0), started, tell_gap, clock)
    step(tape, writer, clock, seconds=1.0)
    wait_for(lambda: tape.track.kept_us > 500_000)
    disk.clear()
    longest = step(tape, writer, clock, seconds=30.0)
    assert longest < 0.1
    assert not tape.storing
    held_us = sum(span[0] for span in gaps[:1]) - tape.track.kept_us
    assert HELD_BACK_US - 600_000 < held_us < HELD_BACK_US + 1_000_000
    assert all(later[1] - earlier[1] <= 5_000_000 for earlier, later in pairwise(gaps))
    disk.set()
    wait_for(lambda: tape.track.kept_us >= gaps[0][0] - 600_000)
    step(tape, writer, clock, seconds=1.0)
    assert gaps[-1][2]
    writer.hand_over(tape.seal("over"))
    wait_for(lambda: any(isinstance(report, TrackSealed) for report in writer.reports))
    assert writer.finish(5)
    taped = read_back([next(tmp_path.rglob("*.crec"))], key, source.recording_id)
    assert [mark.mark for mark in taped.marks] == [Mark.GAP, Mark.END]
    assert len(taped.packets[Direction.OUTSIDE]) == pytest.approx(
        (32.0 - (gaps[-1][1] - gaps[-1][0]) / 1e6) * 50, abs=60
    )


class Seconds:
    """A monotonic clock in microseconds, turned by hand."""

    def __init__(self) -> None:
        self.now_us = 1_000_000

    def __call__(self) -> int:
        return self.now_us


def step(tape: Tape, writer: WriterThread, clock: Seconds, *, seconds: float) -> float:
    """Let a party talk; return the longest time the loop was held up, in seconds."""
    longest = 0.0
    for _ in range(int(seconds * 50)):
        begun = time.monotonic()
        clock.now_us += 20_000
        if tape.storing:
            tape.chunks.append(encode_packet(OUTSIDE, clock.now_us - tape.started_us, bytes(172)))
        if clock.now_us >= tape.look_at_us:
            jobs = tape.due(clock.now_us)
            if jobs:
                writer.hand_over(jobs)
        longest = max(longest, time.monotonic() - begun)
        if int(clock.now_us / 20_000) % 25 == 0:
            time.sleep(0.005)  # the writer gets its turn, as in the worker
    return longest


def wait_for(condition: object, limit_s: float = 10.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.01)


def test_many_recordings_end_behind_one_sync(tmp_path: Path) -> None:
    """Forty parts that end together are all sealed, durable and readable."""
    writer = WriterThread(lambda: None)
    writer.start()
    made = []
    for call in range(40):
        source, key = part_source(tmp_path)
        clock = Seconds()
        tape = Tape(Track(call, source.next_part(datetime.now(UTC)), 0), clock.now_us, lambda *_, **__: None, clock)
        tape.chunks.append(encode_packet(OUTSIDE, 0, bytes(172)))
        writer.hand_over(tape.seal(""))
        made.append((source, key))
    wait_for(lambda: sum(isinstance(report, TrackSealed) for report in writer.reports) == 40)
    assert writer.finish(5)
    for source, key in made:
        (path,) = tmp_path.rglob(f"{source.recording_id}.1.crec")
        assert len(read_back([path], key, source.recording_id).packets[Direction.OUTSIDE]) == 1
