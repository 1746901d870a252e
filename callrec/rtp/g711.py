"""G.711 A-law and mu-law, bit for bit as the ITU's software tool library (G.191) does it."""

from __future__ import annotations

import sys
from array import array
from enum import StrEnum
from functools import cache


class Law(StrEnum):
    """The two ways of G.711, by their names in SDP."""

    A = "PCMA"
    MU = "PCMU"


PAYLOAD_TYPES = {Law.A: 8, Law.MU: 0}
"""Static payload types (RFC 3551 6)."""

SILENCE = {Law.A: b"\xd5", Law.MU: b"\xff"}
"""One sample of nothing."""

SAMPLE_RATE = 8000


def decode(law: Law, data: bytes) -> bytes:
    """Return 16-bit little-endian samples of G.711 bytes."""
    low, high = _decoding(law)
    samples = bytearray(2 * len(data))
    samples[0::2] = data.translate(low)
    samples[1::2] = data.translate(high)
    return bytes(samples)


def encode(law: Law, samples: bytes) -> bytes:
    """Return G.711 bytes of 16-bit little-endian samples; half a sample at the end is left out."""
    words = array("H")
    words.frombytes(samples[: len(samples) & ~1])
    if sys.byteorder == "big":
        words.byteswap()
    return bytes(map(_encoding(law).__getitem__, words))


def transcode(data: bytes, source: Law, target: Law) -> bytes:
    """Return G.711 bytes of one law in the other."""
    if source is target:
        return data
    every = bytes(range(256))
    return data.translate(encode(target, decode(source, every)))


def decode_sample(law: Law, code: int) -> int:
    """Return the 16-bit value of one G.711 byte."""
    return _expand_a(code) if law is Law.A else _expand_mu(code)


def encode_sample(law: Law, value: int) -> int:
    """Return the G.711 byte of one 16-bit value."""
    return _compress_a(value) if law is Law.A else _compress_mu(value)


@cache
def _decoding(law: Law) -> tuple[bytes, bytes]:
    values = [decode_sample(law, code) & 0xFFFF for code in range(256)]
    return bytes(value & 0xFF for value in values), bytes(value >> 8 for value in values)


@cache
def _encoding(law: Law) -> bytes:
    """Return the code of every unsigned 16-bit word; the lowest bits do not count (4 of A-law, 2 of mu-law)."""
    step = 16 if law is Law.A else 4
    table = bytearray()
    for word in range(0, 0x10000, step):
        table += bytes([encode_sample(law, word - 0x10000 if word & 0x8000 else word)]) * step
    return bytes(table)


def _expand_a(code: int) -> int:
    toggled = code ^ 0x55
    exponent, mantissa = toggled >> 4 & 0x07, toggled & 0x0F
    if exponent:
        mantissa += 16
    value = (mantissa << 4) + 8
    if exponent > 1:
        value <<= exponent - 1
    return value if toggled & 0x80 else -value


def _compress_a(value: int) -> int:
    magnitude = (~value if value < 0 else value) >> 4
    if magnitude > 15:
        exponent = 1
        while magnitude > 31:
            magnitude >>= 1
            exponent += 1
        magnitude = magnitude - 16 + (exponent << 4)
    return (magnitude | (0x80 if value >= 0 else 0)) ^ 0x55


def _expand_mu(code: int) -> int:
    inverted = ~code
    exponent, mantissa = inverted >> 4 & 0x07, inverted & 0x0F
    step = 4 << (exponent + 1)
    value = (0x80 << exponent) + step * mantissa + step // 2 - 4 * 33
    return value if code & 0x80 else -value


def _compress_mu(value: int) -> int:
    magnitude = min(((~value if value < 0 else value) >> 2) + 33, 0x1FFF)
    segment = (magnitude >> 6).bit_length() + 1
    low = 0x0F - (magnitude >> segment & 0x0F)
    return ((8 - segment) << 4 | low) | (0x80 if value >= 0 else 0)
