"""G.711 by its formulas (ITU-T G.711, and the tables 1a-2b of its annexes): what a decoder gives for each code."""

from __future__ import annotations

import random
import struct
from functools import cache

PCMU, PCMA = 0, 8
NAMES = {PCMU: "PCMU", PCMA: "PCMA"}


def alaw_sample(code: int) -> int:
    """Return the 16-bit sample of an A-law code."""
    code ^= 0x55
    exponent, mantissa = (code >> 4) & 7, code & 15
    magnitude = (mantissa << 4) + 8
    if exponent:
        magnitude = (magnitude + 0x100) << (exponent - 1)
    return magnitude if code & 0x80 else -magnitude


def ulaw_sample(code: int) -> int:
    """Return the 16-bit sample of a mu-law code."""
    code = ~code & 0xFF
    exponent, mantissa = (code >> 4) & 7, code & 15
    magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84
    return -magnitude if code & 0x80 else magnitude


@cache
def decoding_table(payload_type: int) -> tuple[int, ...]:
    """Return the 256 samples of a codec, by its static payload type."""
    sample = alaw_sample if payload_type == PCMA else ulaw_sample
    return tuple(sample(code) for code in range(256))


@cache
def _encoding_table(payload_type: int) -> bytes:
    """Return the code for each 16-bit sample, shifted by 32768: the nearest one a decoder can give."""
    by_sample = sorted((sample, code) for code, sample in enumerate(decoding_table(payload_type)))
    codes, place = bytearray(65536), 0
    for value in range(-32768, 32768):
        while place + 1 < len(by_sample) and abs(by_sample[place + 1][0] - value) <= abs(by_sample[place][0] - value):
            place += 1
        codes[value + 32768] = by_sample[place][1]
    return bytes(codes)


def decode(payload_type: int, data: bytes) -> list[int]:
    """Return the 16-bit samples of coded audio."""
    table = decoding_table(payload_type)
    return [table[code] for code in data]


def encode(payload_type: int, pcm: bytes) -> bytes:
    """Return coded audio for 16-bit little-endian samples."""
    table = _encoding_table(payload_type)
    return bytes(table[sample + 32768] for (sample,) in struct.iter_unpack("<h", pcm[: len(pcm) // 2 * 2]))


def unmistakable(payload_type: int, seconds: float, seed: int) -> bytes:
    """Return coded noise in which any 20 ms occur once: where a piece of it turns up, its place is known.

    Codes that decode to nearly nothing are left out, so that it is never taken for silence.
    """
    table = decoding_table(payload_type)
    loud = bytes(code for code in range(256) if 200 < abs(table[code]) < 12000)
    noise = random.Random(seed).randbytes(int(seconds * 8000))
    return noise.translate(bytes(loud[byte % len(loud)] for byte in range(256)))
