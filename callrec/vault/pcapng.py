"""The stored RTP packets as a pcapng capture that Wireshark plays, on documentation addresses (RFC 5737)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import BinaryIO

from callrec.vault.recording_format import CodecEntry, Direction

_BLOCK = struct.Struct("<II")
_SECTION_MAGIC = 0x1A2B3C4D
_LINKTYPE_RAW = 101
"""Packets begin with their IP header."""
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")
_ENHANCED = struct.Struct("<IIIII")
OUTSIDE_HOST, OURS_HOST = "192.0.2.1", "192.0.2.2"
_HOSTS = {Direction.OUTSIDE: OUTSIDE_HOST, Direction.OURS: OURS_HOST}
SIP_PORT, RTP_PORT = 5060, 40_000


class PcapngWriter:
    """Writes one capture: a SIP exchange that tells Wireshark the codecs, then the packets."""

    def __init__(self, file: BinaryIO, recording_id: str) -> None:
        self._file = file
        self._recording_id = recording_id
        self._sequence = 0
        self._identification = 0
        comment = f"callrec recording {recording_id}: RTP as received; addresses, ports and SIP are synthetic"
        options = _option(1, comment.encode()) + _option(4, b"callrec") + _option(0, b"")
        self._block(0x0A0D0D0A, struct.pack("<IHHq", _SECTION_MAGIC, 1, 0, -1) + options)
        self._block(1, struct.pack("<HHI", _LINKTYPE_RAW, 0, 0))

    def session(self, at_us: int, outside: Sequence[CodecEntry], ours: Sequence[CodecEntry]) -> None:
        """Write an INVITE and its answer: what the payload types of each direction mean from here on.

        Args:
            at_us: microseconds since 1970.
            outside: codecs of the packets that the outside party sends.
            ours: codecs of the packets that our side sends.
        """
        self._sequence += 1
        invite = self._message("INVITE sip:ours@192.0.2.2 SIP/2.0", ours, OUTSIDE_HOST)
        answer = self._message("SIP/2.0 200 OK", outside, OURS_HOST)
        self._packet(Direction.OUTSIDE, at_us, SIP_PORT, invite)
        self._packet(Direction.OURS, at_us, SIP_PORT, answer)

    def packet(self, direction: Direction, at_us: int, packet: bytes) -> None:
        """Write an RTP packet; `at_us` is its arrival in microseconds since 1970."""
        self._packet(direction, at_us, RTP_PORT, packet)

    def _packet(self, direction: Direction, at_us: int, port: int, payload: bytes) -> None:
        source, target = _ADDRESSES[direction]
        self._identification = (self._identification + 1) & 0xFFFF
        length = _IPV4.size + _UDP.size + len(payload)
        header = (0x45, 0, length, self._identification, 0, 64, 17)
        checksum = _checksum(_IPV4.pack(*header, 0, source, target))
        datagram = _IPV4.pack(*header, checksum, source, target)
        datagram += _UDP.pack(port, port, _UDP.size + len(payload), 0) + payload
        fields = _ENHANCED.pack(0, at_us >> 32, at_us & 0xFFFF_FFFF, length, length)
        self._block(6, fields + datagram + bytes(-length % 4))

    def _message(self, start: str, codecs: Sequence[CodecEntry], host: str) -> bytes:
        body = _description(codecs, host)
        lines = [
            start,
            f"Via: SIP/2.0/UDP {OUTSIDE_HOST}:{SIP_PORT};branch=z9hG4bK{self._recording_id}.{self._sequence}",
            f"From: <sip:outside@{OUTSIDE_HOST}>;tag=outside",
            f"To: <sip:ours@{OURS_HOST}>;tag=ours",
            f"Call-ID: {self._recording_id}",
            f"CSeq: {self._sequence} INVITE",
            f"Contact: <sip:{host}>",
            "Content-Type: application/sdp",
            f"Content-Length: {len(body)}",
            "\r\n",
        ]
        return "\r\n".join(lines).encode() + body

    def _block(self, kind: int, body: bytes) -> None:
        length = len(body) + 12
        self._file.write(_BLOCK.pack(kind, length) + body + struct.pack("<I", length))


def _description(codecs: Sequence[CodecEntry], host: str) -> bytes:
    numbers = " ".join(str(codec.payload_type) for codec in codecs)
    lines = ["v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0"]
    lines.append(f"m=audio {RTP_PORT} RTP/AVP {numbers}")
    for codec in codecs:
        two = codec.name.lower() == "opus"  # whatever its packets hold (RFC 7587 7)
        channels = "/2" if two else f"/{codec.channels}" if codec.channels > 1 else ""
        lines.append(f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}{channels}")
    return "".join(line + "\r\n" for line in lines).encode()


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _checksum(header: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of an IPv4 header."""
    total: int = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def _address(host: str) -> bytes:
    return bytes(int(part) for part in host.split("."))


_ADDRESSES = {
    Direction.OUTSIDE: (_address(OUTSIDE_HOST), _address(OURS_HOST)),
    Direction.OURS: (_address(OURS_HOST), _address(OUTSIDE_HOST)),
}
