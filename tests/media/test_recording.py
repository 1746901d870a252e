"""What is kept of a call: every packet of both sides as it came, and nothing that must not be kept."""

from __future__ import annotations

import os
from pathlib import Path

from callrec.media import Discarded, RecordingFailed, Sealed
from callrec.vault.part_reader import RecordingReader
from callrec.vault.recording_format import Direction, Mark, parse_codec_map
from callrec.vault.rendering import render
from tests.media.support import (
    Bridge,
    Hall,
    Party,
    bridge,
    contents,
    files_in,
    is_alive,
    mapped,
    open_files,
    part_source,
    read_back,
    remote_of,
)
from tests.media.test_playing import press


async def recorded(hall: Hall, directory: Path) -> tuple[Bridge, bytes, str]:
    """Return a bridged call under recording, the audio key and the recording id."""
    call = await bridge(hall)
    source, key = part_source(directory)
    assert hall.service.record(call.call, outside=call.a, ours=call.b, parts=source) is not None
    await hall.settled()
    return call, key, source.recording_id


async def sealed(hall: Hall, call: Bridge) -> Sealed:
    assert hall.service.seal(call.call)
    return await hall.event(Sealed, lambda event: event.call_id == call.call)


async def test_every_packet_of_both_sides_is_kept_as_it_came(hall: Hall, tmp_path: Path) -> None:
    """The file holds the datagrams byte for byte, the outside party's and ours apart."""
    call, key, recording_id = await recorded(hall, tmp_path)
    for _ in range(30):
        await call.say(call.caller)
        await call.say(call.callee)
    event = await sealed(hall, call)
    taped = read_back([Path(part.path) for part in event.parts], key, recording_id)
    assert taped.packets[Direction.OUTSIDE] == [packet.serialize() for packet in call.caller.sent]
    assert taped.packets[Direction.OURS] == [packet.serialize() for packet in call.callee.sent]
    assert [mark.mark for mark in taped.marks] == [Mark.CODECS, Mark.CODECS, Mark.END]
    assert [parse_codec_map(mark.body)[1][0].name for mark in taped.marks[:2]] == ["PCMA", "PCMA"]
    assert (event.recording_id, len(event.parts), event.parts[0].sealed) == (recording_id, 1, True)
    assert event.parts[0].bytes == len(contents(event.parts[0].path))
    call.close()


async def test_nothing_on_the_disk_is_readable(hall: Hall, tmp_path: Path) -> None:
    """No payload stands in the file in clear, sealed or not; the worker's key is nowhere."""
    call, key, _ = await recorded(hall, tmp_path)
    said = call.caller.speak(b"voice" * 32)
    await call.callee.hear()
    event = await sealed(hall, call)
    data = contents(event.parts[0].path)
    assert b"voicevoice" not in data
    assert said.payload[:8] not in data
    assert key not in data
    call.close()


async def test_digits_never_reach_the_file(hall: Hall, tmp_path: Path) -> None:
    """LAW-74: telephone-event packets are not kept, passed on or not."""
    call, key, recording_id = await recorded(hall, tmp_path)
    await call.say(call.caller)
    press(call.caller, 4)
    press(call.caller, 2)
    await call.say(call.caller)
    event = await sealed(hall, call)
    taped = read_back([Path(event.parts[0].path)], key, recording_id)
    assert len(taped.packets[Direction.OUTSIDE]) == 2
    assert {packet[1] & 0x7F for packet in taped.packets[Direction.OUTSIDE]} == {8}
    call.close()


async def test_paused_and_held_audio_is_not_kept_and_the_time_line_says_so(hall: Hall, tmp_path: Path) -> None:
    """LAW-72, LAW-73, NOT-20: neither side is kept meanwhile; hold and pause may overlap; audio is relayed."""
    call, key, recording_id = await recorded(hall, tmp_path)
    await call.latch()
    kept = 0
    service = hall.service
    for change, on in ((service.pause, True), (service.hold, True), (service.pause, False), (service.hold, False)):
        change(call.call, on=on)
        await hall.settled()
        await call.latch()
        kept += change == service.hold and not on
    event = await sealed(hall, call)
    taped = read_back([Path(event.parts[0].path)], key, recording_id)
    assert [mark.mark for mark in taped.marks] == [
        Mark.CODECS,
        Mark.CODECS,
        Mark.PAUSE,
        Mark.HOLD,
        Mark.PAUSE_ENDED,
        Mark.HOLD_ENDED,
        Mark.END,
    ]
    assert [len(packets) for packets in taped.packets.values()] == [1 + kept, 1 + kept]
    call.close()


async def test_a_change_of_codec_is_marked(hall: Hall, tmp_path: Path) -> None:
    """A re-INVITE to another codec leaves a codec map before the first packet of it."""
    call, key, recording_id = await recorded(hall, tmp_path)
    await call.say(call.caller)
    call.caller.payload_type = 0
    hall.service.set_remote(call.a, remote_of(call.caller))
    await hall.settled()
    await call.say(call.caller)
    event = await sealed(hall, call)
    taped = read_back([Path(event.parts[0].path)], key, recording_id)
    maps = [parse_codec_map(mark.body) for mark in taped.marks if mark.mark is Mark.CODECS]
    assert [(direction, codecs[0].name) for direction, codecs in maps][-1] == (Direction.OUTSIDE, "PCMU")
    call.close()


