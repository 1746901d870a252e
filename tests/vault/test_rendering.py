"""What is rendered is what was sent, where and when it was said."""

from __future__ import annotations

import random
import tempfile
import tracemalloc
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callrec.errors import IntegrityError
from callrec.vault.placement import RATE
from callrec.vault.recording_format import (
    OUTSIDE,
    CodecEntry,
    Direction,
    Mark,
    codec_map_body,
    encode_mark,
    gap_body,
)
from callrec.vault.rendering import BLOCK_S, Renderer, Rendering, levels, render, summarise
from tests.vault.recording_support import Packet, open_recording, ours, stream, voice, write_recording

Array = npt.NDArray[np.int16]
MS = RATE // 1000


def decoded(payload: bytes, law: str = "PCMA") -> Array:
    """Return what Python's own decoder gives, which shares nothing with callrec's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import audioop  # noqa: PLC0415 - it is gone from Python 3.13
    linear = audioop.alaw2lin(payload, 2) if law == "PCMA" else audioop.ulaw2lin(payload, 2)
    return np.frombuffer(linear, "<i2")


def rendered(directory: Path, *parts: Sequence[Packet | bytes], end_us: int | None = None) -> Rendering:
    with open_recording(write_recording(directory, *parts, end_us=end_us)) as reader:
        return render(reader)


def offset_of(channel: Array, sent: Array) -> int:
    """Return where in a channel all of a voice lies, sample for sample."""
    probe = sent[:64]
    windows = np.lib.stride_tricks.sliding_window_view(channel[: len(channel) - len(sent) + 64], 64)
    starts = np.flatnonzero((windows == probe).all(axis=1))
    assert len(starts) == 1, f"found the voice {len(starts)} times"
    start = int(starts[0])
    assert np.array_equal(channel[start : start + len(sent)], sent)
    return start


@pytest.fixture(name="both")
def _both() -> tuple[bytes, bytes]:
    return voice(6, 1), voice(6, 2)


@pytest.mark.parametrize("law", ["PCMA", "PCMU"])
def test_without_loss_the_samples_are_what_the_decoder_gives(
    tmp_path: Path, both: tuple[bytes, bytes], law: str
) -> None:
    """Both voices come out sample for sample: left the outside party, right our side."""
    number = 8 if law == "PCMA" else 0
    packets = stream(both[0], payload_type=number) + ours(stream(both[1], payload_type=number))
    result = rendered(tmp_path, packets, end_us=6_000_000)
    assert np.array_equal(result.left, decoded(both[0], law))
    assert np.array_equal(result.right, decoded(both[1], law))
    assert result.rate == 8000
    assert result.warnings == ()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 20_000), st.sampled_from([80, 160, 240, 320, 480]))
def test_jitter_moves_no_sample(tmp_path: Path, seed: int, first_us: int, packet_samples: int) -> None:
    """With jitter up to 10 ms every sample is there, and the channels are at most 20 ms apart."""
    source = random.Random(seed)
    jitter = [source.randrange(10_001) for _ in range(997)]
    left, right = voice(13, 1), voice(13, 2)
    packets = stream(left, first_us=first_us, jitter_us=jitter, packet_samples=packet_samples, timestamp=seed)
    packets += ours(stream(right, first_us=first_us, jitter_us=jitter[::-1], timestamp=seed ^ 0xFFFF_FFFF))
    result = rendered(Path(tempfile.mkdtemp(dir=tmp_path)), packets)
    positions = offset_of(result.left, decoded(left)), offset_of(result.right, decoded(right))
    assert abs(positions[0] - positions[1]) <= 20 * MS
    assert abs(positions[0] - first_us * RATE // 1_000_000) <= 10 * MS


def test_the_counters_of_rtp_wrap_unheard(tmp_path: Path) -> None:
    """Sequence numbers and timestamps wrap in the middle of a voice without a trace."""
    said = voice(6)
    result = rendered(tmp_path, stream(said, sequence=65_500, timestamp=2**32 - 20_000))
    assert np.array_equal(result.left, decoded(said))
    assert result.summary.outside.counters.lost == 0


def test_loss_is_silence_in_its_place(tmp_path: Path) -> None:
    """A lost packet leaves silence of its length, all else stays where it was, and the loss is counted."""
    said = voice(6)
    packets = stream(said)
    expected = decoded(said).copy()
    for index in (40, 41, 200):
        expected[index * 160 : (index + 1) * 160] = 0
    result = rendered(tmp_path, [packet for index, packet in enumerate(packets) if index not in (40, 41, 200)])
    assert np.array_equal(result.left, expected)
    assert result.summary.outside.counters.lost == 3


def test_copies_and_disorder_are_not_heard(tmp_path: Path) -> None:
    """Packets repeated, also late, and packets that overtook each other give the voice as it was sent."""
    said = voice(6)
    packets = stream(said)
    packets[50] = replace(packets[50], at_us=packets[54].at_us + 1)
    copies = [replace(packet, at_us=packet.at_us + 90_000) for packet in packets[100:110]]
    result = rendered(tmp_path, packets + copies)
    assert np.array_equal(result.left, decoded(said))
    counters = result.summary.outside.counters
    assert (counters.duplicates, counters.reordered, counters.lost) == (10, 1, 0)


def test_packet_times_change_in_mid_call(tmp_path: Path) -> None:
    """10, 20, 30, 40 and 60 ms packets follow each other without a seam."""
    said = voice(10)
    packets: list[Packet] = []
    for index, samples in enumerate((80, 160, 240, 320, 480)):
        piece = said[index * 2 * RATE : (index + 1) * 2 * RATE]
        packets += stream(
            piece,
            packet_samples=samples,
            first_us=index * 2_000_000,
            timestamp=index * 2 * RATE,
            sequence=packets[-1].sequence + 1 if packets else 0,
        )
    assert np.array_equal(rendered(tmp_path, packets).left, decoded(said))


def test_a_codec_changes_in_mid_call(tmp_path: Path) -> None:
    """A-law, then mu-law, then A-law under a dynamic payload type: each is decoded by its own law."""
    said = voice(9)
    packets = stream(said)
    for index, packet in enumerate(packets):
        packets[index] = replace(packet, payload_type=(8, 0, 97)[index // 150])
    entries = [CodecEntry(97, "pcma", 8000), CodecEntry(0, "PCMU", 8000), CodecEntry(8, "PCMA", 8000)]
    codecs = encode_mark(Mark.CODECS, 0, codec_map_body(Direction.OUTSIDE, entries))
    third = len(said) // 3
    expected = np.concatenate([decoded(said[:third]), decoded(said[third : 2 * third], "PCMU"), decoded(said[-third:])])
    result = rendered(tmp_path, [codecs, *packets])
    assert np.array_equal(result.left, expected)
    assert result.summary.outside.codecs == ("PCMA", "PCMU", "pcma")


def test_comfort_noise_and_unsaid_time_are_silence(tmp_path: Path) -> None:
    """Comfort noise (13, and 19 of old gateways) and packets that were not sent keep the length, silently."""
    said = voice(6)
    packets = stream(said)
    expected = decoded(said).copy()
    expected[100 * 160 : 200 * 160] = 0
    packets[100] = replace(packets[100], payload_type=13, payload=b"\x40")
    packets[150] = replace(packets[150], payload_type=19, payload=b"\x40")
    kept = packets[:101] + packets[150:151] + [replace(packets[200], marker=True)] + packets[201:]
    result = rendered(tmp_path, kept)
    assert np.array_equal(result.left, expected)
    assert result.warnings == ()


def test_other_codecs_are_silence_and_a_warning(tmp_path: Path) -> None:
    """Packets of a codec that is not rendered keep their time, and a listener is told what to do."""
    codecs = encode_mark(Mark.CODECS, 0, codec_map_body(OUTSIDE, [CodecEntry(18, "G729", 8000)]))
    result = rendered(tmp_path, [codecs, *stream(voice(2), payload_type=18)], end_us=2_000_000)
    assert len(result.left) == 2 * RATE
    assert not result.left.any()
    assert result.warnings == ("outside party: 100 packets of G729 are silence here; export as pcapng to hear them",)


def test_a_new_ssrc_goes_on_where_it_arrives(tmp_path: Path) -> None:
    """A new source on the same channel is anchored by its own arrival, whatever its timestamps."""
    first, second = voice(3, 1), voice(3, 2)
    packets = stream(first, timestamp=77)
    packets += stream(second, first_us=3_000_000, ssrc=99, sequence=5, timestamp=3_000_000_000)
    assert np.array_equal(rendered(tmp_path, packets).left, decoded(first + second))


@pytest.mark.parametrize("jump", [2**31, 2**31 - 160, 30_000, -30_000, -4000, 5000])
def test_a_timestamp_that_jumps_goes_on_where_it_arrives(tmp_path: Path, jump: int) -> None:
    """Timestamps that jump while the voice goes on, forward or back, leave it where it arrived."""
    first, second = voice(3, 1), voice(3, 2)
    packets = stream(first)
    packets += stream(second, first_us=3_000_000, sequence=1150, timestamp=3 * RATE + jump)
    result = rendered(tmp_path, packets)
    assert np.array_equal(result.left[: 3 * RATE - 160], decoded(first)[:-160])  # the later packet has the word
    assert abs(offset_of(result.left, decoded(second[160:])) - 160 - 3 * RATE) <= 10 * MS


def test_single_strangers_are_not_heard(tmp_path: Path) -> None:
    """Single packets of other sources, or with a wild timestamp, move nothing and are counted."""
    said = voice(6)
    packets = stream(said)
    strangers = [
        replace(packets[index], at_us=packets[index].at_us + 5, ssrc=index, timestamp=index * 7_777_777, sequence=index)
        for index in range(10, 290, 7)
    ]
    wild = replace(packets[200], timestamp=packets[200].timestamp + 2**31, at_us=packets[200].at_us + 7)
    result = rendered(tmp_path, [*packets, *strangers, wild])
    assert np.array_equal(result.left, decoded(said))
    assert result.summary.outside.counters.strays == len(strangers) + 1


@pytest.mark.parametrize(("seconds", "drift"), [(600, 200e-6), pytest.param(1800, 100e-6, marks=pytest.mark.long)])
def test_clocks_that_drift_do_not_slide_apart(tmp_path: Path, seconds: int, drift: float) -> None:
    """Clocks that are 100 and more parts in a million beside: the channels stay within 20 ms, by steps of 10 ms."""
    said = voice(seconds, 1)
    fast = [replace(packet, at_us=int(packet.at_us * (1 - drift))) for packet in stream(said)]
    slow = [replace(packet, at_us=int(packet.at_us * (1 + drift))) for packet in ours(stream(said))]
    result = rendered(tmp_path, fast + slow)
    for side, sign in ((result.summary.outside, -1), (result.summary.ours, 1)):
        assert {adjustment.samples for adjustment in side.adjustments} == {sign * 10 * MS}
        assert abs(len(side.adjustments) - seconds * drift * 100) <= 2
    at = (seconds - 100) * RATE
    probe = decoded(said)[at : at + 8000]
    left, right = (offset_of(channel[at - 2400 : at + 12000], probe) for channel in (result.left, result.right))
    assert abs((left - 2400) + 8000 * drift * (seconds - 100)) <= 20 * MS
    assert abs((right - 2400) - 8000 * drift * (seconds - 100)) <= 20 * MS


def test_a_burst_after_a_stall_moves_no_sample(tmp_path: Path) -> None:
    """Five seconds in which nothing was read, then all at once: every sample is where it was sent."""
    said = voice(30)
    packets = stream(said)
    for index, packet in enumerate(packets):
        if 12_000_000 <= packet.at_us < 17_000_000:
            packets[index] = replace(packet, at_us=17_000_000 + index)
    result = rendered(tmp_path, packets)
    assert np.array_equal(result.left, decoded(said))
    assert result.summary.outside.adjustments == ()


def test_a_route_that_gets_longer_is_followed_by_small_steps(tmp_path: Path) -> None:
    """When the network's delay grows by 25 ms, the anchor follows by at most 10 ms in 5 s until it is near."""
    packets = stream(voice(40))
    later = [replace(packet, at_us=packet.at_us + 25_000 * (packet.at_us > 10_000_000)) for packet in packets]
    adjustments = rendered(tmp_path, later).summary.outside.adjustments
    assert [adjustment.samples for adjustment in adjustments] == [80, 80]
    assert adjustments[1].position - adjustments[0].position >= 5 * RATE


