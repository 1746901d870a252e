"""A stream is cut into the same messages however it was segmented."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.errors import PeerError
from callrec.sip import KeepAlive, StreamFramer, is_keep_alive


def message(body: bytes, name: bytes = b"Content-Length") -> bytes:
    return b"OPTIONS sip:a SIP/2.0\r\nTo: <sip:a>\r\n%s: %d\r\n\r\n%s" % (name, len(body), body)


MESSAGES = [message(b""), message(b"v=0\r\n\r\nx\r\n", b"l"), message(b"\r\n\r\n", b"CONTENT-LENGTH  ")]
FOLDED = b"BYE sip:a SIP/2.0\r\nContent-Length:\r\n  3\r\n\r\nabc"
STREAM = MESSAGES[0] + b"\r\n\r\n" + MESSAGES[1] + MESSAGES[2] + b"\r\n" + FOLDED + b"\r\n\r\n"
EXPECTED = [MESSAGES[0], KeepAlive.PING, MESSAGES[1], MESSAGES[2], KeepAlive.PONG, FOLDED, KeepAlive.PING]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_segmentation_gives_the_same_messages(cuts: list[int]) -> None:
    """Where the stream is cut makes no difference."""
    framer = StreamFramer()
    places = [0, *sorted(cuts), len(STREAM)]
    found = [piece for start, end in pairwise(places) for piece in framer.feed(STREAM[start:end])]

    assert found == EXPECTED
    assert framer.unframed == b""


def test_one_byte_at_a_time_gives_the_same_messages() -> None:
    """The slowest sender is read, too."""
    framer = StreamFramer()

    assert [piece for byte in STREAM for piece in framer.feed(bytes([byte]))] == EXPECTED


@pytest.mark.parametrize("head", [
    b"OPTIONS sip:a SIP/2.0\r\nTo: <sip:a>\r\n\r\n",
    b"OPTIONS sip:a SIP/2.0\r\nl: 1\r\nContent-Length: 2\r\n\r\n",
    b"OPTIONS sip:a SIP/2.0\r\nl: -1\r\n\r\n",
    b"OPTIONS sip:a SIP/2.0\r\nl: 1x\r\n\r\n",
    b"OPTIONS sip:a SIP/2.0\r\nl:\r\n\r\n",
    b"OPTIONS sip:a SIP/2.0\r\nl: 65536\r\n\r\n",
    b"OPTIONS sip:a SIP/2.0\r\nl: 9999999999999999999999999\r\n\r\n",
    b"\nOPTIONS",
    b"x" * 70000,
])  # fmt: skip
def test_a_stream_that_cannot_be_cut_is_given_up(head: bytes) -> None:
    """Without one believable Content-Length the next message cannot be found (RFC 3261 18.3)."""
    framer = StreamFramer()

    with pytest.raises(PeerError):
        framer.feed(head)
    assert framer.error is not None
    assert len(framer.unframed) <= 65536
    with pytest.raises(PeerError):
        framer.feed(MESSAGES[0])


def test_messages_before_the_error_are_given_first() -> None:
    """A broken message does not take whole ones with it."""
    framer = StreamFramer()
    broken = b"BYE sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\n\r\n"

    assert framer.feed(MESSAGES[1] + broken) == [MESSAGES[1]]
    assert framer.error is not None
    assert framer.unframed == broken
    with pytest.raises(PeerError):
        framer.feed(b"")


def test_memory_is_bounded_by_one_message() -> None:
    """A sender that never ends its headers is cut off at the limit."""
    framer = StreamFramer(max_message=1000)

    for _ in range(9):
        framer.feed(b"X: " + b"y" * 97 + b"\r\n")
    with pytest.raises(PeerError):
        framer.feed(b"z" * 10_000)
    assert len(framer.unframed) <= 1000


def test_a_datagram_of_line_ends_is_a_keep_alive() -> None:
    """Phones send CR LF, CR LF CR LF or NULs to keep a NAT open; none is a message."""
    assert all(is_keep_alive(data) for data in (b"", b"\r\n", b"\r\n\r\n", b"\x00" * 4))
    assert not is_keep_alive(b"\r\nOPTIONS")
