"""Notices, prompts and tones, and the evidence that they were sent (NOT-7, NOT-13, NOT-14)."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import time
from itertools import pairwise
from pathlib import Path

import pytest

from callrec.media import Digit, DigitPolicy, Play, Played, PlayKind, notice
from callrec.rtp import RINGBACK, RtpPacket, tone_sources
from callrec.rtp.opus import framed
from callrec.sip.events import Address
from tests.media.support import Hall, Party, bridge, open_party, remote_of

HALF_A_SECOND = bytes(range(1, 201)) * 20


def sources(audio: bytes = HALF_A_SECOND) -> dict[str, bytes | Path]:
    return {"PCMA": audio, "PCMU": audio}


async def played(hall: Hall, play_id: str) -> Played:
    return await hall.event(Played, lambda event: event.play_id == play_id)


@pytest.mark.alone
async def test_a_notice_is_heard_whole_and_proven(hall: Hall) -> None:
    """The party gets 200 ms of silence and then every byte of the words, and the evidence says so."""
    party = Party()
    await open_party(hall, "call", "a", party)
    hall.service.play("a", notice("p1", sources()))
    await hall.settled()
    party.speak()
    evidence = await played(hall, "p1")
    packets = [RtpPacket.parse(data) for data in party.heard()]
    assert b"".join(packet.payload for packet in packets) == b"\xd5" * 1600 + HALF_A_SECOND
    assert [packet.marker for packet in packets] == [True] + [False] * 34
    assert evidence.completed
    assert evidence.interrupted_by is None
    assert (evidence.expected_ms, evidence.sent_ms, evidence.packets_sent, evidence.packets_refused) == (
        500,
        500,
        35,
        0,
    )
    assert (evidence.first_sequence, evidence.last_sequence) == (
        packets[0].sequence_number,
        packets[-1].sequence_number,
    )
    assert 0.65 < evidence.ended_at - evidence.started_at < 1.5
    assert (evidence.codec, evidence.kind, evidence.far_direction) == ("PCMA", "notice", "sendrecv")


@pytest.mark.alone
async def test_frames_leave_every_20_ms(hall: Hall) -> None:
    """The timer has absolute deadlines: the frames of a second take a second, however each of them jitters."""
    party = Party()
    await open_party(hall, "call", "a", party)
    hall.service.play("a", Play("p", PlayKind.PROMPT, sources(bytes(8000))))
    await party.hear()
    start = time.monotonic()
    times = []
    for _ in range(49):
        await party.hear()
        times.append(time.monotonic() - start)
    assert 0.94 < times[-1] < 1.15
    assert sum(abs(later - (index + 1) * 0.02) > 0.02 for index, later in enumerate(times)) < 25


@pytest.mark.alone
async def test_a_notice_starts_with_the_first_media_or_after_half_a_second(hall: Hall) -> None:
    """NOT-7: a silent party is not waited for longer than 500 ms; one that speaks is not kept waiting."""
    silent, speaking = Party(), Party()
    await open_party(hall, "call", "a", silent)
    await open_party(hall, "call", "b", speaking)
    await hall.settled()
    speaking.speak()
    start = time.time()
    hall.service.play("a", notice("silent", sources()))
    hall.service.play("b", notice("speaking", sources()))
    at_once, later = await played(hall, "speaking"), await played(hall, "silent")
    assert at_once.started_at < start + 0.5 <= later.started_at + 0.02 < start + 2.5
    assert later.completed


async def test_a_refused_notice_is_not_complete(hall: Hall) -> None:
    """NOT-14: where the far host refuses packets, even unconnected, the sends that were refused do not count."""
    party = Party()
    await open_party(hall, "call", "a", party)
    party.close()
    hall.service.play("a", Play("p", PlayKind.NOTICE, sources()))
    evidence = await played(hall, "p")
    assert not evidence.completed
    assert evidence.interrupted_by == "refused"
    assert evidence.packets_refused >= 20
    assert evidence.packets_sent <= 5


async def test_a_stopped_hung_up_or_held_notice_is_not_complete(hall: Hall) -> None:
    """Whatever ends it early is named, and so is how far it got."""
    parties = {leg: Party() for leg in "abcd"}
    for leg, party in parties.items():
        await open_party(hall, "call", leg, party)
        hall.service.play(leg, Play(leg, PlayKind.NOTICE, sources(bytes(24_000))))
    for party in parties.values():
        for _ in range(4):
            await party.hear()
    hall.service.stop_play("a", "a", why="dtmf")
    hall.service.close_leg("b")
    hall.service.set_remote("c", remote_of(Party(), may_send=False))
    hall.service.set_remote("d", remote_of(Party()))
    for leg, why in {"a": "dtmf", "b": "closed", "c": "hold", "d": "remote_changed"}.items():
        evidence = await played(hall, leg)
        assert (evidence.completed, evidence.interrupted_by) == (False, why)
        assert 60 <= evidence.sent_ms < evidence.expected_ms


async def test_a_notice_to_nowhere_is_not_complete(hall: Hall) -> None:
    """A far end on hold or without an address hears nothing; a codec without a prompt has none."""
    await open_party(hall, "call", "a", Party(), may_send=False)
    await open_party(hall, "call", "b", Party(), address=Address("0.0.0.0", 0))
    await open_party(hall, "call", "c", Party(), codec_name="G722")
    await hall.service.open_leg("call", "d", "127.0.0.1")
    for leg in "abcd":
        hall.service.play(leg, Play(leg, PlayKind.NOTICE, sources()))
    why = {leg: (await played(hall, leg)).interrupted_by for leg in "abcd"}
    assert why == {"a": "hold", "b": "no_address", "c": "no_prompt", "d": "no_address"}


async def test_a_stall_of_the_worker_is_not_a_complete_notice(hall: Hall) -> None:
    """A worker that stood still for more than 200 ms cannot say that the notice was heard."""
    party = Party()
    await open_party(hall, "call", "a", party)
    hall.service.play("a", Play("p", PlayKind.NOTICE, sources()))
    await party.hear()
    os.kill(hall.worker_pid, signal.SIGSTOP)
    await asyncio.sleep(0.5)
    os.kill(hall.worker_pid, signal.SIGCONT)
    evidence = await played(hall, "p")
    assert (evidence.completed, evidence.interrupted_by) == (False, "stall")


async def test_prompts_come_from_files(hall: Hall, tmp_path: Path) -> None:
    """A path is read once, outside the event loop; a missing file is an error that is told."""
    (tmp_path / "words.alaw").write_bytes(HALF_A_SECOND)
    party = Party()
    await open_party(hall, "call", "a", party)
    hall.service.play("a", Play("p", PlayKind.PROMPT, {"PCMA": tmp_path / "words.alaw"}))
    assert (await played(hall, "p")).completed
    assert b"".join(RtpPacket.parse(data).payload for data in party.heard()) == HALF_A_SECOND
    hall.service.play("a", Play("q", PlayKind.PROMPT, {"PCMA": tmp_path / "none.alaw"}))
    assert (await played(hall, "q")).interrupted_by == "error"


async def test_a_tone_repeats_until_it_is_stopped(hall: Hall) -> None:
    """Ringback is heard instead of the other party, and then the other party, in one stream."""
    call = await bridge(hall)
    await call.latch()
    hall.service.play(call.a, Play("tone", PlayKind.TONE, tone_sources(RINGBACK), loop=True))
    await hall.settled()
    call.callee.speak()
    tones = [await call.caller.hear() for _ in range(5)]
    assert b"".join(packet.payload for packet in tones) == bytes(tone_sources(RINGBACK)["PCMA"][:800])
    hall.service.stop_play(call.a, "tone")
    assert not (await played(hall, "tone")).completed
    call.caller.heard()
    said = call.callee.speak()
    after = await call.caller.hear()
    assert (after.payload, after.ssrc, after.marker) == (said.payload, tones[0].ssrc, True)
    assert 0 < (after.sequence_number - tones[-1].sequence_number) & 0xFFFF < 20
    assert 0 < (after.timestamp - tones[-1].timestamp) & 0xFFFFFFFF < 16_000
    call.close()


async def test_a_short_loop_and_its_limit(hall: Hall) -> None:
    """A busy tone of at most 200 ms ends by itself."""
    party = Party()
    await open_party(hall, "call", "a", party)
    hall.service.play("a", Play("p", PlayKind.TONE, sources(b"\x11" * 160), loop=True, maximum_ms=200))
    evidence = await played(hall, "p")
    assert (evidence.packets_sent, evidence.interrupted_by) == (10, None)


@pytest.mark.parametrize(("fraction", "completed"), [(10, True), (128, False)])
async def test_receiver_reports_count(hall: Hall, fraction: int, completed: bool) -> None:
    """NOT-14: where the far end reports a fifth or more as lost, the notice was not heard."""
    party = Party()
    leg_address = await hall.service.open_leg("call", "a", "127.0.0.1")
    hall.service.set_remote("a", remote_of(party))
    hall.service.play("a", Play("p", PlayKind.NOTICE, sources()))
    ssrc = (await party.hear()).ssrc
    report = struct.pack("!BBHIIB3x16x", 0x81, 201, 7, 1, ssrc, fraction)
    party.socket.sendto(report, (leg_address.host, leg_address.port + 1))
    evidence = await played(hall, "p")
    assert evidence.completed is completed
    assert evidence.rtcp_loss_fraction == fraction / 256


def press(party: Party, event: int, *, ends: int = 3) -> None:
    """Press a key as a telephone does: packets of one timestamp, the last ones with the end bit."""
    timestamp = party.timestamp
    for index in range(3 + ends):
        payload = bytes([event, 0x80 if index >= 3 else 0]) + (160 * (index + 1)).to_bytes(2, "big")
        party.timestamp = timestamp
        party.send(party.packet(payload, payload_type=101, marker=index == 0))


async def test_a_key_is_told_once_and_consumed_until_it_may_pass(hall: Hall) -> None:
    """NOT-17: during notice and menu no digit reaches the PBX; after connect they do, and are told either way."""
    call = await bridge(hall)
    await call.latch()
    press(call.caller, 9)
    press(call.caller, 10, ends=0)
    press(call.caller, 16)
    said = call.caller.speak()
    assert (await call.callee.hear()).payload == said.payload
    hall.service.set_digits(call.a, DigitPolicy.PASS)
    await hall.settled()
    press(call.caller, 5)
    events = [await call.callee.hear() for _ in range(6)]
    assert {packet.payload_type for packet in events} == {101}
    assert len({packet.timestamp for packet in events}) == 1
    assert [event.digit for event in hall.told(Digit)] == ["9", "*", "5"]
    said = call.caller.speak()
    assert (await call.callee.hear()).payload == said.payload
    assert "digit=" not in repr(hall.told(Digit)[0])
    call.close()


async def test_law_72_the_key_that_completes_a_code_of_a_pause_is_not_passed_on(hall: Hall) -> None:
    """LAW-72: a menu at the far side does not take `*7`; every other key goes on at once, and all are told."""
    call = await bridge(hall)
    await call.latch()
    hall.service.set_digits(call.a, DigitPolicy.PASS, ("*7", "*8"))
    await hall.settled()
    for event in (7, 10, 7, 7, 10, 8):
        press(call.caller, event)
    said = call.caller.speak()
    heard = [await call.callee.hear() for _ in range(4 * 6 + 1)]
    assert [packet.payload[0] for packet in heard[:-1:6]] == [7, 10, 7, 10], "7 alone, and * each time"
    assert heard[-1].payload == said.payload
    await hall.settled()
    assert [event.digit for event in hall.told(Digit)] == ["7", "*", "7", "7", "*", "8"]
    call.close()


@pytest.mark.parametrize(
    ("codec", "number", "clock_rate", "ticks"), [("G722", 9, 8000, 160), ("opus", 111, 48_000, 960)]
)
async def test_a_notice_is_heard_in_wide_band(hall: Hall, codec: str, number: int, clock_rate: int, ticks: int) -> None:
    """RTP-6, NOT-13: a caller in G.722 or Opus gets every packet of it, on its own RTP clock, and the same evidence."""
    party = Party(payload_type=number)
    words = [bytes([17 + index]) * (160 if codec == "G722" else 30 + index) for index in range(25)]
    audio = {"G722": b"".join(words), "OPUS": framed(words)}
    await open_party(hall, "call", "a", party, codec_name=codec, clock_rate=clock_rate)
    hall.service.play("a", notice("p", audio))
    await hall.settled()
    party.speak()
    evidence = await played(hall, "p")
    packets = [RtpPacket.parse(data) for data in party.heard()]
    assert [packet.payload for packet in packets[10:]] == words
    assert {packet.payload_type for packet in packets} == {number}
    steps = {(later.timestamp - earlier.timestamp) & 0xFFFF_FFFF for earlier, later in pairwise(packets)}
    assert steps == {ticks}
    assert evidence.completed
    assert (evidence.codec, evidence.expected_ms, evidence.sent_ms, evidence.packets_sent) == (codec, 500, 500, 35)


async def test_a_codec_in_which_nothing_can_be_played_is_no_complete_notice(hall: Hall) -> None:
    """NOT-3: what a caller cannot hear is not taken for heard."""
    party = Party(payload_type=18)
    await open_party(hall, "call", "a", party, codec_name="G729")
    hall.service.play("a", notice("p", sources()))
    assert (await played(hall, "p")).interrupted_by == "no_prompt"