@pytest.mark.parametrize("frozen", [False, True])
def test_after_a_hold_the_voice_is_where_it_was_said(tmp_path: Path, frozen: bool) -> None:
    """A hold keeps its length in silence, whether the sender's timestamps went on meanwhile or stood still."""
    before, after = voice(4, 1), voice(4, 2)
    timestamp = 4 * RATE if frozen else 11 * RATE
    sequence = 1200 if frozen else 1550
    result = rendered(
        tmp_path,
        [
            *stream(before),
            encode_mark(Mark.HOLD, 4_000_000, b"re-INVITE"),
            encode_mark(Mark.HOLD_ENDED, 11_000_000),
            *stream(after, first_us=11_000_000, timestamp=timestamp, sequence=sequence),
        ],
        end_us=15_000_000,
    )
    silence = np.zeros(7 * RATE, np.int16)
    assert np.array_equal(result.left, np.concatenate([decoded(before), silence, decoded(after)]))
    spans = [(span.start_ms, span.end_ms, str(span.state), span.reason) for span in result.segments]
    assert spans == [(0, 4000, "recorded", ""), (4000, 11_000, "hold", "re-INVITE"), (11_000, 15_000, "recorded", "")]


def test_a_short_hold_with_frozen_timestamps_is_not_lost(tmp_path: Path) -> None:
    """A second of hold during which the sender's timestamps stood still is still a second."""
    before, after = voice(4, 1), voice(4, 2)
    result = rendered(
        tmp_path,
        [
            *stream(before),
            encode_mark(Mark.HOLD, 4_000_000),
            encode_mark(Mark.HOLD_ENDED, 5_000_000),
            *stream(after, first_us=5_000_000, timestamp=4 * RATE, sequence=1200),
        ],
    )
    assert offset_of(result.left, decoded(after)) == 5 * RATE


