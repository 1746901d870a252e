"""Keys in the voice of a party without telephone-event: never in the file (RTP-5, LAW-74), heard in the notice."""

from __future__ import annotations

import asyncio
import os
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.media import Digit, Play, Played, PlayKind, Sealed, StatsReport
from callrec.media.masking import Mask
from callrec.rtp import RtpPacket
from callrec.rtp.dtmf import ToneDetector
from callrec.rtp.g711 import SILENCE, Law, encode
from callrec.vault.recording_format import OURS, OUTSIDE, Direction, encode_mark, encode_packet, walk_records
from callrec.vault.recording_format import Mark as RecordMark
from tests.media.support import Bridge, Hall, Party, bridge, files_in, open_party, part_source, read_back, remote_of
from tests.rtp.test_dtmf import heard, nothing, tone

FRAME = 160


def voice(seed: int, milliseconds: int) -> np.ndarray:  # type: ignore[type-arg]
    """Return something like speech: a low voice that swells and falls, with noise."""
    noise = np.random.default_rng(seed)
    time = np.arange(milliseconds * 8) / 8000 * 2 * np.pi
    loud = 3000 * (1 + np.sin(time * 3)) / 2
    return loud * sum(np.sin(time * 150 * harmonic) / harmonic for harmonic in range(1, 9)) + noise.normal(
        0, 60, milliseconds * 8
    )


def frames(samples: np.ndarray) -> list[bytes]:  # type: ignore[type-arg]
    coded = encode(Law.A, np.clip(samples, -32768, 32767).astype("<i2").tobytes())
    return [coded[start : start + FRAME] for start in range(0, len(coded), FRAME)]


def decoded_keys(payloads: list[bytes]) -> str:
    """Return the keys that can be heard in what was stored."""
    return ToneDetector().take(b"".join(payloads) + SILENCE[Law.A] * 800, Law.A).keys


def masked(records: list[bytes], cuts: list[int], directions: frozenset[int]) -> bytes:
    """Return what reaches the file if the records come in batches cut at these places."""
    mask, out = Mask(), b""
    edges = [0, *sorted({cut % (len(records) + 1) for cut in cuts}), len(records)]
    for first, behind in pairwise(edges):
        out += mask.take(b"".join(records[first:behind]), directions)
    return out + mask.flush()


@given(st.lists(st.integers(0, 400), max_size=8), st.integers(0, 200), st.sampled_from("0123456789*#"))
def test_a_tone_is_masked_wherever_the_batches_are_cut(cuts: list[int], at: int, key: str) -> None:
    """One segment is held back: the beginning of a tone, in the batch before the one that shows it, is masked too."""
    samples = np.concatenate([voice(1, 400), nothing(at), tone(key, 70), nothing(60), voice(2, 400)])
    payloads = frames(samples)
    records = [
        encode_packet(OUTSIDE, number * 20_000, RtpPacket(8, number, number * 160, 1, payload).serialize())
        for number, payload in enumerate(payloads)
    ]
    records.insert(10, encode_mark(RecordMark.HOLD, 200_000))
    stored = masked(records, cuts, frozenset({OUTSIDE}))
    assert len(stored) == len(b"".join(records)), "the time line keeps its length"
    packets = [stored[start:end] for kind, _, start, end in walk_records(stored) if kind == OUTSIDE]
    kept = [RtpPacket.parse(packet).payload for packet in packets]
    assert heard(samples)[0] == key
    assert decoded_keys(kept) == ""
    changed = [index for index, (before, after) in enumerate(zip(payloads, kept, strict=True)) if before != after]
    first, last = (400 + at) // 20, (400 + at + 70) // 20
    assert first - 1 <= min(changed) <= first
    assert last - 1 <= max(changed) <= last + 2
    assert all(kept[index] == SILENCE[Law.A] * len(kept[index]) for index in changed)


@given(st.binary(max_size=60), st.lists(st.integers(0, 40), max_size=4), st.booleans())
def test_whatever_packets_come_nothing_is_lost(payload: bytes, cuts: list[int], padded: bool) -> None:
    """Broken headers, padding, other codecs: each record reaches the file once, in order, as it was."""
    rng = random.Random(len(payload))
    records = []
    for number in range(30):
        packet = bytearray(RtpPacket(rng.choice([0, 8, 101, 9]), number, 0, 1, payload).serialize())
        if padded:
            packet[0] |= rng.choice([0x20, 0x10, 0x0F, 0])
        records.append(encode_packet(rng.choice([OUTSIDE, OURS]), number, bytes(packet)))
    assert masked(records, cuts, frozenset({OUTSIDE, OURS})) == b"".join(records)


