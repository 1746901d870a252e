"""RFC 6716 3, RFC 7845, RFC 3533: how long an Opus packet lasts, which are whole, and what an Ogg file holds."""

from __future__ import annotations

import os

import pytest
import soundfile  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from callrec.errors import PeerError
from callrec.rtp.ogg import ogg_of, packets_of
from callrec.rtp.opus import SILENCE, framed, is_silence, packet_samples, unframed


def packet(configuration: int, code: int, rest: bytes) -> bytes:
    return bytes([configuration << 3 | code]) + rest


@pytest.mark.parametrize(
    ("configuration", "milliseconds"),
    [(0, 10), (1, 20), (2, 40), (3, 60), (9, 20), (12, 10), (13, 20), (15, 20), (16, 2.5), (17, 5), (18, 10), (31, 20)],
)
def test_a_frame_lasts_as_its_configuration_says(configuration: int, milliseconds: float) -> None:
    """RFC 6716 table 2."""
    assert packet_samples(packet(configuration, 0, bytes(20))) == milliseconds * 48


@pytest.mark.parametrize(
    ("whole", "frames"),
    [
        (packet(31, 1, bytes(40)), 2),
        (packet(31, 2, bytes([10]) + bytes(10 + 5)), 2),
        (packet(31, 2, bytes([252, 1]) + bytes(256 + 5)), 2),
        (packet(31, 3, bytes([3]) + bytes(30)), 3),
        (packet(31, 3, bytes([0x80 | 2, 7]) + bytes(7 + 9)), 2),
        (packet(31, 3, bytes([0x40 | 2, 5]) + bytes(20 + 5)), 2),
        (packet(31, 3, bytes([0x40 | 1, 255, 1]) + bytes(10 + 255)), 1),
    ],
)
def test_frames_are_counted(whole: bytes, frames: int) -> None:
    """RFC 6716 3.2: two frames, of one length or of two, and any number, padded or not."""
    assert packet_samples(whole) == frames * 960


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        packet(31, 0, bytes(1276)),
        packet(31, 1, bytes(41)),
        packet(31, 2, b""),
        packet(31, 2, bytes([252])),
        packet(31, 2, bytes([20]) + bytes(19)),
        packet(31, 3, b""),
        packet(31, 3, bytes([0])),
        packet(31, 3, bytes([7]) + bytes(70)),
        packet(31, 3, bytes([3]) + bytes(31)),
        packet(31, 3, bytes([0x40 | 1, 255])),
        packet(31, 3, bytes([0x40 | 1, 20]) + bytes(5)),
        packet(31, 3, bytes([0x80 | 3, 30]) + bytes(10)),
    ],
)
def test_what_breaks_a_rule_has_no_length(broken: bytes) -> None:
    """RFC 6716 3.4: R1 to R7; 140 ms is too long as well."""
    assert packet_samples(broken) == 0


def test_a_sender_that_pauses_sends_one_or_two_bytes() -> None:
    """Discontinuous transmission; the silence that we send is a whole packet of 20 ms."""
    assert is_silence(b"\xf8")
    assert not is_silence(SILENCE)
    assert packet_samples(SILENCE) == 960


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(min_size=1, max_size=700).filter(packet_samples), min_size=1, max_size=120))
def test_an_ogg_file_gives_back_its_packets_and_all_their_samples(packets: list[bytes]) -> None:
    """RFC 7845 4: no sample is skipped or trimmed, whatever the packets; another library's decoder agrees."""
    ogg = ogg_of(packets)
    assert packets_of(ogg) == packets
    memory = os.memfd_create("ogg")
    try:
        os.write(memory, ogg)
        os.lseek(memory, 0, os.SEEK_SET)
        with soundfile.SoundFile(memory, closefd=False) as file:
            assert (file.samplerate, file.channels) == (48_000, 1)
            assert len(file.read(dtype="int16")) == sum(map(packet_samples, packets))
    finally:
        os.close(memory)
    assert unframed(framed(packets)) == packets


@pytest.mark.parametrize("broken", [b"RIFF", ogg_of([SILENCE])[:-5], ogg_of([SILENCE])[:60], b""])
def test_what_is_no_ogg_opus_is_refused(broken: bytes) -> None:
    """A prompt that was cut short is no prompt."""
    with pytest.raises(PeerError, match="Ogg"):
        packets_of(broken)
