"""A lack of ports, descriptors or workers is known while it lasts, and looked at only after a call felt it."""

from __future__ import annotations

import asyncio
import os
import resource
import socket

import pytest

from callrec.media import CapacityError, ShortageError
from callrec.media.ports import SHORTEST_QUARANTINE_S, PortPool, try_room
from tests.media.support import Hall
from tests.support.ports import free_block


def can_be_bound(ports: range) -> bool:
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


async def test_a_lack_of_ports_is_told_until_another_call_would_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """RTP-11: the ports of one call are taken; five seconds after its end another one fits."""
    first, last = free_block(4)
    hall = Hall(ports=range(first, last + 1))
    await hall.service.start()
    assert hall.service.shortage() is None
    for leg in ("a", "b"):
        await hall.service.open_leg("one", leg, "127.0.0.1")
    assert hall.service.shortage() is None, "nobody lacked anything yet"
    with pytest.raises(CapacityError):
        await hall.service.open_leg("two", "c", "127.0.0.1")
    assert isinstance(hall.service.shortage(), ShortageError)
    assert "[rtp] ports" in str(hall.service.shortage())
    hall.service.close_call("one")
    assert hall.service.shortage() is not None, "its ports still rest"
    async with asyncio.timeout(10):
        while not can_be_bound(range(first, last + 1)):  # noqa: ASYNC110 - the worker lets go without a word
            await asyncio.sleep(0.01)
    later = hall.service._clock.monotonic() + SHORTEST_QUARANTINE_S + 0.1
    monkeypatch.setattr(hall.service._clock, "monotonic", lambda: later)
    assert hall.service.shortage() is None
    for leg in ("d", "e"):  # trying left everything as it was
        await hall.service.open_leg("three", leg, "127.0.0.1")
    await hall.service.stop()


async def test_a_lack_of_descriptors_says_what_to_raise() -> None:
    """EMFILE: the text names the limit; with descriptors again nothing is wrong."""
    hall = Hall()
    await hall.service.start()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = os.dup(0)  # the lowest that is free: every lower one is in use
    resource.setrlimit(resource.RLIMIT_NOFILE, (held + 1, hard))
    try:
        with pytest.raises(CapacityError, match="LimitNOFILE"):
            await hall.service.open_leg("one", "a", "127.0.0.1")
        assert "LimitNOFILE" in str(hall.service.shortage())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(held)
    assert hall.service.shortage() is None
    await hall.service.stop()


async def test_a_worker_that_does_not_start_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """No restart is needed: as soon as a worker starts, calls have media."""
    hall = Hall()
    with monkeypatch.context() as broken:
        broken.setattr("callrec.media.process._COMMAND", ("/nowhere/python",))
        with pytest.raises(CapacityError):
            await hall.service.start()
        assert "worker" in str(hall.service.shortage())
        assert not isinstance(hall.service.shortage(), ShortageError), "calls pass while no worker runs"
    async with asyncio.timeout(10):
        while hall.service.shortage() is not None:  # noqa: ASYNC110 - a state, told by no event
            await asyncio.sleep(0.02)
    await hall.service.open_leg("one", "a", "127.0.0.1")
    await hall.service.stop()


def test_a_trial_leaves_no_port_resting() -> None:
    """What nobody was told of may be used at once."""
    first, last = free_block(4)
    pool = PortPool(range(first, last + 1))
    for _ in range(3):
        try_room(pool, "127.0.0.1", 0.0)
    assert len(pool) == 2
    with pytest.raises(CapacityError):
        try_room(pool, "127.0.0.1", 0.0, pairs=3)
    try_room(pool, "127.0.0.1", 0.0)
