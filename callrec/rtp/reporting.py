"""RTCP of one leg without I/O: when a report is due, what it says, and what the far side says of our stream."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from callrec.rtp.reception import Reception
from callrec.rtp.rtcp import Compound, Report, ReportBlock, SenderInfo, compound_of, middle_of, ntp_of

INTERVAL_NS = 5_000_000_000
"""RFC 3550 6.2: the least interval; of two members at 5 % of a voice codec's bandwidth it is always the longer one."""
_COMPENSATION = 1.21828  # e - 3/2, RFC 3550 6.3.1
_LONGEST_ROUND_TRIP_NS = 10_000_000_000
_REMEMBERED = 4
_SEQUENCE_HALF = 0x8000


def interval_ns(random: float, *, first: bool = False) -> int:
    """Return the time to the next report (RFC 3550 6.3.1): half to one and a half of 5 s, the first one sooner.

    Args:
        random: 0 to 1.
        first: half the interval before the first report.
    """
    return int((0.5 + random) * (INTERVAL_NS // 2 if first else INTERVAL_NS) / _COMPENSATION)


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent on a leg, as its sender report tells it."""

    packets: int
    octets: int
    timestamp: int
    """RTP timestamp of this moment."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the last report of the far side tells of our stream."""

    fraction_lost: float
    packets_lost: int
    jitter: int
    """In RTP timestamp units."""
    highest_sequence: int
    """32 bits: our sequence number that reached it, with the wraps it counted."""

    def covers(self, sequence_number: int) -> bool:
        """Tell whether a packet of ours, by its sequence number, had been reached when this was reported."""
        return (self.highest_sequence - sequence_number) & 0xFFFF < _SEQUENCE_HALF


class Reporting:
    """The reports of one leg; times are nanoseconds of one clock that runs on, whose NTP time is told once."""

    __slots__ = (
        "_cname",
        "_lost_told",
        "_ntp_ahead_ns",
        "_packets_told",
        "_received_told",
        "_reports",
        "_source_told",
        "_their_report",
        "due_ns",
        "far_left",
        "heard",
        "round_trip_ns",
        "ssrc",
        "worst_loss",
    )  # fmt: skip

    def __init__(self, ssrc: int, cname: str, *, now_ns: int, unix_ns: int, random: float) -> None:
        self.ssrc = ssrc
        self._cname = cname
        self._ntp_ahead_ns = unix_ns - now_ns
        self.due_ns = now_ns + interval_ns(random, first=True)
        self.heard: Heard | None = None
        self.worst_loss = 0.0
        """The largest share that a report of the far side told as lost."""
        self.round_trip_ns: int | None = None
        self.far_left = False
        """The far side has said BYE and nothing since."""
        self._packets_told = 0
        self._source_told = -1
        self._received_told = self._lost_told = 0
        self._their_report: tuple[int, int] | None = None
        self._reports: deque[int] = deque(maxlen=_REMEMBERED)

    def report(self, sent: Sent, reception: Reception, jitter: float, now_ns: int, *, goodbye: bool = False) -> bytes:
        """Return the report that is due, or the last one: a sender's where packets went out since the one before."""
        sender = None
        if sent.packets != self._packets_told:
            ntp = ntp_of(now_ns + self._ntp_ahead_ns)
            sender = SenderInfo(ntp, sent.timestamp, sent.packets, sent.octets)
            self._packets_told = sent.packets
            self._reports.append(middle_of(ntp))
        blocks = (self._block(reception, jitter, now_ns),) if reception.ssrc >= 0 else ()
        return compound_of(Report(self.ssrc, sender, blocks), self._cname, goodbye=goodbye)

    def put_off(self, now_ns: int, random: float) -> None:
        """Let the next report be due after another interval."""
        self.due_ns = now_ns + interval_ns(random)

    def _block(self, reception: Reception, jitter: float, now_ns: int) -> ReportBlock:
        received, lost = reception.of_source
        if reception.ssrc != self._source_told:
            self._source_told, self._received_told, self._lost_told = reception.ssrc, 0, 0
        new, new_lost = received - self._received_told, lost - self._lost_told
        self._received_told, self._lost_told = received, lost
        fraction = new_lost / (new + new_lost) if new_lost > 0 and new >= 0 else 0.0
        last, delay = 0, 0
        if self._their_report is not None:
            last, came_ns = self._their_report
            delay = min(0xFFFFFFFF, (now_ns - came_ns << 16) // 1_000_000_000)
        return ReportBlock(reception.ssrc, fraction, lost, reception.highest_sequence, int(jitter), last, delay)

    def take(self, compound: Compound, now_ns: int) -> bool:
        """Take in what the far side sent; return whether it tells of our stream."""
        told = False
        self.far_left = bool(compound.goodbyes)
        for report in compound.reports:
            if report.sender is not None:
                self._their_report = middle_of(report.sender.ntp), now_ns
            for block in report.blocks:
                if block.ssrc == self.ssrc:
                    self._hear(block, now_ns)
                    told = True
        return told

    def _hear(self, block: ReportBlock, now_ns: int) -> None:
        self.heard = Heard(block.fraction_lost, block.packets_lost, block.jitter, block.highest_sequence)
        self.worst_loss = max(self.worst_loss, block.fraction_lost)
        if block.last_report in self._reports:  # what nobody of ours said is no clock
            now = middle_of(ntp_of(now_ns + self._ntp_ahead_ns))
            between = (now - block.last_report - block.delay) & 0xFFFFFFFF
            trip_ns = between * 1_000_000_000 >> 16
            if trip_ns < _LONGEST_ROUND_TRIP_NS:
                self.round_trip_ns = trip_ns
