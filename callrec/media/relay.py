"""What happens to one packet: counted, kept, sent on. The hot path of the product."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from typing import Protocol

from callrec.errors import PeerError
from callrec.media.channel import Message
from callrec.media.leg import Leg
from callrec.media.ports import SO_TIMESTAMPNS
from callrec.media.remote import AUDIO, EVENT, RTCP, Source
from callrec.rtp.header import FIXED_LENGTH, RtpPacket
from callrec.rtp.outgoing import BACK_TICKS, WINDOW_TICKS
from callrec.vault.recording_format import encode_packet

BUFFER_SIZE = 4096
"""Longer datagrams are dropped and counted: no audio codec sends them."""
STALE_NS = 200_000_000
"""What waited longer in the kernel (a worker was replaced) is kept but not sent on: the listener's time has moved."""
_READS_WHILE_SETTLING = 64

_read_header = struct.Struct("!HII").unpack_from
_write_header = struct.Struct("!HII").pack_into
_TIMESPEC = struct.Struct("@qq")


class Tell(Protocol):
    """Tells the recorder something, now or never where it is droppable."""

    def __call__(self, message: Message, *, droppable: bool = False) -> None:
        """Tell it."""


class TakeReport(Protocol):
    """Takes in an RTCP datagram that came on the RTP port."""

    def __call__(self, leg: Leg, data: bytes, now_ns: int) -> None:
        """Take it in."""


