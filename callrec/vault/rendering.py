"""Makes sound of a recording: two channels, placed by RTP timestamp, the same records always the same samples."""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt

from callrec.errors import PeerError
from callrec.rtp.g711 import Law, decode_sample
from callrec.rtp.header import FIXED_HEADER, FIXED_LENGTH, payload_of
from callrec.vault.part_reader import PartReader, RecordingReader
from callrec.vault.placement import RATE, Adjustment, Counters, Incoming, Placer
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
from callrec.vault.timeline import SpanState, Timeline, TimelineSegment

Samples = npt.NDArray[np.int16]

BLOCK = 10 * RATE
"""Samples that are yielded at once."""
HORIZON = 12 * RATE
"""How far behind the newest arrival samples may still be placed: a worker's stall of 5 s, a jump, a measurement."""
SILENT, A_LAW, MU_LAW = 0, 1, 2
_COMFORT_NOISE = -1
_IGNORED = -2
_STATIC = {0: CodecEntry(0, "PCMU", 8000), 8: CodecEntry(8, "PCMA", 8000)}
_STATIC |= {number: CodecEntry(number, "CN", 8000) for number in (13, 19)}
_LAWS = {"PCMA": A_LAW, "PCMU": MU_LAW, "CN": _COMFORT_NOISE, "TELEPHONE-EVENT": _IGNORED}


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
        return self.length * 1000 // RATE


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


class _Canvas:
    """The codes of one channel that are not yielded yet, each with the law that decodes it."""

    def __init__(self) -> None:
        self.late = 0
        self.end = 0
        """Position behind the last sample placed."""
        self._start = 0
        self._codes = bytearray()
        self._laws = bytearray()

    def place(self, position: int, payload: bytes, law: int) -> None:
        """Put a payload at a position; what lies before the canvas comes too late."""
        first = position - self._start
        if first < 0:
            self.late += 1
            payload, first = payload[-first:] if first + len(payload) > 0 else b"", 0
        behind = first + len(payload)
        missing = behind - len(self._codes)
        if missing > 0:
            self._codes += bytes(missing + BLOCK)
            self._laws += bytes(missing + BLOCK)
        self._codes[first:behind] = payload
        self._laws[first:behind] = bytes((law,)) * len(payload)
        self.end = max(self.end, self._start + behind if payload else 0)

    def take(self, length: int) -> Samples:
        """Return and forget the next samples."""
        codes = np.frombuffer(self._codes[:length].ljust(length, b"\0"), np.uint8)
        laws = np.frombuffer(self._laws[:length].ljust(length, b"\0"), np.uint8)
        del self._codes[:length], self._laws[:length]
        self._start += length
        samples: Samples = _table()[(laws.astype(np.uint16) << 8) | codes]
        return samples