async def say(call: Bridge, speaker: Party, payloads: list[bytes]) -> None:
    """Let a party speak in real time, the worker's batches being cut as they are."""
    for payload in payloads:
        speaker.speak(payload)
        await asyncio.sleep(0.004)
    await call.hall.settled()


async def test_tones_of_a_party_without_telephone_event_never_reach_the_file(hall: Hall, tmp_path: Path) -> None:
    """RTP-5: both hear the keys, the file has silence there; a party with telephone-event is not listened to."""
    call = await bridge(hall)
    hall.service.set_remote(call.a, remote_of(call.caller, telephone_event=None))
    await call.latch()
    source, key = part_source(tmp_path)
    hall.service.record(call.call, outside=call.a, ours=call.b, parts=source)
    await hall.settled()
    presses = [
        np.concatenate([voice(number, 300), tone(digit, 70), nothing(50)]) for number, digit in enumerate("4929")
    ]
    said = frames(np.concatenate([*presses, voice(9, 400)]))
    assert decoded_keys(said) == "4929"
    await say(call, call.caller, said)
    await say(call, call.callee, said)
    relayed = [RtpPacket.parse(data).payload for data in call.callee.heard()]
    assert decoded_keys(relayed) == "4929", "the other party hears them"
    hall.service.seal(call.call)
    sealed = await hall.event(Sealed)
    taped = read_back([Path(part.path) for part in sealed.parts], key, source.recording_id)
    kept = {side: [RtpPacket.parse(data).payload for data in packets] for side, packets in taped.packets.items()}
    outside, ours = kept[Direction.OUTSIDE], kept[Direction.OURS]
    assert len(outside) == len(ours) == len(said)
    assert decoded_keys(outside) == ""
    assert decoded_keys(ours) == "4929"
    unchanged = sum(before == after for before, after in zip(said, outside, strict=True))
    assert unchanged >= len(said) - 4 * 9
    assert hall.told(Digit) == [], "after the notice such keys are the PBX's affair"
    call.close()


@pytest.mark.parametrize("telephone_event", [None, 101])
async def test_a_key_in_the_voice_opts_out_during_the_notice_only(hall: Hall, telephone_event: int | None) -> None:
    """NOT-16: told at once while the notice plays; before and after it, and of a party that has events, never."""
    caller = Party()
    await open_party(hall, "call", "a", caller, telephone_event=telephone_event)
    call = Bridge(hall, "call", caller, caller, "a", "a")
    press = frames(np.concatenate([nothing(40), tone("9", 120), nothing(100)]))
    await say(call, caller, press)
    await hall.event(StatsReport, lambda report: report.legs[0].packets_received == len(press))
    hall.service.play("a", Play("p", PlayKind.NOTICE, {"PCMA": bytes(16_000)}))
    await caller.hear()
    await say(call, caller, frames(np.concatenate([voice(3, 300), tone("9", 120), nothing(100)])))
    if telephone_event is None:
        assert (await hall.event(Digit, limit_s=2.0)).digit == "9"
        hall.service.stop_play("a", why="dtmf")
    await hall.event(Played)
    await say(call, caller, press)
    await asyncio.sleep(0.3)
    assert len(hall.told(Digit)) == (telephone_event is None)
    caller.close()


async def test_what_was_held_back_is_written_when_nothing_follows(hall: Hall, tmp_path: Path) -> None:
    """A party that falls silent does not leave its last words in memory."""
    call = await bridge(hall)
    hall.service.set_remote(call.a, remote_of(call.caller, telephone_event=None))
    await call.latch()
    source, key = part_source(tmp_path)
    hall.service.record(call.call, outside=call.a, ours=call.b, parts=source)
    await hall.settled()
    said = [os.urandom(160) for _ in range(10)]
    await say(call, call.caller, said)
    async with asyncio.timeout(5):
        while True:
            await asyncio.sleep(0.1)
            partial = files_in(tmp_path, "*.partial")
            if partial and len(read_back(partial, key, source.recording_id).packets[Direction.OUTSIDE]) == len(said):
                break
    call.close()