def test_segments_cover_the_recording(tmp_path: Path) -> None:
    """Pause, hold and gap are told with their reasons; where they overlap pause goes before hold before gap."""
    marks = [
        encode_mark(Mark.HOLD, 1_000_000, b"h"),
        encode_mark(Mark.PAUSE, 2_000_000, b"card"),
        encode_mark(Mark.HOLD_ENDED, 3_000_000),
        encode_mark(Mark.PAUSE_ENDED, 4_000_000),
        encode_mark(Mark.GAP, 5_000_000, gap_body(6_500_000, "disk")),
        encode_mark(Mark.PAUSE, 6_000_000),
        encode_mark(Mark.PAUSE, 6_100_000, b"again"),
    ]
    summary = rendered(tmp_path, marks, end_us=8_000_000).summary
    assert [(span.start_ms, span.end_ms, str(span.state), span.reason) for span in summary.segments] == [
        (0, 1000, "recorded", ""),
        (1000, 2000, "hold", "h"),
        (2000, 4000, "paused", "card"),
        (4000, 5000, "recorded", ""),
        (5000, 6000, "gap", "disk"),
        (6000, 8000, "paused", ""),
    ]
    assert summary.duration_ms == 8000


def test_a_hold_outlasts_a_worker(tmp_path: Path) -> None:
    """A hold that the next part repeats at its start is one hold; one that ended meanwhile ends where the part did."""
    first: list[Packet | bytes] = [
        *stream(voice(1)),
        encode_mark(Mark.HOLD, 1_000_000, b"h"),
        encode_mark(Mark.PAUSE, 1_000_000, b"p"),
    ]
    second = [encode_mark(Mark.HOLD, 3_000_000, b"h"), encode_mark(Mark.HOLD_ENDED, 4_000_000)]
    spans = rendered(tmp_path, first, second, end_us=5_000_000).segments
    # Both parts carry the same "started at" here, so the second begins where the first ended.
    assert [(span.start_ms, span.end_ms, str(span.state)) for span in spans] == [
        (0, 1000, "recorded"),
        (1000, 4000, "hold"),
        (4000, 5000, "recorded"),
    ]


