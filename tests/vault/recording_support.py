"""Makes recordings for tests: streams of RTP packets with the arrival times a test wants."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from callrec.vault.part_reader import RecordingReader
from callrec.vault.part_writer import PartSource, PartWriter
from callrec.vault.recording_format import (
    OURS,
    OUTSIDE,
    Mark,
    encode_mark,
    encode_packet,
    split_records,
)

RECORDING = "0b9d2c1e-5a47-4f7e-8a32-6f6b1f0c9d11"
AUDIO_KEY = hashlib.sha256(b"audio key of the tests").digest()
STARTED_AT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
STARTED_AT_NS = int(STARTED_AT.timestamp()) * 1_000_000_000
RATE = 8000


def salts() -> Iterator[bytes]:
    count = 0
    while True:
        yield hashlib.sha256(b"salt %d" % count).digest()
        count += 1


def part_source(directory: Path, recording_id: str = RECORDING) -> PartSource:
    source = salts()
    return PartSource(recording_id, AUDIO_KEY, directory, lambda length: next(source)[:length])


@dataclass(frozen=True)
class Packet:
    """One RTP packet of a test, at an arrival in microseconds."""

    at_us: int
    sequence: int
    timestamp: int
    payload: bytes
    direction: int = OUTSIDE
    ssrc: int = 0x1111
    payload_type: int = 8
    marker: bool = False

    def rtp(self) -> bytes:
        second = self.payload_type | self.marker << 7
        timestamp, sequence = self.timestamp & 0xFFFF_FFFF, self.sequence & 0xFFFF
        return struct.pack("!BBHII", 0x80, second, sequence, timestamp, self.ssrc) + self.payload

    def encode(self) -> bytes:
        return encode_packet(self.direction, self.at_us, self.rtp())


def stream(
    payload: bytes,
    *,
    direction: int = OUTSIDE,
    first_us: int = 0,
    packet_samples: int = 160,
    sequence: int = 1000,
    timestamp: int = 0,
    ssrc: int = 0x1111,
    payload_type: int = 8,
    jitter_us: Sequence[int] = (0,),
) -> list[Packet]:
    """Return the packets of one voice, sent in time, each delayed by the next of the jitters."""
    packets = []
    for index, start in enumerate(range(0, len(payload), packet_samples)):
        at_us = first_us + start * 1_000_000 // RATE + jitter_us[index % len(jitter_us)]
        packets.append(
            Packet(
                at_us=at_us,
                sequence=sequence + index,
                timestamp=timestamp + start,
                payload=payload[start : start + packet_samples],
                direction=direction,
                ssrc=ssrc,
                payload_type=payload_type,
            )
        )
    return packets


def ours(packets: Iterable[Packet]) -> list[Packet]:
    return [replace(packet, direction=OURS, ssrc=packet.ssrc + 1) for packet in packets]


def voice(seconds: float, seed: int = 1) -> bytes:
    """Return G.711 bytes that repeat nowhere, so that each sample has one place."""
    length = int(seconds * RATE)
    digest = hashlib.shake_256(b"voice %d" % seed).digest(length)
    return bytes(digest)


def _instant(item: Packet | bytes) -> tuple[int, bool]:
    """Return when something was stored; a mark before a packet of the same instant."""
    return (item.at_us, True) if isinstance(item, Packet) else (int.from_bytes(item[3:11], "big"), False)


def write_recording(directory: Path, *parts: Sequence[Packet | bytes], end_us: int | None = None) -> list[Path]:
    """Write packets and marks in the order of their arrival; all parts but the last are left cut."""
    source = part_source(directory)
    paths = []
    for number, part in enumerate(parts, 1):
        writer = PartWriter(source.next_part(STARTED_AT), STARTED_AT_NS)
        ordered = sorted(part, key=_instant)
        records = b"".join(item.encode() if isinstance(item, Packet) else item for item in ordered)
        for run in split_records(records):
            writer.append(run)
        if number == len(parts):
            final = encode_mark(Mark.END, end_us) if end_us is not None else b""
            paths.append(writer.seal(final).path)
        else:
            writer.close()
            paths.append(writer.spec.path)
    return paths


def open_recording(paths: Sequence[Path]) -> RecordingReader:
    return RecordingReader(paths, AUDIO_KEY, RECORDING)