async def test_a_discarded_recording_is_gone(hall: Hall, tmp_path: Path) -> None:
    """An opt-out removes what was stored, and audio goes on."""
    call, _, recording_id = await recorded(hall, tmp_path)
    await call.caller.talk(0.5)
    assert files_in(tmp_path, "*.partial")
    assert hall.service.discard(call.call)
    event = await hall.event(Discarded)
    assert (event.recording_id, event.removed) == (recording_id, 1)
    assert not files_in(tmp_path)
    call.callee.heard()
    said = call.caller.speak()
    assert (await call.callee.hear()).payload == said.payload
    call.close()


async def test_a_recording_discarded_while_it_is_being_sealed_is_gone(hall: Hall, tmp_path: Path) -> None:
    """A stop that comes with the end of the call still removes everything."""
    call, _, _ = await recorded(hall, tmp_path)
    await call.say(call.caller)
    hall.service.seal(call.call)
    hall.service.discard(call.call)
    await hall.event(Discarded)
    assert not files_in(tmp_path)
    assert not hall.told(Sealed)
    call.close()


async def test_closing_a_call_seals_its_recording(hall: Hall, tmp_path: Path) -> None:
    """Nothing is lost where nobody sealed: close_call does."""
    call, _, _ = await recorded(hall, tmp_path)
    await call.say(call.caller)
    hall.service.close_call(call.call)
    event = await hall.event(Sealed)
    assert event.parts[0].sealed
    call.close()


async def test_an_ended_service_leaves_what_was_heard(tmp_path: Path) -> None:
    """When the control socket closes the worker makes everything durable, seals nothing and ends."""
    hall = Hall()
    await hall.service.start()
    call, key, recording_id = await recorded(hall, tmp_path)
    await call.say(call.caller)
    pid = hall.worker_pid
    await hall.service.stop()
    (partial,) = files_in(tmp_path, "*.partial")
    taped = read_back([partial], key, recording_id)
    assert taped.packets[Direction.OUTSIDE] == [packet.serialize() for packet in call.caller.sent]
    assert not is_alive(pid)
    call.close()


async def test_a_part_that_exists_already_is_never_written_again(hall: Hall, tmp_path: Path) -> None:
    """A key is used once: where the file is there, the recording fails and says so, and audio goes on."""
    call = await bridge(hall)
    source, _ = part_source(tmp_path)

    class Repeated:
        recording_id = source.recording_id

        def next_part(self, now: object) -> object:
            spec = source.next_part(now)  # type: ignore[arg-type]
            spec.path.parent.mkdir(parents=True)
            spec.path.write_bytes(b"there")
            return spec

    hall.service.record(call.call, outside=call.a, ours=call.b, parts=Repeated())  # type: ignore[arg-type]
    await call.caller.talk(0.4)
    event = await hall.event(RecordingFailed)
    assert event.recording_id == source.recording_id
    call.callee.heard()
    said = call.caller.speak()
    assert (await call.callee.hear()).payload == said.payload
    call.close()


async def test_a_recording_renders_to_what_was_said(hall: Hall, tmp_path: Path) -> None:
    """Half a second of both sides is rendered left and right without loss."""
    call, key, recording_id = await recorded(hall, tmp_path)
    await call.caller.talk(0.5)
    event = await sealed(hall, call)
    reader = RecordingReader([Path(event.parts[0].path)], key, recording_id)
    rendering = render(reader)
    reader.close()
    assert 0.45 * 8000 <= len(rendering.left) <= 0.9 * 8000
    assert rendering.left.any()
    assert not rendering.right.any()
    call.close()


async def test_the_worker_inherits_no_descriptor(hall: Hall, tmp_path: Path) -> None:
    """An open lock file of the recorder is not open in its workers, and no heavy module is loaded there."""
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(lock, True)
    fresh = Hall()
    await fresh.service.start()
    pid = fresh.worker_pid
    await fresh.settled()
    links, maps = open_files(pid), mapped(pid)
    await fresh.service.stop()
    os.close(lock)
    assert not any("lock" in link for link in links)
    assert not any(name in maps for name in ("numpy", "_sqlite3", "pydantic", "_ssl."))


async def test_two_workers_share_the_calls(tmp_path: Path) -> None:
    """Calls go to the worker with fewest legs; both legs of a call are in one."""
    hall = Hall(workers=2)
    await hall.service.start()
    calls = [await bridge(hall) for _ in range(4)]
    assert sorted(worker.calls for worker in hall.service.workers()) == [2, 2]
    for call in calls:
        await call.latch()
        call.close()
    await hall.service.stop()


async def test_a_leg_without_a_far_end_relays_nothing(hall: Hall) -> None:
    """A leg that was never told its far end sends nothing."""
    party = Party()
    party.target = await hall.service.open_leg("call", "a", "127.0.0.1")
    party.speak()
    await hall.settled()
    assert not party.heard()
