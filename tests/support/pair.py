"""Two SIP endpoints joined by a link that loses, delays and repeats what it is told to: no socket, no clock."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from callrec.sip.building import host_port
from callrec.sip.endpoint import Dial, Endpoint, EndpointProfile
from callrec.sip.events import Address, Event, Flow
from callrec.sip.message import Request, Response, parse_message
from callrec.sip.name_address import NameAddress
from callrec.sip.uri import Uri

E = TypeVar("E")
Message = Request | Response
OFFER = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
ANSWER = OFFER.replace(b"4000", b"5000")


def seeded(seed: int) -> Callable[[int], bytes]:
    """Return a source of bytes that is the same each time."""
    return random.Random(seed).randbytes


class End:
    """One endpoint, its address, and what it told."""

    def __init__(self, name: str, port: int, *, host: str = "127.0.0.1", seed: int = 1, **profile: Any) -> None:
        self.name = name
        self.address = Address(host, port)
        self.endpoint = Endpoint(EndpointProfile(name, lambda flow: flow.local, **profile), seeded(seed + port))
        self.events: list[Event] = []
        self.sent: list[Message] = []

    def flow_to(self, other: End, transport: str = "udp") -> Flow:
        """Return the way to another end."""
        return Flow("tcp" if transport == "tcp" else "udp", self.address, other.address)

    def take(self, kind: type[E]) -> E:
        """Return the oldest event that was told, which must be of this kind, and forget it."""
        assert self.events, f"{self.name} told nothing, expected {kind.__name__}"
        event = self.events.pop(0)
        assert isinstance(event, kind), f"{self.name} told {event!r}, expected {kind.__name__}"
        return event

    def sent_of(self, what: str) -> list[Message]:
        """Return what was sent of a method ("BYE") or a status ("200")."""
        return [message for message in self.sent if _kind(message) == what]


def _kind(message: Message) -> str:
    return message.method if isinstance(message, Request) else str(message.status)


class Pair:
    """Ends on one link; time moves only when `run` is called."""

    def __init__(self, *ends: End, delay: float = 0.01, lose: Iterable[bool] = ()) -> None:
        self.ends = ends
        self.now = 1000.0
        self.delay = delay
        self._lose: Iterator[bool] = iter(lose)
        self._under_way: list[tuple[float, int, bytes, Flow]] = []
        self._count = 0
        self.lose_next: Callable[[Message], bool] = lambda _message: False
        self.strangers: list[Flow] = []

    def run(self, seconds: float, *, rounds: int = 10_000) -> None:
        """Let time pass: messages arrive, timers fire. Fails where it does not come to rest in so many rounds."""
        end = self.now + seconds
        for _ in range(rounds):
            self._collect()
            due = self._next_due()
            if due is None or due > end:
                self.now = end
                return
            self.now = max(self.now, due)
            self._deliver()
            for peer in self.ends:
                peer.endpoint.timer_fired(self.now)
        raise AssertionError(f"the link did not come to rest in {rounds} rounds")

    def settle(self) -> None:
        """Let what is under way arrive, with next to no time passing."""
        self.run(5 * self.delay + 0.001)

    def _next_due(self) -> float | None:
        timers = [when for end in self.ends if (when := end.endpoint.next_timer()) is not None]
        arrivals = [self._under_way[0][0]] if self._under_way else []
        return min(timers + arrivals, default=None)

    def _collect(self) -> None:
        for end in self.ends:
            for data, flow in end.endpoint.to_send(self.now):
                message = parse_message(data)
                end.sent.append(message)
                if not (next(self._lose, False) or self.lose_next(message)):
                    self._count += 1
                    heapq.heappush(self._under_way, (self.now + self.delay, self._count, data, flow))
            while (event := end.endpoint.next_event()) is not None:
                end.events.append(event)

    def _deliver(self) -> None:
        while self._under_way and self._under_way[0][0] <= self.now:
            _, _, data, flow = heapq.heappop(self._under_way)
            target = next((end for end in self.ends if end.address == flow.remote), None)
            if target is None:
                self.strangers.append(flow)
            else:
                target.endpoint.receive(data, Flow(flow.transport, flow.remote, flow.local), self.now)


def dial(leg: str, flow: Flow, session: bytes | None = OFFER, **more: Any) -> Dial:
    """Return a usual INVITE from alice to bob; keywords set other fields of `Dial`."""
    uri = Uri.parse(f"sip:bob@{host_port(flow.remote)}")
    more.setdefault("from_", NameAddress.parse('"Alice" <sip:alice@example.com>'))
    return Dial(leg, flow, uri, NameAddress("", uri), session=session, **more)
