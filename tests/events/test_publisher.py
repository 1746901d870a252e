"""The publisher against a real Mosquitto: order, restarts, last will, refusals, TLS."""

from __future__ import annotations

import asyncio
import datetime
import json
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from jsonschema import Draft202012Validator

from callrec.clock import SystemClock
from callrec.events import BrokerState, Pace, Publisher, load_retained_schema, load_schema
from callrec.events.connection import back_off_s
from callrec.settings import BrokerUrl, Mqtt
from callrec.tasks import Tasks
from tests.events.broker import LIMIT_S, Broker, MemoryOutbox, Subscriber, subscribed
from tests.support.processes import Program

pytestmark = pytest.mark.peer

HURRIED = Pace(first_delay_s=0.05, longest_delay_s=0.3, timeout_s=2.0)
STATUS: dict[str, Any] = {
    "pid": 1,
    "version": "0.1.0",
    "recording": True,
    "problems": [],
    "active_calls": 0,
    "workers": [{"pid": 2, "calls": 0}],
    "outbox": 0,
    "broker": "connected",
}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running Mosquitto."""
    running = Broker(tmp_path)
    running.start()
    yield running
    running.stop()


def settings_of(broker: Broker, **more: Any) -> Mqtt:
    """Return the [mqtt] table for a broker."""
    return Mqtt(url=BrokerUrl("127.0.0.1", broker.port, tls=False), **more)


@asynccontextmanager
async def publishing(settings: Mqtt | None, outbox: MemoryOutbox, pace: Pace = HURRIED) -> AsyncIterator[Publisher]:
    """A publisher at work."""
    publisher = Publisher(settings, "rec1", outbox, lambda: STATUS, SystemClock(), pace=pace, jitter=lambda: 0.5)
    tasks = Tasks("test")
    tasks.start("publisher", publisher.run())
    try:
        yield publisher
    finally:
        await tasks.stop()


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something this test cannot be told about."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - the publisher's state has no event for it
            await asyncio.sleep(0.01)
    assert condition(), what


async def test_events_arrive_in_order_and_are_marked(broker: Broker) -> None:
    """QoS 1, in the order of the outbox, more than one window, not retained, under the topic of noun and verb."""
    outbox = MemoryOutbox()
    for _ in range(100):
        outbox.add("call", "started")
    async with subscribed(broker.port) as subscriber, publishing(settings_of(broker), outbox) as publisher:
        await subscriber.until(lambda: len(subscriber.ids) == 100, "a hundred events")
        outbox.add("call", "ended")
        publisher.wake()
        await subscriber.until(lambda: len(subscriber.ids) == 101, "one more after wake")
        assert subscriber.ids == outbox.ids
        assert [event["sequence"] for event in subscriber.events] == [f"{number:020d}" for number in range(1, 102)]
        events = [message for message in subscriber.received if "/event/" in str(message.topic)]
        assert {str(message.topic) for message in events[:100]} == {"callrec/rec1/event/call/started"}
        assert str(events[100].topic) == "callrec/rec1/event/call/ended"
        assert {message.qos for message in events} == {1}
        await until(lambda: outbox.published == 101, "all are marked")
    async with subscribed(broker.port) as late:
        await late.until(lambda: bool(late.payloads("callrec/rec1/stats")), "retained documents")
        assert late.events == []


async def test_state_info_health_and_stats_are_retained(broker: Broker) -> None:
    """Whoever comes later knows what holds; each document keeps its schema; a farewell says offline."""
    async with publishing(settings_of(broker), MemoryOutbox()) as publisher:
        await until(lambda: publisher.state is BrokerState.CONNECTED, "connected")
        async with subscribed(broker.port) as subscriber:
            await subscriber.until(lambda: bool(subscriber.payloads("callrec/rec1/stats")), "retained documents")
            assert subscriber.payloads("callrec/rec1/state") == [b"online"]
            for topic in ("info", "health", "stats"):
                document = json.loads(subscriber.payloads(f"callrec/rec1/{topic}")[0])
                Draft202012Validator(load_retained_schema(topic)).validate(document)
            await publisher.stop()
            await subscriber.until(lambda: subscriber.payloads("callrec/rec1/state")[-1] == b"offline", "a farewell")
    assert publisher.state is BrokerState.DISCONNECTED


async def test_a_change_of_health_is_told_at_once(broker: Broker) -> None:
    """`wake` after a problem has come or gone is enough; the interval need not pass."""
    status = dict(STATUS)
    publisher = Publisher(settings_of(broker), "rec1", MemoryOutbox(), lambda: status, SystemClock(), pace=HURRIED)
    tasks = Tasks("test")
    async with subscribed(broker.port) as subscriber:
        tasks.start("publisher", publisher.run())
        await subscriber.until(lambda: bool(subscriber.payloads("callrec/rec1/stats")), "connected")
        status["recording"] = False
        publisher.wake()
        await subscriber.until(lambda: len(subscriber.payloads("callrec/rec1/health")) == 2, "health again")
        assert json.loads(subscriber.payloads("callrec/rec1/health")[-1])["recording"] is False
    await tasks.stop()


async def test_retained_documents_are_sent_again_at_intervals(broker: Broker) -> None:
    """A broker that lost them has them back within the interval."""
    async with (
        subscribed(broker.port) as subscriber,
        publishing(settings_of(broker), MemoryOutbox(), Pace(refresh_s=0.1)),
    ):
        await subscriber.until(lambda: len(subscriber.payloads("callrec/rec1/stats")) >= 3, "three times")


async def test_a_cancelled_publisher_says_offline(broker: Broker) -> None:
    """A clean disconnect forgets the last will (MQTT 3.1.1 3.14), so the farewell is ours to say."""
    async with subscribed(broker.port) as subscriber:
        async with publishing(settings_of(broker), MemoryOutbox()) as publisher:
            await until(lambda: publisher.state is BrokerState.CONNECTED, "connected")
        await subscriber.until(lambda: subscriber.payloads("callrec/rec1/state")[-1:] == [b"offline"], "a farewell")


PROGRAM = """
import asyncio, sys
from callrec.clock import SystemClock
from callrec.events import Publisher
from callrec.settings import BrokerUrl, Mqtt
from tests.events.broker import MemoryOutbox
url = BrokerUrl("127.0.0.1", int(sys.argv[1]), tls=False)
asyncio.run(Publisher(Mqtt(url=url), "rec1", MemoryOutbox(), dict, SystemClock()).run())
"""


async def test_the_broker_says_offline_when_the_recorder_is_killed(broker: Broker, tmp_path: Path) -> None:
    """The last will, after kill -9 of a process that published."""
    root = Path(__file__).parents[2]
    async with subscribed(broker.port) as subscriber:
        recorder = Program(
            [sys.executable, "-c", PROGRAM, str(broker.port)], tmp_path / "program.log", {"PYTHONPATH": str(root)}
        )
        await subscriber.until(lambda: subscriber.payloads("callrec/rec1/state") == [b"online"], "online")
        recorder.kill()
        await subscriber.until(lambda: subscriber.payloads("callrec/rec1/state")[-1] == b"offline", "the last will")


def more_than(subscriber: Subscriber, count: int) -> bool:
    """Return whether more events than this have arrived."""
    return len(subscriber.ids) > count


async def test_no_event_is_lost_over_three_restarts_of_the_broker(broker: Broker) -> None:
    """200 events, the broker stopped three times in between: all arrive, in order, repeated ones with the same id."""
    outbox = MemoryOutbox()
    async with subscribed(broker.port) as subscriber, publishing(settings_of(broker), outbox) as publisher:
        for part in range(4):
            for _ in range(50):
                outbox.add("call", "started")
                publisher.wake()
                await asyncio.sleep(0)
            if part < 3:
                await subscriber.until(partial(more_than, subscriber, part * 50 + 5), "some of this part")
                await asyncio.to_thread(broker.stop)
                outbox.add("system", "degraded")
                await until(lambda: publisher.state is BrokerState.DISCONNECTED, "the loss is noticed")
                await asyncio.to_thread(broker.start)
        await subscriber.until(lambda: len(subscriber.ids) == 203, "all of them", limit_s=30)
        assert subscriber.ids == outbox.ids
        await until(lambda: outbox.published == 203, "all are marked")
        assert subscriber.payloads("callrec/rec1/state").count(b"online") >= 4


async def test_a_loss_is_noticed_while_events_keep_coming(broker: Broker) -> None:
    """A wake in the very moment of the loss does not leave the publisher waiting on a dead connection."""
    async with publishing(settings_of(broker), MemoryOutbox()) as publisher:
        for _ in range(8):
            await until(lambda: publisher.state is BrokerState.CONNECTED, "connected")
            stopping = asyncio.get_running_loop().run_in_executor(None, broker.stop)
            async with asyncio.timeout(LIMIT_S / 3):
                while publisher.state is BrokerState.CONNECTED:
                    publisher.wake()
                    await asyncio.sleep(0)
            await stopping
            await asyncio.to_thread(broker.start)


async def test_a_crash_before_the_mark_sends_the_event_again_with_the_same_id(broker: Broker) -> None:
    """Kill between publish and mark: at least once, and recognisable."""
    outbox = MemoryOutbox()
    outbox.add("call", "ended")
    outbox.deaf = True
    async with subscribed(broker.port) as subscriber:
        async with publishing(settings_of(broker), outbox):
            await subscriber.until(lambda: len(subscriber.events) >= 1, "published")
        assert outbox.published == 0
        outbox.deaf = False
        before = len(subscriber.events)
        async with publishing(settings_of(broker), outbox):
            await subscriber.until(lambda: len(subscriber.events) > before, "published again")
            await until(lambda: outbox.published == 1, "marked")
        assert subscriber.ids == outbox.ids


async def test_a_crash_before_the_publish_loses_nothing(broker: Broker) -> None:
    """Kill between commit and publish: the next start finds the event in the outbox."""
    outbox = MemoryOutbox()
    outbox.add("call", "ended")
    async with subscribed(broker.port) as subscriber, publishing(settings_of(broker), outbox):
        await subscriber.until(lambda: subscriber.ids == outbox.ids, "published")


async def test_a_broker_that_hangs_is_left_and_found_again(broker: Broker) -> None:
    """SIGSTOP: no acknowledgement within the limit is a lost connection; afterwards everything arrives."""
    outbox = MemoryOutbox()
    async with (
        subscribed(broker.port) as subscriber,
        publishing(settings_of(broker), outbox, Pace(0.05, 0.2, timeout_s=0.5)) as publisher,
    ):
        await until(lambda: publisher.state is BrokerState.CONNECTED, "connected")
        broker.signal(signal.SIGSTOP)
        try:
            outbox.add("call", "started")
            publisher.wake()
            await until(lambda: publisher.state is BrokerState.DISCONNECTED, "noticed")
        finally:
            broker.signal(signal.SIGCONT)
        await subscriber.until(lambda: subscriber.ids == outbox.ids, "it arrives")


async def test_a_refused_password_is_told_and_a_corrected_one_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the keys to look at, once; the file is read anew at each attempt; the secret is in no log."""
    passwords = tmp_path / "passwords"
    passwords.write_text("callrec:right-secret\nreader:r\n")
    process = await asyncio.create_subprocess_exec("mosquitto_passwd", "-U", str(passwords))
    assert await process.wait() == 0
    broker = Broker(tmp_path, ("allow_anonymous false", f"password_file {passwords}"))
    broker.start()
    secret = tmp_path / "secret"
    secret.write_text("wrong-secret\n")
    outbox = MemoryOutbox()
    outbox.add("call", "ended")
    try:
        with caplog.at_level(logging.INFO, "callrec.events"):
            async with (
                subscribed(broker.port) as subscriber,
                publishing(settings_of(broker, username="callrec", password_file=secret), outbox) as publisher,
            ):
                await until(lambda: broker_refusals(broker) >= 3, "three attempts")
                assert "refused user 'callrec'" in publisher.reason
                assert "check mqtt.username and mqtt.password_file" in publisher.reason
                assert publisher.state is BrokerState.DISCONNECTED
                secret.write_text("right-secret")
                await subscriber.until(lambda: subscriber.ids == outbox.ids, "it arrives")
                assert (publisher.state, publisher.reason) == (BrokerState.CONNECTED, "")
    finally:
        broker.stop()
    assert caplog.text.count("refused user") == 1
    assert "events wait in the outbox" in caplog.text
    assert "secret" not in caplog.text.replace(str(secret), "")


