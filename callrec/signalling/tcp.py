"""SIP over TCP: connections accepted and opened, reused while they live (RFC 3261 18, RFC 5923)."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from callrec.descriptors import CONNECTION_RESERVE, leaves
from callrec.errors import PeerError
from callrec.signalling.sockets import Listening, address_of, bind
from callrec.sip.events import Address, Flow, SipTransport
from callrec.sip.failure import parse_failure_reply
from callrec.sip.framing import PONG, KeepAlive, StreamFramer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from callrec.signalling.counters import Counters
    from callrec.signalling.hooks import Hooks
    from callrec.tasks import Tasks


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """What one far side may cost us; times in seconds, sizes in bytes."""

    connections: int = 1024
    connect_timeout: float = 4.0
    unacknowledged: float = 4.0
    """What we sent by a connection of our own must have arrived there by then: a connection that a firewall has
    forgotten looks alive, and a call would wait for it until Timer B."""
    message_timeout: float = 15.0
    """A message that was begun must be whole by then."""
    idle_timeout: float = 3600.0
    write_buffer: int = 1024 * 1024
    """Unsent bytes for a far side that does not read."""
    waiting: int = 64
    """Messages that wait for a connection to open."""


class Connection(asyncio.Protocol):
    """One connection: bytes to messages, and what it may cost."""

    def __init__(self, owner: TcpTransport, local: Address, flow: Flow | None = None) -> None:
        self._owner = owner
        self._local = local
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self.flow = flow
        """Set from the start where we opened it."""
        self.heard_at = owner.hooks.now()
        self.begun_at: float | None = None
        """When the message began that is not whole yet."""
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, unless its far side is a stranger or there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        host, port, *_ = transport.get_extra_info("peername") or ("", 0)
        opened = self.flow is not None
        self.flow = self.flow or Flow(self._owner.name, self._local, Address(host, port))
        if not self._owner.admit(self, opened=opened):
            self.flow = None
            self._transport.abort()
        elif opened:
            milliseconds = round(1000 * self._owner.limits.unacknowledged)
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def data_received(self, data: bytes) -> None:
        """Cut bytes into messages."""
        if self.flow is None or self._refused:
            return
        self.heard_at = self._owner.hooks.now()
        try:
            for piece in self._framer.feed(data):
                self._take(piece, self.flow)
        except PeerError as error:
            self._refuse(error, self.flow)
        else:
            self._note_begun()
        self._owner.hooks.read_all()

    def _note_begun(self) -> None:
        if self._framer.error is not None and self.flow is not None:
            self._refuse(self._framer.error, self.flow)
        elif not self._framer.unframed:
            self.begun_at = None
        elif self.begun_at is None:
            self.begun_at = self.heard_at

    def _take(self, piece: bytes | KeepAlive, flow: Flow) -> None:
        if isinstance(piece, bytes):
            self.begun_at = None
            self._owner.hooks.receive(piece, flow)
            return
        self._owner.counters.keep_alives += 1
        if piece is KeepAlive.PING:
            self.send(PONG)

    def _refuse(self, error: PeerError, flow: Flow) -> None:
        """Answer what cannot be cut, as far as it can be answered, and close: the next message cannot be found."""
        self._owner.counters.unparseable += 1
        reply = parse_failure_reply(self._framer.unframed, error, flow.remote)
        if reply is not None:
            self.send(reply)
        # Closing with unread bytes would be a reset, and the reply lost: what still comes is thrown away for a moment.
        self._refused = True
        self.begun_at = float("-inf")
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:  # TLS has its own end, which waits for the far side's
            self._transport.close()

    def send(self, data: bytes) -> None:
        """Send bytes; a far side that does not read is cut off."""
        if self._transport is None or self._refused or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > self._owner.limits.write_buffer:
            self._owner.counters.closed_limit += 1
            self._transport.abort()

    @property
    def leaves_reserve(self) -> bool:
        """Whether descriptors are left for the stores beside this connection."""
        made = None if self._transport is None else self._transport.get_extra_info("socket")
        return made is None or leaves(made.fileno(), CONNECTION_RESERVE)

    @property
    def certificate(self) -> Mapping[str, Any] | None:
        """The verified certificate of the far side, None where there is none."""
        secured = None if self._transport is None else self._transport.get_extra_info("ssl_object")
        return None if secured is None else secured.getpeercert()

    def close(self) -> None:
        """Close after what was sent."""
        if self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that the flow is dead."""
        del exc
        if self.flow is not None:
            self._owner.lost(self)


