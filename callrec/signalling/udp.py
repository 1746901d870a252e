"""SIP over UDP: one socket, many datagrams a wake (RFC 3261 18)."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from typing import TYPE_CHECKING

from callrec.signalling.rate_limit import RateLimit
from callrec.signalling.sockets import Listening, address_of, bind, dead_destinations
from callrec.sip.events import Address, Flow

if TYPE_CHECKING:
    from callrec.signalling.counters import Counters
    from callrec.signalling.hooks import Hooks

log = logging.getLogger("callrec.signalling")

BATCH = 64
"""Datagrams taken before others get a turn."""
_MAX_DATAGRAM = 65535


class UdpListener:
    """One UDP socket of `sip.listen`; a stranger's datagram is counted and forgotten.

    Raises:
        OperatorError: exit 78 where the place cannot be had.
    """

    def __init__(self, place: Listening, counters: Counters, hooks: Hooks) -> None:
        self._socket: socket.socket = bind(place)
        self.address = address_of(self._socket)
        self._counters = counters
        self._hooks = hooks
        self._complaints = RateLimit(5, 10.0)

    def start(self) -> None:
        """Begin to read."""
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._on_readable)

    def close(self) -> None:
        """Stop reading and give the port back."""
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()

    def send(self, data: bytes, flow: Flow) -> None:
        """Send one datagram; one that the system does not take counts as lost, as UDP may."""
        try:
            self._socket.sendto(data, tuple(flow.remote))
            self._counters.sent += 1
        except BlockingIOError:
            self._counters.send_failed += 1
        except OSError as error:
            self._not_sent(error, data, flow)

    def _not_sent(self, error: OSError, data: bytes, flow: Flow) -> None:
        if error.errno == errno.EMSGSIZE:
            self._counters.send_failed += 1
            self._complain(data, flow)
            self._hooks.not_sent(data, flow)
            return
        # With IP_RECVERR a send also reports what happened to an earlier one, to whomever that went.
        self._take_errors()
        try:
            self._socket.sendto(data, tuple(flow.remote))
            self._counters.sent += 1
        except OSError:
            self._counters.send_failed += 1
            self._hooks.failed(flow)

    def _complain(self, data: bytes, flow: Flow) -> None:
        left_out = self._complaints.admits(self._hooks.now())
        if left_out is not None:
            log.warning(
                "a SIP message of %d bytes to %s:%d fits no UDP datagram and was not sent; let it go by TCP: "
                "a tcp:// place in sip.listen, and TCP at that peer (%d more not logged)",
                len(data), *flow.remote, left_out,
            )  # fmt: skip

    def _on_readable(self) -> None:
        counters, local = self._counters, self.address
        for _ in range(BATCH):
            try:
                data, source = self._socket.recvfrom(_MAX_DATAGRAM)
            except OSError as error:
                self._take_errors()
                if isinstance(error, BlockingIOError):
                    break
                continue
            remote = Address(source[0], source[1])
            if self._hooks.is_known(remote):
                self._hooks.receive(data, Flow("udp", local, remote))
            else:
                counters.dropped_unknown += 1
        self._hooks.read_all()

    def _take_errors(self) -> None:
        for remote in dead_destinations(self._socket):
            self._hooks.failed(Flow("udp", self.address, remote))
