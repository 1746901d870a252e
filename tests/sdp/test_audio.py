"""The audio stream of a description: address, codecs, direction, hold, hints."""

from __future__ import annotations

import pytest

from callrec.errors import PeerError
from callrec.sdp import AudioMedia, Codec, Direction, SessionDescription, audio_of, choose_codec, telephone_event_for

HEAD = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n"


def audio(*lines: str, head: str = HEAD) -> AudioMedia:
    return audio_of(SessionDescription.parse((head + "\r\n".join(lines) + "\r\n").encode()))


def test_everything_about_a_stream_is_read() -> None:
    """Codecs in the order of the offer, events apart, static types without rtpmap, any case of names."""
    found = audio(
        "m=audio 40000 RTP/AVP 96 8 0 18 13 101 102 111",
        "c=IN IP4 10.0.0.9",
        "a=rtpmap:96 OPUS/48000/2", "a=fmtp:96 useinbandfec=1;stereo=0", "a=rtpmap:8 pcma/8000/1",
        "a=fmtp:18 annexb=no", "a=rtpmap:101 Telephone-Event/8000", "a=fmtp:101  0-11, 16",
        "a=rtpmap:102 telephone-event/48000", "a=ptime:30", "a=rtcp:40055 IN IP4 10.0.0.1",
    )  # fmt: skip

    assert found == AudioMedia(
        address="10.0.0.9",
        port=40000,
        rtcp_port=40055,
        codecs=(
            Codec("opus", 96, 48000, 2, "useinbandfec=1;stereo=0"),
            Codec("PCMA", 8, 8000),
            Codec("PCMU", 0, 8000),
            Codec("G729", 18, 8000, 1, "annexb=no"),
        ),
        telephone_events={101: 8000, 102: 48000},
        packet_time_ms=30,
        comfort_noise=(13,),
    )


@pytest.mark.parametrize(("lines", "direction", "held"), [
    (["m=audio 1 RTP/AVP 0"], Direction.SENDRECV, False),
    (["m=audio 1 RTP/AVP 0", "a=sendonly"], Direction.SENDONLY, True),
    (["m=audio 1 RTP/AVP 0", "a=recvonly"], Direction.RECVONLY, True),
    (["m=audio 1 RTP/AVP 0", "a=INACTIVE"], Direction.INACTIVE, True),
    (["m=audio 1 RTP/AVP 0", "c=IN IP4 0.0.0.0"], Direction.SENDRECV, True),
    (["m=audio 1 RTP/AVP 0", "c=IN IP6 ::"], Direction.SENDRECV, True),
    (["a=inactive", "m=audio 1 RTP/AVP 0"], Direction.INACTIVE, True),
    (["a=inactive", "m=audio 1 RTP/AVP 0", "a=sendrecv"], Direction.SENDRECV, False),
])  # fmt: skip
def test_every_form_of_hold_is_seen(lines: list[str], direction: Direction, *, held: bool) -> None:
    """SIP-7: sendonly, recvonly, inactive, 0.0.0.0; the stream's own word before the session's."""
    found = audio(*lines)

    assert (found.direction, found.held) == (direction, held)


@pytest.mark.parametrize(("lines", "port"), [
    ([], 40001), (["a=rtcp:5"], 5), (["a=rtcp:5 IN IP4 1.2.3.4"], 5), (["a=rtcp-mux"], 40001), (["a=rtcp:x"], 40001),
    (["a=rtcp:0000099999"], 40001),
])  # fmt: skip
def test_the_rtcp_port_is_found(lines: list[str], port: int) -> None:
    """One above, as a=rtcp says (RFC 3605), for multiplexing is not accepted (RFC 5761)."""
    assert audio("m=audio 40000 RTP/AVP 0", *lines).rtcp_port == port


