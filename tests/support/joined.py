"""Real SIP drivers and endpoints joined without sockets: what one sends arrives at the other after a delay."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from callrec.signalling import Driver, DriverSettings, Peers
from callrec.sip.events import Address, Event, Flow
from callrec.sip.message import Request, Response, parse_message
from callrec.sip.uri import Uri

E = TypeVar("E")
Message = Request | Response
DELAY_S = 0.01


class LoopClock:
    """The loop's own time as the recorder's clock."""

    def now(self) -> datetime:
        return datetime(2026, 11, 25, 10, tzinfo=UTC) + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class Wire:
    """Carries messages between drivers; a test may delay, lose or repeat some."""

    def __init__(self) -> None:
        self._ends: dict[Address, JoinedDriver] = {}
        self.log: list[tuple[Address, Message]] = []
        self.fate: Callable[[Message, Flow], list[float]] = lambda _message, _flow: [DELAY_S]
        """After how many seconds a message arrives: several for copies, none for one that is lost."""
        self.rewrite: Callable[[bytes, Flow], bytes] = lambda data, _flow: data
        self.holding: Callable[[Message], bool] = lambda _message: False
        """Which messages wait for `release`."""
        self._held: list[tuple[JoinedDriver, bytes, Flow]] = []
        self.strangers: list[Flow] = []

    def join(self, end: JoinedDriver) -> None:
        self._ends[end.address] = end

    def send(self, data: bytes, flow: Flow) -> None:
        data = self.rewrite(data, flow)
        message = parse_message(data)
        self.log.append((flow.local, message))
        target = self._ends.get(flow.remote)
        if target is None:
            self.strangers.append(flow)
            return
        arriving = Flow(flow.transport, flow.remote, flow.local)
        if self.holding(message):
            self._held.append((target, data, arriving))
            return
        for delay in self.fate(message, flow):
            asyncio.get_running_loop().call_later(delay, target.arrive, data, arriving)

    @property
    def held(self) -> int:
        return len(self._held)

    def release(self) -> None:
        """Let everything that waits arrive in one turn of the loop, as it does after a pause."""
        held, self._held = self._held, []
        self.holding = lambda _message: False
        for target, data, arriving in held:
            target.arrive(data, arriving)

    def sent_by(self, end: JoinedDriver, what: str) -> list[Message]:
        """Return what an end has sent of a method ("BYE") or a status ("200")."""
        return self.sent_at(end.address, what)

    def sent_at(self, address: Address, what: str) -> list[Message]:
        """Return the same of whoever is at an address."""
        return [message for sender, message in self.log if sender == address and kind_of(message) == what]


def kind_of(message: Message) -> str:
    return message.method if isinstance(message, Request) else str(message.status)


class JoinedDriver(Driver):
    """The real driver on a wire instead of sockets."""

    def __init__(self, wire: Wire, host: str, peers: Peers, on_event: Callable[[Event], None], **settings: Any) -> None:
        super().__init__(DriverSettings([], **settings), peers, on_event, clock=LoopClock(), random=secrets.token_bytes)
        self.address = Address(host, 5060)
        self._wire = wire
        self._transports.add_datagrams(self.address, self)
        self.resolving: Callable[[Uri], float] = lambda _uri: 0.0
        """Seconds that finding a destination takes; it may raise what a look-up raises."""
        self.names: dict[str, Sequence[str]] = {}
        """Hosts of names, as DNS would have them in their order."""
        wire.join(self)

    def send(self, data: bytes, flow: Flow) -> None:
        self._wire.send(data, flow)

    def arrive(self, data: bytes, flow: Flow) -> None:
        """Take a message as a socket would hand it over: the round comes in the next turn of the loop."""
        self._receive(data, flow)
        self.flush()

    async def targets(self, uri: Uri) -> tuple[Flow, ...]:
        if delay := self.resolving(uri):
            await asyncio.sleep(delay)
        if hosts := self.names.get(uri.host):
            flows = [Flow("udp", self.address, Address(host, 5060)) for host in hosts]
            return tuple(sorted(flows, key=self.reachability.is_down))
        return await super().targets(uri)

    def route_local(self, host: str) -> str:
        return "127.0.1.2" if host == "127.0.0.9" else self.address.host


class Phone:
    """A far side: a real endpoint and what it told."""

    def __init__(self, wire: Wire, host: str, peers: Peers, **settings: Any) -> None:
        self.told: asyncio.Queue[Event] = asyncio.Queue()
        self.react: Callable[[Event], bool] = lambda _event: False
        """Takes an event at once; what it does not take waits in `told`."""
        self.driver = JoinedDriver(wire, host, peers, self._take, **settings)

    def _take(self, event: Event) -> None:
        if not self.react(event):
            self.told.put_nowait(event)

    @property
    def endpoint(self) -> Any:
        return self.driver.endpoint

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def take(self, kind: type[E], *, within: float = 120.0) -> E:
        """Return the next event, which must be of this kind."""
        async with asyncio.timeout(within):
            event = await self.told.get()
        assert isinstance(event, kind), f"told {event!r}, expected {kind.__name__}"
        return event

    async def await_event(self, kind: type[E], *, within: float = 120.0) -> E:
        """Return the next event of a kind and forget what was told before it."""
        async with asyncio.timeout(within):
            while True:
                event = await self.told.get()
                if isinstance(event, kind):
                    return event
