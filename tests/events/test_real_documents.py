"""What the real catalogue writes, published through a real broker, keeps its schema and shows no number."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from callrec.catalogue import CallChange, CallEnd, CallIdentity, Catalogue, Event, NewCall
from callrec.clock import SystemClock
from callrec.events import Publisher, load_schema
from callrec.identifiers import new_call_reference, new_id
from callrec.settings import BrokerUrl, Mqtt
from callrec.tasks import Tasks
from callrec.vault.keyring import Keyring
from callrec.vault.master_key import MasterKey
from tests.catalogue.house import PATIENT
from tests.events.broker import Broker, subscribed

pytestmark = pytest.mark.peer

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
NUMBERS = ("+441632960001", "+442079460123")


async def write_a_call(catalogue: Catalogue, keyring: Keyring) -> None:
    """Write one recorded call with everything that is told about it."""
    keys, call_id, recording_id = keyring.take_call_keys(), new_id(), new_id()
    identity = CallIdentity(NUMBERS[0], NUMBERS[0], None, NUMBERS[1], display_name="Ann Example")
    new = NewCall(
        call_id,
        new_call_reference(),
        "inbound",
        NOW,
        identity,
        keys.identity_key_id,
        keys.audio_key_id,
        recording_id,
        capture_rule="inbound",
        retention_class="unmatched",
        delete_on=date(2028, 11, 22),
        cli_status="available",
        cli_trust="asserted",
        country="GB",
        number_type="geographic",
        area="01632",
    )
    await catalogue.open_call(new, [Event("call", "started", call_id)])
    notice = {"id": "n", "version": "1", "completed": True, "heard_ms": 6000, "grade": "sent", "interrupted_by": None}
    change = CallChange(answered_at=NOW, recording_started_at=NOW, notice=notice)
    gap = {"start_ms": 0, "end_ms": 500, "reason": "disk_slow"}
    events = [
        Event("notice", "completed", call_id),
        Event("call", "answered", call_id),
        Event("recording", "started", call_id),
        Event("recording", "gap", call_id, gap),
    ]
    await catalogue.change_call(call_id, change, events)
    ended = [Event("recording", "sealed", call_id), Event("call", "ended", call_id)]
    await catalogue.end_call(call_id, CallEnd(NOW, "recorded", "complete"), ended)


async def test_what_the_catalogue_tells_keeps_its_schema_on_the_wire(tmp_path: Path) -> None:
    """Every event of a recorded call, from the row to the subscriber; no number and no name among them."""
    broker = Broker(tmp_path)
    broker.start()
    keyring = Keyring.open(tmp_path / "keyring.db", MasterKey.create(tmp_path / "master-key"), create=True)
    catalogue = await Catalogue.open(tmp_path / "catalogue.db", keyring, PATIENT)
    tasks = Tasks("test")
    try:
        await write_a_call(catalogue, keyring)
        settings = Mqtt(url=BrokerUrl("127.0.0.1", broker.port, tls=False))
        publisher = Publisher(settings, "rec1", catalogue, lambda: {"recording": True, "problems": []}, SystemClock())
        async with subscribed(broker.port) as subscriber:
            tasks.start("publisher", publisher.run())
            await subscriber.until(lambda: len(subscriber.ids) == 7, "seven events")
            for event in subscriber.events:
                noun, verb = event["type"].split(".")[2:4]
                Draft202012Validator(load_schema(noun, verb)).validate(event)
            wire = b"".join(bytes(message.payload) for message in subscriber.received)
            assert not [number for number in NUMBERS if number[3:].encode() in wire]
            assert b"Ann" not in wire
            await publisher.stop()
        assert catalogue.outbox_size == 0
    finally:
        await tasks.stop()
        await catalogue.close()
        keyring.close()
        broker.stop()
