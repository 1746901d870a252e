"""The recording file as bytes: header, part key, frames and records (docs/recording-format.md, version 1)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from callrec.errors import IntegrityError

VERSION = 1
MAGIC = b"crec\r\n\x1a\n"
SALT_LENGTH = 32
KEY_LENGTH = 32
TAG_LENGTH = 16
FIELDS_LENGTH = 80
HEADER_LENGTH = FIELDS_LENGTH + TAG_LENGTH
FRAME_LENGTH = 4
LAST_SEGMENT_BIT = 0x8000_0000
SEGMENT_LIMIT = 32_768
"""Bytes of plaintext that a segment holds at most."""
PACKET_LIMIT = 8_192
"""Bytes of the longest datagram that is stored."""

_FIELDS = struct.Struct(">8sHHI16sQ32sQ")
_FRAME = struct.Struct(">I")
_RECORD = struct.Struct(">BHQ")
RECORD_HEADER_LENGTH = _RECORD.size
_GAP_END = struct.Struct(">Q")
_CODEC_ENTRY = struct.Struct(">BBIB")
_pack_record = _RECORD.pack


class Direction(IntEnum):
    """Whose voice a packet carries; the value is the type of its record."""

    OUTSIDE = 0x01
    OURS = 0x02


class Mark(IntEnum):
    """What a record that is no packet says; the value is the type of the record."""

    CODECS = 0x10
    HOLD = 0x11
    HOLD_ENDED = 0x12
    PAUSE = 0x13
    PAUSE_ENDED = 0x14
    GAP = 0x15
    END = 0x16


OUTSIDE = int(Direction.OUTSIDE)
OURS = int(Direction.OURS)
_MARKS = {int(mark): mark for mark in Mark}


@dataclass(frozen=True, slots=True)
class Header:
    """The fields at the start of a part."""

    recording_id: str
    part: int
    started_at_ns: int
    """Nanoseconds since 1970-01-01T00:00:00Z; offsets of records count from here."""
    salt: bytes

    def fields(self) -> bytes:
        """Return the 80 bytes that the header's tag and every segment's tag authenticate."""
        recording = UUID(self.recording_id).bytes
        return _FIELDS.pack(MAGIC, VERSION, HEADER_LENGTH, self.part, recording, self.started_at_ns, self.salt, 0)

    def sealed(self, cipher: AESGCM) -> bytes:
        """Return the header as it stands in the file."""
        fields = self.fields()
        return fields + cipher.encrypt(segment_nonce(0, last=False), b"", fields)

    @classmethod
    def parse(cls, data: bytes) -> Header:
        """Return the header at the start of a file; its tag is not verified here.

        Raises:
            IntegrityError: if it is no header of version 1.
        """
        if len(data) < HEADER_LENGTH:
            raise IntegrityError(f"found {len(data)} bytes, expected a header of {HEADER_LENGTH}")
        magic, version, length, part, recording, started_at_ns, salt, zero = _FIELDS.unpack_from(data)
        if magic != MAGIC:
            raise IntegrityError("found no magic of a recording file at its start")
        if version != VERSION:
            raise IntegrityError(f"found format version {version}, expected {VERSION}; a newer callrec wrote this file")
        if length != HEADER_LENGTH or zero != 0 or part == 0:
            raise IntegrityError(f"found an impossible header (length {length}, part {part})")
        return cls(str(UUID(bytes=recording)), part, started_at_ns, salt)


def verify_header(data: bytes, cipher: AESGCM) -> None:
    """Verify the tag of the header at the start of a file.

    Raises:
        IntegrityError: if the header was changed or the key is another.
    """
    try:
        cipher.decrypt(segment_nonce(0, last=False), data[FIELDS_LENGTH:HEADER_LENGTH], data[:FIELDS_LENGTH])
    except InvalidTag:
        raise IntegrityError("the header does not verify: it was changed, or this is not its key") from None


def derive_part_key(audio_key: bytes, salt: bytes, recording_id: str, part: int) -> bytes:
    """Return the key of one part (section 5 of the format)."""
    info = b"callrec recording\x00" + struct.pack(">H16sI", VERSION, UUID(recording_id).bytes, part)
    return HKDF(algorithm=hashes.SHA256(), length=KEY_LENGTH, salt=salt, info=info).derive(audio_key)


def segment_nonce(counter: int, *, last: bool) -> bytes:
    """Return the nonce of a segment: 11 bytes of counter, one that says whether it is the last."""
    return (counter << 8 | last).to_bytes(12, "big")


def encode_frame(ciphertext_length: int, *, last: bool) -> bytes:
    """Return the four bytes before a segment's ciphertext."""
    return _FRAME.pack(ciphertext_length | (LAST_SEGMENT_BIT if last else 0))


def decode_frame(frame: bytes) -> tuple[int, bool]:
    """Return the length of a segment's ciphertext with its tag, and whether it is the last segment."""
    (value,) = _FRAME.unpack(frame)
    return value & ~LAST_SEGMENT_BIT, bool(value & LAST_SEGMENT_BIT)


def frame_is_possible(length: int, *, last: bool) -> bool:
    """Return whether a segment may have this length of ciphertext and tag."""
    return TAG_LENGTH + (not last) <= length <= SEGMENT_LIMIT + TAG_LENGTH


