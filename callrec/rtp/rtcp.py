"""RTCP packets (RFC 3550 6): sender and receiver reports, CNAME and BYE; read whatever arrives, write compounds."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from callrec.errors import PeerError

NTP_EPOCH_S = 2_208_988_800
"""Seconds from 1900, where NTP begins, to 1970."""

_VERSION = 2
_HEADER = struct.Struct("!BBH")
_SENDER_REPORT, _RECEIVER_REPORT, _DESCRIPTION, _GOODBYE = 200, 201, 202, 203
_SENDER = struct.Struct("!QIII")
_BLOCK = struct.Struct("!IIIIII")
_CNAME = 1
_WORD = 4
_MOST_LOST, _LEAST_LOST = 0x7FFFFF, -0x800000


@dataclass(frozen=True, slots=True)
class SenderInfo:
    """What a sender says of its own stream (RFC 3550 6.4.1)."""

    ntp: int
    """64 bits: seconds since 1900 and their fraction."""
    timestamp: int
    """The same moment in RTP timestamp units."""
    packets: int
    octets: int
    """Of payload."""


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver says of one stream it hears (RFC 3550 6.4.1)."""

    ssrc: int
    fraction_lost: float
    """Since the last report, 0 to 1."""
    packets_lost: int
    """Since the beginning; below 0 where there were more copies than losses."""
    highest_sequence: int
    """32 bits: how often the sequence number wrapped, and the highest received."""
    jitter: int
    """Interarrival jitter in RTP timestamp units."""
    last_report: int = 0
    """The middle 32 bits of the NTP time of the last sender report from this source, 0 before one came."""
    delay: int = 0
    """Between that report and this block, in 1/65536 s."""


@dataclass(frozen=True, slots=True)
class Report:
    """A sender report, or a receiver report where `sender` is None."""

    ssrc: int
    sender: SenderInfo | None = None
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class Compound:
    """What is used of one RTCP datagram."""

    reports: tuple[Report, ...] = ()
    goodbyes: tuple[int, ...] = ()
    """Sources that leave."""


def parse_compound(data: bytes) -> Compound:
    """Read one datagram; packets of other types are skipped, reduced size (RFC 5506) is taken.

    Raises:
        PeerError: if it is no RTCP, or a length in it overruns the datagram.
    """
    reports: list[Report] = []
    goodbyes: list[int] = []
    start = 0
    while start < len(data):
        if len(data) - start < _HEADER.size:
            raise PeerError(f"RTCP: found {len(data) - start} bytes at {start}, expected a header of {_HEADER.size}")
        flags, kind, words = _HEADER.unpack_from(data, start)
        end = start + _HEADER.size + _WORD * words
        if flags >> 6 != _VERSION or end > len(data):
            raise PeerError(f"RTCP: found version {flags >> 6} and {end - start} bytes at {start} of {len(data)}")
        body, count = data[start + _HEADER.size : end], flags & 0x1F
        if kind in (_SENDER_REPORT, _RECEIVER_REPORT):
            reports.append(_read_report(body, count, sends=kind == _SENDER_REPORT))
        elif kind == _GOODBYE:
            goodbyes += struct.unpack_from(f"!{min(count, len(body) // _WORD)}I", body)
        start = end
    if not data:
        raise PeerError("RTCP: found an empty datagram")
    return Compound(tuple(reports), tuple(goodbyes))


def _read_report(body: bytes, count: int, *, sends: bool) -> Report:
    start = _WORD + (_SENDER.size if sends else 0)
    if len(body) < start:
        raise PeerError(f"RTCP: found a report of {len(body)} bytes, expected at least {start}")
    sender = SenderInfo(*_SENDER.unpack_from(body, _WORD)) if sends else None
    blocks = []
    for index in range(min(count, (len(body) - start) // _BLOCK.size)):
        ssrc, lost, highest, jitter, last, delay = _BLOCK.unpack_from(body, start + index * _BLOCK.size)
        packets_lost = lost & 0xFFFFFF
        packets_lost -= 0x1000000 if packets_lost > _MOST_LOST else 0
        blocks.append(ReportBlock(ssrc, (lost >> 24) / 256, packets_lost, highest, jitter, last, delay))
    return Report(int.from_bytes(body[:_WORD], "big"), sender, tuple(blocks))


def compound_of(report: Report, cname: str, *, goodbye: bool = False) -> bytes:
    """Return the datagram of a report with its source's CNAME (RFC 3550 6.1), and BYE where it leaves.

    Args:
        report: at most 31 blocks.
        cname: a random name without meaning (RFC 7022), at most 255 bytes.
        goodbye: this is the source's last word.
    """
    parts = [_report_bytes(report), _description(report.ssrc, cname)]
    if goodbye:
        parts.append(_HEADER.pack(_VERSION << 6 | 1, _GOODBYE, 1) + report.ssrc.to_bytes(_WORD, "big"))
    return b"".join(parts)


def _report_bytes(report: Report) -> bytes:
    body = report.ssrc.to_bytes(_WORD, "big")
    if report.sender is not None:
        sender = report.sender
        body += _SENDER.pack(sender.ntp, sender.timestamp, sender.packets & 0xFFFFFFFF, sender.octets & 0xFFFFFFFF)
    for block in report.blocks:
        fraction = min(255, max(0, int(block.fraction_lost * 256)))
        lost = min(_MOST_LOST, max(_LEAST_LOST, block.packets_lost)) & 0xFFFFFF
        jitter = min(block.jitter, 0xFFFFFFFF)
        body += _BLOCK.pack(
            block.ssrc, fraction << 24 | lost, block.highest_sequence, jitter, block.last_report, block.delay
        )
    kind = _RECEIVER_REPORT if report.sender is None else _SENDER_REPORT
    return _HEADER.pack(_VERSION << 6 | len(report.blocks), kind, len(body) // _WORD) + body


def _description(ssrc: int, cname: str) -> bytes:
    """Return the SDES packet: the CNAME and nothing else, for a name or a telephone number tells who speaks."""
    name = cname.encode()
    chunk = ssrc.to_bytes(_WORD, "big") + bytes([_CNAME, len(name)]) + name
    chunk += bytes(_WORD - len(chunk) % _WORD)  # at least one null ends the chunk (RFC 3550 6.5)
    return _HEADER.pack(_VERSION << 6 | 1, _DESCRIPTION, len(chunk) // _WORD) + chunk


def ntp_of(unix_ns: int) -> int:
    """Return a moment since 1970, in nanoseconds, as the 64 bits of NTP."""
    seconds, rest = divmod(unix_ns, 1_000_000_000)
    return ((seconds + NTP_EPOCH_S) & 0xFFFFFFFF) << 32 | (rest << 32) // 1_000_000_000


def middle_of(ntp: int) -> int:
    """Return the middle 32 bits of an NTP time, as reports refer to it."""
    return ntp >> 16 & 0xFFFFFFFF
