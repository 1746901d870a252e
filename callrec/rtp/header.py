"""RTP headers (RFC 3550 5.1): read whatever arrives, write what others must be able to read."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from callrec.errors import PeerError

FIXED_HEADER = struct.Struct("!BBHII")
"""Version and flags, marker and payload type, sequence number, timestamp, SSRC."""

FIXED_LENGTH = 12
VERSION = 2
_EXTENSION = struct.Struct("!HH")


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One RTP packet, header and payload apart."""

    payload_type: int
    sequence_number: int
    """Unsigned, 16 bits; wraps."""
    timestamp: int
    """Unsigned, 32 bits, in units of the codec's RTP clock; wraps."""
    ssrc: int
    payload: bytes = b""
    """Without padding."""
    marker: bool = False
    contributors: tuple[int, ...] = ()
    """CSRC list, at most 15."""
    extension: tuple[int, bytes] | None = None
    """Profile word and body, a multiple of four bytes long."""

    @classmethod
    def parse(cls, data: bytes) -> RtpPacket:
        """Read one datagram.

        Raises:
            PeerError: if it is too short, of another version, or its lists and padding overrun it.
        """
        if len(data) < FIXED_LENGTH:
            raise PeerError(f"RTP: found {len(data)} bytes, expected at least {FIXED_LENGTH}")
        flags, second, sequence_number, timestamp, ssrc = FIXED_HEADER.unpack_from(data)
        if flags >> 6 != VERSION:
            raise PeerError(f"RTP: found version {flags >> 6}, expected {VERSION}")
        contributors, start = _read_contributors(data, flags & 0x0F)
        extension = None
        if flags & 0x10:
            extension, start = _read_extension(data, start)
        end = len(data) - (_padding(data, start) if flags & 0x20 else 0)
        return cls(
            payload_type=second & 0x7F,
            sequence_number=sequence_number,
            timestamp=timestamp,
            ssrc=ssrc,
            payload=data[start:end],
            marker=bool(second & 0x80),
            contributors=contributors,
            extension=extension,
        )

    def serialize(self) -> bytes:
        """Return the datagram, without padding."""
        flags = VERSION << 6 | (0x10 if self.extension is not None else 0) | len(self.contributors)
        second = self.payload_type | (0x80 if self.marker else 0)
        parts = [FIXED_HEADER.pack(flags, second, self.sequence_number, self.timestamp, self.ssrc)]
        parts += [contributor.to_bytes(4, "big") for contributor in self.contributors]
        if self.extension is not None:
            profile, body = self.extension
            parts += [_EXTENSION.pack(profile, len(body) // 4), body]
        return b"".join([*parts, self.payload])


def payload_of(data: bytes) -> bytes:
    """Return the payload of a datagram.

    Raises:
        PeerError: if the datagram is no RTP packet.
    """
    return RtpPacket.parse(data).payload


def is_rtcp(second_byte: int) -> bool:
    """Tell by its second byte whether a datagram on an RTP port is RTCP (RFC 5761 4: packet types 192 to 223)."""
    return 192 <= second_byte <= 223


def _read_contributors(data: bytes, count: int) -> tuple[tuple[int, ...], int]:
    end = FIXED_LENGTH + 4 * count
    if len(data) < end:
        raise PeerError(f"RTP: found {len(data)} bytes, expected {count} contributing sources up to byte {end}")
    return struct.unpack_from(f"!{count}I", data, FIXED_LENGTH), end


def _read_extension(data: bytes, start: int) -> tuple[tuple[int, bytes], int]:
    if len(data) < start + 4:
        raise PeerError(f"RTP: found {len(data)} bytes, expected a header extension at byte {start}")
    profile, words = _EXTENSION.unpack_from(data, start)
    end = start + 4 + 4 * words
    if len(data) < end:
        raise PeerError(f"RTP: found {len(data)} bytes, expected a header extension up to byte {end}")
    return (profile, data[start + 4 : end]), end


def _padding(data: bytes, start: int) -> int:
    """Return how many bytes of padding there are; the last byte counts itself (RFC 3550 5.1)."""
    padding = data[-1] if len(data) > start else 0
    if not 1 <= padding <= len(data) - start:
        raise PeerError(f"RTP: found padding of {padding} bytes in {len(data) - start}, expected 1 to all of them")
    return padding
