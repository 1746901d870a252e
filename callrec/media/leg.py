"""One leg inside a worker: its sockets, whom it believes, what it sends and what it counts."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from callrec.media.control import Control
from callrec.media.remote import DROP, Remote, Source, payload_types
from callrec.media.srtp import MediaKeys, Srtp
from callrec.rtp.jitter import Jitter
from callrec.rtp.key_codes import KeyCodes
from callrec.rtp.outgoing import OutgoingStream
from callrec.rtp.reception import Reception
from callrec.rtp.telephone_event import DigitReceiver

if TYPE_CHECKING:
    from callrec.media.playing import Playing

SETTLE_NS = 50_000_000
"""After connect(), sources are checked until the queue is empty and this time has passed: what was queued before, or on
its way through the kernel, still has a foreign one."""

FIRST_WINDOW = 50
"""So many packets of a leg are measured for jitter at first: a call of seconds has its quality too."""

_DROP_ALL = bytes([DROP]) * 256
_EXTENDED_ERROR = struct.Struct("=IBBBBII")  # linux/errqueue.h: errno, origin, type, code, pad, info, data
_ICMP_ORIGINS = (2, 3)
_libc = ctypes.CDLL(None, use_errno=True)


class Leg:
    """The loop reads and writes these attributes for every packet; the methods are for what happens rarely."""

    __slots__ = (
        "actions",
        "call",
        "checked",
        "codes",
        "connected_at",
        "connected_to",
        "control",
        "digits",
        "direction",
        "dropped",
        "failed",
        "fd",
        "forward",
        "jitter",
        "last_at",
        "maps",
        "measuring",
        "number",
        "outgoing",
        "pass_digits",
        "payload_octets",
        "peer",
        "permitted",
        "play",
        "receive_into",
        "reception",
        "refused",
        "remote",
        "rtcp",
        "rtp",
        "sent",
        "settling",
        "srtp",
        "started_us",
        "store",
        "transmit",
        "waiting",
    )  # fmt: skip

    def __init__(
        self,
        numbers: tuple[int, int],
        sockets: tuple[socket.socket, socket.socket],
        outgoing: OutgoingStream,
        now_ns: int,
    ) -> None:
        """Take the numbers of leg and call, and the RTP and the RTCP socket."""
        self.number, self.call = numbers
        rtp, rtcp = sockets
        self.rtp = rtp
        self.rtcp = rtcp
        self.fd = rtp.fileno()
        self.receive_into: Callable[[bytearray], int] = rtp.recv_into
        self.outgoing = outgoing
        self.reception = Reception()
        self.digits = DigitReceiver()
        self.remote: Remote | None = None
        self.actions = _DROP_ALL
        self.maps: bytes | None = None
        """Second byte to send for each received, where the other leg numbers its payload types otherwise."""
        self.peer: Leg | None = None
        self.forward: Leg | None = None
        """The peer while audio goes there: linked, with somewhere to send, and nothing of ours playing to it."""
        self.transmit: Callable[[Any], int] | None = None
        """Send a datagram to the far end; None while nothing may be sent."""
        self.pass_digits = False
        self.codes = KeyCodes()
        """Of the keys that are passed, those that complete one of these codes are not."""
        self.play: Playing | None = None
        self.waiting = False
        """A play begins with the next packet from the party."""
        self.checked = True
        """Each packet's source and arrival is looked at; False once the kernel checks it and nothing is measured."""
        self.settling = True
        """Packets from before connect() may still be in the queue."""
        self.measuring = FIRST_WINDOW
        """So many more packets are measured for jitter."""
        self.jitter = Jitter()
        self.payload_octets = 160
        """Of the last packet measured."""
        self.connected_to: Source | None = None
        self.connected_at = 0
        self.permitted: set[str] = set()
        """Hosts told as latched though the socket stays unconnected."""
        self.direction = 0
        self.store: Callable[[bytes], None] | None = None
        """Where records of this leg's packets go; None while none is kept."""
        self.started_us = 0
        self.last_at = now_ns
        self.sent = self.refused = self.dropped = self.failed = 0
        self.control = Control()
        self.srtp: Srtp | None = None
        """What opens and seals every datagram of this leg; None for RTP in clear."""

    def set_remote(self, remote: Remote, *, keep: bool, now_ns: int) -> None:
        """Take the far end of a new offer or answer; the socket stays connected only where nothing moved.

        `keep` is said when a call is taken over from a lost worker: a connection made by it stays as it is.
        """
        before, self.remote = self.remote, remote
        self.actions = remote.actions()
        if self.connected_to is not None and not keep and (before is None or before.address != remote.address):
            self._disconnect()
        elif keep and self.connected_to is None:
            with suppress(OSError):
                self.connected_to = self.rtp.getpeername()[:2]
                self.connected_at = now_ns
        self.outgoing.clock_rate = remote.clock_rate
        if before is None or before.srtp != remote.srtp:
            self._take_keys(remote.srtp)
        self._choose_transmit()

    def connect(self, source: Source, now_ns: int) -> bool:
        """Let the kernel drop whatever comes from elsewhere; return whether it could."""
        try:
            self.rtp.connect(source)
        except OSError:
            return False
        self.connected_to, self.connected_at = source, now_ns
        self._choose_transmit()
        return True

    def settled(self, now_ns: int) -> None:
        """Leave the checking to the kernel, the queue being empty."""
        if self.connected_to is not None and now_ns - self.connected_at >= SETTLE_NS:
            self.settling = False
            self.checked = self.measuring > 0

    def measure(self, packets: int) -> None:
        """Measure the arrival of the next packets, which have to be looked at for it."""
        self.jitter.begin()
        self.measuring, self.checked = packets, True

    def rewire(self) -> None:
        """Work out anew where this leg's audio goes."""
        peer = self.peer
        able = peer is not None and peer.transmit is not None and peer.play is None
        self.forward = peer if able else None
        self.maps = None
        if peer is not None and self.remote is not None and peer.remote is not None:
            self.maps = payload_types(self.remote, peer.remote)

    def send(self, datagram: Any) -> bool:
        """Send one datagram; return whether the kernel took it. A refusal of an earlier one never costs this one."""
        for _ in range(3):
            if self.transmit is None:
                return False
            try:
                self.transmit(datagram)
            except ConnectionRefusedError:
                self.drain_errors()
            except OSError:
                self.failed += 1
                return False
            else:
                self.sent += 1
                return True
        self.failed += 1
        return False

    def drain_errors(self) -> None:
        """Count what the far host refused (ICMP), bounded, and clear the socket's pending error."""
        self.refused += drain_error_queue(self.rtp)

    def close(self) -> None:
        """Let go of the sockets; the recorder's duplicates keep the ports."""
        self.forward = self.peer = self.play = self.store = self.transmit = None
        self.rtp.close()
        self.rtcp.close()

    def _choose_transmit(self) -> None:
        remote = self.remote
        if remote is None or not remote.may_send or (self.srtp is not None and not self.srtp.sends):
            self.transmit = None
        elif self.connected_to is not None:
            self.transmit = self.rtp.send
        elif remote.address is not None:
            self.transmit = _SendTo(self.rtp, remote.address)
        else:
            self.transmit = None
        if self.srtp is not None and self.transmit is not None:
            self.transmit = _SealAndSend(self.srtp, self.transmit)

    def _take_keys(self, keys: MediaKeys | None) -> None:
        if keys is None:
            self.srtp, self.receive_into = None, self.rtp.recv_into
            return
        if self.srtp is None:
            self.srtp = Srtp(keys)
        else:
            self.srtp.change(keys)
        self.receive_into = self._receive_sealed

    def _receive_sealed(self, buffer: bytearray) -> int:
        """Read one datagram of SRTP and leave what is in it in the buffer; 0 where it is forged."""
        assert self.srtp is not None, "internal error: a leg without keys reads SRTP"
        length = self.rtp.recv_into(buffer)
        opened = self.srtp.open(bytes(memoryview(buffer)[:length]))
        if opened is None:
            return 0
        buffer[: len(opened)] = opened
        return len(opened)

    def _disconnect(self) -> None:
        """Dissolve the connection: connect() to AF_UNSPEC, which Python's socket module cannot say (connect(2))."""
        unspecified = struct.pack("=H14x", socket.AF_UNSPEC)
        if _libc.connect(self.rtp.fileno(), unspecified, len(unspecified)) != 0:
            self.failed += 1
        self.connected_to = None
        self.checked = self.settling = True
        self.control.forget_place()
        self.permitted.clear()