@dataclass(slots=True)
class TcpTransport:
    """All connections of the driver over one transport, and its listening sockets."""

    name: ClassVar[SipTransport] = "tcp"
    counters: Counters
    tasks: Tasks
    hooks: Hooks
    limits: TcpLimits = field(default_factory=TcpLimits)
    _connections: dict[Flow, Connection] = field(default_factory=dict)
    _opening: dict[Flow, list[bytes]] = field(default_factory=dict)
    _servers: list[asyncio.Server] = field(default_factory=list)
    _bound: list[tuple[socket.socket, Address]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._connections)

    def bind(self, place: Listening) -> Address:
        """Take a place to listen at.

        Raises:
            OperatorError: exit 78 where it cannot be had.
        """
        made = bind(place)
        address = address_of(made)
        self._bound.append((made, address))
        return address

    async def start(self) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        for made, address in self._bound:
            server = await loop.create_server(partial(Connection, self, address), sock=made, backlog=512)
            self._servers.append(server)

    async def stop(self) -> None:
        """Stop accepting, and close every connection."""
        for server in self._servers:
            server.close()
        for made, _ in self._bound:
            made.close()
        connections, self._connections = list(self._connections.values()), {}
        for connection in connections:
            connection.close()
        self._servers.clear()
        self._bound.clear()

    def admit(self, connection: Connection, *, opened: bool) -> bool:
        """Take a new connection; False where it is a stranger's or one too many."""
        flow = connection.flow
        if flow is None or (not opened and not self.hooks.is_known(flow.remote)):
            self.counters.closed_unknown += 1
            return False
        if len(self._connections) >= self.limits.connections or not (opened or connection.leaves_reserve):
            self.counters.closed_limit += 1
            return False
        self._connections[flow] = connection
        self.hooks.connected(flow)
        return True

    def is_open(self, flow: Flow, within: float) -> bool:
        """Whether a connection lives by which something came, or that was opened, within so many seconds."""
        connection = self._connections.get(flow)
        return connection is not None and self.hooks.now() - connection.heard_at <= within

    def lost(self, connection: Connection) -> None:
        """Forget a connection that closed."""
        flow = connection.flow
        if flow is not None and self._connections.get(flow) is connection:
            del self._connections[flow]
            self.hooks.failed(flow)

    def send(self, data: bytes, flow: Flow) -> None:
        """Send by the connection of a flow; one that does not live is opened."""
        connection = self._connections.get(flow)
        if connection is not None:
            connection.send(data)
            self.counters.sent += 1
            return
        waiting = self._opening.get(flow)
        if waiting is None:
            self._opening[flow] = [data]
            self.tasks.start(f"connect {flow.remote.host}:{flow.remote.port}", self._open(flow))
        elif len(waiting) < self.limits.waiting:
            waiting.append(data)
        else:  # nothing repeats it: whoever waits for its answer must hear of it
            self.counters.send_failed += 1
            self.hooks.not_sent(data, flow)

    async def _open(self, flow: Flow) -> None:
        connection: Connection | None
        try:
            connection = await self._connect(flow)
        except OSError:  # TimeoutError is one
            connection = None
            self.hooks.unconnected(flow)
        waiting = self._opening.pop(flow, [])
        if connection is None or connection.flow is None:  # not reached, or one too many
            self.counters.send_failed += len(waiting)
            self.hooks.failed(flow)
            return
        for data in waiting:
            connection.send(data)
            self.counters.sent += 1

    async def _connect(self, flow: Flow) -> Connection | None:
        made = partial(Connection, self, flow.local, flow)
        async with asyncio.timeout(min(self.limits.connect_timeout, self.hooks.patience(flow))):
            return (await asyncio.get_running_loop().create_connection(made, *flow.remote))[1]

    def sweep(self, now: float) -> None:
        """Close connections that are idle, or that began a message and never finished it; called each second."""
        for connection in list(self._connections.values()):
            # A refused connection counts as one that was slow for ever.
            slow = connection.begun_at is not None and now - connection.begun_at > self.limits.message_timeout
            if slow or now - connection.heard_at > self.limits.idle_timeout:
                self.counters.closed_limit += slow
                connection.close()
