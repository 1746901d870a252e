"""RTCP of a worker's legs: sent and read on the port above RTP or on RTP's own (RTP-8), and the quality it tells.

Nothing here happens for a packet of voice: the worker looks at each leg once a second.
"""

from __future__ import annotations

import random
import time
from contextlib import suppress

from callrec.errors import PeerError
from callrec.media.channel import Message
from callrec.media.leg import Leg, drain_error_queue
from callrec.media.relay import BUFFER_SIZE, Tell
from callrec.media.remote import Source
from callrec.rtp.reporting import Heard, Reporting, Sent
from callrec.rtp.rtcp import parse_compound

WINDOW = 16
"""So many packets are measured for jitter now and then: the weight of one in RFC 3550's estimate is a 16th."""
WINDOW_EVERY = 2
"""With every second report, about every 8 s."""
TOLD_EVERY = 4
"""The recorder needs a leg's quality when the call ends, and what is known of it where a worker is lost."""
_READS = 8
_REFUSALS = 3
"""A far side whose host refused so many reports in a row has no RTCP port: it is sent none until it sends one."""

_random = random.SystemRandom().random


class Rtcp:
    """Reports for every leg of a worker, and what the far sides report."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def open(self, leg: Leg, name: str, now_ns: int) -> None:
        """Begin to report for a leg, or go on after another worker did, under the leg's CNAME."""
        leg.control.reporting = Reporting(
            leg.outgoing.ssrc, name, now_ns=now_ns, unix_ns=time.time_ns(), random=_random()
        )  # fmt: skip

    def look(self, leg: Leg, now_ns: int) -> None:
        """Look at a leg, about once a second: follow its counters, and report where that is due."""
        leg.reception.wrapped()
        _count_octets(leg)
        reporting = leg.control.reporting
        if reporting is None or now_ns < reporting.due_ns:
            return
        reporting.put_off(now_ns, _random())
        control = leg.control
        control.turn += 1
        if control.turn % WINDOW_EVERY == 0 and control.heard_until != leg.reception.received:
            control.heard_until = leg.reception.received
            leg.measure(WINDOW)
        if not reporting.far_left:
            self._report(leg, reporting, now_ns)
        if control.turn % TOLD_EVERY == 1:
            self._tell(_quality(leg, reporting), droppable=True)

    def close(self, leg: Leg, now_ns: int) -> None:
        """Say BYE for a leg that has spoken, and tell its quality for the last time."""
        reporting = leg.control.reporting
        if reporting is None:
            return
        if leg.sent:
            self._report(leg, reporting, now_ns, goodbye=True)
        self._tell(_quality(leg, reporting))

    def read(self, leg: Leg, now_ns: int) -> None:
        """Read what waits on a leg's RTCP port."""
        for _ in range(_READS):
            try:
                data, address = leg.rtcp.recvfrom(BUFFER_SIZE)
            except BlockingIOError:
                return
            except OSError:
                leg.control.refused += drain_error_queue(leg.rtcp)
                continue
            source = address[:2]
            opened = data if leg.srtp is None else leg.srtp.open(data)
            if opened is not None and _believes(leg, source):
                leg.control.source = source
                self.take(leg, opened, now_ns)
            else:
                leg.dropped += 1

    def take(self, leg: Leg, data: bytes, now_ns: int) -> None:
        """Take in a datagram of the far side."""
        reporting = leg.control.reporting
        try:
            compound = parse_compound(data)
        except PeerError:
            leg.dropped += 1
            return
        leg.control.refused = 0
        if reporting is None or not reporting.take(compound, now_ns) or reporting.heard is None:
            return
        leg.control.loss = max(reporting.heard.fraction_lost, leg.control.loss or 0.0)
        self._confirm(leg, reporting.heard)

    def _confirm(self, leg: Leg, heard: Heard) -> None:
        """Tell that the last packet of a notice was reached, which had ended before this report came (NOT-13)."""
        notice = leg.control.unconfirmed
        if notice is None or notice.last_sequence is None or not heard.covers(notice.last_sequence):
            return
        leg.control.unconfirmed = None
        self._tell(
            {
                "t": "confirmed",
                "leg": leg.number,
                "play_id": notice.order.play_id,
                "loss": leg.control.loss,
                "highest_sequence": heard.highest_sequence & 0xFFFF,
            }
        )

    def _report(self, leg: Leg, reporting: Reporting, now_ns: int, *, goodbye: bool = False) -> None:
        target = _target(leg)
        if target is None or leg.control.refused >= _REFUSALS:
            return
        sent = Sent(leg.sent, leg.control.octets, leg.outgoing.timestamp_at(now_ns))
        data = reporting.report(sent, leg.reception, leg.jitter.ticks, now_ns, goodbye=goodbye)
        send_rtcp(leg, data, target)


def send_rtcp(leg: Leg, data: bytes, target: Source) -> None:
    """Send an RTCP datagram; one that does not go out is none: the next report tells the same."""
    with suppress(OSError):
        if leg.remote is not None and leg.remote.rtcp_mux:
            if leg.transmit is not None:
                leg.transmit(data)
        elif (sealed := data if leg.srtp is None else leg.srtp.seal(data)) is not None:
            leg.rtcp.sendto(sealed, target)


def _believes(leg: Leg, source: Source) -> bool:
    """Tell whether reports may come from here: the host that the media comes from, or may come from."""
    if leg.remote is None:
        return False
    return leg.remote.permits(source[0]) or (leg.connected_to is not None and leg.connected_to[0] == source[0])


def _target(leg: Leg) -> Source | None:
    """Return where this leg's reports go, None where that is not known.

    Behind NAT the port above the media's may be anybody's: reports go where reports come from (RFC 4961).
    """
    remote = leg.remote
    if remote is None or remote.address is None:
        return None
    if remote.nat and not remote.rtcp_mux and leg.connected_to not in (None, remote.address):
        return leg.control.source
    return remote.address[0], remote.rtcp_port or min(remote.address[1] + 1, 0xFFFF)


def _count_octets(leg: Leg) -> None:
    """Add up what was sent, as far as a look now and then can tell: so many packets of the last size measured."""
    remote, peer = leg.remote, leg.peer
    if remote is None:
        return
    each = peer.payload_octets if peer is not None and leg.play is None else 8 * remote.packet_time_ms
    leg.control.octets += (leg.sent - leg.control.octets_until) * each
    leg.control.octets_until = leg.sent


def _quality(leg: Leg, reporting: Reporting) -> Message:
    """Return what is known of how a leg sounds; times in microseconds."""
    rate = leg.remote.clock_rate if leg.remote is not None else 8000
    heard, jitter, trip = reporting.heard, leg.jitter, reporting.round_trip_ns
    return {
        "t": "quality",
        "leg": leg.number,
        "jitter_us": int(jitter.mean * 1e6 / rate) if jitter.measured else None,
        "jitter_max_us": int(jitter.largest * 1e6 / rate) if jitter.measured else None,
        "round_trip_us": None if trip is None else trip // 1000,
        "far_lost": None if heard is None else max(0, heard.packets_lost),
        "far_loss_max": None if heard is None else round(reporting.worst_loss, 4),
        "far_jitter_us": None if heard is None else int(heard.jitter * 1e6 / rate),
    }
