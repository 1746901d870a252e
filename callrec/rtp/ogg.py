"""Opus packets in Ogg pages and out of them (RFC 3533, RFC 7845), which is how libsndfile takes and gives Opus."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence

from callrec.errors import PeerError
from callrec.rtp.opus import CLOCK_RATE, packet_samples

_PAGE = struct.Struct("<4sBBqIIIB")
_MAGIC = b"OggS"
_BEGINS, _ENDS = 0x02, 0x04
_PACKETS_A_PAGE = 50
"""A second of usual packets, as RFC 7845 section 3 wants it at most."""
_SERIAL = 1
_HEADER_PACKETS = 2
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def ogg_of(packets: Sequence[bytes]) -> bytes:
    """Return an Ogg Opus file of packets, one channel: it decodes to all their samples, none skipped or trimmed.

    Every packet must be one that `packet_samples` accepts; a decoder stops at any other.
    """
    head = struct.pack("<8sBBHIhB", b"OpusHead", 1, 1, 0, CLOCK_RATE, 0, 0)
    tags = struct.pack("<8sI7sI", b"OpusTags", 7, b"callrec", 0)
    pages = [_page([head], 0, 0, _BEGINS), _page([tags], 0, 1, 0)]
    position = 0
    for start in range(0, len(packets), _PACKETS_A_PAGE):
        for piece in _fitting(packets[start : start + _PACKETS_A_PAGE]):
            position += sum(map(packet_samples, piece))
            pages.append(_page(piece, position, len(pages), 0))
    pages.append(_page([], position, len(pages), _ENDS))
    return b"".join(pages)


def _fitting(packets: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Give packets in portions whose lacing values fit into one page."""
    if sum(len(packet) // 255 + 1 for packet in packets) <= 255:
        yield packets
        return
    for packet in packets:
        yield [packet]


def _page(packets: Sequence[bytes], granule: int, number: int, flags: int) -> bytes:
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    head = _PAGE.pack(_MAGIC, 0, flags, granule, _SERIAL, number, 0, len(lacing))
    page = b"".join((head, lacing, *packets))
    return page[:22] + struct.pack("<I", _checksum(page)) + page[26:]


def _checksum(page: bytes) -> int:
    """Return the CRC of RFC 3533 section 6: zlib's polynomial with the bits the other way round, from 0."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def packets_of(ogg: bytes) -> list[bytes]:
    """Return the Opus packets of an Ogg file of one stream, without its two headers.

    Raises:
        PeerError: if it is no such file.
    """
    packets: list[bytes] = []
    begun = b""
    position = 0
    while position < len(ogg):
        if len(ogg) - position < _PAGE.size or ogg[position : position + 4] != _MAGIC:
            raise PeerError(f"Ogg: found no page at byte {position}, expected {_MAGIC!r}")
        segments = ogg[position + _PAGE.size - 1]
        lacing = ogg[position + _PAGE.size : position + _PAGE.size + segments]
        position += _PAGE.size + segments
        if position + sum(lacing) > len(ogg):
            raise PeerError("Ogg: found a page cut short")
        for size in lacing:
            begun += ogg[position : position + size]
            position += size
            if size < 255:
                packets.append(begun)
                begun = b""
    if len(packets) < _HEADER_PACKETS or not packets[0].startswith(b"OpusHead"):
        raise PeerError("Ogg: found no Opus stream")
    return packets[_HEADER_PACKETS:]
