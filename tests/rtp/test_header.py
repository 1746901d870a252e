"""RTP headers: parse, compare, print back; whatever arrives, a packet or PeerError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.errors import PeerError
from callrec.rtp import RtpPacket, is_rtcp

PLAIN = bytes.fromhex("8088000100000a0011223344") + b"voice"


def test_a_plain_packet() -> None:
    """Marker, type, numbers and payload are read and printed back."""
    packet = RtpPacket.parse(PLAIN)
    assert packet == RtpPacket(8, 1, 0xA00, 0x11223344, b"voice", marker=True)
    assert packet.serialize() == PLAIN


def test_contributors_and_extension() -> None:
    """CSRC list and header extension stand before the payload (RFC 3550 5.1, 5.3.1)."""
    data = bytes.fromhex("92000002000000010000000a 00000001 00000002 bede0001 10ff0000") + b"abc"
    packet = RtpPacket.parse(data)
    assert packet.contributors == (1, 2)
    assert packet.extension == (0xBEDE, bytes.fromhex("10ff0000"))
    assert packet.payload == b"abc"
    assert packet.serialize() == data


def test_padding_is_no_payload() -> None:
    """The last byte counts the padding, itself included."""
    data = bytes.fromhex("a00000020000000100000001") + b"abcd\x00\x00\x03"
    assert RtpPacket.parse(data).payload == b"abcd"


@pytest.mark.parametrize("length", range(12))
def test_short_datagrams(length: int) -> None:
    """0 to 11 bytes are refused, never read past."""
    with pytest.raises(PeerError):
        RtpPacket.parse(PLAIN[:length])


@pytest.mark.parametrize(
    "data",
    ["40080001000000010000000a", "8f080001000000010000000a", "90080001000000010000000a", "a0080001000000010000000a",
     "90080001000000010000000abede0009", "a0080001000000010000000a00", "a0080001000000010000000aff"],
)  # fmt: skip
def test_lists_that_overrun_the_datagram(data: str) -> None:
    """Versions, contributors, extensions and padding that are not there are the sender's fault."""
    with pytest.raises(PeerError):
        RtpPacket.parse(bytes.fromhex(data))


@given(st.binary(max_size=200))
def test_whatever_arrives(data: bytes) -> None:
    """A packet or PeerError, never anything else; what is read prints back to something that reads the same."""
    try:
        packet = RtpPacket.parse(data)
    except PeerError:
        return
    assert RtpPacket.parse(packet.serialize()) == packet


def test_rtcp_is_told_by_its_second_byte() -> None:
    """RFC 5761 4: 192 to 223; payload types 96 to 127 with a marker are not."""
    assert [byte for byte in range(256) if is_rtcp(byte)] == list(range(192, 224))
