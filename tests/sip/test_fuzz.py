"""Whatever bytes arrive, the parser returns a value or raises PeerError, never anything else."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callrec.errors import PeerError
from callrec.sip import (
    Challenge,
    CSeq,
    Headers,
    Message,
    NameAddress,
    Request,
    Response,
    StreamFramer,
    Uri,
    Via,
    parse_failure_reply,
    parse_message,
    reliable,
    session_timer,
    usable_via,
)
from callrec.sip.name_address import MAX_LIST_VALUES
from tests.sip.vectors import corpus, sip_bytes, torture_cases

PIECES = [
    *("sip:", "sips:", "tel:", "urn:", "<", ">", '"', "\\", ",", ";", "=", "@", ":", "?", "&", "%", "%41", "%00"),
    *("[", "]", "::1", "127.0.0.1", "SIP/2.0/UDP", " ", "\t", "lr", "tag", "branch", "z9hG4bK", "1", "99999"),
    *("Digest ", "realm", "nonce", "qop", "\x00", "a", "é", "\udcff", "%0d"),
]  # fmt: skip
TEXT = st.lists(st.sampled_from(PIECES), max_size=20).map("".join) | st.text(max_size=40)
PARSERS: list[Callable[[str], Any]] = [
    Uri.parse, NameAddress.parse, Via.parse, CSeq.parse, Challenge.parse, NameAddress.parse_list, Via.parse_list,
]  # fmt: skip


@pytest.mark.parametrize("parse", PARSERS, ids=[parser.__qualname__ for parser in PARSERS])
@given(text=TEXT)
def test_a_parser_gives_a_value_or_peer_error(parse: Callable[[str], Any], text: str) -> None:
    """And a value it gave is read from its own text as the same value."""
    with contextlib.suppress(PeerError):
        value = parse(text)
        written = ",".join(map(str, value)) if parse.__name__ == "parse_list" else str(value)
        assert parse(written) == value


names = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12)
parameter_values = st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), max_size=8)
parameters = st.lists(
    st.tuples(st.sampled_from(["a", "lr", "x-y", "+sip.z"]), st.none() | parameter_values), max_size=3
).map(tuple)
uris = st.builds(
    Uri,
    st.sampled_from(["sip", "sips"]),
    st.none() | names,
    st.none(),
    st.sampled_from(["h", "my_host", "10.0.0.1", "2001:db8::1"]),
    st.none() | st.integers(0, 65535),
    parameters,
    st.lists(st.tuples(st.sampled_from(["Subject", "a"]), parameter_values), max_size=2).map(tuple),
)
addresses = st.builds(NameAddress, names, uris, parameters)


@given(uris)
def test_any_uri_built_of_parts_is_read_as_the_same(uri: Uri) -> None:
    """Building escapes what reading unescapes."""
    assert Uri.parse(str(uri)) == uri
    assert uri.equivalent(Uri.parse(str(uri)))


@given(addresses)
def test_any_address_built_of_parts_is_read_as_the_same(address: NameAddress) -> None:
    """Building quotes what reading unquotes."""
    assert NameAddress.parse(str(address)) == address


@given(
    st.sampled_from(["INVITE", "X-Own"]),
    uris,
    addresses,
    st.lists(st.tuples(st.sampled_from(["X", "Subject", "P-Asserted-Identity"]), names.map(str.strip)), max_size=4),
    st.binary(max_size=50),
)
def test_any_request_built_of_parts_is_read_as_the_same(
    method: str, uri: Uri, from_: NameAddress, others: list[tuple[str, str]], body: bytes
) -> None:
    """Writing and reading a request gives the request."""
    headers = Headers([
        ("Via", "SIP/2.0/UDP h"), ("From", str(from_)), ("To", "<sip:b>"), ("Call-ID", "c"), ("CSeq", f"1 {method}"),
        *[(name, value) for name, value in others if "\x00" not in value], ("Content-Length", str(len(body))),
    ])  # fmt: skip
    again = parse_message(Request(method, uri, headers, body).serialize())

    assert isinstance(again, Request)
    assert (again.method, again.uri, again.from_, again.body) == (method, uri, from_, body)
    assert [value.strip(" \t") for _, value in headers] == [value for _, value in again.headers]


def look_at_everything(message: Message) -> None:
    """Ask for every typed header: each gives a value or PeerError."""
    names = ["via_list", "contacts", "contact", "route", "record_route", "max_forwards", "content_type", "session"]
    for name in [*names, "content_type_parameters", "require", "supported"]:
        with contextlib.suppress(PeerError):
            getattr(message, name)
    for name in ("P-Asserted-Identity", "Diversion", "History-Info"):
        with contextlib.suppress(PeerError):
            assert len(message.addresses(name)) <= MAX_LIST_VALUES * 256


def check(data: bytes) -> None:
    """The invariant of the whole layer for one datagram."""
    try:
        message = parse_message(data)
    except PeerError as error:
        reply = parse_failure_reply(data, error, ("127.0.0.1", 5060))
        assert (reply is None) == (usable_via(data) is None or data.lstrip(b"\r\n").startswith(b"ACK "))
        assert reply is None or reply.startswith(b"SIP/2.0 ")
        return
    look_at_everything(message)
    again = parse_message(message.serialize())
    assert again.headers.without("Content-Length") == message.headers.without("Content-Length")
    assert again.body == message.body
    if isinstance(message, Response):
        assert isinstance(again, Response)
        assert (again.status, again.reason) == (message.status, message.reason)
    else:
        assert isinstance(again, Request)
        assert (again.method, again.uri) == (message.method, message.uri)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_message_or_peer_error(data: bytes) -> None:
    """The invariant holds for noise."""
    check(data)


SEEDS = [sip_bytes(entry) for part in ("sip_valid", "sip_malformed") for entry in corpus(part).values()]
SEEDS += [case.data for case in torture_cases()]
DICTIONARY = [
    b"\r\n", b"\r\n ", b"\r\n\r\n", b"\n", b"\r", b"\x00", b'"', b"\\", b"<", b">", b",", b";", b"=", b"%", b"%00",
    b"@", b"[", b"]", b" ", b"\t", b"SIP/2.0", b"sip:", b"Via: ", b"l: 5\r\n", b"\xff", b"\xc3\xa9", b"\xe2\x80\xa8",
    b":", b"9" * 30,
]  # fmt: skip


def mutated(number: int, seed: int) -> Iterator[bytes]:
    """Yield messages of the vectors with a few bytes changed, cut, repeated, swapped or put in."""
    source = random.Random(seed)
    for _ in range(number):
        data = bytearray(source.choice(SEEDS))
        for _ in range(source.choice((1, 1, 1, 2, 4))):
            place = source.randrange(len(data) + 1)
            end = min(len(data), place + source.choice((0, 1, 1, 3, 20)))
            match source.randrange(5):
                case 0:
                    data[place:end] = source.randbytes(end - place)
                case 1:
                    del data[place:end]
                case 2:
                    data[place:place] = data[place:end] * source.randint(1, 5)
                case 3:
                    data[place:place] = source.choice(DICTIONARY)
                case _:
                    other = source.choice(SEEDS)
                    data[place:end] = other[place : place + source.randint(0, 60)]
        yield bytes(data)


def test_mutated_messages_give_a_message_or_peer_error() -> None:
    """5,000 mutations of the vectors, by datagram and by stream."""
    for data in mutated(5_000, seed=1):
        check(data)
        with contextlib.suppress(PeerError):
            StreamFramer().feed(data)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_200_000_mutated_messages_give_a_message_or_peer_error() -> None:
    """The number that design.md section 10 asks for."""
    for data in mutated(200_000, seed=2):
        check(data)
        with contextlib.suppress(PeerError):
            StreamFramer().feed(data)


@pytest.mark.long
@settings(max_examples=5_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXT)
def test_more_text_gives_a_value_or_peer_error(text: str) -> None:
    """The text parsers at length."""
    for parse in PARSERS:
        with contextlib.suppress(PeerError):
            parse(text)


@given(text=TEXT | st.from_regex(r"[ \t]*[0-9]{1,12}[ ;,a-z=]{0,20}", fullmatch=True))
def test_headers_of_session_timers_and_pracks_are_read_or_left_aside(text: str) -> None:
    """RFC 4028, RFC 3262: whatever stands in them, there is a value in bounds or none."""
    pairs = [(name, text) for name in ("Session-Expires", "Min-SE", "RSeq", "RAck", "Supported", "Require", "Allow")]
    request = Request("INVITE", Uri.parse("sip:h"), Headers(pairs))
    response = Response(422, "", Headers(pairs))
    for timer in (session_timer.grant(request, session_timer.WANTED)[0], session_timer.agreed(response)):
        assert timer is None or session_timer.SMALLEST <= timer.interval <= session_timer.LONGEST
    least = session_timer.least_of(response)
    assert least is None or 0 <= least <= session_timer.LONGEST
    with contextlib.suppress(PeerError):
        session_timer.too_short(request, session_timer.WANTED)
    rseq = reliable._rseq_of(response)
    assert rseq is None or 0 < rseq < 2**32
    reliable._rack_of(request)


HOSTILE = [
    '"' + "\\" * 15000, '"' + '\\"' * 7000, '"' * 15000, "<" * 15000, " " * 15000, "a " * 7500, ";" * 15000,
    ";a" * 7500,
    "," * 15000, "sip:" + "@" * 8000, "sip:" + ":" * 8000, "sip:h;" + "%" * 8000, "<sip:h>" + ";a=" * 5000, "a" * 15000,
    "SIP/2.0/UDP " + " " * 15000 + "x y", "SIP/2.0/UDP h" + " " * 15000 + "x", "<sip:h>;a " + " " * 15000 + "b",
    "\t" * 15000 + "<", "Digest " + ' a="' * 3000, "Digest " + "," * 15000, '<sip:h>;a="' + "\\" * 15000,
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_headers_take_no_more_than_linear_time(number: int) -> None:
    """No text of a header's greatest length keeps a parser busy: a quadratic one would take seconds."""
    started = time.perf_counter()
    for parse in PARSERS:
        with contextlib.suppress(PeerError):
            parse(HOSTILE[number])

    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize("filler", [b" ", b"\r\n ", b"\r\n", b"a", b"a:", b"a:\r\n", b"\\\x00", b":", b"\t\r\n"])
def test_hostile_messages_take_no_more_than_linear_time(filler: bytes) -> None:
    """Nor does a whole message of 64 KiB."""
    data = b"INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nX: " + filler * (65000 // len(filler)) + b"\r\n\r\n"
    started = time.perf_counter()
    check(data)
    with contextlib.suppress(PeerError):
        StreamFramer().feed(data)

    assert time.perf_counter() - started < 0.5


def test_reading_a_message_is_cheap() -> None:
    """A usual INVITE is read in well under 300 microseconds, the middle of many tries (measured: about 30)."""
    data = sip_bytes(corpus("sip_valid")["plain"])
    times = []
    for _ in range(301):
        started = time.perf_counter()
        parse_message(data)
        times.append(time.perf_counter() - started)

    assert sorted(times)[150] < 300e-6
