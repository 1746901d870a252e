"""SIP-13, RFC 3261 18.1.1 on real sockets: TCP for large requests, UDP where nobody takes the connection."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from callrec.signalling import TcpLimits
from callrec.signalling.streams import CONNECT_S, PROVEN_S, WITHOUT_S, Streams
from callrec.sip.building import host_port
from callrec.sip.events import Acknowledged, Address, Answered, Failed, Flow, HungUp, IncomingCall
from callrec.sip.uri import Uri
from tests.support.pair import ANSWER, dial
from tests.support.ports import free_port
from tests.support.sip_driver import Driven, driven, until

LARGE = (("X-Token", "t" * 1400),)
UDP = ("udp://127.0.0.1:0",)


async def call(caller: Driven, called: Driven, leg: str, headers: tuple[tuple[str, str], ...] = LARGE) -> str:
    """Set up a call and end it; return by what its INVITE went, as its Via says."""
    flow = await caller.driver.resolve(Uri.parse(f"sip:bob@{host_port(called.address('udp'))}"))
    caller.endpoint.dial(dial(leg, flow, headers=headers), caller.now)
    incoming = await called.take(IncomingCall)
    called.endpoint.answer(incoming.leg, ANSWER, called.now)
    await caller.take(Answered)
    await called.take(Acknowledged)
    called.endpoint.hang_up(incoming.leg, called.now)
    await caller.take(HungUp)
    return incoming.request.via.transport


def both(port: int, host: str = "127.0.0.1") -> tuple[str, str]:
    return f"udp://{host}:{port}", f"tcp://{host}:{port}"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_a_large_invite_takes_tcp_and_a_small_one_udp(host: str) -> None:
    """One connection serves all large requests; what is small does not use it."""
    ours, theirs = both(0, host), both(free_port(), host)
    async with driven("127.0.0.1", "::1", listen=ours) as caller, driven("127.0.0.1", "::1", listen=theirs) as called:
        assert [await call(caller, called, str(number)) for number in range(2)] == ["TCP", "TCP"]
        assert await call(caller, called, "small", ()) == "UDP"
        assert caller.driver.connections == 1
        assert (caller.endpoint.counters.large, caller.endpoint.counters.fell_back) == (2, 0)


async def test_a_peer_without_tcp_is_called_by_udp_at_once_the_second_time(caplog: pytest.LogCaptureFixture) -> None:
    """Refused: the same call goes by UDP, the peer is remembered, and the log says so without anybody's number."""
    caplog.set_level(logging.INFO, "callrec.signalling")
    async with driven() as caller, driven(listen=UDP) as called:
        assert await call(caller, called, "first") == "UDP"
        assert (caller.endpoint.counters.large, caller.endpoint.counters.fell_back) == (1, 1)
        assert await call(caller, called, "second") == "UDP"
        assert (caller.endpoint.counters.large, caller.endpoint.counters.fell_back) == (1, 1)
    assert sum("takes no TCP" in record.message for record in caplog.records) == 1


@contextmanager
def black_hole() -> Iterator[int]:
    """Give a TCP port that neither takes nor refuses a connection: its queue is full."""
    port = free_port()
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        try:
            yield port
        finally:
            for each in waiting:
                each.close()


async def test_a_connection_that_does_not_come_about_costs_half_a_second() -> None:
    """No refusal and no answer: UDP after 500 ms, once."""
    with black_hole() as port:
        async with driven() as caller, driven(listen=(f"udp://127.0.0.1:{port}",)) as called:
            begun = caller.now
            assert await call(caller, called, "first") == "UDP"
            assert caller.now - begun >= CONNECT_S
            assert caller.endpoint.counters.fell_back == 1
            assert await call(caller, called, "second") == "UDP"
            assert caller.endpoint.counters.large == 1


async def test_a_rush_of_large_calls_does_not_wait_for_the_connection() -> None:
    """More than may wait for one connection go by UDP at once, the others after half a second: none is lost."""
    with black_hole() as port:
        udp = (f"udp://127.0.0.1:{port}",)
        async with driven(tcp=TcpLimits(waiting=2)) as caller, driven(listen=udp) as called:
            flow = await caller.driver.resolve(Uri.parse(f"sip:bob@127.0.0.1:{port}"))
            for number in range(5):
                caller.endpoint.dial(dial(str(number), flow, headers=LARGE), caller.now)
            await until(lambda: caller.endpoint.counters.fell_back >= 3)
            assert caller.endpoint.counters.fell_back == 3
            assert len({(await called.take(IncomingCall)).request.call_id for _ in range(5)}) == 5
            assert caller.endpoint.counters.fell_back == 5


async def test_a_connection_that_takes_nothing_any_more_does_not_hold_a_call() -> None:
    """What was sent must have arrived soon, or the connection is dead, however alive it looks: UDP, then."""
    port = free_port()
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        listening.bind(("127.0.0.1", port))
        listening.listen()
        udp = (f"udp://127.0.0.1:{port}",)
        async with driven(tcp=TcpLimits(unacknowledged=0.3)) as caller, driven(listen=udp) as called:
            assert await call(caller, called, "leg", (("X-Token", "t" * 16_000),) * 3) == "UDP"
            assert caller.endpoint.counters.fell_back == 1


async def test_a_place_asked_for_by_name_waits_longer_and_never_goes_by_udp() -> None:
    """`;transport=tcp` is no matter of size: the call fails where nobody takes the connection."""
    async with driven() as caller, driven(listen=UDP) as called:
        host, port = called.address("udp")
        flow = await caller.driver.resolve(Uri.parse(f"sip:bob@{host}:{port};transport=tcp"))
        caller.endpoint.dial(dial("leg", flow, headers=LARGE), caller.now)
        assert (await caller.take(Failed)).cause == "transport"
        assert called.told.empty()


