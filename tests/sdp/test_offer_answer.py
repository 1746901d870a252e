"""Offers and answers as RFC 3264 wants them, and what a new one changes (SIP-7)."""

from __future__ import annotations

import dataclasses

import pytest

from callrec.errors import PeerError
from callrec.sdp import (
    Codec,
    Direction,
    MediaDescription,
    SessionDescription,
    answer_to,
    audio_of,
    choose_codec,
    compare_audio,
    is_t38,
    is_unchanged,
    offer_of,
    telephone_event_for,
)

OFFER = SessionDescription.parse(
    b"v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=3338481189 3370017201\r\n"
    b"m=video 5000/2 RTP/AVP 96 97\r\na=rtpmap:96 H264/90000\r\n"
    b"m=audio 40000 RTP/AVPF 9 120 0 121\r\na=rtpmap:120 PCMA/8000\r\na=rtpmap:121 telephone-event/8000\r\n"
    b"a=ptime:30\r\na=sendonly\r\n"
    b"m=audio 40002 RTP/AVP 8\r\n"
    b"m=image 40004 udptl t38\r\n"
)
PCMA, PCMU = Codec("PCMA", 120, 8000), Codec("PCMU", 0, 8000)
EVENTS = Codec("telephone-event", 121, 8000, 1, "0-15")


def test_an_answer_takes_one_stream_and_refuses_the_others_in_order() -> None:
    """Foreign payload types, the offer's times, order and protocol stay; the rest gets port 0 (RFC 3264 6)."""
    audio = audio_of(OFFER)
    codec = choose_codec(audio, ["PCMA"])
    assert codec == PCMA
    answer = answer_to(
        OFFER, codec, telephone_event_for(audio, codec), ("192.0.2.9", 10000),
        direction=Direction.RECVONLY, session_id=7, version=3,
    )  # fmt: skip

    assert answer.serialize() == (
        b"v=0\r\no=- 7 3 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=3338481189 3370017201\r\n"
        b"m=video 0 RTP/AVP 96 97\r\n"
        b"m=audio 10000 RTP/AVPF 120 121\r\na=rtpmap:120 PCMA/8000\r\na=rtpmap:121 telephone-event/8000\r\n"
        b"a=fmtp:121 0-15\r\na=ptime:30\r\na=recvonly\r\n"
        b"m=audio 0 RTP/AVP 8\r\n"
        b"m=image 0 udptl t38\r\n"
    )


def test_an_offer_without_usable_audio_gets_no_answer_but_488() -> None:
    """A fax-only offer is refused."""
    offer = SessionDescription.parse(b"v=0\r\nc=IN IP4 10.0.0.1\r\nm=image 4 udptl t38\r\n")

    with pytest.raises(PeerError) as failure:
        answer_to(offer, PCMA, None, ("h", 1), direction=Direction.SENDRECV, session_id=1, version=1)
    assert failure.value.status == 488


def test_an_offer_has_exactly_what_it_is_given() -> None:
    """Leg B is offered leg A's codec under leg A's numbers, over IPv6, too."""
    offer = offer_of([PCMA], EVENTS, ("2001:db8::9", 10000), session_id=7, version=0)

    assert offer.serialize() == (
        b"v=0\r\no=- 7 0 IN IP6 2001:db8::9\r\ns=-\r\nc=IN IP6 2001:db8::9\r\nt=0 0\r\n"
        b"m=audio 10000 RTP/AVP 120 121\r\na=rtpmap:120 PCMA/8000\r\na=rtpmap:121 telephone-event/8000\r\n"
        b"a=fmtp:121 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    )
    audio = audio_of(offer)
    assert (audio.codecs, audio.telephone_events, audio.held) == ((PCMA,), {121: 8000}, False)


def test_parameters_and_channels_are_offered_as_they_are() -> None:
    """Opus keeps its two channels and its fmtp."""
    opus = Codec("opus", 96, 48000, 2, "useinbandfec=1")
    audio = audio_of(offer_of([opus], None, ("10.0.0.1", 2), session_id=1, version=1, direction=Direction.INACTIVE))

    assert (audio.codecs, audio.direction, audio.telephone_events) == ((opus,), Direction.INACTIVE, {})


def test_sip_7_what_is_said_again_is_no_change_whatever_the_version_counts() -> None:
    """RFC 3264 8: a session timer's refresh; PJSIP counts on in it, old gateways have no o= at all."""
    first = offer_of([PCMA, PCMU], EVENTS, ("10.0.0.1", 2), session_id=1, version=1)
    again = offer_of([PCMA, PCMU], EVENTS, ("10.0.0.1", 2), session_id=1, version=1)
    newer = offer_of([PCMA, PCMU], EVENTS, ("10.0.0.1", 2), session_id=1, version=2)
    fewer = offer_of([PCMA], EVENTS, ("10.0.0.1", 2), session_id=1, version=1)
    without = SessionDescription(tuple(line for line in first.lines if line[0] != "o"), first.media)

    assert is_unchanged(first, again)
    assert is_unchanged(first, newer)
    assert is_unchanged(first, fewer)
    assert is_unchanged(without, without)


def test_sip_7_a_change_counts_although_the_version_does_not() -> None:
    """Browsers, and devices for which SBCs have a switch, hold, move and renumber under the version they had."""
    said = {"session_id": 1, "version": 1}
    first = offer_of([PCMA], EVENTS, ("10.0.0.1", 2), **said)
    held = offer_of([PCMA], EVENTS, ("10.0.0.1", 2), direction=Direction.SENDONLY, **said)
    moved = offer_of([PCMA], EVENTS, ("10.0.0.1", 4), **said)
    renumbered = offer_of([Codec("PCMA", 119, 8000)], EVENTS, ("10.0.0.1", 2), **said)
    fax = SessionDescription(first.lines, (MediaDescription("image", 4, "udptl", ("t38",)),))

    for changed in (held, moved, renumbered, fax):
        assert not is_unchanged(first, changed)


def test_what_a_new_offer_changes_is_told_apart() -> None:
    """Address, direction, hold, codec, events and packet time each show alone."""
    before = audio_of(offer_of([PCMA, Codec("PCMU", 0, 8000)], EVENTS, ("10.0.0.1", 2), session_id=1, version=1))
    changes = {
        "address": dataclasses.replace(before, port=4),
        "direction": dataclasses.replace(before, direction=Direction.SENDONLY),
        "held": dataclasses.replace(before, held=True),
        "codec": dataclasses.replace(before, codecs=before.codecs[::-1]),
        "telephone_event": dataclasses.replace(before, telephone_events={}),
        "packet_time": dataclasses.replace(before, packet_time_ms=30),
    }

    assert not compare_audio(before, before)
    for name, after in changes.items():
        change = compare_audio(before, after)
        assert change
        assert [key for key, value in dataclasses.asdict(change).items() if value] == [name]


def test_an_offer_of_fax_is_seen() -> None:
    """RTP-7: m=image with a port; a refused one is none."""
    assert is_t38(OFFER)
    assert not is_t38(answer_to(OFFER, PCMA, None, ("h", 1), direction=Direction.SENDRECV, session_id=1, version=1))
