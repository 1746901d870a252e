"""Session descriptions are read leniently in form, strictly in meaning, and written back line by line."""

from __future__ import annotations

import pytest

from callrec.errors import PeerError
from callrec.sdp import Direction, MediaDescription, Origin, SessionDescription, audio_of, reverse_direction
from tests.sip.vectors import ROOT, corpus

VALID = corpus("sdp_valid")
MALFORMED = corpus("sdp_malformed")

NOT_USABLE = {
    "rejected-port0": "the stream is refused by its own port 0",
    "savp-crypto": "SRTP is not spoken yet",
    "multicast-ttl": "a call is unicast",
}
"""Valid descriptions that hold no audio stream we can use: read, then refused with 488."""

LENIENT = {
    "crypto-bad": "attributes that are not used are not judged (RFC 8866 5.13); RTP is in clear here",
    "fmtp-nopt": "format parameters are a hint; one lost costs no call",
    "ptime-abc": "the packet time is a hint; 20 ms are assumed",
}
"""Malformed descriptions that are read all the same, each with the reason."""


def sdp_bytes(entry: dict[str, str]) -> bytes:
    return entry["message"].encode()


@pytest.mark.parametrize("name", VALID)
def test_unusual_but_valid_descriptions_are_read(name: str) -> None:
    """Every one is read, written back and read as the same; its audio is found unless the table says why not."""
    description = SessionDescription.parse(sdp_bytes(VALID[name]))

    assert SessionDescription.parse(description.serialize()) == description
    if name in NOT_USABLE:
        with pytest.raises(PeerError) as failure:
            audio_of(description)
        assert failure.value.status == 488
    else:
        assert audio_of(description).codecs[0].name in {"PCMU", "PCMA"}


@pytest.mark.parametrize("name", [name for name in MALFORMED if name not in LENIENT])
def test_malformed_descriptions_are_refused(name: str) -> None:
    """A broken description gives PeerError with 400 or 488, never silence."""
    with pytest.raises(PeerError) as failure:
        audio_of(SessionDescription.parse(sdp_bytes(MALFORMED[name])))
    assert failure.value.status in {400, 488}


@pytest.mark.parametrize("name", LENIENT)
def test_leniencies_are_deliberate(name: str) -> None:
    """What is read in spite of a fault has its reason in the table, and a default where the fault was."""
    audio = audio_of(SessionDescription.parse(sdp_bytes(MALFORMED[name])))

    assert (audio.port, audio.packet_time_ms) == (40000, 20)


@pytest.mark.parametrize(("name", "address"), [
    ("ipv6-in-sdp", "2001:db8::20"), ("mult-ip-in-sdp", "192.0.2.1"), ("ipv4-mapped-ipv6", "::ffff:192.0.2.2"),
])  # fmt: skip
def test_the_descriptions_of_rfc_5118_are_read(name: str, address: str) -> None:
    """RFC 5118 4.6, 4.8 and 4.9: IPv6 without brackets, one address a stream, mapped addresses."""
    body = (ROOT / "rfc5118" / f"{name}.dat").read_bytes().partition(b"\r\n\r\n")[2]
    audio = audio_of(SessionDescription.parse(body))

    assert audio.address == address
    assert audio.codecs[0].name in {"PCMU", "G726-32"}


def test_lines_are_kept_in_their_place() -> None:
    """Unknown lines and attributes survive, at the level where they were."""
    body = (
        b"v=0\r\no=- 1 2 IN IP4 h\r\ns=-\r\nx=foo\r\na=tool:z\r\nt=0 0\r\n"
        b"m=video 1/2 RTP/AVP 96\r\ni=b\r\na=label:2\r\n"
    )
    description = SessionDescription.parse(body)

    assert description.serialize() == body
    assert description.media == (
        MediaDescription("video", 1, "RTP/AVP", ("96",), (("i", "b"), ("a", "label:2")), port_count=2),
    )
    assert (description.attribute("tool"), description.attribute("label"), description.timing) == ("z", None, "0 0")
    assert description.media[0].attribute("label") == "2"


def test_the_origin_is_read_also_with_blanks_in_its_name() -> None:
    """Some phones put a display name there; only the end counts."""
    assert Origin.parse("- 1 2 IN IP4 h") == Origin("-", 1, 2, "h")
    assert Origin.parse("My Phone 7 8 IN IP6 ::1") == Origin("My Phone", 7, 8, "::1")


@pytest.mark.parametrize("line", [
    "o=- x 2 IN IP4 h", "o=- 1 -2 IN IP4 h", "c=IN IP4 1.2.3.4 5", "c=ATM IP4 1.2.3.4", "c=IN IP4 1.2.3",
    "c=IN IP6 ::x", "c=IN IP4 h<", "m=audio 1 RTP/AVP 128", "m=audio 1/x RTP/AVP 0", "m=audio 1 RTP/AVP",
])  # fmt: skip
def test_a_broken_line_is_refused(line: str) -> None:
    """What would be guessed at is refused with 400."""
    with pytest.raises(PeerError) as failure:
        SessionDescription.parse(f"v=0\r\n{line}\r\n".encode())
    assert failure.value.status == 400


def test_a_description_is_bounded() -> None:
    """More streams or lines than any device sends are refused."""
    for body in (b"m=audio 1 RTP/AVP 0\r\n" * 65, b"a=x\r\n" * 2001, b"a=" + b"x" * 65536):
        with pytest.raises(PeerError):
            SessionDescription.parse(b"v=0\r\n" + body)


def test_an_answer_looks_from_the_other_side() -> None:
    """RFC 3264 6.1."""
    assert [reverse_direction(direction) for direction in Direction] == [
        Direction.SENDRECV, Direction.RECVONLY, Direction.SENDONLY, Direction.INACTIVE,
    ]  # fmt: skip


def test_errors_quote_no_name() -> None:
    """o= and session names may hold a number or a name; an error does not repeat them."""
    for body in (b"v=0\r\no=02079460000 1\r\n", b"v=0\r\nAlice\r\n"):
        with pytest.raises(PeerError) as failure:
            SessionDescription.parse(body)
        assert "0207" not in str(failure.value)
        assert "lice" not in str(failure.value)