@pytest.mark.parametrize(
    ("value", "expected"), [("10", 10), ("60", 60), ("20.0", 20), ("0", 20), ("999", 20), ("x", 20)]
)
def test_the_packet_time_is_a_hint(value: str, expected: int) -> None:
    """A sensible one counts, any other is 20 ms (RTP-3)."""
    assert audio("m=audio 1 RTP/AVP 0", f"a=ptime:{value}").packet_time_ms == expected


@pytest.mark.parametrize("lines", [
    ["m=video 1 RTP/AVP 96"], ["m=audio 0 RTP/AVP 0"], ["m=audio 1 RTP/SAVP 0"], ["m=audio 1 FOO/BAR 0"],
    ["m=audio 1 UDP/TLS/RTP/SAVPF 0"], ["m=audio 1 RTP/AVP 0", "c=IN IP4 224.2.1.1/127"], ["m=audio 1 RTP/AVP 96"],
    ["m=audio 1 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"], ["m=image 1 udptl t38"], ["a=x"],
])  # fmt: skip
def test_without_usable_audio_the_offer_is_refused_with_488(lines: list[str]) -> None:
    """No stream in clear, unicast, with a known codec: 488."""
    with pytest.raises(PeerError) as failure:
        audio(*lines)
    assert failure.value.status == 488


def test_the_first_usable_audio_stream_counts() -> None:
    """Video, refused and encrypted streams before it are passed over."""
    found = audio("m=video 1 RTP/AVP 96", "m=audio 0 RTP/AVP 0", "m=audio 2 RTP/SAVP 0", "m=audio 3 RTP/AVP 8")

    assert (found.index, found.port, found.codecs[0].name) == (3, 3, "PCMA")


@pytest.mark.parametrize("value", ["8", "8 PCMA", "8 PCMA/0", "8 PCMA/abc", "x PCMA/8000", "128 PCMA/8000", ""])
def test_a_broken_rtpmap_is_refused(value: str) -> None:
    """What a payload type means is not guessed."""
    with pytest.raises(PeerError) as failure:
        audio("m=audio 1 RTP/AVP 0 8", f"a=rtpmap:{value}")
    assert failure.value.status == 400


def test_the_offer_decides_the_order_of_codecs() -> None:
    """The first codec of the offer that is supported is taken, whatever order we list ours in."""
    offered = audio("m=audio 1 RTP/AVP 97 9 8 0", "a=rtpmap:97 PCMA/16000")

    assert choose_codec(offered, ["PCMU", "pcma"]) == Codec("PCMA", 8, 8000)
    assert choose_codec(offered, ["g722", "PCMU"]) == Codec("G722", 9, 8000)
    assert choose_codec(offered, ["opus"]) is None
    assert choose_codec(offered, []) is None


def test_the_event_stream_has_the_clock_of_its_codec() -> None:
    """RFC 4733 2.1; the only one offered is taken where none fits."""
    both = audio("m=audio 1 RTP/AVP 96 8 101 102", "a=rtpmap:96 opus/48000/2",
                 "a=rtpmap:101 telephone-event/8000", "a=rtpmap:102 telephone-event/48000")  # fmt: skip
    one = audio("m=audio 1 RTP/AVP 96 101", "a=rtpmap:96 opus/48000/2", "a=rtpmap:101 telephone-event/8000")
    none = audio("m=audio 1 RTP/AVP 0")

    assert telephone_event_for(both, both.codecs[0]) == Codec("telephone-event", 102, 48000, 1, "0-15")
    assert telephone_event_for(both, both.codecs[1]) == Codec("telephone-event", 101, 8000, 1, "0-15")
    assert telephone_event_for(one, one.codecs[0]) == Codec("telephone-event", 101, 8000, 1, "0-15")
    assert telephone_event_for(none, none.codecs[0]) is None


def test_codecs_are_the_same_under_any_number() -> None:
    """A payload type is a name for the codec on one leg only."""
    assert Codec("PCMA", 8, 8000).is_same_as(Codec("pcma", 97, 8000))
    assert not Codec("PCMA", 8, 8000).is_same_as(Codec("PCMA", 8, 16000))