class _SendTo:
    """Sends to the signalled address while the socket is unconnected."""

    __slots__ = ("_address", "_sendto")

    def __init__(self, rtp: socket.socket, address: Source) -> None:
        self._sendto = rtp.sendto
        self._address = address

    def __call__(self, datagram: Any) -> int:
        return self._sendto(datagram, self._address)


class _SealAndSend:
    """Seals a datagram before it is sent; one whose number was used already is left out, as a copy is."""

    __slots__ = ("_send", "_srtp")

    def __init__(self, srtp: Srtp, send: Callable[[Any], int]) -> None:
        self._srtp = srtp
        self._send = send

    def __call__(self, datagram: Any) -> int:
        sealed = self._srtp.seal(bytes(datagram))
        return 0 if sealed is None else self._send(sealed)


def adopt(descriptor: int) -> socket.socket:
    """Return a non-blocking socket of a descriptor that came over the control socket."""
    os.set_blocking(descriptor, False)
    adopted = socket.socket(fileno=descriptor)
    adopted.settimeout(0)
    return adopted


def drain_error_queue(udp: socket.socket) -> int:
    """Return how many datagrams the network refused (ICMP), bounded, and clear the socket's pending error."""
    refused = 0
    for _ in range(256):
        try:
            _, ancillary, _, _ = udp.recvmsg(64, 256, socket.MSG_ERRQUEUE)
        except OSError:
            break
        refused += sum(_is_icmp(data) for _, _, data in ancillary)
    with suppress(OSError):
        udp.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return refused


def _is_icmp(ancillary: bytes) -> bool:
    """Tell whether an extended error came from the network and not from this machine's own checks."""
    return len(ancillary) >= _EXTENDED_ERROR.size and _EXTENDED_ERROR.unpack_from(ancillary)[1] in _ICMP_ORIGINS