async def test_an_emergency_call_does_not_wait_for_the_connection() -> None:
    """FAIL-1: at once by UDP, though the peer would take TCP."""
    async with driven() as caller, driven(listen=both(free_port())) as called:
        flow = await caller.driver.resolve(Uri.parse("sip:999@{}:{}".format(*called.address("udp"))))
        caller.endpoint.dial(dial("leg", flow, headers=LARGE, spared=True), caller.now)
        assert (await called.take(IncomingCall)).request.via.transport == "UDP"


async def test_a_fragmented_request_of_60_kb_is_received_and_answered() -> None:
    """A datagram in forty fragments, over UDP both ways."""
    async with driven() as called:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            peer.setblocking(False)
            host, port = peer.getsockname()
            lines = [
                "OPTIONS sip:127.0.0.1 SIP/2.0", f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bKbig;rport",
                "From: <sip:a@127.0.0.1>;tag=1", "To: <sip:127.0.0.1>", "Call-ID: big", "CSeq: 1 OPTIONS",
                *[f"X-Filling: {'f' * 10_000}"] * 6, "Content-Length: 0", "", "",
            ]  # fmt: skip
            data = "\r\n".join(lines).encode()
            assert len(data) > 60_000
            peer.sendto(data, called.address("udp"))
            async with asyncio.timeout(5):
                answer = await asyncio.get_running_loop().sock_recv(peer, 65535)
        assert answer.startswith(b"SIP/2.0 200 ")


async def test_a_request_of_60_kb_goes_by_udp_where_there_is_no_tcp() -> None:
    """Fragments carry it, and the body arrives whole."""
    async with driven() as caller, driven(listen=UDP) as called:
        flow = await caller.driver.resolve(Uri.parse("sip:bob@{}:{}".format(*called.address("udp"))))
        session = ANSWER + b"".join(b"a=filling:%059d\r\n" % number for number in range(860))
        caller.endpoint.dial(dial("leg", flow, session=session), caller.now)
        incoming = await called.take(IncomingCall)
        assert incoming.request.via.transport == "UDP"
        assert incoming.offer == session
        assert len(session) > 60_000


async def test_what_fits_no_datagram_fails_alone_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Over 65,507 bytes: that call fails at once, with a line in the log; another one to the same place lives."""
    async with driven() as caller, driven(listen=UDP) as called:
        flow = await caller.driver.resolve(Uri.parse("sip:bob@{}:{}".format(*called.address("udp"))))
        caller.endpoint.dial(dial("living", flow), caller.now)
        living = await called.take(IncomingCall)
        caller.endpoint.dial(dial("giant", flow, session=b"x" * 65_500), caller.now)
        failed = await caller.take(Failed)
        assert (failed.leg, failed.cause) == ("giant", "transport")
        called.endpoint.answer(living.leg, ANSWER, called.now)
        assert (await caller.take(Answered)).leg == "living"
    (line,) = [record.message for record in caplog.records if "datagram" in record.message]
    assert "sip.listen" in line


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


WAY = Flow("udp", Address("127.0.0.1", 5060), Address("127.0.0.2", 5060))
STREAM = Flow("tcp", Address("127.0.0.1", 5062), Address("127.0.0.2", 5060))


def streams(*, ours: Address | None = STREAM.local) -> tuple[Streams, Clock, dict[Flow, float]]:
    clock, live = Clock(), dict[Flow, float]()
    return Streams(lambda _host: ours, lambda flow, within: flow in live and live[flow] <= within, clock), clock, live


def test_a_place_without_tcp_is_asked_again_after_an_hour() -> None:
    """It may have been mended; until then nothing of its calls is delayed."""
    known, clock, _ = streams()
    assert known.beside(WAY, False) == STREAM
    assert known.patience(STREAM) == CONNECT_S
    known.unconnected(STREAM)
    clock.now = WITHOUT_S - 1
    assert known.beside(WAY, False) is None
    clock.now = WITHOUT_S + 1
    assert known.beside(WAY, False) == STREAM


def test_a_peer_that_connects_to_us_by_tcp_is_asked_again_at_once() -> None:
    """From whatever port: it speaks TCP. A connection of TLS says nothing of it."""
    known, _, _ = streams()
    known.beside(WAY, False)
    known.unconnected(STREAM)
    known.connected(STREAM._replace(transport="tls", remote=Address("127.0.0.2", 40000)))
    assert known.beside(WAY, False) is None
    known.connected(STREAM._replace(remote=Address("127.0.0.2", 40000)))
    assert known.beside(WAY, False) == STREAM


def test_only_a_connection_just_in_use_serves_an_emergency_call() -> None:
    """FAIL-1: nothing is tried for it, and what has been silent for long may lead nowhere any more."""
    known, _, live = streams()
    assert known.beside(WAY, True) is None
    live[STREAM] = PROVEN_S
    assert known.beside(WAY, True) == STREAM
    live[STREAM] = PROVEN_S + 1
    assert known.beside(WAY, True) is None
    assert known.beside(WAY, False) == STREAM


def test_there_is_no_stream_where_we_do_not_listen_on_tcp() -> None:
    """A response could not come back by a new connection (RFC 3261 18.2.2)."""
    known, _, _ = streams(ours=None)
    assert known.beside(WAY, False) is None


def test_tcp_that_was_asked_for_by_name_is_not_hurried_nor_remembered() -> None:
    """It is no second choice there."""
    known, _, _ = streams()
    known.beside(WAY, False)
    known.asked_for(STREAM)
    assert known.patience(STREAM) == float("inf")
    known.unconnected(STREAM)
    assert known.beside(WAY, False) == STREAM
