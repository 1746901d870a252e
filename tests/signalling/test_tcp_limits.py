"""What one far side may cost us over TCP."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from callrec.signalling import TcpLimits
from callrec.signalling.rate_limit import RateLimit
from tests.signalling.test_driver import options
from tests.support.sip_driver import driven, until


async def test_there_is_a_limit_to_connections() -> None:
    """One more than allowed is closed, and counted; the others work."""
    async with driven(tcp=TcpLimits(connections=3)) as called:
        opened = [await asyncio.open_connection(*called.address("tcp")) for _ in range(4)]
        await until(lambda: called.driver.counters.closed_limit == 1)
        assert called.driver.connections == 3
        reader, writer = opened[0]
        writer.write(options("127.0.0.1", 1, "TCP"))
        assert (await asyncio.wait_for(reader.read(100), 5)).startswith(b"SIP/2.0 200")
        for _, each in opened:
            each.close()
        await until(lambda: called.driver.connections == 0)


@pytest.mark.parametrize("limits", [TcpLimits(message_timeout=0.1), TcpLimits(idle_timeout=0.1)], ids=["slow", "idle"])
async def test_slow_and_idle_connections_are_closed(limits: TcpLimits) -> None:
    """A message begun and never finished, or nothing at all, does not hold a connection for ever."""
    async with driven(tcp=limits) as called:
        reader, writer = await asyncio.open_connection(*called.address("tcp"))
        writer.write(b"OPTIONS sip:x SIP/2.0\r\nVia:")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_far_side_that_does_not_read_is_cut_off() -> None:
    """Responses nobody takes are bounded in memory."""
    async with driven(tcp=TcpLimits(write_buffer=10_000)) as called:
        _, writer = await asyncio.open_connection(*called.address("tcp"), limit=1024)
        async with asyncio.timeout(20):
            with suppress(ConnectionError):
                while called.driver.counters.closed_limit == 0:
                    writer.write(options("127.0.0.1", 1, "TCP") * 10)
                    await writer.drain()
        await until(lambda: called.driver.connections == 0)
        assert called.driver.counters.closed_limit == 1
        writer.close()


async def test_a_very_long_header_over_tcp_is_refused() -> None:
    """A stream without the end of its headers is not collected for ever."""
    async with driven() as called:
        reader, writer = await asyncio.open_connection(*called.address("tcp"))
        writer.write(options("127.0.0.1", 1, "TCP").replace(b"\r\n\r\n", b"\r\nX: ") + b"x" * 200_000)
        received = await asyncio.wait_for(reader.read(), 5)
        assert received.startswith(b"SIP/2.0 513")
        writer.close()


def test_a_rate_limit_says_what_it_left_out() -> None:
    """Two in a window, the rest counted with the next."""
    limit = RateLimit(2, 10.0)
    assert [limit.admits(0.0) for _ in range(5)] == [0, 0, None, None, None]
    assert limit.admits(10.0) == 3
