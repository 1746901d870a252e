"""Makes sound of a recording: two channels, placed by RTP timestamp, the same records always the same samples."""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from callrec.errors import PeerError
from callrec.rtp.header import FIXED_HEADER, FIXED_LENGTH, payload_of
from callrec.rtp.opus import is_silence
from callrec.vault.canvas import Canvas, Samples
from callrec.vault.coding import OPUS, SILENT, decoding_of, known_codecs, silent_kind
from callrec.vault.part_reader import PartReader, RecordingReader
from callrec.vault.placement import Adjustment, Counters, Incoming, Placer
from callrec.vault.recording_format import (
    OURS,
    OUTSIDE,
    CodecEntry,
    Mark,
    parse_codec_map,
    parse_gap,
    parse_reason,
    walk_records,
)
from callrec.vault.rendering_rate import rate_of
from callrec.vault.timeline import SpanState, Timeline, TimelineSegment

BLOCK_S = 10
"""Seconds that are yielded at once."""
HORIZON_S = 12
"""How far behind the newest arrival samples may still be placed: a worker's stall of 5 s, a jump, a measurement."""


@dataclass(frozen=True, slots=True)
class Channel:
    """What was found in one direction."""

    counters: Counters
    codecs: tuple[str, ...]
    """Names of the codecs that were heard, in the order of their first packet."""
    adjustments: tuple[Adjustment, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a recording holds, known once it has been read to its end."""

    rate: int
    """Samples a second: 8,000 for G.711, 16,000 where G.722 was heard, 48,000 where Opus was."""
    length: int
    """Samples of each channel."""
    segments: tuple[TimelineSegment, ...]
    cut: bool
    """The end of the recording is missing."""
    outside: Channel
    ours: Channel
    warnings: tuple[str, ...]

    @property
    def duration_ms(self) -> int:
        """Return the length in milliseconds."""
        return self.length * 1000 // self.rate


@dataclass(frozen=True, slots=True)
class Rendering:
    """A whole recording as samples; for short ones, long ones are rendered in blocks."""

    left: Samples
    """The outside party."""
    right: Samples
    """Our side."""
    rate: int
    summary: Summary

    @property
    def segments(self) -> tuple[TimelineSegment, ...]:
        """Return which spans hold voice."""
        return self.summary.segments

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what a listener should know."""
        return self.summary.warnings


class _Side:
    """One direction while it is read."""

    def __init__(self, rate: int) -> None:
        self.canvas = Canvas(rate)
        self.placer = Placer(self.canvas.place, rate)
        self.heard: Counter[str] = Counter()
        self.unrendered: Counter[str] = Counter()
        self.malformed = 0
        self._rate = rate
        self.learn(())

    def learn(self, entries: tuple[CodecEntry, ...]) -> None:
        """Take in a codec map."""
        self._codecs = known_codecs(entries)
        self._decodings = {number: decoding_of(codec) for number, codec in self._codecs.items()}

    def take(self, arrival: int, packet: bytes) -> int:
        """Take in an RTP packet; return how many microseconds of voice it holds."""
        try:
            flags, second, sequence, timestamp, ssrc = FIXED_HEADER.unpack_from(packet)
            payload = packet[FIXED_LENGTH:] if flags == 0x80 else payload_of(packet)
        except (PeerError, struct.error):
            self.malformed += 1
            return 0
        number = second & 0x7F
        decoding = self._decodings.get(number)
        if decoding is None:
            self._not_decoded(number)
            return 0
        if not payload or (decoding.coding == OPUS and is_silence(payload)):
            return 0
        samples = decoding.length(payload)
        if not samples:
            self.malformed += 1
            return 0
        self.heard[self._codecs[number].name] += 1
        marker, tick = second > 0x7F, self._rate // decoding.clock_rate
        self.placer.take(Incoming(arrival, sequence, timestamp, ssrc, marker, payload, decoding.coding, tick))
        return samples * 1_000_000 // decoding.rate

    def _not_decoded(self, number: int) -> None:
        codec = self._codecs.get(number)
        if codec is None:
            self.unrendered[f"payload type {number}"] += 1
        elif silent_kind(codec) == SILENT:
            self.unrendered[codec.name] += 1

    def finish(self) -> None:
        """Place what is still held."""
        self.placer.finish()
        self.placer.counters.late = self.canvas.late

    def channel(self) -> Channel:
        """Return what was found."""
        return Channel(self.placer.counters, tuple(self.heard + self.unrendered), tuple(self.placer.adjustments))


class Renderer:
    """Renders one recording in blocks; its memory does not grow with the recording's length."""

    def __init__(self, reader: RecordingReader) -> None:
        self._reader = reader
        self.rate = rate_of(reader)
        """Samples a second of what is yielded."""
        self._block, self._horizon = BLOCK_S * self.rate, HORIZON_S * self.rate
        self._sides = {OUTSIDE: _Side(self.rate), OURS: _Side(self.rate)}
        self._timeline = Timeline()
        self._rendered = 0
        self._newest = 0
        self._summary: Summary | None = None

    @property
    def summary(self) -> Summary:
        """Return what the recording holds, once all blocks have been taken."""
        if self._summary is None:
            raise RuntimeError("internal error: a summary is asked for before all blocks were taken")
        return self._summary

    def blocks(self) -> Iterator[Samples]:
        """Yield the samples as arrays of shape (n, 2): left the outside party, right our side.

        Raises:
            IntegrityError: if the recording does not verify; what was yielded before is authentic.
        """
        current: PartReader | None = None
        start_us = 0
        for part, plaintext in self._reader.segments():
            if part is not current:
                start_us = (part.header.started_at_ns - self._reader.started_at_ns) // 1000
                self._begin_part(current, part, start_us)
                current = part
            yield from self._take(plaintext, start_us)
            yield from self._flush(self._newest - self._horizon, self._block)
        for side in self._sides.values():
            side.finish()
        length = self._length()
        yield from self._flush(length, 1)
        self._summary = self._summarise(length)

    def _begin_part(self, previous: PartReader | None, part: PartReader, start_us: int) -> None:
        if previous is None:
            return
        for side in self._sides.values():
            side.placer.break_here()
            side.learn(())
        missing = part.header.part != previous.header.part + 1
        self._timeline.part(start_us, "part_missing" if missing else "interrupted")

    def _take(self, plaintext: bytes, start_us: int) -> Iterator[Samples]:
        """Take in one segment; after a long silence yield it first, so that it never lies in memory."""
        sides, timeline, rate = self._sides, self._timeline, self.rate
        for kind, offset_us, start, end in walk_records(plaintext):
            at_us = start_us + offset_us
            arrival = at_us * rate // 1_000_000
            if arrival > self._newest:
                if arrival > self._newest + self._block:
                    yield from self._flush(arrival - self._horizon, self._block)
                self._newest = arrival
            side = sides.get(kind)
            if side is not None:
                timeline.packet(at_us + side.take(arrival, plaintext[start:end]))
            else:
                self._mark(Mark(kind), at_us, start_us, plaintext[start:end])

    def _mark(self, mark: Mark, at_us: int, start_us: int, body: bytes) -> None:
        match mark:
            case Mark.CODECS:
                direction, entries = parse_codec_map(body)
                self._sides[direction].learn(entries)
            case Mark.HOLD | Mark.PAUSE:
                self._timeline.begin(_state(mark), at_us, parse_reason(body))
            case Mark.HOLD_ENDED | Mark.PAUSE_ENDED:
                self._timeline.finish(_state(mark), at_us)
                self._break()
            case Mark.GAP:
                end_us, reason = parse_gap(body)
                self._timeline.gap(at_us, start_us + end_us, reason)
                self._break()
            case Mark.END:
                self._timeline.ended(at_us)

    def _break(self) -> None:
        for side in self._sides.values():
            side.placer.break_here()

    def _flush(self, until: int, least: int) -> Iterator[Samples]:
        """Yield what lies before a position, if it is enough."""
        while (ready := min(until - self._rendered, self._block)) >= least:
            self._rendered += ready
            sides = [self._sides[direction].canvas.take(ready) for direction in (OUTSIDE, OURS)]
            yield np.stack(sides, axis=1)

    def _length(self) -> int:
        """Return the samples of the recording: to its END mark, or as far as anything is known."""
        timeline = self._timeline
        end_us = timeline.latest_us if timeline.end_us is None else timeline.end_us
        samples = max(side.canvas.end for side in self._sides.values())
        return max(0, end_us * self.rate // 1_000_000, samples)

    def _summarise(self, length: int) -> Summary:
        outside, ours = self._sides[OUTSIDE], self._sides[OURS]
        warnings = [*_warnings("outside party", outside), *_warnings("our side", ours)]
        if self._reader.cut:
            warnings.append("the end of the recording is missing: its writer was stopped before it could seal it")
        warnings += [f"part {number} is not there" for number in self._reader.missing_parts]
        return Summary(
            rate=self.rate,
            length=length,
            segments=self._timeline.segments(length * 1_000_000 // self.rate),
            cut=self._reader.cut,
            outside=outside.channel(),
            ours=ours.channel(),
            warnings=tuple(warnings),
        )


def render(reader: RecordingReader) -> Rendering:
    """Render a whole recording into memory: 32 KB for each second of G.711, six times that for Opus.

    Raises:
        IntegrityError: if the recording does not verify.
    """
    renderer = Renderer(reader)
    blocks = list(renderer.blocks())
    samples = np.concatenate(blocks) if blocks else np.zeros((0, 2), np.int16)
    return Rendering(samples[:, 0].copy(), samples[:, 1].copy(), renderer.rate, renderer.summary)


def summarise(reader: RecordingReader) -> Summary:
    """Read a recording to its end for its length, segments and counters.

    Raises:
        IntegrityError: if the recording does not verify.
    """
    renderer = Renderer(reader)
    for _ in renderer.blocks():
        pass
    return renderer.summary


@dataclass(frozen=True, slots=True)
class Level:
    """How loud one second was, in dB below full scale; None where nothing but zeros was."""

    second: int
    left_dbfs: float | None
    right_dbfs: float | None


def levels(blocks: Iterator[Samples], rate: int) -> Iterator[Level]:
    """Yield the level of each second of a rendering, the last one of what is left; for a meter."""
    rest = np.zeros((0, 2), np.int16)
    second = 0
    for block in blocks:
        rest = np.concatenate((rest, block))
        while len(rest) >= rate:
            yield _level(second, rest[:rate])
            rest = rest[rate:]
            second += 1
    if len(rest):
        yield _level(second, rest)


def _level(second: int, samples: Samples) -> Level:
    power = np.mean(np.square(samples, dtype=np.float64), axis=0)
    left, right = (round(10 * math.log10(value) - 20 * math.log10(32768), 1) if value else None for value in power)
    return Level(second, left, right)


def _state(mark: Mark) -> SpanState:
    return SpanState.HOLD if mark in (Mark.HOLD, Mark.HOLD_ENDED) else SpanState.PAUSED


def _warnings(name: str, side: _Side) -> Iterator[str]:
    for codec, count in side.unrendered.items():
        yield f"{name}: {count} packets of {codec} are silence here; export as pcapng to hear them"
    counters = side.placer.counters
    found = {"broken": side.malformed, "stray": counters.strays, "too late": counters.late}
    for what, count in found.items():
        if count:
            yield f"{name}: {count} packets were {what} and are not used"
