"""The driver carries calls over real sockets, and strangers get nothing."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest

from callrec.errors import ExitCode, OperatorError
from callrec.sip.events import Acknowledged, Answered, Failed, Flow, HungUp, IncomingCall, Progress
from callrec.sip.uri import Uri
from tests.support.pair import ANSWER, OFFER, dial
from tests.support.sip_driver import Driven, driven, until


async def call_through(caller: Driven, called: Driven, transport: str, leg: str = "leg") -> str:
    """Set a call up and return the leg of the called side."""
    host, port = called.address(transport)
    bracketed = f"[{host}]" if ":" in host else host
    flow = await caller.driver.resolve(Uri.parse(f"sip:bob@{bracketed}:{port};transport={transport}"))
    caller.endpoint.dial(dial(leg, flow), caller.now)
    incoming = await called.take(IncomingCall)
    called.endpoint.ring(incoming.leg, called.now)
    await caller.take(Progress)
    called.endpoint.answer(incoming.leg, ANSWER, called.now)
    assert (await caller.take(Answered)).session == ANSWER
    await called.take(Acknowledged)
    return incoming.leg


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_a_call_goes_over_sockets_and_is_hung_up_from_the_called_side(transport: str, host: str) -> None:
    """INVITE, 180, 200, ACK and a BYE from the called side, over IPv4 and IPv6."""
    listen = (f"udp://{host}:0", f"tcp://{host}:0")
    async with driven("127.0.0.1", "::1", listen=listen) as caller, driven("127.0.0.1", "::1", listen=listen) as called:
        leg = await call_through(caller, called, transport)
        called.endpoint.hang_up(leg, called.now)
        await caller.take(HungUp)
        await until(lambda: called.endpoint.legs == 0)


async def test_one_connection_serves_both_directions() -> None:
    """A TCP connection is reused for requests of either side."""
    async with driven() as caller, driven() as called:
        leg = await call_through(caller, called, "tcp")
        assert caller.driver.connections == called.driver.connections == 1
        called.endpoint.hang_up(leg, called.now)
        await caller.take(HungUp)
        assert caller.driver.connections == called.driver.connections == 1


async def test_a_stranger_gets_no_datagram_and_is_counted() -> None:
    """The source check comes first: an unknown UDP source gets nothing, not even 400."""
    async with driven("127.0.0.9") as called:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.1", 0))
            stranger.setblocking(False)
            for data in (b"OPTIONS sip:x SIP/2.0\r\n\r\n", b"\r\n\r\n", options("127.0.0.1", 5060)):
                stranger.sendto(data, called.address())
            await until(lambda: called.driver.counters.dropped_unknown == 3)
            await asyncio.sleep(0.05)
            with pytest.raises(BlockingIOError):
                stranger.recv(100)
        assert called.driver.counters.received == 0


async def test_a_strangers_connection_is_closed_at_accept() -> None:
    """An unknown TCP source reads the end of its connection, and is counted."""
    async with driven("127.0.0.9") as called:
        reader, writer = await asyncio.open_connection(*called.address("tcp"))
        with suppress(ConnectionError):  # closed with a reset, or with an end: both are a closed door
            assert await asyncio.wait_for(reader.read(100), 5) == b""
        writer.close()
        await until(lambda: called.driver.counters.closed_unknown == 1)
        assert called.driver.connections == 0


def options(host: str, port: int, transport: str = "UDP") -> bytes:
    lines = [
        f"OPTIONS sip:callrec@{host} SIP/2.0", f"Via: SIP/2.0/{transport} {host}:{port};branch=z9hG4bKo{port};rport",
        "From: <sip:m@x>;tag=1", "To: <sip:callrec@x>", f"Call-ID: o{port}", "CSeq: 1 OPTIONS", "Max-Forwards: 0",
        "Content-Length: 0", "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize("piece", [1, 7, 100, 10_000])
async def test_tcp_messages_may_be_cut_anywhere(piece: int) -> None:
    """Two requests and a ping, in pieces of any size, get two responses and a pong."""
    async with driven() as called:
        reader, writer = await asyncio.open_connection(*called.address("tcp"))
        data = options("127.0.0.1", 1, "TCP") + b"\r\n\r\n" + options("127.0.0.1", 2, "TCP")
        for start in range(0, len(data), piece):
            writer.write(data[start : start + piece])
            await writer.drain()
            await asyncio.sleep(0)
        received = b""
        async with asyncio.timeout(5):
            while received.count(b"SIP/2.0 200 OK") < 2 or not received.endswith(b"\r\n\r\n"):
                received += await reader.read(4096)
        writer.close()
        assert called.driver.counters.keep_alives == 1
        assert received.count(b"\r\n\r\n\r\n") + received.startswith(b"\r\n") == 1, "expected one pong"


async def test_a_stream_that_cannot_be_cut_gets_400_and_is_closed() -> None:
    """Without Content-Length the next message cannot be found: 400 and the end."""
    async with driven() as called:
        reader, writer = await asyncio.open_connection(*called.address("tcp"))
        writer.write(options("127.0.0.1", 1, "TCP").replace(b"Content-Length: 0\r\n", b""))
        received = await asyncio.wait_for(reader.read(), 5)
        assert received.startswith(b"SIP/2.0 400")
        writer.close()


async def test_a_dead_udp_destination_fails_at_once() -> None:
    """ECONNREFUSED ends the INVITE: nobody waits for Timer B."""
    async with driven() as caller:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            dead = taken.getsockname()
        flow = await caller.driver.resolve(Uri.parse(f"sip:bob@127.0.0.1:{dead[1]}"))
        caller.endpoint.dial(dial("leg", flow), caller.now)
        failed = await caller.take(Failed, within=2)
        assert failed.cause == "transport"


async def test_a_dead_tcp_destination_fails_at_once() -> None:
    """A refused connection ends the INVITE."""
    async with driven() as caller:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        flow = await caller.driver.resolve(Uri.parse(f"sip:bob@127.0.0.1:{port};transport=tcp"))
        caller.endpoint.dial(dial("leg", flow), caller.now)
        assert (await caller.take(Failed, within=2)).cause == "transport"


async def test_a_dead_destination_does_not_hurt_a_living_one() -> None:
    """The error of one destination is never told of another, though they share a socket."""
    async with driven() as caller, driven() as called:
        dead = Flow("udp", caller.address(), caller.address()._replace(port=1))
        for index in range(20):
            caller.endpoint.dial(dial(f"dead{index}", dead), caller.now)
        flow = await caller.driver.resolve(Uri.parse(f"sip:bob@127.0.0.1:{called.address().port}"))
        caller.endpoint.dial(dial("living", flow), caller.now)
        incoming = await called.take(IncomingCall)
        called.endpoint.answer(incoming.leg, ANSWER, called.now)
        told = [await caller.take(object) for _ in range(21)]
        assert sum(isinstance(event, Failed) for event in told) == 20
        assert sum(isinstance(event, Answered) for event in told) == 1


async def test_a_place_that_is_taken_is_one_sentence_and_exit_78() -> None:
    """A second recorder on the same port is told so, and leaves nothing open."""
    async with driven() as first:
        for transport in ("udp", "tcp"):
            place = f"{transport}://127.0.0.1:{first.address(transport).port}"
            with pytest.raises(OperatorError, match=r"cannot listen on .*another program") as caught:
                async with driven(listen=("udp://127.0.0.1:0", place)):
                    pass
            assert caught.value.exit_code is ExitCode.CONFIGURATION


async def test_an_unparseable_message_with_a_via_gets_400(caplog: pytest.LogCaptureFixture) -> None:
    """From a known peer a broken request is answered, and the log holds none of its content."""
    async with driven() as called:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as known:
            known.bind(("127.0.0.1", 0))
            known.setblocking(False)
            loop = asyncio.get_running_loop()
            broken = options("127.0.0.1", known.getsockname()[1]).replace(b"CSeq: 1", b"CSeq: +442079460123")
            await loop.sock_sendto(known, broken, called.address())
            answer = await asyncio.wait_for(loop.sock_recv(known, 2000), 5)
            assert answer.startswith(b"SIP/2.0 400")
            for _ in range(50):
                await loop.sock_sendto(known, b"\x00\x01 +442079460123", called.address())
            await until(lambda: called.driver.counters.unparseable == 51)
    assert "442079460123" not in caplog.text
    assert len(caplog.records) <= 5


async def test_wishes_made_outside_an_event_leave_in_the_next_turn() -> None:
    """What a user asks of the endpoint needs no flush of its own."""
    async with driven() as caller, driven() as called:
        leg = await call_through(caller, called, "udp")
        asyncio.get_running_loop().call_later(0.01, lambda: called.endpoint.hang_up(leg, called.now))
        await caller.take(HungUp, within=2)


async def test_a_fault_of_the_user_does_not_end_signalling() -> None:
    """An exception while one event is taken is logged and counted; the next call works."""
    async with driven() as caller, driven() as called:
        called.on_event = lambda _event: 1 / 0  # type: ignore[assignment]
        flow = await caller.driver.resolve(Uri.parse(f"sip:bob@127.0.0.1:{called.address().port}"))
        caller.endpoint.dial(dial("broken", flow, OFFER), caller.now)
        await until(lambda: called.driver.counters.internal_errors == 1)
        called.on_event = called.told.put_nowait
        await call_through(caller, called, "udp", "working")
