"""The least a Python process can do: read a datagram, send it on. The measure the worker is held against."""

from __future__ import annotations

import json
import select
import socket
import sys
import time


def main() -> None:
    pairs = json.loads(sys.stdin.readline())["pairs"]
    forward: dict[int, tuple[object, object]] = {}
    poll, ports, sockets = select.epoll(), [], []
    for pair in pairs:
        legs = []
        for host, port in pair:
            leg = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            leg.bind(("127.0.0.1", 0))
            leg.connect((host, port))
            leg.settimeout(0)
            legs.append(leg)
            ports.append(["127.0.0.1", leg.getsockname()[1]])
        sockets += legs
        for mine, other in (legs, legs[::-1]):
            forward[mine.fileno()] = (mine.recv_into, other.send)
            poll.register(mine.fileno(), select.EPOLLIN)
    print(json.dumps({"targets": ports}), flush=True)
    buffer = bytearray(2048)
    views = [memoryview(buffer)[:length] for length in range(2049)]
    while True:
        events = poll.poll(0.5)
        for fd, _ in events:
            receive, send = forward[fd]
            try:
                send(views[receive(buffer)])  # type: ignore[operator]
            except OSError:
                continue
        if 0 < len(events) < 160:
            time.sleep(0.002)


if __name__ == "__main__":
    main()
