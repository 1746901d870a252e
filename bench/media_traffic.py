"""A traffic generator that is not the bottleneck: batches of datagrams by sendmmsg and recvmmsg, numbers by numpy.

Run as a process of its own: reads one JSON line (targets, seconds, packet time) from standard input, prints `ready`,
and after the run one JSON line with what was sent, received and how late it was.

Each target is sent one G.711 frame of 20 ms a tick, spread over the tick. The frame carries the time it was sent; the
kernel stamps the time it came back (SO_TIMESTAMPNS), so that the generator's own waiting is not measured.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
import sys
import time
from typing import Any

import numpy as np

TICK_NS = 20_000_000
SLOTS = 10
FRAME = 172
CONTROL = 64
BATCH = 256
SOCKETS = 8
SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33

libc = ctypes.CDLL(None, use_errno=True)


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Msghdr(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class Mmsghdr(ctypes.Structure):
    _fields_ = [("header", Msghdr), ("length", ctypes.c_uint32)]


class Sender:
    """The frames of one slot of the tick, of all sockets, ready to be sent at once."""

    def __init__(self, groups: list[tuple[socket.socket, list[tuple[str, int]]]], seed: int) -> None:
        count = sum(len(targets) for _, targets in groups)
        rng = np.random.default_rng(seed)
        self.frames = np.zeros((count, FRAME), np.uint8)
        self.frames[:, 12:] = rng.integers(0, 256, (count, FRAME - 12), np.uint8)
        self.frames[:, 0], self.frames[:, 1] = 0x80, 8
        self.frames[:, 8:12] = rng.integers(0, 256, (count, 4), np.uint8)
        self.sequence = rng.integers(0, 65536, count, np.uint16)
        self.timestamp = rng.integers(0, 1 << 32, count, np.uint32)
        self.names = np.zeros((count, 16), np.uint8)
        self.vectors = (Iovec * count)()
        self.messages = (Mmsghdr * count)()
        self.runs: list[tuple[int, int, int]] = []
        index = 0
        for sock, targets in groups:
            self.runs.append((sock.fileno(), ctypes.addressof(self.messages[index]), len(targets)))
            for host, port in targets:
                self._prepare(index, host, port)
                index += 1

    def _prepare(self, index: int, host: str, port: int) -> None:
        name = socket.AF_INET.to_bytes(2, sys.byteorder) + port.to_bytes(2, "big") + socket.inet_aton(host)
        self.names[index, : len(name)] = np.frombuffer(name, np.uint8)
        self.vectors[index] = Iovec(self.frames[index].ctypes.data, FRAME)
        header = self.messages[index].header
        header.name, header.namelen = self.names[index].ctypes.data, 16
        header.iov, header.iovlen = ctypes.addressof(self.vectors[index]), 1

    def send(self) -> int:
        """Send the next frame of every target; return how many the kernel took."""
        self.sequence += 1
        self.timestamp += 160
        self.frames[:, 2:4] = self.sequence.astype(">u2").view(np.uint8).reshape(-1, 2)
        self.frames[:, 4:8] = self.timestamp.astype(">u4").view(np.uint8).reshape(-1, 4)
        sent = 0
        for fd, messages, count in self.runs:
            stamp = np.frombuffer(time.time_ns().to_bytes(8, "little"), np.uint8)
            self.frames[sent : sent + count, 12:20] = stamp
            sent += max(0, libc.sendmmsg(fd, ctypes.c_void_p(messages), count, 0))
        return sent


class Receiver:
    """Takes batches of datagrams with the times they came."""

    def __init__(self) -> None:
        self.frames = np.zeros((BATCH, 256), np.uint8)
        self.control = np.zeros((BATCH, CONTROL), np.uint8)
        self.vectors = (Iovec * BATCH)()
        self.messages = (Mmsghdr * BATCH)()
        for index in range(BATCH):
            self.vectors[index] = Iovec(self.frames[index].ctypes.data, 256)
            header = self.messages[index].header
            header.iov, header.iovlen = ctypes.addressof(self.vectors[index]), 1
            header.control = self.control[index].ctypes.data
        self.words = np.frombuffer(self.messages, np.uint64).reshape(BATCH, 8)
        """The message headers as words of eight bytes; the sixth is the length of the control buffer."""
        self.delays: list[np.ndarray[Any, Any]] = []
        self.count = 0

    def drain(self, sock: socket.socket) -> None:
        while True:
            self.words[:, 5] = CONTROL
            count = libc.recvmmsg(sock.fileno(), self.messages, BATCH, socket.MSG_DONTWAIT, None)
            if count <= 0:
                return
            self.count += count
            sent = np.ascontiguousarray(self.frames[:count, 12:20]).view("<i8")[:, 0]
            stamp = np.ascontiguousarray(self.control[:count, 16:32]).view("<i8")
            self.delays.append(stamp[:, 0] * 1_000_000_000 + stamp[:, 1] - sent)
            if count < BATCH:
                return


def open_sockets() -> list[socket.socket]:
    sockets = []
    for _ in range(SOCKETS):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0)
        sockets.append(sock)
    return sockets


def plan(sockets: list[socket.socket], targets: list[list[Any]]) -> list[Sender]:
    """Spread the targets over slots of the tick; target i is sent from socket i modulo their number."""
    slots = []
    for slot in range(SLOTS):
        groups = []
        for number, sock in enumerate(sockets):
            mine = [
                (host, port)
                for index, (host, port) in enumerate(targets)
                if index % len(sockets) == number and index // len(sockets) % SLOTS == slot
            ]
            groups.append((sock, mine))
        slots.append(Sender([group for group in groups if group[1]], slot))
    return slots


def run(sockets: list[socket.socket], slots: list[Sender], seconds: float) -> dict[str, Any]:
    receiver = Receiver()
    poll = select.epoll()
    by_fd = {sock.fileno(): sock for sock in sockets}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    sent = late = 0
    start = time.monotonic_ns()
    due, slot, end = start, 0, start + int(seconds * 1e9)
    while due < end:
        sent += slots[slot].send()
        slot = (slot + 1) % SLOTS
        due += TICK_NS // SLOTS
        late = max(late, time.monotonic_ns() - due)
        while True:
            left = (due - time.monotonic_ns()) / 1e9
            for fd, _ in poll.poll(max(0.0, left) if left > 0.001 else 0.0):
                receiver.drain(by_fd[fd])
            if due - time.monotonic_ns() < 1_000_000:
                time.sleep(max(0.0, (due - time.monotonic_ns()) / 1e9))
                break
            time.sleep(0.0005)
    elapsed = (time.monotonic_ns() - start) / 1e9
    time.sleep(0.3)
    for sock in sockets:
        receiver.drain(sock)
    delays = np.concatenate(receiver.delays) / 1e6 if receiver.delays else np.zeros(1)
    quarter = delays[len(delays) // 4 :]  # the first quarter is start-up: legs latch
    return {
        "sent": sent,
        "received": receiver.count,
        "elapsed": elapsed,
        "generator_late_ms": late / 1e6,
        "delay_ms": {name: float(np.percentile(quarter, p)) for name, p in (("p50", 50), ("p99", 99), ("p999", 99.9))},
        "delay_max_ms": float(quarter.max()),
    }


def main() -> None:
    sockets = open_sockets()
    print(json.dumps({"addresses": [list(sock.getsockname()) for sock in sockets], "pid": os.getpid()}), flush=True)
    order = json.loads(sys.stdin.readline())
    slots = plan(sockets, order["targets"])
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(run(sockets, slots, float(line))), flush=True)


if __name__ == "__main__":
    main()
