"""What systemd is told, as systemd hears it: the tests listen on real notification sockets."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from callrec.recorder.notify import Notifier, keep_alive


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """Return what NOTIFY_SOCKET says, and the socket that systemd would read."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        if request.param == "path":
            address = str(tmp_path / "notify")
            listening.bind(address)
        else:
            address = f"@callrec-test-{os.getpid()}-{os.urandom(4).hex()}"
            listening.bind(b"\0" + address[1:].encode())
        listening.settimeout(5)
        yield address, listening


def test_ready_stopping_and_status_arrive(manager: tuple[str, socket.socket]) -> None:
    """Each fact is one datagram in the words of sd_notify(3), over a path and over an abstract socket."""
    address, listening = manager
    notifier = Notifier.of_environment({"NOTIFY_SOCKET": address})
    notifier.ready("recording")
    notifier.status("3 calls\nin progress")
    notifier.stopping("draining 3 calls")
    heard = [listening.recv(4096).decode() for _ in range(3)]
    assert heard == [
        "READY=1\nSTATUS=recording",
        "STATUS=3 calls in progress",
        "STOPPING=1\nSTATUS=draining 3 calls",
    ]
    notifier.close()


def test_reload_carries_the_time_stamp(manager: tuple[str, socket.socket]) -> None:
    """RELOADING=1 comes with MONOTONIC_USEC, which systemd 253 and later insist on (sd_notify(3))."""
    address, listening = manager
    Notifier.of_environment({"NOTIFY_SOCKET": address}).reloading()
    first, second = listening.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    name, _, stamp = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert int(stamp) > 0


async def test_the_event_loop_feeds_the_watchdog(manager: tuple[str, socket.socket]) -> None:
    """Signs of life come more than twice in each WATCHDOG_USEC, as long as the loop turns."""
    address, listening = manager
    notifier = Notifier.of_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "100000"})
    feeding = asyncio.gather(keep_alive(notifier))
    loop = asyncio.get_running_loop()
    listening.settimeout(0)
    started = loop.time()
    for _ in range(4):
        assert await asyncio.wait_for(loop.sock_recv(listening, 100), 5) == b"WATCHDOG=1"
    assert loop.time() - started < 2
    feeding.cancel()


@pytest.mark.parametrize(
    ("environment", "watched_s"),
    [
        ({"WATCHDOG_USEC": "10000000"}, 10.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "41"}, 10.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "42"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({}, None),
    ],
)
def test_only_our_own_watchdog_is_fed(environment: dict[str, str], watched_s: float | None) -> None:
    """WATCHDOG_PID names whose watchdog it is; a child that inherited the variables feeds none."""
    assert Notifier.of_environment(environment, pid=41).watchdog_s == watched_s


async def test_without_a_watchdog_nothing_is_fed() -> None:
    """`keep_alive` ends by itself where systemd does not watch."""
    await asyncio.wait_for(keep_alive(Notifier.of_environment({})), 1)


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "/nowhere/notify", "@nobody-listens-here"])
def test_a_manager_that_is_not_there_stops_nothing(address: str) -> None:
    """Calls go on when nobody listens on NOTIFY_SOCKET."""
    notifier = Notifier.of_environment({"NOTIFY_SOCKET": address})
    notifier.ready()
    notifier.alive()
    notifier.close()
    notifier.stopping()


def test_a_full_socket_does_not_block(manager: tuple[str, socket.socket]) -> None:
    """A manager that does not read costs the recorder no time: what cannot be sent is dropped."""
    address, _ = manager
    notifier = Notifier.of_environment({"NOTIFY_SOCKET": address})
    for _ in range(2000):
        notifier.alive()
    notifier.close()
