"""Streams as phones and gateways send them (RTP-2, RTP-3, RTP-4): relayed as one, kept whole, rendered in place."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from callrec.media import Sealed
from callrec.rtp import RtpPacket
from callrec.rtp.g711 import Law, decode
from callrec.vault.part_reader import RecordingReader
from callrec.vault.part_writer import PartSource
from callrec.vault.recording_format import Direction
from callrec.vault.rendering import Rendering, render
from tests.media.support import Bridge, Hall, bridge, part_source, read_back

TICKS_MS = 8


class Stream:
    """What a party sends, packet by packet, and how it sounds."""

    def __init__(self, call: Bridge) -> None:
        self.call = call
        self.packets: list[RtpPacket] = []

    async def say(self, milliseconds: int, times: int = 1, *, payload_type: int = 8) -> list[RtpPacket]:
        """Send packets of so many milliseconds, in their time."""
        sent = []
        for _ in range(times):
            payload = os.urandom(milliseconds * TICKS_MS) if payload_type == 8 else b"\x40"
            packet = self.call.caller.packet(payload, payload_type=payload_type)
            self.call.caller.timestamp = (packet.timestamp + milliseconds * TICKS_MS) & 0xFFFFFFFF
            self.call.caller.send(packet)
            sent.append(packet)
            await asyncio.sleep(milliseconds / 1000)
        self.packets += sent
        return sent


async def start(hall: Hall, call: Bridge, tmp_path: Path) -> tuple[PartSource, bytes]:
    await call.latch()
    source, key = part_source(tmp_path)
    hall.service.record(call.call, outside=call.a, ours=call.b, parts=source)
    await hall.settled()
    return source, key


async def finish(hall: Hall, call: Bridge, source: PartSource, key: bytes) -> tuple[list[bytes], Rendering]:
    """Seal the recording; return the outside party's packets and the sound."""
    await hall.settled()
    hall.service.seal(call.call)
    sealed = await hall.event(Sealed)
    paths = [Path(part.path) for part in sealed.parts]
    recording_id = source.recording_id
    packets = read_back(paths, key, recording_id).packets[Direction.OUTSIDE]
    reader = RecordingReader(paths, key, recording_id)
    sound = render(reader)
    reader.close()
    return packets, sound


def heard_stream(call: Bridge) -> list[RtpPacket]:
    return [RtpPacket.parse(data) for data in call.callee.heard()]


def place_of(sound: Rendering, packet: RtpPacket) -> int:
    """Return at which sample a packet's voice is, -1 where it is not."""
    samples = np.frombuffer(decode(Law.A, packet.payload), "<i2")
    at = sound.left.tobytes().find(samples.tobytes())
    return -1 if at < 0 or at % 2 else at // 2


def check_one_stream(heard: Sequence[RtpPacket], sent: Sequence[RtpPacket]) -> None:
    """Check that a listener got all of it under one SSRC, with numbers that run on."""
    assert [packet.payload for packet in heard] == [packet.payload for packet in sent]
    assert len({packet.ssrc for packet in heard}) == 1
    for before, after in pairwise(heard):
        assert (after.sequence_number - before.sequence_number) & 0xFFFF == 1
        assert 0 < (after.timestamp - before.timestamp) & 0xFFFFFFFF < 8 * 1000


async def test_packet_times_from_10_to_60_ms_change_in_mid_call(hall: Hall, tmp_path: Path) -> None:
    """RTP-3: 10, 20, 30, 40 and 60 ms, one frame a packet or six, are one voice without a hole."""
    call = await bridge(hall)
    source, key = await start(hall, call, tmp_path)
    speak = Stream(call)
    for milliseconds in (20, 10, 60, 30, 40, 20):
        await speak.say(milliseconds, 4)
    packets, sound = await finish(hall, call, source, key)
    assert packets == [packet.serialize() for packet in speak.packets]
    check_one_stream(heard_stream(call), speak.packets)
    whole = np.frombuffer(decode(Law.A, b"".join(packet.payload for packet in speak.packets)), "<i2")
    assert sound.left.tobytes().find(whole.tobytes()) >= 0
    call.close()


async def test_a_new_source_and_a_jump_of_its_clock_go_on_in_the_same_channel(hall: Hall, tmp_path: Path) -> None:
    """RTP-2: a new SSRC with new numbers, a timestamp that jumps by 2**31, a sequence number that wraps."""
    call = await bridge(hall)
    source, key = await start(hall, call, tmp_path)
    speak, caller = Stream(call), call.caller
    caller.sequence = 0xFFFA
    await speak.say(20, 15)
    caller.ssrc, caller.sequence, caller.timestamp = 77, 40_000, 5
    await speak.say(20, 15)
    caller.timestamp = (caller.timestamp + 2**31) & 0xFFFFFFFF
    await speak.say(20, 15)
    packets, sound = await finish(hall, call, source, key)
    assert packets == [packet.serialize() for packet in speak.packets]
    check_one_stream(heard_stream(call), speak.packets)
    places = [place_of(sound, packet) for packet in speak.packets]
    assert all(place >= 0 for place in places)
    assert places == sorted(places)
    assert abs((places[-1] - places[0]) / 8 - 44 * 20) < 150, "the voices follow each other as they were said"
    call.close()


@pytest.mark.parametrize("payload_type", [13, 19])
async def test_comfort_noise_and_silence_keep_the_time_line(hall: Hall, tmp_path: Path, payload_type: int) -> None:
    """RTP-4: comfort noise (RFC 3389, and 19 of old gateways) and DTX are silence as long as they lasted."""
    call = await bridge(hall)
    source, key = await start(hall, call, tmp_path)
    speak = Stream(call)
    before = await speak.say(20, 10)
    await speak.say(200, 1, payload_type=payload_type)
    call.caller.timestamp = (call.caller.timestamp + 400 * TICKS_MS) & 0xFFFFFFFF
    await asyncio.sleep(0.4)  # nothing at all: DTX
    after = await speak.say(20, 10)
    packets, sound = await finish(hall, call, source, key)
    assert packets == [packet.serialize() for packet in speak.packets]
    assert [packet.payload_type for packet in heard_stream(call)].count(payload_type) == 1
    begins, goes_on = place_of(sound, before[-1]) + 160, place_of(sound, after[0])
    assert goes_on - begins == 600 * TICKS_MS
    assert not sound.left[begins:goes_on].any()
    call.close()


async def test_copies_and_packets_out_of_order_are_heard_once_in_their_places(hall: Hall, tmp_path: Path) -> None:
    """RTP-2: reordering over 100 ms and copies; what is lost is silence in its place and counted."""
    call = await bridge(hall)
    source, key = await start(hall, call, tmp_path)
    caller, speak = call.caller, Stream(call)
    await speak.say(20, 5)
    packets = [caller.packet(os.urandom(160)) for _ in range(12)]
    for index in (5, 0, 1, 1, 2, 4, 3, 6, 6, 11, 8, 9, 10):  # 7 is lost
        caller.send(packets[index])
        await asyncio.sleep(0.02)
    await speak.say(20, 5)
    _, sound = await finish(hall, call, source, key)
    first = place_of(sound, packets[0])
    for index, packet in enumerate(packets):
        if index == 7:
            assert not sound.left[first + 7 * 160 : first + 8 * 160].any()
        else:
            assert place_of(sound, packet) == first + index * 160
    assert sound.summary.outside.counters.duplicates == 2
    assert sound.summary.outside.counters.lost == 1
    call.close()