def broker_refusals(broker: Broker) -> int:
    """Return how often Mosquitto refused a client."""
    assert broker.process is not None
    return broker.process.output.count("not authorised")


async def test_a_missing_password_file_is_told(broker: Broker, tmp_path: Path) -> None:
    """The recorder runs on; the reason names key and file."""
    settings = settings_of(broker, username="callrec", password_file=tmp_path / "missing")
    async with publishing(settings, MemoryOutbox()) as publisher:
        await until(lambda: publisher.reason != "", "a reason")
        assert publisher.reason.startswith(f"mqtt.password_file {tmp_path}/missing: found No such file")


async def test_without_a_broker_events_stay_in_the_outbox() -> None:
    """No [mqtt] table, or none with a URL: off, and nothing is taken."""
    for settings in (None, Mqtt()):
        outbox = MemoryOutbox()
        outbox.add()
        publisher = Publisher(settings, "rec1", outbox, lambda: STATUS, SystemClock())
        await asyncio.wait_for(publisher.run(), LIMIT_S)
        await asyncio.wait_for(publisher.stop(), LIMIT_S)
        assert (publisher.state, outbox.published) == (BrokerState.OFF, 0)


async def test_a_broker_that_is_not_there_stops_nothing(tmp_path: Path) -> None:
    """Disconnected, with a reason; `stop` does not wait for it; it is found when it comes."""
    broker, outbox = Broker(tmp_path), MemoryOutbox()
    outbox.add()
    async with publishing(settings_of(broker), outbox) as publisher:
        await until(lambda: "refused" in publisher.reason, "a reason")
        broker.start()
        await until(lambda: outbox.published == 1, "published")
    broker.stop()
    async with publishing(settings_of(broker), outbox) as publisher:
        await until(lambda: publisher.reason != "", "a reason")
        await asyncio.wait_for(publisher.stop(), 1)


def certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """Return a certificate of a name or address, valid from yesterday to tomorrow."""
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    is_ca = name == issuer
    builder = x509.CertificateBuilder(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
        key.public_key(),
        x509.random_serial_number(),
        now - day,
        now + day,
    ).add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    if not is_ca:
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer, hashes.SHA256())


def write_pem(path: Path, item: x509.Certificate | ec.EllipticCurvePrivateKey) -> Path:
    """Return the path of a PEM file."""
    if isinstance(item, x509.Certificate):
        path.write_bytes(item.public_bytes(serialization.Encoding.PEM))
    else:
        form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path.write_bytes(item.private_bytes(serialization.Encoding.PEM, *form))
    return path


async def test_tls_is_spoken_and_a_foreign_certificate_refused(tmp_path: Path) -> None:
    """mqtts:// with ca_file: trusted is connected, another authority is told with the key to look at."""
    ours, theirs, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    ca_file = write_pem(tmp_path / "ca.pem", certificate("ca", ours, "ca", ours))
    other = write_pem(tmp_path / "other.pem", certificate("ca", theirs, "ca", theirs))
    chain = write_pem(tmp_path / "server.pem", certificate("broker", server, "ca", ours))
    key = write_pem(tmp_path / "server.key", server)
    broker = Broker(tmp_path, listener=(f"certfile {chain}", f"keyfile {key}"))
    broker.start()
    try:
        url, outbox = BrokerUrl("127.0.0.1", broker.port, tls=True), MemoryOutbox()
        outbox.add()
        async with publishing(Mqtt(url=url, ca_file=other), outbox) as publisher:
            await until(lambda: "check mqtt.ca_file" in publisher.reason, "a reason")
        async with publishing(Mqtt(url=url, ca_file=ca_file), outbox):
            await until(lambda: outbox.published == 1, "published")
    finally:
        broker.stop()


async def test_what_is_really_published_keeps_its_schema(broker: Broker) -> None:
    """The document on the wire, not the one in memory."""
    outbox = MemoryOutbox()
    outbox.add("event", "erased")
    outbox.add("system", "started")
    async with subscribed(broker.port) as subscriber, publishing(settings_of(broker), outbox):
        await subscriber.until(lambda: len(subscriber.ids) == 2, "both")
        for event in subscriber.events:
            noun, verb = event["type"].split(".")[2:4]
            Draft202012Validator(load_schema(noun, verb)).validate(event)


def test_the_back_off_begins_fast_and_ends_at_half_a_minute() -> None:
    """A quarter of a second at first, doubling, never more than the limit, spread over its upper half."""
    pace = Pace()
    assert [back_off_s(attempt, pace, 1.0) for attempt in range(9)] == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]
    assert back_off_s(1000, pace, 1.0) == 30
    assert back_off_s(3, pace, 0.0) == 1
