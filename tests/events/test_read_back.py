"""What a broker kept of an earlier run is read back, once, before it is replaced; where there is none nothing waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from callrec.clock import SystemClock
from callrec.events import BrokerState, Pace, Publisher
from callrec.settings import BrokerUrl, Mqtt
from callrec.tasks import Tasks
from tests.events.broker import LIMIT_S, Broker, MemoryOutbox, subscribed

pytestmark = pytest.mark.peer

PACE = Pace(first_delay_s=0.05, longest_delay_s=0.3, refresh_s=0.1, timeout_s=2.0, read_back_s=10.0)
INFO = "callrec/rec1/info"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running Mosquitto."""
    running = Broker(tmp_path)
    running.start()
    yield running
    running.stop()


class Run:
    """One run of a recorder's publisher, with a ledger of so many entries."""

    def __init__(self, broker: Broker, entries: int) -> None:
        self.heard: list[Mapping[str, Any]] = []
        self.status: dict[str, Any] = {"version": "0.1.0", "pid": 1, "signed_head": self.head(entries)}
        settings = Mqtt(url=BrokerUrl("127.0.0.1", broker.port, tls=False))
        self.publisher = Publisher(
            settings, "rec1", MemoryOutbox(), lambda: self.status, SystemClock(), hear=self.hear, pace=PACE
        )
        self._tasks = Tasks("test")

    @staticmethod
    def head(entries: int) -> dict[str, Any]:
        return {"n": entries, "hash": "0" * 64, "signature": "s"}

    async def hear(self, info: Mapping[str, Any]) -> None:
        self.heard.append(info)

    async def __aenter__(self) -> Run:
        self._tasks.start("publisher", self.publisher.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.publisher.stop()
        await self._tasks.stop()


async def until_published(broker: Broker, entries: int) -> None:
    """Wait until the broker keeps the head of a ledger with so many entries."""
    async with subscribed(broker.port) as subscriber:
        await subscriber.until(
            lambda: any(_head(payload) == entries for payload in subscriber.payloads(INFO)), f"entry {entries}"
        )


def _head(payload: bytes) -> int:
    return int(json.loads(payload)["signed_head"]["n"])


async def test_the_head_of_an_earlier_run_is_heard_before_it_is_replaced(broker: Broker) -> None:
    """The signed head outlives any restore of the machine: it is what the ledger is compared with."""
    async with Run(broker, 7) as first:
        await until_published(broker, 7)
        assert first.heard == []
    async with Run(broker, 3) as second:
        await until_published(broker, 3)
        assert [info["signed_head"]["n"] for info in second.heard] == [7]


async def test_the_head_is_published_again_as_the_ledger_grows(broker: Broker) -> None:
    """Else the broker could not tell of the last erasures."""
    async with Run(broker, 1) as run:
        await until_published(broker, 1)
        run.status["signed_head"] = run.head(2)
        await until_published(broker, 2)


async def test_a_broker_that_keeps_nothing_is_not_waited_for(broker: Broker) -> None:
    """Its own word for `state` shows that there is no `info`: the limit of ten seconds is not used up."""
    async with asyncio.timeout(LIMIT_S / 3):
        async with Run(broker, 1) as run:
            await until_published(broker, 1)
        assert run.heard == []


async def test_it_is_heard_once(broker: Broker) -> None:
    """What this run has published itself is no witness against it."""
    async with Run(broker, 5) as run:
        await until_published(broker, 5)
        broker.stop()
        async with asyncio.timeout(LIMIT_S):
            while run.publisher.state is BrokerState.CONNECTED:  # noqa: ASYNC110 - it has no event for it
                await asyncio.sleep(0.01)
        broker.start()
        await until_published(broker, 5)
        assert run.heard == []


@pytest.mark.parametrize("nonsense", [b"", b"nonsense", b"[]", b"\xff\xfe"])
async def test_nonsense_under_info_is_passed_over(broker: Broker, nonsense: bytes) -> None:
    """Whoever may write there must not keep the recorder from telling its events."""
    import aiomqtt  # noqa: PLC0415 - only here

    async with aiomqtt.Client("127.0.0.1", broker.port) as stranger:
        await stranger.publish(INFO, nonsense, qos=1, retain=True)
    async with Run(broker, 4) as run:
        async with subscribed(broker.port) as subscriber:
            await subscriber.until(lambda: bool(subscriber.payloads(INFO)), "info is there")
            await subscriber.until(lambda: b'"n":4' in subscriber.payloads(INFO)[-1], "and is ours")
        assert run.heard == []