# --- records -----------------------------------------------------------------------------------------------------


def encode_packet(direction: int, offset_us: int, packet: bytes) -> bytes:
    """Return a record with an RTP packet as received; empty if it is longer than any that is stored.

    The worker calls this for every packet: `direction` is OUTSIDE or OURS, `offset_us` the arrival in microseconds
    after the part's start.
    """
    length = len(packet)
    if length > PACKET_LIMIT:
        return b""
    return _pack_record(direction, length, offset_us) + packet


def encode_mark(mark: Mark, offset_us: int, body: bytes = b"") -> bytes:
    """Return a record with a mark; see `codec_map_body` and `gap_body` for the bodies, reasons are UTF-8."""
    return _pack_record(int(mark), len(body), offset_us) + body


@dataclass(frozen=True, slots=True)
class CodecEntry:
    """What a payload type means in one direction."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1


def codec_map_body(direction: int, codecs: Sequence[CodecEntry]) -> bytes:
    """Return the body of a CODECS mark: what the payload types of one direction mean from here on."""
    body = [bytes([direction])]
    for codec in codecs:
        name = codec.name.encode("ascii", "replace")[:255]
        body.append(_CODEC_ENTRY.pack(codec.payload_type, codec.channels, codec.clock_rate, len(name)) + name)
    return b"".join(body)


def parse_codec_map(body: bytes) -> tuple[Direction, tuple[CodecEntry, ...]]:
    """Return the direction and the entries of a CODECS mark.

    Raises:
        IntegrityError: if the body is malformed.
    """
    entries = []
    position = 1
    try:
        direction = Direction(body[0])
        while position < len(body):
            payload_type, channels, clock_rate, length = _CODEC_ENTRY.unpack_from(body, position)
            position += _CODEC_ENTRY.size
            name = body[position : position + length].decode("ascii")
            position += length
            entries.append(CodecEntry(payload_type, name, clock_rate, channels))
    except (IndexError, ValueError, struct.error):
        raise IntegrityError("found a malformed codec map in a recording") from None
    if position != len(body):
        raise IntegrityError("found a codec map that ends within a name")
    return direction, tuple(entries)


def gap_body(end_offset_us: int, reason: str) -> bytes:
    """Return the body of a GAP mark; the record's own offset is where the gap starts."""
    return _GAP_END.pack(end_offset_us) + reason.encode()


def parse_gap(body: bytes) -> tuple[int, str]:
    """Return the offset of a gap's end in microseconds, and why it came.

    Raises:
        IntegrityError: if the body is malformed.
    """
    if len(body) < _GAP_END.size:
        raise IntegrityError("found a gap without its end in a recording")
    (end_us,) = _GAP_END.unpack_from(body)
    return end_us, parse_reason(body[_GAP_END.size :])


def parse_reason(body: bytes) -> str:
    """Return the text of a mark.

    Raises:
        IntegrityError: if it is not UTF-8.
    """
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise IntegrityError("found a mark whose text is not UTF-8 in a recording") from None


@dataclass(frozen=True, slots=True)
class PacketRecord:
    """An RTP packet as it came off the wire."""

    direction: Direction
    offset_us: int
    packet: bytes

    def encode(self) -> bytes:
        """Return the record as it stands in a segment."""
        return encode_packet(self.direction, self.offset_us, self.packet)


@dataclass(frozen=True, slots=True)
class MarkRecord:
    """What happened to the recording at an instant."""

    mark: Mark
    offset_us: int
    body: bytes

    def encode(self) -> bytes:
        """Return the record as it stands in a segment."""
        return encode_mark(self.mark, self.offset_us, self.body)


Record = PacketRecord | MarkRecord


def walk_records(plaintext: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield (type, offset in microseconds, start and end of the body) for each record of a segment.

    Raises:
        IntegrityError: if a record is malformed or of a type that version 1 does not know.
    """
    position, end = 0, len(plaintext)
    while position < end:
        start = position + RECORD_HEADER_LENGTH
        if start > end:
            raise IntegrityError("found a record cut short within a segment")
        kind, length, offset_us = _RECORD.unpack_from(plaintext, position)
        position = start + length
        if position > end:
            raise IntegrityError("found a record that is longer than its segment")
        if kind not in (OUTSIDE, OURS) and kind not in _MARKS:
            raise IntegrityError(f"found a record of unknown type {kind:#04x}; a newer callrec wrote this file")
        yield kind, offset_us, start, position


def decode_records(plaintext: bytes) -> Iterator[Record]:
    """Yield the records of a segment.

    Raises:
        IntegrityError: as `walk_records`.
    """
    for kind, offset_us, start, end in walk_records(plaintext):
        body = plaintext[start:end]
        mark = _MARKS.get(kind)
        yield PacketRecord(Direction(kind), offset_us, body) if mark is None else MarkRecord(mark, offset_us, body)


def split_records(records: bytes) -> list[bytes]:
    """Return the records in runs of at most SEGMENT_LIMIT bytes, each of whole records."""
    if len(records) <= SEGMENT_LIMIT:
        return [records] if records else []
    runs = []
    first = last = 0
    for _, _, _, end in walk_records(records):
        if end - first > SEGMENT_LIMIT:
            runs.append(records[first:last])
            first = last
        last = end
    runs.append(records[first:last])
    return runs
