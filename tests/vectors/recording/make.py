"""Writes the vectors of docs/recording-format.md, from the page alone: it shares no code with callrec.

Run it from anywhere: `python tests/vectors/recording/make.py`. The same bytes come out every time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FOLDER = Path(__file__).parent
RECORDING = "0b9d2c1e-5a47-4f7e-8a32-6f6b1f0c9d11"
OTHER = "c4a7f6b2-90d1-4e0f-b1c8-2f3e4d5c6b7a"
AUDIO_KEY = hashlib.sha256(b"audio key of the vectors").digest()
STARTED_AT = 1_764_072_000_000_000_000
FRAME = 4
HEADER = 96


def salt_of(part: int) -> bytes:
    return hashlib.sha256(b"salt %d" % part).digest()


def hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    """RFC 5869 for one block of output."""
    pseudorandom = hmac.new(salt, key, hashlib.sha256).digest()
    return hmac.new(pseudorandom, info + b"\x01", hashlib.sha256).digest()


def part_key(part: int, recording: str = RECORDING) -> bytes:
    info = b"callrec recording\x00" + struct.pack(">H", 1) + UUID(recording).bytes + struct.pack(">I", part)
    return hkdf(AUDIO_KEY, salt_of(part), info)


def fields(part: int, recording: str = RECORDING, started_at: int = STARTED_AT) -> bytes:
    start = b"crec\r\n\x1a\n" + struct.pack(">HHI", 1, HEADER, part) + UUID(recording).bytes
    return start + struct.pack(">Q", started_at) + salt_of(part) + bytes(8)


def header(part: int, started_at: int = STARTED_AT) -> bytes:
    plain = fields(part, started_at=started_at)
    return plain + AESGCM(part_key(part)).encrypt(bytes(12), b"", plain)


def segment(part: int, counter: int, plaintext: bytes, *, last: bool = False, started_at: int = STARTED_AT) -> bytes:
    nonce = counter.to_bytes(11, "big") + bytes([last])
    sealed = AESGCM(part_key(part)).encrypt(nonce, plaintext, fields(part, started_at=started_at))
    return struct.pack(">I", len(sealed) | last << 31) + sealed


def packet(direction: int, offset_us: int, sequence: int, payload: bytes) -> bytes:
    rtp = struct.pack(">BBHII", 0x80, 8, sequence, sequence * 160, direction) + payload
    return struct.pack(">BHQ", direction, len(rtp), offset_us) + rtp


def mark(kind: int, offset_us: int, body: bytes = b"") -> bytes:
    return struct.pack(">BHQ", kind, len(body), offset_us) + body


def voice(index: int) -> bytes:
    """Return the records of one short segment: two packets each way."""
    records = []
    for count in range(2):
        sequence = index * 2 + count
        payload = hashlib.sha256(b"voice %d" % sequence).digest()
        records += [packet(direction, sequence * 20_000 + direction, sequence, payload) for direction in (1, 2)]
    return b"".join(records)


CODECS = mark(0x10, 0, b"\x01\x08\x01" + struct.pack(">I", 8000) + b"\x04PCMA")
END = mark(0x16, 80_000, b"bye")
ALL_MARKS = (
    CODECS
    + mark(0x11, 10_000, "gehalten ü".encode())
    + mark(0x12, 20_000)
    + mark(0x13, 30_000, b"card")
    + mark(0x14, 40_000)
    + mark(0x15, 50_000, struct.pack(">Q", 60_000) + b"disk")
    + mark(0x16, 70_000)
)


@dataclass
class Vector:
    name: str
    expect: str
    comment: str
    parts: list[bytes]
    recording: str = RECORDING
    key: bytes = AUDIO_KEY
    segments: int = 0
    """Segments that are authentic, of all parts."""

    def text(self) -> str:
        lines = [f"comment: {self.comment}", f"expect: {self.expect}", f"segments: {self.segments}"]
        lines += [f"recording: {self.recording}", f"audio_key: {self.key.hex()}"]
        bodies = ["\n".join(textwrap.wrap(base64.b64encode(part).decode(), 76)) for part in self.parts]
        return "\n".join(lines) + "\n\n" + "\n---\n".join(bodies) + "\n"


FIRST, SECOND, THIRD = (segment(1, counter, voice(counter - 1)) for counter in (1, 2, 3))
LAST = segment(1, 4, END, last=True)
GOOD = header(1) + FIRST + SECOND + THIRD + LAST
UNSEALED = header(1) + FIRST + SECOND + THIRD


def flipped(data: bytes, position: int, bit: int = 1) -> bytes:
    changed = bytearray(data)
    changed[position] ^= bit
    return bytes(changed)


def good() -> Iterator[Vector]:
    yield Vector("good", "ok", "three segments and a last one", [GOOD], segments=4)
    empty = [UNSEALED + segment(1, 4, b"", last=True)]
    yield Vector("good-empty-last", "ok", "the last segment may be empty", empty, segments=4)
    only = [header(1) + segment(1, 1, voice(0) + END, last=True)]
    yield Vector("good-only-last", "ok", "one segment, which is the last", only, segments=1)
    nothing = [header(1) + segment(1, 1, b"", last=True)]
    yield Vector("good-nothing", "ok", "a sealed part without a record", nothing, segments=1)
    marks = [header(1) + segment(1, 1, ALL_MARKS) + segment(1, 2, b"", last=True)]
    yield Vector("good-all-marks", "ok", "one of each mark", marks, segments=2)
    full = struct.pack(">BHQ", 1, 8192, 0) + bytes(8192)
    most = full * 3 + struct.pack(">BHQ", 2, 8148, 0) + bytes(8148)
    limit = [header(1) + segment(1, 1, most) + segment(1, 2, b"", last=True)]
    yield Vector("good-largest", "ok", "a segment of 32768 bytes", limit, segments=2)
    later = STARTED_AT + 2_000_000_000
    second = header(2, later) + segment(2, 1, voice(0), started_at=later)
    second += segment(2, 2, END, last=True, started_at=later)
    yield Vector("good-two-parts", "ok", "a cut part and the one that replaced it", [UNSEALED, second], segments=5)
    gone = header(3, later) + segment(3, 1, voice(0), last=True, started_at=later)
    yield Vector("good-part-missing", "ok", "part 2 is not there, and the numbers say so", [UNSEALED, gone], segments=4)


def cut() -> Iterator[Vector]:
    yield Vector("cut-at-segment", "cut", "no last segment", [UNSEALED], segments=3)
    yield Vector("cut-sealed", "cut", "the last segment of a sealed part is missing", [GOOD[: -len(LAST)]], segments=3)
    yield Vector("cut-in-segment", "cut", "ends within a ciphertext", [UNSEALED[:-1]], segments=2)
    yield Vector("cut-in-last", "cut", "ends within the last segment", [GOOD[:-1]], segments=3)
    yield Vector("cut-in-frame", "cut", "ends within a frame", [UNSEALED + THIRD[:3]], segments=3)
    yield Vector("cut-header-only", "cut", "a header and nothing more", [header(1)])
    yield Vector("cut-zero-frame", "cut", "zeros where a frame should be", [UNSEALED + bytes(5000)], segments=3)
    torn = UNSEALED[:-16] + bytes(16)
    yield Vector("cut-zero-tag", "cut", "a power cut left zeros for a tag", [torn], segments=2)
    start = HEADER + len(FIRST) + FRAME + 20
    hole = UNSEALED[:start] + bytes(40) + UNSEALED[start + 40 :]
    yield Vector("cut-zero-block", "cut", "a power cut left zeros within a segment", [hole], segments=1)


def damaged() -> Iterator[Vector]:
    def bad(name: str, comment: str, part: bytes, segments: int = 0) -> Vector:
        return Vector(name, "error", comment, [part], segments=segments)

    start = HEADER + len(FIRST)
    yield bad("swapped", "segments 2 and 3 changed places", header(1) + FIRST + THIRD + SECOND + LAST, 1)
    yield bad("repeated", "segment 2 is there twice", header(1) + FIRST + SECOND + SECOND + THIRD + LAST, 2)
    yield bad("missing-middle", "segment 2 is not there", header(1) + FIRST + THIRD + LAST, 1)
    yield bad("missing-first", "segment 1 is not there", header(1) + SECOND + THIRD + LAST)
    yield bad("flipped", "a bit of a ciphertext", flipped(GOOD, start + FRAME + 9), 1)
    yield bad("flipped-tag", "a bit of a tag", flipped(GOOD, start + len(SECOND) - 1), 1)
    yield bad("flipped-cut", "a bit in the last segment of a cut part", flipped(UNSEALED, len(UNSEALED) - 20), 2)
    yield bad(
        "flipped-last-bit", "a normal segment said to be the last", flipped(UNSEALED, start + len(SECOND), 128), 2
    )
    yield bad("cleared-last-bit", "the last segment said to be a normal one", flipped(GOOD, len(UNSEALED), 128), 3)
    yield bad("flipped-length", "a frame one byte too short", flipped(GOOD, start + 3), 1)
    zeroed = GOOD[: start + FRAME] + bytes(40) + GOOD[start + FRAME + 40 :]
    yield bad("zeroed-sealed", "zeros in a part that is sealed are no power cut", zeroed, 1)
    yield bad("frame-too-long", "a segment beyond the limit", UNSEALED + struct.pack(">I", 32_785) + bytes(40_000), 3)
    yield bad("frame-too-short", "a segment without room for a tag", UNSEALED + struct.pack(">I", 15) + bytes(15), 3)
    yield bad("empty-segment", "an empty segment that is not the last", UNSEALED + segment(1, 4, b"") + LAST, 3)
    yield bad("appended", "a byte behind the last segment", GOOD + b"\x00", 3)
    yield bad("continued", "a part that goes on after its last segment", GOOD + segment(1, 5, voice(4)), 3)
    spliced = header(1) + FIRST + segment(2, 2, voice(1)) + THIRD + LAST
    yield bad("spliced", "a segment of another part", spliced, 1)


def bad_headers() -> Iterator[Vector]:
    def bad(name: str, comment: str, part: bytes) -> Vector:
        return Vector(name, "error", comment, [part])

    yield bad("bad-magic", "no magic", flipped(GOOD, 0))
    yield bad("bad-version", "version 2", GOOD[:8] + b"\x00\x02" + GOOD[10:])
    yield bad("bad-header-length", "another length of the header", GOOD[:10] + b"\x00\x60"[::-1] + GOOD[12:])
    yield bad("bad-part-zero", "part 0", GOOD[:12] + bytes(4) + GOOD[16:])
    yield bad("bad-part", "the header says part 2", flipped(GOOD, 15, 3))
    yield bad("bad-started-at", "a bit of the time", flipped(GOOD, 39))
    yield bad("bad-salt", "a bit of the salt", flipped(GOOD, 40))
    yield bad("bad-reserved", "a reserved byte is not zero", flipped(GOOD, 79))
    yield bad("bad-header-tag", "a bit of the header's tag", flipped(GOOD, 80))
    yield bad("short-header", "fewer bytes than a header", GOOD[:95])
    yield bad("empty", "no byte at all", b"")
    yield Vector("wrong-id", "error", "asked for as another recording", [GOOD], recording=OTHER)
    yield Vector("wrong-key", "error", "another audio key", [GOOD], key=hashlib.sha256(b"another").digest())
    yield Vector("part-twice", "error", "the same part given twice", [GOOD, GOOD])


def bad_records() -> Iterator[Vector]:
    def bad(name: str, comment: str, plaintext: bytes) -> Vector:
        part = header(1) + segment(1, 1, plaintext) + segment(1, 2, b"", last=True)
        return Vector(name, "error", comment, [part], segments=2)

    yield bad("unknown-record", "a type that version 1 does not know", mark(0x17, 0))
    yield bad("record-overrun", "a record longer than its segment", voice(0)[:-1])
    yield bad("record-stub", "a record cut within its header", voice(0) + b"\x01\x00")


FAMILIES: tuple[Callable[[], Iterator[Vector]], ...] = (good, cut, damaged, bad_headers, bad_records)


def main() -> None:
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    for family in FAMILIES:
        for vector in family():
            (FOLDER / f"{vector.name}.txt").write_text(vector.text())


if __name__ == "__main__":
    main()
