"""Ports are random, even, bound before they are offered, and rest before they are used again (RTP-11)."""

from __future__ import annotations

import random
import socket

import pytest

from callrec.media import CapacityError
from callrec.media.ports import QUARANTINE_S, SHORTEST_QUARANTINE_S, PortPool, bind_pair
from tests.media.support import Hall
from tests.support.ports import free_block


def test_ports_are_even_and_differ() -> None:
    """A range of ten ports has five pairs, each given once."""
    pool = PortPool(range(10_000, 10_010), random.Random(1))
    assert sorted(pool.take(0.0) for _ in range(5)) == [10_000, 10_002, 10_004, 10_006, 10_008]


def test_a_last_even_port_without_its_odd_one_is_not_given() -> None:
    """RTCP needs the port above."""
    assert len(PortPool(range(10_000, 10_003))) == 1


def test_a_port_rests_a_minute_if_there_are_others() -> None:
    """A used port comes back only after 60 s while others are free."""
    pool = PortPool(range(10_000, 10_004))
    used = pool.take(0.0)
    pool.give_back(used, 1.0)
    other = pool.take(50.0)
    assert other != used
    assert pool.take(1.0 + QUARANTINE_S) == used


def test_under_need_a_port_rests_five_seconds_and_never_less() -> None:
    """The last port comes back after 5 s; before that there is none."""
    pool = PortPool(range(10_000, 10_002))
    port = pool.take(0.0)
    pool.give_back(port, 1.0)
    with pytest.raises(CapacityError):
        pool.take(1.0 + SHORTEST_QUARANTINE_S - 0.01)
    assert pool.take(1.0 + SHORTEST_QUARANTINE_S) == port


def test_a_port_that_another_program_has_is_passed_over() -> None:
    """EADDRINUSE, of RTP or RTCP, means the next port."""
    first, last = free_block(4)
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    other.bind(("127.0.0.1", first + 1))
    pool = PortPool(range(first, last + 1))
    pair = bind_pair(pool, "127.0.0.1", 0.0)
    assert pair.address.port == first + 2
    pair.close()
    other.close()


def test_an_address_that_is_not_ours_is_a_lack_of_capacity() -> None:
    """The message says which address and why."""
    with pytest.raises(CapacityError, match=r"192\.0\.2\.1"):
        bind_pair(PortPool(range(20_000, 20_010)), "192.0.2.1", 0.0)


async def test_no_port_left_is_told_and_leaves_nothing_behind() -> None:
    """The leg that does not fit is refused; after the call ended its ports rest, and come back."""
    first, last = free_block(4)
    hall = Hall(ports=range(first, last + 1))
    await hall.service.start()
    await hall.service.open_leg("one", "a", "127.0.0.1")
    await hall.service.open_leg("one", "b", "127.0.0.1")
    with pytest.raises(CapacityError):
        await hall.service.open_leg("two", "c", "127.0.0.1")
    assert hall.service.workers()[0].calls == 1
    hall.service.close_call("one")
    assert hall.service.workers()[0].calls == 0
    await hall.service.stop()
