"""What is read of RTCP (RFC 3550 6.4): how much of our stream the far end says it lost."""

from __future__ import annotations

import struct

_HEADER = struct.Struct("!BBH")
_SENDER_REPORT, _RECEIVER_REPORT = 200, 201
_BLOCK_LENGTH = 24


def fraction_lost(data: bytes, ssrc: int) -> float | None:
    """Return the share lost since the last report on `ssrc` that a compound packet tells, 0 to 1, or None."""
    start = 0
    while start + _HEADER.size <= len(data):
        flags, kind, words = _HEADER.unpack_from(data, start)
        end = start + 4 + 4 * words
        if flags >> 6 != 2 or end > len(data):
            return None
        if kind in (_SENDER_REPORT, _RECEIVER_REPORT):
            blocks = start + (28 if kind == _SENDER_REPORT else 8)
            found = _find_block(data[blocks:end], flags & 0x1F, ssrc)
            if found is not None:
                return found
        start = end
    return None


def _find_block(blocks: bytes, count: int, ssrc: int) -> float | None:
    for index in range(count):
        block = blocks[index * _BLOCK_LENGTH : (index + 1) * _BLOCK_LENGTH]
        if len(block) < _BLOCK_LENGTH:
            return None
        if int.from_bytes(block[:4], "big") == ssrc:
            return block[4] / 256
    return None
