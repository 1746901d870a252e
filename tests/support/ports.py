"""Ports that are free just now, on the loopback network only."""

from __future__ import annotations

import random
import socket


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free for UDP and for TCP."""
    for _ in range(200):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
            stream.bind((host, 0))
            port = int(stream.getsockname()[1])
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
                try:
                    datagram.bind((host, port))
                except OSError:
                    continue
                return port
    raise RuntimeError(f"internal error: no port is free on {host}")


def free_block(size: int, host: str = "127.0.0.1") -> tuple[int, int]:
    """Return the first and last port of a block that was free for UDP, below the range that the kernel gives out."""
    for _ in range(200):
        first = random.randrange(10_000, 32_000 - size) // 2 * 2
        if all(_is_free(host, port) for port in range(first, first + size, max(1, size // 64))):
            return first, first + size - 1
    raise RuntimeError(f"internal error: no block of {size} ports is free on {host}")


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        try:
            datagram.bind((host, port))
        except OSError:
            return False
        return True