@dataclass(slots=True)
class _Side:
    """One direction while it is read."""

    canvas: _Canvas = field(default_factory=_Canvas)
    codecs: dict[int, CodecEntry] = field(default_factory=lambda: dict(_STATIC))
    laws: dict[int, int] = field(default_factory=dict)
    heard: Counter[str] = field(default_factory=Counter)
    unrendered: Counter[str] = field(default_factory=Counter)
    malformed: int = 0
    placer: Placer = field(init=False)

    def __post_init__(self) -> None:
        self.placer = Placer(self.canvas.place)
        self.learn(())

    def learn(self, entries: tuple[CodecEntry, ...]) -> None:
        """Take in a codec map."""
        self.codecs = _STATIC | {entry.payload_type: entry for entry in entries}
        self.laws = {number: _law(codec) for number, codec in self.codecs.items()}

    def take(self, arrival: int, packet: bytes) -> int:
        """Take in an RTP packet; return how many samples it holds."""
        try:
            flags, second, sequence, timestamp, ssrc = FIXED_HEADER.unpack_from(packet)
            payload = packet[FIXED_LENGTH:] if flags == 0x80 else payload_of(packet)
        except (PeerError, struct.error):
            self.malformed += 1
            return 0
        number = second & 0x7F
        law = self.laws.get(number)
        if law is None or law == SILENT:
            self._count(self.unrendered, number)
        elif law > SILENT and payload:
            self._count(self.heard, number)
            marker = second > 0x7F
            self.placer.take(Incoming(arrival, sequence, timestamp, ssrc, marker, payload, law))
            return len(payload)
        return 0

    def _count(self, counter: Counter[str], number: int) -> None:
        codec = self.codecs.get(number)
        counter[codec.name if codec is not None else f"payload type {number}"] += 1

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
        self._sides = {OUTSIDE: _Side(), OURS: _Side()}
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
            yield from self._flush(self._newest - HORIZON, BLOCK)
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
        sides, timeline = self._sides, self._timeline
        for kind, offset_us, start, end in walk_records(plaintext):
            at_us = start_us + offset_us
            arrival = at_us * RATE // 1_000_000
            if arrival > self._newest:
                if arrival > self._newest + BLOCK:
                    yield from self._flush(arrival - HORIZON, BLOCK)
                self._newest = arrival
            side = sides.get(kind)
            if side is not None:
                samples = side.take(arrival, plaintext[start:end])
                timeline.packet(at_us + samples * 1_000_000 // RATE)
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
        while (ready := min(until - self._rendered, BLOCK)) >= least:
            self._rendered += ready
            sides = [self._sides[direction].canvas.take(ready) for direction in (OUTSIDE, OURS)]
            yield np.stack(sides, axis=1)

    def _length(self) -> int:
        """Return the samples of the recording: to its END mark, or as far as anything is known."""
        timeline = self._timeline
        end_us = timeline.latest_us if timeline.end_us is None else timeline.end_us
        samples = max(side.canvas.end for side in self._sides.values())
        return max(0, end_us * RATE // 1_000_000, samples)

    def _summarise(self, length: int) -> Summary:
        outside, ours = self._sides[OUTSIDE], self._sides[OURS]
        warnings = [*_warnings("outside party", outside), *_warnings("our side", ours)]
        if self._reader.cut:
            warnings.append("the end of the recording is missing: its writer was stopped before it could seal it")
        warnings += [f"part {number} is not there" for number in self._reader.missing_parts]
        return Summary(
            length=length,
            segments=self._timeline.segments(length * 1_000_000 // RATE),
            cut=self._reader.cut,
            outside=outside.channel(),
            ours=ours.channel(),
            warnings=tuple(warnings),
        )


def render(reader: RecordingReader) -> Rendering:
    """Render a whole recording into memory: 32 KB for each second of it.

    Raises:
        IntegrityError: if the recording does not verify.
    """
    renderer = Renderer(reader)
    blocks = list(renderer.blocks())
    samples = np.concatenate(blocks) if blocks else np.zeros((0, 2), np.int16)
    return Rendering(samples[:, 0].copy(), samples[:, 1].copy(), RATE, renderer.summary)


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


def levels(blocks: Iterator[Samples]) -> Iterator[Level]:
    """Yield the level of each second of a rendering, the last one of what is left; for a meter."""
    rest = np.zeros((0, 2), np.int16)
    second = 0
    for block in blocks:
        rest = np.concatenate((rest, block))
        while len(rest) >= RATE:
            yield _level(second, rest[:RATE])
            rest = rest[RATE:]
            second += 1
    if len(rest):
        yield _level(second, rest)


def _level(second: int, samples: Samples) -> Level:
    power = np.mean(np.square(samples, dtype=np.float64), axis=0)
    left, right = (round(10 * math.log10(value) - 20 * math.log10(32768), 1) if value else None for value in power)
    return Level(second, left, right)


@cache
def _table() -> Samples:
    """Return the sample of each code under each law: none, A, mu."""
    silent = [0] * 256
    laws = ([decode_sample(law, code) for code in range(256)] for law in (Law.A, Law.MU))
    table: Samples = np.array([*silent, *(value for law in laws for value in law)], np.int16)
    table.setflags(write=False)
    return table


def _law(codec: CodecEntry) -> int:
    """Return how a codec is decoded; SILENT if it is not."""
    law = _LAWS.get(codec.name.upper(), SILENT)
    plain = codec.clock_rate == RATE and codec.channels in (0, 1)
    return law if plain or law < SILENT else SILENT


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
