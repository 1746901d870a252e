"""Ports that are free just now, on the loopback network only.

All lie below the range that the kernel gives out (ip(7), ip_local_port_range: from 32768), where any socket of any
program may take a port between the look at it and its use. Single ports and blocks keep to ranges of their own.
"""

from __future__ import annotations

import itertools
import os
import random
import socket

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.11")
KINDS = (socket.SOCK_DGRAM, socket.SOCK_STREAM)


def _share(ports: range) -> range:
    """Return the part of a range that is this process's own, where tests run in several processes side by side."""
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    size = len(ports) // count
    return range(ports.start + mine * size, ports.start + (mine + 1) * size)


SINGLE, BLOCKS = _share(range(3_000, 10_000)), _share(range(10_000, 32_000))

# From the system's randomness, for two runs on one machine must differ even where a test seeds `random`;
# one walk for the process, for a port that was given out is not given again before it is bound.
_CHOICE = random.SystemRandom()
_WALK = itertools.cycle(_CHOICE.sample(SINGLE, len(SINGLE)))


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free for UDP and for TCP on a host and on every address of the tests."""
    for port in itertools.islice(_WALK, len(SINGLE)):
        if all(_is_free(kind, each, port) for each in {host, *HOSTS} for kind in KINDS):
            return port
    raise RuntimeError(f"internal error: no port of {SINGLE} is free on {HOSTS}")


def free_block(size: int) -> tuple[int, int]:
    """Return the first and last port of a block that is free for UDP on every address of the tests."""
    for _ in range(200):
        first = _CHOICE.randrange(BLOCKS.start, BLOCKS.stop - size) // 2 * 2
        if all(_is_free(socket.SOCK_DGRAM, host, port) for port in range(first, first + size) for host in HOSTS):
            return first, first + size - 1
    raise RuntimeError(f"internal error: no block of {size} ports of {BLOCKS} is free on {HOSTS}")


def _is_free(kind: socket.SocketKind, host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, kind) as trial:
        try:
            trial.bind((host, port))
        except OSError:
            return False
        return True