def test_headers_with_everything_in_them_are_understood(tmp_path: Path) -> None:
    """CSRCs, an extension and padding around a payload change nothing; broken packets are told."""
    said = voice(4)
    records: list[Packet | bytes] = []
    for packet in stream(said):
        plain = packet.rtp()
        extended = (
            bytes([0xB2]) + plain[1:12] + bytes(8) + b"\xbe\xde\x00\x01" + bytes(4) + packet.payload + b"\0\0\0\4"
        )
        head = bytes([OUTSIDE]) + len(extended).to_bytes(2, "big") + packet.at_us.to_bytes(8, "big")
        records.append(head + extended)
    records += [bytes([OUTSIDE]) + bytes(10), bytes([OUTSIDE]) + b"\0\x0c" + bytes(8) + bytes(12)]
    result = rendered(tmp_path, records)
    assert np.array_equal(result.left, decoded(said))
    assert result.warnings == ("outside party: 2 packets were broken and are not used",)


def test_blocks_are_the_whole(tmp_path: Path) -> None:
    """Rendering in blocks, again and again, gives the same samples as rendering at once."""
    paths = write_recording(tmp_path, stream(voice(35)) + ours(stream(voice(33, 2))))
    with open_recording(paths) as reader:
        whole = render(reader)
        blocks = list(Renderer(reader).blocks())
    assert len(blocks) > 3
    assert all(len(block) == BLOCK_S * RATE for block in blocks[:-2])
    assert np.array_equal(np.concatenate(blocks), np.stack([whole.left, whole.right], axis=1))


