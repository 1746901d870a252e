"""Fills a recorder's store with long recordings, as the recorder itself would have left them."""

from __future__ import annotations

import asyncio
import os
import random
import struct
from datetime import UTC, datetime, timedelta

from callrec.catalogue import CallChange, CallEnd, CallIdentity, Catalogue, NewCall, Part
from callrec.identifiers import new_call_reference, new_id
from callrec.vault.keyring import CallKeys, Keyring
from callrec.vault.master_key import MasterKey
from callrec.vault.part_writer import PartSource, PartWriter, SealedPart
from callrec.vault.recording_format import OURS, OUTSIDE, encode_packet
from tests.catalogue.house import PATIENT
from tests.support.recorder import Recorder

PACKETS_A_SECOND = 50


def one_second(second: int) -> bytes:
    """Return the records of one second of both voices: noise, so that nothing can be made small."""
    noise = random.Random(second % 7).randbytes(160)
    records = []
    for packet in range(PACKETS_A_SECOND):
        number = second * PACKETS_A_SECOND + packet
        for direction in (OUTSIDE, OURS):
            header = struct.pack("!BBHII", 0x80, 8, number & 0xFFFF, number * 160 & 0xFFFF_FFFF, direction)
            records.append(encode_packet(direction, number * 20_000, header + noise))
    return b"".join(records)


def write_recording(
    keys: CallKeys, recorder: Recorder, recording_id: str, started: datetime, hour: list[bytes]
) -> SealedPart:
    """Write one sealed part."""
    spec = PartSource(recording_id, keys.audio_key, recorder.recordings, os.urandom).next_part(started)
    writer = PartWriter(spec, int(started.timestamp()) * 1_000_000_000)
    for segment in hour:
        writer.append(segment)
    return writer.seal()


async def _stock(recorder: Recorder, count: int, seconds: int) -> list[str]:
    ring = Keyring.open(
        recorder.state / "keyring.db", MasterKey.load(recorder.directory / "secrets" / "master-key"), create=False
    )
    catalogue = await Catalogue.open(recorder.state / "catalogue.db", ring, PATIENT, strict=True)
    started = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=seconds + 3600)
    hour = [one_second(second) for second in range(seconds)]
    ids = []
    for number in range(count):
        keys, call_id, recording_id = ring.take_call_keys(), new_id(), new_id()
        part = write_recording(keys, recorder, recording_id, started, hour)
        identity = CallIdentity(network_number=f"+4420794607{number:02}", called_number="+442079460123")
        new = NewCall(
            call_id, new_call_reference(), "inbound", started, identity, keys.identity_key_id, keys.audio_key_id
        )
        await catalogue.open_call(new)
        path = str(part.path.relative_to(recorder.recordings))
        final = CallChange(
            recording_started_at=started,
            recording_id=recording_id,
            parts=(Part(recording_id, 1, path, part.segments),),
        )
        await catalogue.end_call(
            call_id, CallEnd(started + timedelta(seconds=seconds), "recorded", "complete", final=final)
        )
        ids.append(call_id)
    await catalogue.close()
    ring.close()
    return ids


def stock(recorder: Recorder, count: int, seconds: int) -> list[str]:
    """Store recordings of this length in a recorder that does not run; return their call ids."""
    return asyncio.run(_stock(recorder, count, seconds))
