"""A bad network in user space: what a phone sends and is sent is lost, late and out of order, as on a bad line."""

from __future__ import annotations

import heapq
import itertools
import random
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from demonstration.telephony.line import Line
from demonstration.telephony.voice import Voice


@dataclass
class Network:
    """Loses a share of all datagrams, both ways, and delays each that a phone sends by itself."""

    loss: float = 0.05
    delay_s: float = 0.1
    jitter_s: float = 0.08
    seed: int = 3550
    lost: list[bytes] = field(default_factory=list)
    """Datagrams of the phones that never arrived."""
    overtaken: int = 0
    """Datagrams that arrived before one that was sent earlier."""
    sent: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._lock = threading.Condition()
        self._under_way: list[tuple[float, int, bytes, Any, socket.socket]] = []
        self._count = itertools.count()
        self._newest = -1
        self._running = True
        self._thread = threading.Thread(target=self._run, name="bad network", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Deliver nothing more."""
        with self._lock:
            self._running = False
            self._lock.notify()
        self._thread.join(5)

    def carry(self, data: bytes, to: Any, sender: socket.socket) -> None:
        """Take a datagram on its way, if it gets anywhere."""
        with self._lock:
            self.sent += 1
            if self._random.random() < self.loss:
                self.lost.append(data)
                return
            due = time.monotonic() + self.delay_s + self._random.uniform(-self.jitter_s, self.jitter_s)
            heapq.heappush(self._under_way, (due, next(self._count), data, to, sender))
            self._lock.notify()

    def loses(self) -> bool:
        """Tell whether the next datagram towards a phone is lost."""
        with self._lock:
            return self._random.random() < self.loss

    def _run(self) -> None:
        with self._lock:
            while self._running:
                wait = self._under_way[0][0] - time.monotonic() if self._under_way else 1.0
                if wait > 0:
                    self._lock.wait(wait)
                    continue
                _, number, data, to, sender = heapq.heappop(self._under_way)
                self.overtaken += number < self._newest
                self._newest = max(self._newest, number)
                if sender.fileno() >= 0:
                    socket.socket.sendto(sender, data, to)

    def spoil_line(self, line: Line) -> None:
        """Put a SIP phone behind this network."""
        with line.news:
            line._selector.unregister(line._socket)
            line._socket = _BadSocket(self, line._socket)
            line._selector.register(line._socket, 1)

    def spoil_voice(self, voice: Voice) -> None:
        """Put an RTP phone behind this network."""
        engine = voice.engine
        with engine._lock:
            engine._selector.unregister(voice._socket)
            voice._socket = _BadSocket(self, voice._socket)
            engine._selector.register(voice._socket, 1, voice)


class _BadSocket(socket.socket):
    """A phone's own socket, with the network between it and everybody else."""

    def __init__(self, network: Network, good: socket.socket) -> None:
        super().__init__(good.family, good.type, fileno=good.detach())
        self.settimeout(0)
        self._network = network

    def sendto(self, data: Any, to: Any) -> int:  # type: ignore[override]
        """Hand a datagram to the network."""
        self._network.carry(bytes(data), to, self)
        return len(data)

    def recvfrom(self, size: int, flags: int = 0) -> tuple[bytes, Any]:
        """Return the next datagram that was not lost."""
        while True:
            data, source = super().recvfrom(size, flags)
            if not self._network.loses():
                return data, source
