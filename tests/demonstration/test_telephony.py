"""The telephone line of tests and demonstration keeps its word, so that a failure elsewhere is the product's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from demonstration.telephony import g711
from demonstration.telephony.line import Call, Line
from demonstration.telephony.messages import Session, parse, read_session, take_frame
from demonstration.telephony.voice import VoiceEngine
from tests.support.listening import decoded, matches

CODECS = {8: "PCMA/8000", 101: "telephone-event/8000"}
NEAR, FAR = "127.0.0.11", "127.0.0.2"


@pytest.fixture(params=["udp", "tcp"])
def lines(request: pytest.FixtureRequest) -> Iterator[tuple[Line, Line]]:
    """Return two lines that can call each other."""
    with Line(NEAR, transport=request.param) as near, Line(FAR, transport=request.param) as far:
        yield near, far


@pytest.fixture
def engine() -> Iterator[VoiceEngine]:
    with VoiceEngine() as engine:
        yield engine


def dial(near: Line, far: Line) -> tuple[Call, Call]:
    calling = near.dial(far.address, f"sip:100@{FAR}:{far.address[1]}", Session(NEAR, 40000, CODECS))
    return calling, far.next_call()


def test_a_call_from_ring_to_bye(lines: tuple[Line, Line]) -> None:
    """Ringing, answer, ACK, hold, resume and BYE from the called side."""
    calling, called = dial(*lines)
    called.ring()
    calling.wait_response(lambda given: given.status == 180)
    called.answer(Session(FAR, 40002, CODECS))
    assert calling.wait_final().status == 200
    called.wait_ack()
    assert calling.hold().status == 200
    assert called.remote_session is not None
    assert called.remote_session.held
    assert calling.remote_session is not None
    assert calling.remote_session.direction == "recvonly"
    assert calling.resume().status == 200
    called.hang_up()
    assert calling.wait_ended() == "bye"


def test_cancel_and_refusal(lines: tuple[Line, Line]) -> None:
    """CANCEL ends in 487 on both sides; a refusal is acknowledged."""
    calling, called = dial(*lines)
    called.ring()
    calling.wait_response(lambda given: given.status == 180)
    calling.cancel()
    assert calling.wait_final().status == 487
    assert called.wait_ended() == "cancelled"
    calling, called = dial(*lines)
    called.reject(486, "Busy Here")
    assert calling.wait_final().status == 486
    called.wait_ack()


def test_voices_are_exact_and_in_time(engine: VoiceEngine) -> None:
    """Every byte arrives as it was given; packets leave each 20 ms; keys come as RFC 4733 with three end packets."""
    near, far = engine.voice(NEAR), engine.voice(FAR)
    near.send_to(FAR, far.port)
    coded = g711.unmistakable(g711.PCMA, 1.0, 1)
    near.speak(g711.PCMA, coded)
    assert near.wait_spoken(5)
    near.press("9", 101)
    assert far.wait_heard(lambda heard: sum(packet.payload_type == 101 for packet in heard) >= 8, 5)
    assert far.audio_heard(g711.PCMA) == coded
    keys = [packet for packet in far.heard if packet.payload_type == 101]
    assert {packet.payload[0] for packet in keys} == {9}
    assert [packet.payload[1] >> 7 for packet in keys] == [0, 0, 0, 0, 0, 1, 1, 1]
    assert len({packet.timestamp for packet in keys}) == 1
    sent = [at for at, _ in near.sent]
    assert (sent[-1] - sent[0]) / (len(sent) - 1) == pytest.approx(0.02, abs=0.001)


def test_a_foreign_sound_is_found() -> None:
    """An export that holds anything but silence and the voice does not pass."""
    voice = decoded(g711.PCMA, g711.unmistakable(g711.PCMA, 2.0, 2))
    channel = np.concatenate([np.zeros(400, np.int16), voice[1600:4800], np.zeros(160, np.int16), voice[8000:9600]])
    assert [(piece.in_channel, piece.in_voice, piece.length) for piece in matches(channel, voice)] == [
        (400, 1600, 3200),
        (3760, 8000, 1600),
    ]
    channel[1000] += 8
    with pytest.raises(AssertionError, match="never said"):
        matches(channel, voice)


def test_g711_is_that_of_the_recommendation() -> None:
    """A few fixed points of ITU-T G.711, and encoding goes back to the same code."""
    assert [g711.alaw_sample(code) for code in (0x00, 0x55, 0x80, 0xD5)] == [-5504, -8, 5504, 8]
    assert [g711.ulaw_sample(code) for code in (0x00, 0x7F, 0x80, 0xFF)] == [-32124, 0, 32124, 0]
    for codec in (g711.PCMA, g711.PCMU):
        samples = b"".join(g711.decoding_table(codec)[code].to_bytes(2, "little", signed=True) for code in range(256))
        assert g711.decode(codec, g711.encode(codec, samples)) == list(g711.decoding_table(codec))


def test_frames_are_cut_from_a_stream() -> None:
    """Messages come out of a stream whole, whatever its segmentation, with keep-alives between them."""
    session = Session(NEAR, 40000, CODECS).serialize()
    head = b"INVITE sip:x@y SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\nl: %d\r\n\r\n" % len(session)
    buffer, frames = bytearray(), []
    for byte in b"\r\n\r\n" + (head + session) * 2:
        buffer.append(byte)
        if (frame := take_frame(buffer)) is not None:
            frames.append(frame)
    assert frames == [head + session] * 2
    assert read_session(parse(frames[0]).body).codecs == CODECS
