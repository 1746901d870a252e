"""G.711 bit for bit, and tones that repeat without a click."""

from __future__ import annotations

import struct

import pytest

from callrec.rtp import BUSY, CONGESTION, NUMBER_UNOBTAINABLE, RINGBACK, Law, Tone, tone
from callrec.rtp.g711 import decode, decode_sample, encode, encode_sample, transcode

# From the tables of ITU-T G.711 (1988), 1a/1b and 2a/2b, scaled to 16 bits as G.191 does.
TONES = [(RINGBACK, 3.0), (BUSY, 0.75), (CONGESTION, 1.5), (NUMBER_UNOBTAINABLE, 1)]

KNOWN = [
    (Law.A, 0xD5, 8), (Law.A, 0x55, -8), (Law.A, 0xAA, 32256), (Law.A, 0x2A, -32256), (Law.A, 0x80, 5504),
    (Law.MU, 0xFF, 0), (Law.MU, 0x7F, 0), (Law.MU, 0x80, 32124), (Law.MU, 0x00, -32124), (Law.MU, 0xF0, 120),
]  # fmt: skip


@pytest.mark.parametrize(("law", "code", "value"), KNOWN)
def test_known_values(law: Law, code: int, value: int) -> None:
    """The tables' corners."""
    assert decode_sample(law, code) == value


@pytest.mark.parametrize("law", list(Law))
def test_every_code_survives(law: Law) -> None:
    """Decoding and encoding again gives the same code (mu-law has two zeros, of which the positive one comes back)."""
    codes = bytes(range(256))
    back = encode(law, decode(law, codes))
    assert [code for code in codes if back[code] != code] == ([] if law is Law.A else [0x7F])


@pytest.mark.parametrize("law", list(Law))
def test_the_tables_agree_with_the_rule(law: Law) -> None:
    """The fast byte tables give what the sample functions give, for every 16-bit value."""
    values = range(-32768, 32768, 7)
    assert encode(law, struct.pack(f"<{len(values)}h", *values)) == bytes(encode_sample(law, value) for value in values)


@pytest.mark.parametrize("law", list(Law))
def test_encoding_chooses_the_nearest_value(law: Law) -> None:
    """No code lies nearer to a value than the chosen one by more than half a step of truncation."""
    levels = sorted({decode_sample(law, code) for code in range(256)})
    for value in range(-32000, 32000, 321):
        chosen = decode_sample(law, encode_sample(law, value))
        best = min(abs(level - value) for level in levels)
        assert abs(chosen - value) <= best + 4 + abs(value) // 30


def test_laws_convert() -> None:
    """Silence stays silence."""
    assert transcode(b"\xd5" * 3, Law.A, Law.MU) in (b"\xfe" * 3, b"\xff" * 3)
    assert transcode(b"\xff", Law.MU, Law.A) == b"\xd5"
    assert transcode(b"abc", Law.A, Law.A) == b"abc"


@pytest.mark.parametrize(("kind", "seconds"), TONES)
@pytest.mark.parametrize("law", list(Law))
def test_tones_have_their_rhythm(kind: Tone, seconds: float, law: Law) -> None:
    """One period is as long as its cadence and silent where it says so."""
    data = tone(kind, law)
    assert len(data) == seconds * 8000
    samples = struct.unpack(f"<{len(data)}h", decode(law, data))
    start = 0
    for index, duration in enumerate(kind.cadence_ms):
        part = samples[start : start + duration * 8]
        assert (max(map(abs, part)) > 3000) is (index % 2 == 0)
        start += duration * 8
