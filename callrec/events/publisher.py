"""Carries events from the outbox to the broker: in order, at least once, whatever the broker does meanwhile."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any

import aiomqtt

from callrec.clock import Clock, rfc3339
from callrec.errors import CallrecError
from callrec.events.connection import Pace, back_off_s, client_of, why
from callrec.events.outbox import OutboxEvent, OutboxPort
from callrec.events.retained import health_of, info_of, stats_of
from callrec.events.topics import OFFLINE, ONLINE, Topics
from callrec.settings import BrokerUrl, Mqtt
from callrec.tasks import Tasks

log = logging.getLogger("callrec.events")

_REPEAT_LOG_S = 600.0
_FAREWELL_S = 1.0


class BrokerState(StrEnum):
    """What `status` says about the broker."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    OFF = "off"


class Publisher:
    """One connection to one broker, renewed for ever; `run` is its task, `wake` tells of new events.

    An event is marked as published when the broker has acknowledged it (QoS 1) and not before: a crash in between
    sends it again, with the same id.
    """

    def __init__(  # noqa: PLR0913 - one argument for each of its collaborators
        self,
        settings: Mqtt | None,
        node_id: str,
        outbox: OutboxPort,
        status: Callable[[], Mapping[str, Any]],
        clock: Clock,
        *,
        hear: Callable[[Mapping[str, Any]], Awaitable[None]] | None = None,
        pace: Pace = Pace(),  # noqa: B008 - a frozen value
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Prepare; nothing is connected before `run`.

        Args:
            settings: the `[mqtt]` table, None where there is none.
            node_id: `[node] id`.
            outbox: where events wait.
            status: what `callrec status --json` shows; no number and no name.
            clock: tells the time of retained documents.
            hear: is told, once, the retained `info` of an earlier run before it is replaced.
            pace: how fast to try.
            jitter: a number from 0 to 1, so that many recorders do not return in step.
        """
        self._settings = settings
        self._url: BrokerUrl | None = settings.url if settings else None
        self._topics = Topics(node_id)
        self._outbox = outbox
        self._status = status
        self._clock = clock
        self._hear = hear
        self._retained = _Retained()
        self._info: dict[str, Any] = {}
        self._pace = pace
        self._jitter = jitter
        self._state = BrokerState.DISCONNECTED if self._url else BrokerState.OFF
        self._more = asyncio.Event()
        self._stopping = False
        self._ended = asyncio.Event()
        self._acknowledged = 0
        self._marked = 0
        self._reason = ""
        self._told_at = 0.0
        self._attempt = 0

    @property
    def state(self) -> BrokerState:
        """Whether events leave just now; `off` where no broker is set."""
        return self._state

    @property
    def reason(self) -> str:
        """Why the broker is not connected, in words; empty while it is."""
        return self._reason

    def wake(self) -> None:
        """Tell that there are new events, or that health has changed."""
        self._more.set()

    async def stop(self, limit_s: float = 5.0) -> None:
        """Send what still waits, say `offline`, and end `run`; after the limit it is left to be cancelled."""
        self._stopping = True
        self._more.set()
        if self._state is BrokerState.CONNECTED:
            await _happened(self._ended, limit_s)

    async def run(self) -> None:
        """Keep the broker connected and the outbox empty until `stop` or cancellation."""
        try:
            while self._url is not None and not self._stopping:
                began = self._clock.monotonic()
                await self._once(self._url)
                if self._clock.monotonic() - began >= self._pace.settled_s:
                    self._attempt = 0
                if not self._stopping:
                    await self._back_off()
        finally:
            self._ended.set()

    async def _once(self, url: BrokerUrl) -> None:
        """Connect and work until something breaks; whatever breaks is told and not passed on."""
        assert self._settings is not None, "internal error: a URL without settings"
        try:
            client = await client_of(url, self._settings, self._topics, self._pace)
            async with client:
                await self._session(client)
        except (aiomqtt.MqttError, CallrecError, OSError, ValueError) as error:
            self._lost(why(error, self._settings))
        except Exception as error:  # a task's outermost loop: the next attempt may do better
            log.exception("broker %s: unexpected failure", url)
            self._lost(why(error, self._settings))
        finally:
            if self._state is BrokerState.CONNECTED:
                self._state = BrokerState.DISCONNECTED

    def _lost(self, reason: str) -> None:
        """Note why there is no connection; the same reason is logged once in ten minutes."""
        now = self._clock.monotonic()
        if self._state is BrokerState.CONNECTED or reason != self._reason or now - self._told_at >= _REPEAT_LOG_S:
            log.warning("broker %s: not connected: %s; events wait in the outbox", self._url, reason)
            self._told_at = now
        self._state, self._reason = BrokerState.DISCONNECTED, reason

    async def _back_off(self) -> None:
        """Wait before the next attempt: a quarter of a second at first, doubling to half a minute, with jitter."""
        deadline = self._clock.monotonic() + back_off_s(self._attempt, self._pace, self._jitter())
        self._attempt += 1
        while not self._stopping and (left := deadline - self._clock.monotonic()) > 0:
            self._more.clear()
            await _happened(self._more, left)
        self._more.set()  # whatever woke us is still to be looked at

    # One connection

    async def _session(self, client: aiomqtt.Client) -> None:
        """Work on a connection until it is lost or `stop` was asked for.

        Raises:
            aiomqtt.MqttError: if it is lost.
        """
        tasks, self._retained = Tasks("mqtt"), _Retained()
        watch = tasks.start("watch", _watched(client, self._retained))
        work = tasks.start("work", self._work(client))
        try:
            # An acknowledgement that never comes is not an error to aiomqtt before its time is up: hence two tasks.
            await asyncio.wait({watch, work}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await tasks.stop()
            with suppress(aiomqtt.MqttError):
                await client.publish(self._topics.state, OFFLINE, qos=1, retain=True, timeout=_FAREWELL_S)
            raise
        finally:
            await tasks.stop()
            await self._mark()
        error = work.result() if work.done() and not work.cancelled() else watch.result()
        if error is not None:
            raise error

    async def _work(self, client: aiomqtt.Client) -> Exception | None:
        """Announce, drain, refresh, wait, and again; return what broke, None after a farewell."""
        try:
            await self._announce(client)
            refreshed, health = self._clock.monotonic(), self._health()
            while True:
                self._more.clear()
                await self._drain(client)
                if self._stopping:
                    await self._retain(client, self._topics.state, OFFLINE)
                    return None
                due = self._clock.monotonic() - refreshed >= self._pace.refresh_s
                if due or self._health() != health:
                    await self._refresh(client)
                    refreshed, health = self._clock.monotonic(), self._health()
                _still_wanted()
                await _happened(self._more, self._pace.refresh_s)
        except (aiomqtt.MqttError, CallrecError, OSError) as error:
            return error

    async def _announce(self, client: aiomqtt.Client) -> None:
        """Say that we are here, and what holds now: the broker may have forgotten all of it."""
        await self._retain(client, self._topics.state, ONLINE)
        await self._read_back(client)
        self._state, self._reason = BrokerState.CONNECTED, ""
        log.info("broker %s: connected", self._url)
        self._info = {}
        await self._refresh(client)

    async def _read_back(self, client: aiomqtt.Client) -> None:
        """Hear what the broker kept as `info` of an earlier run: its signed head outlives any restore of this machine.

        A broker sends what it keeps in the order of the subscriptions, and `state` was just published: when that
        comes there is no `info`.
        """
        if self._hear is None:
            return
        topics = [self._topics.info, self._topics.state]
        self._retained.expect(*topics)
        await client.subscribe([(topic, 1) for topic in topics])
        await _happened(self._retained.come, self._pace.read_back_s)
        await client.unsubscribe(topics)
        if (info := self._retained.document) is not None:
            await self._hear(info)
        self._hear = None

    async def _refresh(self, client: aiomqtt.Client) -> None:
        assert self._settings is not None, "internal error: a session without settings"
        info = info_of(self._status(), self._topics, self._settings.numbers)
        if info != self._info:
            await self._retain(client, self._topics.info, self._stamped(info))
            self._info = info
        await self._retain(client, self._topics.health, self._stamped(self._health()))
        await self._retain(client, self._topics.stats, self._stamped(stats_of(self._status())))

    def _health(self) -> dict[str, Any]:
        return health_of(self._status())

    def _stamped(self, document: Mapping[str, Any]) -> bytes:
        return _json({**document, "time": rfc3339(self._clock.now())})

    async def _retain(self, client: aiomqtt.Client, topic: str, payload: bytes) -> None:
        await client.publish(topic, payload, qos=1, retain=True)

    # The outbox

    async def _drain(self, client: aiomqtt.Client) -> None:
        """Publish until the outbox is empty."""
        while events := await self._outbox.pending(self._pace.window):
            await self._send(client, events)
            await self._mark()

    async def _send(self, client: aiomqtt.Client, events: Sequence[OutboxEvent]) -> None:
        """Publish a window of events; they leave in order, and the acknowledged ones at its start count.

        Raises:
            aiomqtt.MqttError: if one is not acknowledged.
        """
        arrived = [False] * len(events)

        async def publish(position: int, event: OutboxEvent) -> None:
            topic = self._topics.event(event.noun, event.verb)
            await client.publish(topic, _json(event.document), qos=1)
            arrived[position] = True
            self._acknowledge(events, arrived)

        outcomes = await asyncio.gather(*(publish(*each) for each in enumerate(events)), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    def _acknowledge(self, events: Sequence[OutboxEvent], arrived: Sequence[bool]) -> None:
        """Note the last event before which none is missing."""
        for event, there in zip(events, arrived, strict=True):
            if not there:
                return
            self._acknowledged = max(self._acknowledged, event.sequence)

    async def _mark(self) -> None:
        """Make durable how far the broker has acknowledged; where that fails the events are sent again."""
        upto = self._acknowledged
        if upto > self._marked:
            await self._outbox.mark_published(upto)
            self._marked = upto


async def _happened(event: asyncio.Event, limit_s: float) -> None:
    """Wait for an event, but not longer than a limit.

    Not by `asyncio.wait_for`: that of Python 3.11 forgets a cancellation that comes in the moment of the event
    (gh-86296), and the task would work on for a connection that is gone.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await event.wait()


def _still_wanted() -> None:
    """Take up a cancellation that aiomqtt's own `wait_for` forgot because the broker answered in the same moment."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class _Retained:
    """What a broker keeps under a topic, and when it is known that it keeps nothing."""

    def __init__(self) -> None:
        self.come = asyncio.Event()
        self.document: dict[str, Any] | None = None
        self._topics = ("", "")

    def expect(self, wanted: str, after: str) -> None:
        """Wait for a topic; whatever comes under another one shows that nothing is kept."""
        self._topics = (wanted, after)

    def take(self, topic: str, payload: object) -> None:
        """Take what came."""
        if topic == self._topics[0] and not self.come.is_set():
            with suppress(ValueError, TypeError):
                document = json.loads(payload) if isinstance(payload, str | bytes) else None
                self.document = document if isinstance(document, dict) else None
        if topic in self._topics:
            self.come.set()


async def _watched(client: aiomqtt.Client, retained: _Retained) -> Exception:
    """Wait for the end of a connection and return what ended it; only what was retained ever comes."""
    try:
        async for message in client.messages:
            retained.take(str(message.topic), message.payload)
    except aiomqtt.MqttError as error:
        return error
    return aiomqtt.MqttError("the broker closed the connection")


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
