"""SIP messages as a pcapng capture, on the addresses that they had (pcapng: draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import BinaryIO

_LINKTYPE_RAW = 101
_UDP = 17
_NAMELESS = "192.0.2.1"
"""A documentation address (RFC 5737), where none is known."""

_Host = IPv4Address | IPv6Address


class SipCapture:
    """Writes one section of a capture. TCP and TLS messages stand in UDP packets: their streams were not kept."""

    def __init__(self, file: BinaryIO, comment: str) -> None:
        self._file = file
        options = _option(1, comment.encode()) + _option(4, b"callrec") + _option(0, b"")
        self._block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + options)
        self._block(1, struct.pack("<HHI", _LINKTYPE_RAW, 0, 0))

    def message(self, at_us: int, source: str, target: str, payload: bytes) -> None:
        """Write a message between two addresses, each `host:port`."""
        packet = _packet(source, target, payload)
        fields = struct.pack("<IIIII", 0, at_us >> 32, at_us & 0xFFFF_FFFF, len(packet), len(packet))
        self._block(6, fields + packet + bytes(-len(packet) % 4))

    def _block(self, kind: int, body: bytes) -> None:
        length = len(body) + 12
        self._file.write(struct.pack("<II", kind, length) + body + struct.pack("<I", length))


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _packet(source: str, target: str, payload: bytes) -> bytes:
    """Return an IP packet; a message too long for one is cut, as a capture with a snap length would be."""
    (source_host, source_port), (target_host, target_port) = _split(source), _split(target)
    payload = payload[: 0xFFFF - 60]
    datagram = struct.pack("!HHHH", source_port, target_port, 8 + len(payload), 0) + payload
    if source_host.version == 4 and target_host.version == 4:
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 64, _UDP, 0)
        addresses = source_host.packed + target_host.packed
        checksum = _checksum(header + addresses)
        return header[:10] + struct.pack("!H", checksum) + addresses + datagram
    addresses = _as_ipv6(source_host) + _as_ipv6(target_host)
    pseudo = addresses + struct.pack("!II", len(datagram), _UDP)
    checksum = _checksum(pseudo + datagram) or 0xFFFF  # RFC 8200 8.1: zero is not allowed
    datagram = datagram[:6] + struct.pack("!H", checksum) + datagram[8:]
    return struct.pack("!IHBB", 0x6000_0000, len(datagram), _UDP, 64) + addresses + datagram


def _split(address: str) -> tuple[_Host, int]:
    host, _, port = address.rpartition(":")
    try:
        return ip_address(host.strip("[]").partition("%")[0]), int(port)
    except ValueError:
        return ip_address(_NAMELESS), 5060


def _as_ipv6(host: _Host) -> bytes:
    return host.packed if host.version == 6 else bytes(10) + b"\xff\xff" + host.packed  # RFC 4291 2.5.5.2


def _checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
