"""SIPp, which nobody here wrote, calls and is answered: its own uac scenario over UDP and TCP."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from callrec.sip.events import Event, IncomingCall
from tests.support.pair import ANSWER
from tests.support.sip_driver import driven

RATE, CALLS = 50, 150


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("sipp") is None, reason="SIPp is not installed: apt-get install sip-tester")
@pytest.mark.parametrize(("transport", "mode"), [("udp", "u1"), ("tcp", "t1"), ("tcp", "tn")])
async def test_sipp_calls_at_fifty_a_second_and_all_succeed(transport: str, mode: str, tmp_path: Path) -> None:
    """150 calls at 50 a second, by one socket, one connection, or a connection for each call."""
    async with driven() as called:

        def answer(event: Event) -> None:
            if isinstance(event, IncomingCall):
                called.endpoint.ring(event.leg, called.now)
                called.endpoint.answer(event.leg, ANSWER, called.now)

        called.on_event = answer
        host, port = called.address(transport)
        sipp = await asyncio.create_subprocess_exec(
            "sipp", "-sn", "uac", "-t", mode, "-i", "127.0.0.1", "-r", str(RATE), "-m", str(CALLS), "-nd",
            "-max_socket", "500", "-timeout", "30s", "-timeout_error", f"{host}:{port}",
            cwd=tmp_path, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            output, _ = await asyncio.wait_for(sipp.communicate(), 45)
        except TimeoutError:
            sipp.kill()
            raise
        assert sipp.returncode == 0, output.decode(errors="replace")[-3000:]
        assert called.driver.counters.unparseable == called.driver.counters.internal_errors == 0
        assert called.endpoint.legs == 0