def test_eight_hours_of_hold_take_no_memory(tmp_path: Path) -> None:
    """However long nothing is said, and however the voice comes back, memory stays small."""
    hours = 8 * 3600
    after = stream(voice(5, 2), first_us=hours * 1_000_000, timestamp=hours * RATE, sequence=9000)
    paths = write_recording(tmp_path, stream(voice(5)), after)
    both = write_recording(tmp_path / "one", [*stream(voice(5)), *after])
    for each in (paths, both):
        with open_recording(each) as reader:
            tracemalloc.start()
            summary = summarise(reader)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert summary.duration_ms == (hours + 5) * 1000
        assert peak < 20_000_000


def test_what_is_cut_says_so(tmp_path: Path) -> None:
    """A recording without its end renders what is there and warns."""
    path = write_recording(tmp_path, stream(voice(2)))[0]
    path.write_bytes(path.read_bytes()[:-30])
    with open_recording([path]) as reader:
        result = render(reader)
    assert result.summary.cut
    assert "the end of the recording is missing" in result.warnings[-1]


def test_levels_tell_who_spoke(tmp_path: Path) -> None:
    """The meter shows the loudness of each second of each side, and nothing where nothing was."""
    packets = [*stream(voice(2)), *ours(stream(voice(1, 2), first_us=2_000_000))]
    with open_recording(write_recording(tmp_path, packets, end_us=3_500_000)) as reader:
        found = list(levels(Renderer(reader).blocks(), RATE))
    assert [level.second for level in found] == [0, 1, 2, 3]
    assert [level.left_dbfs is not None for level in found] == [True, True, False, False]
    assert [level.right_dbfs is not None for level in found] == [False, False, True, False]
    assert all(-30 < level.left_dbfs < 0 for level in found[:2] if level.left_dbfs is not None)


packets_of_chaos = st.lists(
    st.builds(
        Packet,
        at_us=st.integers(0, 60_000_000),
        sequence=st.integers(0, 65_535),
        timestamp=st.integers(0, 2**32 - 1) | st.integers(0, 480_000),
        payload=st.binary(max_size=200),
        direction=st.sampled_from([1, 2]),
        ssrc=st.integers(1, 2),
        payload_type=st.sampled_from([0, 8, 13, 101, 9]),
        marker=st.booleans(),
    ),
    max_size=60,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(packets_of_chaos, st.lists(st.tuples(st.sampled_from(Mark), st.integers(0, 60_000_000), st.binary(max_size=12))))
def test_any_packets_render_or_are_refused(
    tmp_path: Path, packets: list[Packet], marks: list[tuple[Mark, int, bytes]]
) -> None:
    """Whatever was stored: a rendering whose segments cover it, or IntegrityError for a malformed mark."""
    records: list[Packet | bytes] = [*packets, *(encode_mark(mark, at, body) for mark, at, body in marks)]
    paths = write_recording(Path(tempfile.mkdtemp(dir=tmp_path)), records)
    try:
        with open_recording(paths) as reader:
            result = render(reader)
    except IntegrityError:
        assert marks
        return
    assert len(result.left) == len(result.right) <= 75 * RATE
    edges = [0, *(span.end_ms for span in result.segments)]
    assert edges[-1] == result.summary.duration_ms
    assert [span.start_ms for span in result.segments] == edges[:-1]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_damage_is_told(tmp_path: Path, data: st.DataObject) -> None:
    """However a file is damaged: what is read is a beginning of what was written, and cut, or IntegrityError."""
    paths = write_recording(Path(tempfile.mkdtemp(dir=tmp_path)), stream(voice(8)))
    with open_recording(paths) as reader:
        original = list(reader.records())
    content = bytearray(paths[0].read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, 600))
        content[at : at + length] = data.draw(st.binary(max_size=4) | st.just(bytes(length)))
    paths[0].write_bytes(content)
    try:
        with open_recording(paths) as reader:
            found = [record for _, record in reader.records()]
            cut = reader.cut
    except IntegrityError:
        return
    assert found == [record for _, record in original][: len(found)]
    assert cut or len(found) == len(original)
