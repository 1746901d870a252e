"""A real Mosquitto on a free port, a subscriber that misses nothing, and an outbox in memory."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiomqtt

from callrec.tasks import Tasks
from tests.support.ports import free_port
from tests.support.processes import Program, program, wait_until

LIMIT_S = 15.0


@dataclass
class Broker:
    """Mosquitto with its own configuration and store, started and ended by its id."""

    folder: Path
    lines: tuple[str, ...] = ("allow_anonymous true",)
    listener: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: Program | None = None

    def start(self) -> None:
        configuration = self.folder / "mosquitto.conf"
        # Run by root it would become another user who may not write here.
        base = ["user root", "persistence true", f"persistence_location {self.folder}/", "max_queued_messages 0"]
        configuration.write_text("\n".join([*base, f"listener {self.port} 127.0.0.1", *self.listener, *self.lines, ""]))
        log = self.folder / "mosquitto.log"
        started = log.read_text().count(" running") if log.exists() else 0
        self.process = Program([program("mosquitto"), "-c", str(configuration)], log)
        wait_until(lambda: log.read_text().count(" running") > started, "Mosquitto runs")

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop()
            self.process = None

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.signal(number)


@dataclass(frozen=True)
class Stored:
    sequence: int
    noun: str
    verb: str
    document: dict[str, Any]


class MemoryOutbox:
    """Events in memory, marked as the catalogue marks them; `deaf` forgets marks, as a crash before them would."""

    def __init__(self) -> None:
        self.events: list[Stored] = []
        self.published = 0
        self.deaf = False

    def add(self, noun: str = "system", verb: str = "stopping") -> Stored:
        sequence = len(self.events) + 1
        document = envelope(noun, verb, sequence, {})
        event = Stored(sequence, noun, verb, document)
        self.events.append(event)
        return event

    async def pending(self, limit: int, /) -> list[Stored]:
        return [event for event in self.events if event.sequence > self.published][:limit]

    async def mark_published(self, upto: int, /) -> None:
        if self.deaf:
            raise asyncio.CancelledError
        assert upto >= self.published, "it never goes back"
        self.published = upto

    @property
    def ids(self) -> list[str]:
        return [event.document["id"] for event in self.events]


def envelope(noun: str, verb: str, sequence: int, data: dict[str, Any]) -> dict[str, Any]:
    """Return a CloudEvents document as the catalogue makes it."""
    return {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "callrec/rec1",
        "type": f"com.callrec.{noun}.{verb}.v1",
        "time": "2026-11-22T10:00:00.000Z",
        "sequence": f"{sequence:020d}",
        "datacontenttype": "application/json",
        "data": data,
    }


@dataclass
class Subscriber:
    """Everything that arrived under `callrec/#`; its session outlives restarts of the broker."""

    received: list[aiomqtt.Message] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    def payloads(self, topic: str) -> list[bytes]:
        return [bytes(message.payload) for message in self.received if str(message.topic) == topic]

    @property
    def events(self) -> list[dict[str, Any]]:
        found = [message for message in self.received if "/event/" in str(message.topic)]
        return [json.loads(bytes(message.payload)) for message in found]

    @property
    def ids(self) -> list[str]:
        """Ids in the order of their first arrival."""
        return list(dict.fromkeys(event["id"] for event in self.events))

    async def until(self, condition: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> None:
        try:
            async with asyncio.timeout(limit_s), self.arrived:
                await self.arrived.wait_for(condition)
        except TimeoutError:
            topics = [str(message.topic) for message in self.received][-20:]
            raise AssertionError(
                f"within {limit_s} s: {what}; {len(self.received)} arrived, the last: {topics}"
            ) from None

    async def listen(self, port: int, subscribed: asyncio.Event) -> None:
        while True:
            with suppress(aiomqtt.MqttError):
                client = aiomqtt.Client(
                    "127.0.0.1", port, identifier="subscriber", clean_session=False, username="reader", password="r"
                )
                async with client:
                    await client.subscribe("callrec/#", qos=1)
                    subscribed.set()
                    async for message in client.messages:
                        async with self.arrived:
                            self.received.append(message)
                            self.arrived.notify_all()
            await asyncio.sleep(0.05)  # the pause between two attempts to reach a broker that is restarted


@asynccontextmanager
async def subscribed(port: int) -> AsyncIterator[Subscriber]:
    """A subscriber that is there before anything is published."""
    subscriber, ready, tasks = Subscriber(), asyncio.Event(), Tasks("test")
    tasks.start("subscriber", subscriber.listen(port, ready))
    try:
        await asyncio.wait_for(ready.wait(), LIMIT_S)
        yield subscriber
    finally:
        await tasks.stop()
