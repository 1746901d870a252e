"""Whatever body arrives, reading it gives a description or PeerError, never anything else."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.errors import PeerError
from callrec.sdp import (
    Codec,
    Direction,
    SessionDescription,
    answer_to,
    audio_of,
    choose_codec,
    codecs_of,
    compare_audio,
    is_t38,
    is_unchanged,
    offer_of,
    telephone_event_for,
)
from tests.sip.vectors import corpus

T = TypeVar("T")

SUPPORTED = ["PCMA", "PCMU", "G722", "opus"]
SEEDS = [entry["message"].encode()[:4000] for part in ("sdp_valid", "sdp_malformed") for entry in corpus(part).values()]
PIECES = [
    b"\r\n", b"\n", b"\r", b"\x00", b"=", b" ", b"/", b":", b"a=rtpmap:", b"a=fmtp:", b"m=audio 1 RTP/AVP 0",
    b"c=IN IP6 ::", b"0.0.0.0", b"999999999999999999999", b"-1", b"\xff", b"a=sendonly", b"a=rtcp:", b"a=ptime:",
]  # fmt: skip


def value_of(make: Callable[[], T]) -> T | None:
    """Return what is made, or None where it is refused with a status that fits."""
    try:
        return make()
    except PeerError as error:
        status = error.status
    assert status in {400, 488}
    return None


def check(body: bytes) -> None:
    """The invariant of the whole package for one body."""
    description = value_of(lambda: SessionDescription.parse(body))
    if description is None:
        return
    assert SessionDescription.parse(description.serialize()) == description
    is_t38(description)
    assert is_unchanged(description, description)
    for media in description.media:
        with contextlib.suppress(PeerError):
            codecs_of(media)
    audio = value_of(lambda: audio_of(description))
    if audio is None:
        return
    assert not compare_audio(audio, audio)
    codec = choose_codec(audio, SUPPORTED)
    if codec is not None:
        check_answer(description, codec)


def check_answer(offer: SessionDescription, codec: Codec) -> None:
    """An answer has the offer's streams in order, one of them accepted, and can be read."""
    audio = audio_of(offer)
    event = telephone_event_for(audio, codec)
    answer = answer_to(offer, codec, event, ("10.0.0.1", 9), direction=Direction.SENDRECV, session_id=1, version=1)

    assert [media.kind for media in answer.media] == [media.kind for media in offer.media]
    assert [media.port != 0 for media in answer.media] == [index == audio.index for index in range(len(offer.media))]
    again = SessionDescription.parse(answer.serialize())
    assert again == answer
    assert audio_of(again).codecs == (codec,)


def mutated(number: int, seed: int) -> Iterator[bytes]:
    source = random.Random(seed)
    for _ in range(number):
        data = bytearray(source.choice(SEEDS))
        for _ in range(source.choice((1, 1, 2, 4))):
            place = source.randrange(len(data) + 1)
            end = min(len(data), place + source.choice((0, 1, 3, 20)))
            match source.randrange(4):
                case 0:
                    data[place:end] = source.randbytes(end - place)
                case 1:
                    del data[place:end]
                case 2:
                    data[place:place] = source.choice(PIECES)
                case _:
                    data[place:place] = source.choice(SEEDS)[place : place + 60]
        yield bytes(data)


@given(st.binary(max_size=200) | st.lists(st.sampled_from(PIECES), max_size=15).map(b"".join))
def test_any_bytes_give_a_description_or_peer_error(body: bytes) -> None:
    """The invariant holds for noise, alone and behind a good start."""
    check(body)
    check(b"v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 1 RTP/AVP 0 8 101\r\n" + body)


def test_mutated_descriptions_give_a_description_or_peer_error() -> None:
    """5,000 mutations of the corpus."""
    for body in mutated(5_000, seed=1):
        check(body)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_100_000_mutated_descriptions_give_a_description_or_peer_error() -> None:
    """The same at length."""
    for body in mutated(100_000, seed=2):
        check(body)


codecs = st.lists(
    st.builds(
        Codec,
        st.sampled_from(["PCMA", "PCMU", "G722", "opus", "X-own"]),
        st.integers(0, 127),
        st.sampled_from([8000, 16000, 48000]),
        st.integers(1, 2),
        st.sampled_from(["", "annexb=no", "a=1;b=2"]),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda codec: codec.payload_type,
)


@given(
    codecs,
    st.tuples(st.sampled_from(["10.0.0.1", "2001:db8::1"]), st.integers(1, 65535)),
    st.sampled_from(Direction),
    st.integers(0, 2**62),
    st.integers(10, 60),
)
def test_any_offer_is_read_as_it_was_made(
    codecs: list[Codec], local: tuple[str, int], direction: Direction, version: int, packet_time_ms: int
) -> None:
    """Writing and reading an offer gives what it was made of."""
    offer = offer_of(
        codecs, None, local, direction=direction, session_id=1, version=version, packet_time_ms=packet_time_ms
    )
    again = SessionDescription.parse(offer.serialize())
    audio = audio_of(again)

    assert again == offer
    assert (audio.codecs, (audio.address, audio.port), audio.direction) == (tuple(codecs), local, direction)
    assert (audio.packet_time_ms, again.origin and again.origin.version) == (packet_time_ms, version)


@pytest.mark.parametrize("line", [
    b"a=rtpmap:" + b" " * 60000, b"a=rtpmap:8 " + b"/" * 60000, b"a=fmtp:8" + b" " * 60000, b"c=" + b"IN " * 20000,
    b"o=" + b"1 " * 30000, b"a=" + b":" * 60000, b"a=rtpmap:8 P" + b" " * 60000 + b"x", b" \r\n" * 20000,
])  # fmt: skip
def test_hostile_lines_take_no_more_than_linear_time(line: bytes) -> None:
    """No line keeps the parser busy."""
    started = time.perf_counter()
    check(b"v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 1 RTP/AVP 0 8\r\n" + line + b"\r\n")

    assert time.perf_counter() - started < 0.5
