"""Drivers on loopback for tests: free ports, a list of events, waiting with a limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from callrec.settings import Peer
from callrec.signalling import Driver, DriverSettings, Peers
from callrec.sip.events import Address, Event

E = TypeVar("E")


def peer(name: str, *addresses: str, **more: Any) -> Peer:
    """Return a peer as the configuration would give it."""
    return Peer.model_validate({"name": name, "addresses": addresses, "role": "trunk", **more})


class Driven:
    """A driver with what it told."""

    def __init__(self, peers: Peers, listen: tuple[str, ...], **settings: Any) -> None:
        self.told: asyncio.Queue[Event] = asyncio.Queue()
        self.on_event: Callable[[Event], None] = self.told.put_nowait
        self.driver = Driver(DriverSettings(listen, **settings), peers, self._tell)

    def _tell(self, event: Event) -> None:
        self.on_event(event)

    @property
    def endpoint(self) -> Any:
        return self.driver.endpoint

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def address(self, transport: str = "udp") -> Address:
        """Return where this driver listens."""
        return next(place.address for place in self.driver.listening if place.transport == transport)

    async def take(self, kind: type[E], *, within: float = 5.0) -> E:
        """Return the next event, which must be of this kind."""
        async with asyncio.timeout(within):
            event = await self.told.get()
        assert isinstance(event, kind), f"told {event!r}, expected {kind.__name__}"
        return event


@asynccontextmanager
async def driven(
    *addresses: str, listen: tuple[str, ...] = ("udp://127.0.0.1:0", "tcp://127.0.0.1:0"), **settings: Any
) -> AsyncIterator[Driven]:
    """Run a driver whose one peer has these addresses."""
    made = Driven(Peers([peer("trunk", *(addresses or ("127.0.0.1",)))]), listen, **settings)
    await made.driver.start()
    try:
        yield made
    finally:
        await made.driver.stop()


async def until(condition: Callable[[], bool], *, within: float = 5.0) -> None:
    """Wait until something is so, or fail."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - a condition of the driver has no event to wait for
            await asyncio.sleep(0.005)
