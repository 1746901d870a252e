"""Every socket of signalling: where we listen, and by which of them a message leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from callrec.signalling.certificates import Credentials
from callrec.signalling.sockets import Listening, read_listening
from callrec.signalling.tcp import TcpTransport
from callrec.signalling.tls import TlsTransport
from callrec.signalling.udp import UdpListener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from callrec.signalling.certificates import TlsFiles
    from callrec.signalling.counters import Counters
    from callrec.signalling.hooks import Hooks
    from callrec.signalling.peers import Peers
    from callrec.signalling.tcp import TcpLimits
    from callrec.sip.events import Address, Flow
    from callrec.tasks import Tasks


class Datagrams(Protocol):
    """What sends datagrams from one of our places."""

    def send(self, data: bytes, flow: Flow) -> None:
        """Send one."""


class Transports:
    """UDP, TCP and TLS together."""

    def __init__(
        self, counters: Counters, tasks: Tasks, hooks: Hooks, limits: TcpLimits, peers: Callable[[], Peers]
    ) -> None:
        self._counters = counters
        self._hooks = hooks
        self._tcp = TcpTransport(counters, tasks, hooks, limits)
        self._tls = TlsTransport(counters, tasks, hooks, limits, peers=peers)
        self._listeners: list[UdpListener] = []
        self._datagrams: dict[Address, Datagrams] = {}
        self.places: list[Listening] = []
        """Where we listen, with the ports that were given out for port 0."""

    def bind(self, listen: Iterable[str], tls: TlsFiles) -> None:
        """Take every place; texts are such as `udp://127.0.0.1:5070`, and `tls` is read only where one is of TLS.

        Raises:
            OperatorError: exit 78 where one cannot be had; those before it are held until `stop`.
        """
        for text in listen:
            place = read_listening(text)
            if place.transport == "udp":
                listener = UdpListener(place, self._counters, self._hooks)
                self._listeners.append(listener)
                self.add_datagrams(listener.address, listener)
                continue
            if place.transport == "tcp":
                address = self._tcp.bind(place)
            else:
                self.reload(tls)
                address = self._tls.bind(place)
            self.places.append(Listening(place.transport, address))

    def add_datagrams(self, address: Address, datagrams: Datagrams) -> None:
        """Let what goes from an address by UDP leave through `datagrams`."""
        self._datagrams[address] = datagrams
        self.places.append(Listening("udp", address))

    async def start(self) -> None:
        """Begin to read and to accept."""
        for listener in self._listeners:
            listener.start()
        await self._tcp.start()
        await self._tls.start()

    async def stop(self) -> None:
        """Close every socket."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        self._datagrams.clear()
        await self._tcp.stop()
        await self._tls.stop()

    def reload(self, tls: TlsFiles) -> None:
        """Read the files of TLS anew, for connections to come; where one cannot be used, the old ones stay.

        Raises:
            OperatorError: exit 78 where one cannot be used.
        """
        self._tls.credentials = Credentials.load(tls)

    def send(self, data: bytes, flow: Flow) -> None:
        """Send one message by its flow; what cannot leave is counted, and a dead connection told to the hooks."""
        if flow.transport != "udp":
            (self._tls if flow.transport == "tls" else self._tcp).send(data, flow)
        elif (datagrams := self._datagrams.get(flow.local)) is not None:
            datagrams.send(data, flow)
        else:
            self._counters.send_failed += 1

    def is_open(self, flow: Flow, within: float) -> bool:
        """Whether a TCP connection lives by which something came, or that was opened, within so many seconds."""
        return self._tcp.is_open(flow, within)

    def sweep(self, now: float) -> None:
        """Close connections that are idle or too slow; called each second."""
        self._tcp.sweep(now)
        self._tls.sweep(now)

    @property
    def connections(self) -> int:
        """How many TCP and TLS connections live."""
        return len(self._tcp) + len(self._tls)

    @property
    def uses_tls(self) -> bool:
        """Whether one of our places is one of TLS."""
        return any(place.transport == "tls" for place in self.places)

    def expect(self, flow: Flow, domain: str) -> None:
        """Remember for which SIP domain a place is called: over TLS its certificate must name it (RFC 5922 7.3)."""
        if flow.transport == "tls":
            self._tls.expect(flow.remote, domain)

    def names_of(self, flow: Flow) -> frozenset[str]:
        """Return whom the certificate at the far end of a flow names; nobody where there is none."""
        return self._tls.names_of(flow) if flow.transport == "tls" else frozenset()

    def fault_of(self, flow: Flow) -> str | None:
        """Return why the last connection of TLS to a place failed, None where it did not."""
        return self._tls.faults.get(flow.remote) if flow.transport == "tls" else None