class Relay:
    """Takes packets off the legs' sockets; owns the one buffer they are read into."""

    def __init__(self, tell: Tell, media_heard: Callable[[Leg], None], take_report: TakeReport) -> None:
        self.buffer = bytearray(BUFFER_SIZE + 1)
        whole = memoryview(self.buffer)
        self._buffers = [self.buffer]
        self._views = [whole[:length] for length in range(BUFFER_SIZE + 1)]
        self._tell = tell
        self._media_heard = media_heard
        self._take_report = take_report

    def take(self, leg: Leg, length: int, now_ns: int, arrived_us: int) -> None:
        """Deal with the datagram in the buffer, whose source is believed; it arrived after its recording began."""
        buffer = self.buffer
        if length < 12 or length > BUFFER_SIZE or buffer[0] & 0xC0 != 0x80:
            leg.dropped += 1
            return
        second = buffer[1]
        action = leg.actions[second]
        if action:
            self._take_other(leg, length, now_ns, action)
            return
        sequence, timestamp, ssrc = _read_header(buffer, 2)
        reception = leg.reception
        reception.received += 1
        if sequence == reception.expected:
            reception.expected = (sequence + 1) & 0xFFFF
        elif reception.jumped(sequence, ssrc) and leg.forward is not None:
            leg.forward.outgoing.source_ssrc = -1  # its numbers began anew: they are anchored anew below
        leg.last_at = now_ns
        view = self._views[length]
        if leg.store is not None:
            leg.store(encode_packet(leg.direction, arrived_us - leg.started_us, bytes(view)))
        forward = leg.forward
        if forward is None:
            return
        outgoing = forward.outgoing
        if (
            ssrc != outgoing.source_ssrc
            or (timestamp - outgoing.source_timestamp + BACK_TICKS) & 0xFFFFFFFF > WINDOW_TICKS
        ) and outgoing.follow(sequence, timestamp, ssrc, now_ns):
            second |= 0x80
        outgoing.source_timestamp = timestamp
        sequence = (sequence + outgoing.sequence_offset) & 0xFFFF
        timestamp = (timestamp + outgoing.timestamp_offset) & 0xFFFFFFFF
        if (sequence - outgoing.last_sequence) & 0xFFFF < 0x8000:
            outgoing.last_sequence = sequence
            outgoing.last_timestamp = timestamp
            outgoing.last_at = now_ns
        buffer[1] = second if leg.maps is None else leg.maps[second]
        _write_header(buffer, 2, sequence, timestamp, outgoing.ssrc)
        transmit = forward.transmit
        try:
            transmit(view)  # type: ignore[misc]  # never None while the leg is somebody's `forward`
        except OSError:
            forward.send(view)
        else:
            forward.sent += 1

    def take_checked(self, leg: Leg, now_ns: int) -> None:
        """Read from a leg whose source the kernel does not check (yet), or whose packets are measured."""
        if not leg.settling and leg.srtp is None and leg.connected_to is not None:
            self._take_measured(leg, now_ns)
            return
        reads = _READS_WHILE_SETTLING if leg.connected_to is not None and leg.settling else 1
        for _ in range(reads):
            try:
                data, ancillary, _, address = leg.rtp.recvmsg(BUFFER_SIZE + 1, 64)
            except BlockingIOError:
                leg.settled(now_ns)
                return
            except OSError:
                leg.drain_errors()
                return
            self._take_from(leg, data, address[:2], now_ns, _arrived_at(ancillary))

    def _take_measured(self, leg: Leg, now_ns: int) -> None:
        """Read one packet whose source the kernel has checked, and measure its arrival."""
        try:
            length, ancillary, _, _ = leg.rtp.recvmsg_into(self._buffers, 64)
        except OSError:
            leg.drain_errors()
            return
        is_audio = length > FIXED_LENGTH and leg.actions[self.buffer[1]] == AUDIO
        _, timestamp, ssrc = _read_header(self.buffer, 2)  # it is written over when the packet is sent on
        arrived_at = _arrived_at(ancillary)
        came_us = (time.monotonic_ns() - _waited(arrived_at)) // 1000
        self.take(leg, length, now_ns, max(came_us, leg.started_us))
        if is_audio:
            _measure(leg, length, (timestamp, ssrc), arrived_at)

    def take_backlog(self, leg: Leg, now_ns: int, keep_from_ns: int = 0) -> int | None:
        """Keep what waited in a leg's socket while its worker was lost; return when its first packet came, in us.

        What came before `keep_from_ns` is not stored.
        """
        first_us: int | None = None
        store = leg.store
        for _ in range(2000):
            try:
                data, ancillary, _, address = leg.rtp.recvmsg(BUFFER_SIZE + 1, 64)
            except OSError:
                break
            arrived_at = _arrived_at(ancillary)
            came_ns = now_ns - _waited(arrived_at)
            if first_us is None:
                first_us = came_ns // 1000
            leg.store = store if came_ns >= keep_from_ns else None
            self._take_from(leg, data, address[:2], now_ns, arrived_at)
        leg.store = store
        return first_us

    def _take_from(self, leg: Leg, data: bytes, source: Source, now_ns: int, arrived_at: int) -> None:
        """Deal with a datagram; `arrived_at` is the kernel's time of it, in nanoseconds since 1970, or 0."""
        opened = data if leg.srtp is None else leg.srtp.open(data)
        if opened is None or not self._believes(leg, opened, source, now_ns):
            leg.dropped += 1
            return
        data = opened
        if leg.waiting:
            self._media_heard(leg)
        length = len(data)
        self.buffer[:length] = data
        forward = leg.forward
        waited_ns = _waited(arrived_at)
        if waited_ns > STALE_NS:
            leg.forward = None
        came_us = (time.monotonic_ns() - waited_ns) // 1000
        self.take(leg, length, now_ns, max(came_us, leg.started_us))
        leg.forward = forward
        if leg.measuring and length > FIXED_LENGTH and leg.actions[data[1]] == AUDIO:
            _, timestamp, ssrc = _read_header(data, 2)
            _measure(leg, length, (timestamp, ssrc), arrived_at)

    def _believes(self, leg: Leg, data: bytes, source: Source, now_ns: int) -> bool:
        """Tell whether this source may speak for the far end, and latch on to it where that is due."""
        remote = leg.remote
        if leg.connected_to is not None:
            return source == leg.connected_to
        if remote is None or len(data) < 12 or data[0] & 0xC0 != 0x80:
            return False
        if source == remote.address:
            return self._latch(leg, source, "signalled", now_ns)
        if not remote.speaks(data[1]):
            return False  # RTPbleed: junk must not win the race for a leg
        if remote.nat:
            return self._latch(leg, source, "nat", now_ns)
        if source[0] in leg.permitted:
            return True
        if not remote.permits(source[0]):
            return False
        if len(leg.permitted) < 8:
            leg.permitted.add(source[0])
            self._tell_latched(leg, source, "permitted")
        return True

    def _latch(self, leg: Leg, source: Source, how: str, now_ns: int) -> bool:
        if leg.connect(source, now_ns):
            _rewire_both(leg)
            self._tell_latched(leg, source, how)
        return True

    def _tell_latched(self, leg: Leg, source: Source, how: str) -> None:
        self._tell({"t": "latched", "leg": leg.number, "host": source[0], "port": source[1], "how": how})

    def _take_other(self, leg: Leg, length: int, now_ns: int, action: int) -> None:
        """A telephone event is told and perhaps sent on, never kept (LAW-74); everything else ends here."""
        if action == RTCP:
            self._take_report(leg, bytes(self._views[length]), now_ns)
            return
        if action != EVENT:
            leg.dropped += 1
            return
        try:
            packet = RtpPacket.parse(bytes(self._views[length]))
        except PeerError:
            leg.dropped += 1
            return
        leg.reception.arrived(packet.sequence_number, packet.ssrc)
        leg.last_at = now_ns
        digit = leg.digits.receive(packet.payload, packet.timestamp, packet.ssrc, marker=packet.marker)
        if digit is not None:
            self._tell({"t": "digit", "leg": leg.number, "digit": digit})
            leg.codes.pressed(digit, packet.timestamp)
        forward = leg.forward
        if forward is None or not leg.pass_digits or forward.remote is None or forward.remote.telephone_event is None:
            return
        if leg.codes.completes(packet.timestamp):
            return  # it acts here; its sequence numbers are lost to the other party, for whom no voice came meanwhile
        self._send_event(leg, forward, packet, length, now_ns)

    def _send_event(self, leg: Leg, forward: Leg, packet: RtpPacket, length: int, now_ns: int) -> None:
        outgoing = forward.outgoing
        if packet.ssrc != outgoing.source_ssrc:
            outgoing.follow(packet.sequence_number, packet.timestamp, packet.ssrc, now_ns)
        outgoing.source_timestamp = packet.timestamp
        sequence = (packet.sequence_number + outgoing.sequence_offset) & 0xFFFF
        timestamp = (packet.timestamp + outgoing.timestamp_offset) & 0xFFFFFFFF
        if (sequence - outgoing.last_sequence) & 0xFFFF < 0x8000:
            outgoing.last_sequence, outgoing.last_timestamp, outgoing.last_at = sequence, timestamp, now_ns
        if leg.maps is not None:
            self.buffer[1] = leg.maps[self.buffer[1]]
        _write_header(self.buffer, 2, sequence, timestamp, outgoing.ssrc)
        forward.send(self._views[length])


def _measure(leg: Leg, length: int, numbers: tuple[int, int], arrived_at: int) -> None:
    """Measure the arrival of one packet of voice for jitter, and note whose it is: its timestamp and SSRC."""
    timestamp, ssrc = numbers
    if ssrc != leg.reception.ssrc:
        leg.reception.source(ssrc)
        leg.jitter.begin()
    if arrived_at:
        leg.jitter.take(arrived_at, timestamp, leg.outgoing.clock_rate)
    leg.payload_octets = length - FIXED_LENGTH
    leg.measuring -= 1
    if leg.measuring <= 0 and not leg.settling:
        leg.checked = False


def _rewire_both(leg: Leg) -> None:
    leg.rewire()
    if leg.peer is not None:
        leg.peer.rewire()


def _arrived_at(ancillary: list[tuple[int, int, bytes]]) -> int:
    """Return when the kernel took a datagram in, in nanoseconds since 1970; 0 where it does not say."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return int(seconds * 1_000_000_000 + nanoseconds)
    return 0


def _waited(arrived_at: int) -> int:
    """Return how many nanoseconds a datagram waited in the kernel, 0 where that is not known."""
    return max(0, time.time_ns() - arrived_at) if arrived_at else 0
