"""SIP over UDP: one socket, many datagrams a wake (RFC 3261 18)."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from callrec.signalling.sockets import Listening, address_of, bind, dead_destinations
from callrec.sip.events import Address, Flow

if TYPE_CHECKING:
    from callrec.signalling.counters import Counters
    from callrec.signalling.hooks import Hooks

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
        except OSError:
            self._send_again(data, flow)

    def _send_again(self, data: bytes, flow: Flow) -> None:
        # With IP_RECVERR a send also reports what happened to an earlier one, to whomever that went.
        self._take_errors()
        try:
            self._socket.sendto(data, tuple(flow.remote))
            self._counters.sent += 1
        except OSError:
            self._counters.send_failed += 1
            self._hooks.failed(flow)

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
