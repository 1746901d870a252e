"""RTP-3, RTP-4, RTP-6: G.722 and Opus are rendered at their own rates, in place, whatever the network did."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from callrec.rtp.g711 import Law, encode
from callrec.rtp.ogg import ogg_of
from callrec.rtp.opus import packet_samples
from callrec.vault.recording_format import OUTSIDE, CodecEntry, Direction, Mark, codec_map_body, encode_mark
from callrec.vault.rendering import Rendering, render
from tests.support.sounds import ffmpeg_decoded, g722, level_at, opus_packets, speech, tone
from tests.vault.recording_support import Packet, open_recording, ours, stream, voice, write_recording

G722, OPUS = CodecEntry(9, "G722", 8000), CodecEntry(111, "opus", 48_000, 2)
PCMA = CodecEntry(8, "PCMA", 8000)


def codecs(*entries: CodecEntry, direction: int = OUTSIDE, at_us: int = 0) -> bytes:
    return encode_mark(Mark.CODECS, at_us, codec_map_body(direction, entries))


def rendered(directory: Path, *parts: Sequence[Packet | bytes], end_us: int | None = None) -> Rendering:
    with open_recording(write_recording(directory, *parts, end_us=end_us)) as reader:
        return render(reader)


def opus_stream(packets: Sequence[bytes], *, first_us: int = 0, direction: int = OUTSIDE) -> list[Packet]:
    """Return the RTP packets of Opus, each sent when it is due."""
    found, position = [], 0
    for index, payload in enumerate(packets):
        at_us = first_us + position * 1000 // 48
        found.append(Packet(at_us, 500 + index, 7_000 + position, payload, direction, payload_type=111))
        position += packet_samples(payload) or 960
    return found


@pytest.fixture(name="said", scope="module")
def _said() -> bytes:
    return g722(speech(12, 16_000))


def test_g722_comes_out_as_an_independent_decoder_gives_it(tmp_path: Path, said: bytes) -> None:
    """RTP-6: 16,000 samples a second though the RTP clock says 8,000 (RFC 3551 4.5.2), sample for sample."""
    (tmp_path / "said.g722").write_bytes(said)
    expected = ffmpeg_decoded(tmp_path / "said.g722", "-f", "g722", rate=16_000)
    result = rendered(tmp_path, [codecs(G722), *stream(said, payload_type=9)], end_us=12_000_000)
    assert result.rate == 16_000
    assert len(result.left) == 12 * 16_000
    assert np.array_equal(result.left, expected)
    assert result.summary.outside.codecs == ("G722",)
    assert result.warnings == ()


def test_opus_comes_out_as_an_independent_decoder_gives_it(tmp_path: Path) -> None:
    """RTP-6: 48,000 samples a second; no seam where a block of the rendering ends."""
    packets = opus_packets(speech(25, 48_000))
    (tmp_path / "said.opus").write_bytes(ogg_of(packets))
    expected = ffmpeg_decoded(tmp_path / "said.opus", rate=48_000)
    result = rendered(tmp_path, [codecs(OPUS), *opus_stream(packets)])
    assert result.rate == 48_000
    assert len(result.left) == len(expected) == sum(map(packet_samples, packets))
    assert np.abs(result.left.astype(int) - expected).max() <= 2  # two decoders of floating point
    assert result.warnings == ()


@pytest.mark.parametrize("number", [9, 111])
def test_a_decoder_that_remembers_hears_no_disorder(tmp_path: Path, number: int, said: bytes) -> None:
    """RTP-2: packets are decoded in the order of their time stamps, not of their arrival."""
    if number == 9:
        packets = stream(said, payload_type=9)
    else:
        packets = opus_stream(opus_packets(speech(12, 48_000)))
    clean = rendered(tmp_path / "a", [codecs(G722, OPUS), *packets])
    chance = random.Random(1)
    late = [chance.choice((0, 9_000, 70_000, 150_000)) for _ in packets]
    mixed = [replace(packet, at_us=packet.at_us + by) for packet, by in zip(packets, late, strict=True)]
    copies = [replace(packet, at_us=packet.at_us + 60_000) for packet in mixed[100:120]]
    result = rendered(tmp_path / "b", [codecs(G722, OPUS), *mixed, *copies])
    assert result.summary.outside.counters.reordered > 50
    assert np.array_equal(result.left[: len(clean.left)], clean.left)


def test_mixed_codecs_are_rendered_at_the_highest_rate(tmp_path: Path, said: bytes) -> None:
    """RTP-6: G.711 beside G.722 keeps each of its samples; nothing above its band is added."""
    narrow = stream(encode(Law.A, speech(12, 8000).tobytes()))
    result = rendered(
        tmp_path,
        [codecs(G722), codecs(PCMA, direction=Direction.OURS), *stream(said, payload_type=9), *ours(narrow)],
        end_us=12_000_000,
    )
    alone = rendered(tmp_path / "alone", ours(narrow), end_us=12_000_000)
    assert (result.rate, alone.rate) == (16_000, 8000)
    assert np.array_equal(result.right[::2], alone.right)


def test_interpolation_adds_no_tone(tmp_path: Path) -> None:
    """RTP-6: a tone of G.711 in a call with Opus stays that tone, and its images are 60 dB below."""
    narrow = stream(encode(Law.A, tone(12, 8000, 2_500).tobytes()))
    wide = opus_stream(opus_packets(speech(12, 48_000)))
    marks = [codecs(OPUS), codecs(PCMA, direction=Direction.OURS)]
    result = rendered(tmp_path, [*marks, *wide, *ours(narrow)], end_us=12_000_000)
    assert result.rate == 48_000
    middle = result.right[48_000 : 11 * 48_000]
    assert level_at(middle, 48_000, 2_500) == pytest.approx(8000, rel=0.02)
    assert level_at(middle, 48_000, 8_000 - 2_500) < 8


def test_a_codec_that_changes_in_mid_call_goes_on_in_its_place(tmp_path: Path) -> None:
    """RTP-6, SIP-7: PCMA, then Opus with its other clock after a re-INVITE: each is heard when it was said."""
    first = stream(voice(4), payload_type=8)
    second = [replace(packet, sequence=packet.sequence + 10_000) for packet in opus_stream(
        opus_packets(tone(4, 48_000, 1000)), first_us=4_000_000)]  # fmt: skip
    result = rendered(tmp_path, [codecs(PCMA), *first, codecs(OPUS, at_us=3_990_000), *second])
    assert result.rate == 48_000
    alone = rendered(tmp_path / "alone", first)
    start = 4 * 48_000
    assert np.array_equal(result.left[:start:6], alone.left)
    assert level_at(result.left[start + 4_800 : start + 3 * 48_000], 48_000, 1000) == pytest.approx(8000, rel=0.1)


def test_dtx_and_comfort_noise_are_silence_of_their_length(tmp_path: Path) -> None:
    """RTP-4: an Opus sender that pauses sends a byte now and then, a G.722 one comfort noise: the time line stays."""
    packets = opus_stream(opus_packets(speech(6, 48_000)))
    quiet = [
        replace(packet, payload=packet.payload[:1]) if index % 20 == 0 else packet
        for index, packet in enumerate(packets)
        if not 100 <= index < 200 or index % 20 == 0
    ]
    result = rendered(tmp_path, [codecs(OPUS), *quiet], end_us=6_000_000)
    assert len(result.left) == 6 * 48_000
    assert not result.left[100 * 960 : 200 * 960].any()
    assert result.left[210 * 960 : 220 * 960].any()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    packet_ms=st.sampled_from([10, 20, 30, 40, 60]),
    lost=st.sets(st.integers(0, 90), max_size=60),
    wide=st.booleans(),
)
@example(packet_ms=60, lost=set(range(1, 40)), wide=True)
def test_the_time_line_has_the_length_of_the_call(tmp_path: Path, packet_ms: int, lost: set[int], wide: bool) -> None:
    """RTP-3, RTP-4: whatever the packet time and whatever is lost, every packet lies where it was said."""
    directory = Path(tempfile.mkdtemp(dir=tmp_path))
    said = g722(tone(6, 16_000, 440)) if wide else voice(6)
    rate, number = (16_000, 9) if wide else (8000, 8)
    packets = stream(said, packet_samples=packet_ms * 8, payload_type=number)
    kept = [packet for index, packet in enumerate(packets) if index not in lost or index in (0, len(packets) - 1)]
    result = rendered(directory, [codecs(G722), *kept], end_us=6_000_000)
    assert len(result.left) == 6 * rate
    step = packet_ms * rate // 1000
    for index in sorted(lost - {0, len(packets) - 1}):
        assert not result.left[index * step : (index + 1) * step].any(), index
    for packet in kept[1:]:
        assert result.left[packet.timestamp * rate // 8000 :][:step].any(), packet


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.binary(min_size=0, max_size=60), max_size=60))
@example([b"\xff\x00", b"\xff\x7f" + b"\xff" * 30, b"\x03", b"\x01\x00", b"\x02\xff"])
def test_any_payload_called_opus_is_rendered_or_counted(tmp_path: Path, payloads: list[bytes]) -> None:
    """RTP-6: nothing that a stranger sends as Opus silences the packets beside it."""
    directory = Path(tempfile.mkdtemp(dir=tmp_path))
    good = opus_packets(tone(1, 48_000, 600))
    result = rendered(directory, [codecs(OPUS), *opus_stream([*good, *payloads, *good])])
    whole = [payload for payload in payloads if packet_samples(payload) and len(payload) > 2]
    assert result.summary.outside.counters.packets == 2 * len(good) + len(whole)
    assert level_at(result.left[4_800:43_200], 48_000, 600) > 4000


def test_a_call_in_g711_stays_exact_though_other_codecs_were_negotiated(tmp_path: Path) -> None:
    """Contract, Export: 8 kHz and sample for sample where only G.711 was heard."""
    result = rendered(tmp_path, [codecs(OPUS, G722, PCMA), *stream(voice(3))])
    assert result.rate == 8000
    assert np.array_equal(result.left, rendered(tmp_path / "alone", stream(voice(3))).left)
