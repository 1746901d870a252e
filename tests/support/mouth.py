"""Media beside a SIPp whose signalling it belongs to: RTP packet by packet as a script says, and what is heard.

SIPp knows two ways to send audio, and neither changes its packet time, its source or its codec, nor falls silent.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from demonstration.telephony.messages import Address
from tests.support.processes import wait_until

_EVENT_VOLUME = 10
_HEADER = struct.Struct("!BBHII")


@dataclass(frozen=True)
class Packet:
    """One packet of RTP and when it leaves, in seconds after the first one."""

    due_s: float
    payload_type: int
    sequence: int
    timestamp: int
    source: int
    payload: bytes
    marker: bool = False

    @property
    def data(self) -> bytes:
        second = (0x80 if self.marker else 0) | self.payload_type
        numbers = (self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF, self.source)
        return _HEADER.pack(0x80, second, *numbers) + self.payload


class Script:
    """What a telephone sends, in the order in which it does so; everything lasts as long in RTP as in time."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.packets: list[Packet] = []
        self._at_ms = 0
        self._marker = True
        self.new_source()

    @property
    def seconds(self) -> float:
        return self._at_ms / 1000

    def new_source(self) -> Self:
        """Go on under another SSRC, with other numbers (RFC 3550 8.2)."""
        self._source, self._sequence = self._random.getrandbits(32), self._random.getrandbits(16)
        self._timestamp = self._random.getrandbits(32) - self._at_ms * 8
        return self

    def speak(self, payload_type: int, coded: bytes, packet_ms: int = 20) -> Self:
        """Speak G.711 in packets of a given time."""
        for start in range(0, len(coded), packet_ms * 8):
            self._add(payload_type, coded[start : start + packet_ms * 8], self._at_ms)
            self._at_ms += packet_ms
        return self

    def be_silent(self, milliseconds: int, comfort_noise: int | None = None) -> Self:
        """Send nothing for a while, but for one packet of comfort noise at its beginning (RFC 3389) where asked."""
        if comfort_noise is not None:
            self._add(comfort_noise, bytes([60]), self._at_ms)
        self._at_ms += milliseconds
        self._marker = True
        return self

    def press(self, event: int, payload_type: int = 101, packets: int = 5) -> Self:
        """Press a key for 20 ms a packet in place of the voice; its end is sent three times (RFC 4733 2.5.1.4)."""
        begun = self._at_ms
        self._marker = True
        for number in range(1, packets + 1):
            for _ in range(3 if number == packets else 1):
                end = 0x80 if number == packets else 0
                payload = struct.pack("!BBH", event, end | _EVENT_VOLUME, number * 160)
                self._add(payload_type, payload, begun)
            self._at_ms += 20
        return self

    def _add(self, payload_type: int, payload: bytes, stamped_ms: int) -> None:
        timestamp = self._timestamp + stamped_ms * 8
        due_s = self._at_ms / 1000
        self.packets.append(Packet(due_s, payload_type, self._sequence, timestamp, self._source, payload, self._marker))
        self._sequence += 1
        self._marker = False


def _bound_to_an_even_port(host: str) -> socket.socket:
    """Return a socket whose next port is nobody's RTP: reports of RTCP go there."""
    for _ in range(200):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((host, 0))
        if made.getsockname()[1] % 2 == 0:
            return made
        made.close()
    raise OSError(f"no even UDP port is free on {host}")


@dataclass
class Heard:
    """One packet that came, and when, in monotonic seconds."""

    at: float
    payload_type: int
    payload: bytes
    source: Address
    ssrc: int
    sequence: int


@dataclass
class Mouth:
    """A socket that plays scripts and keeps what it hears; a `with` block ends its threads."""

    host: str
    port: int = 0
    heard: list[Heard] = field(default_factory=list)
    sent: list[Packet] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._socket = _bound_to_an_even_port(self.host)
        self._socket.settimeout(0.1)
        self.port = self._socket.getsockname()[1]
        self._over, self._hushed = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=self._listen, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self.hush()
        for thread in self._threads:
            thread.join(5)
        self._socket.close()

    def wait_heard(self, timeout: float = 10.0) -> Address:
        """Wait for the first packet, and return where it came from: a recorder sends from where it listens."""
        wait_until(lambda: bool(self.heard), f"somebody is heard at {self.host}:{self.port}", timeout)
        return self.heard[0].source

    def audio(self, payload_type: int) -> bytes:
        """Return the audio that came under a payload type, in the order of arrival."""
        return b"".join(packet.payload for packet in self.heard if packet.payload_type == payload_type)

    def play(self, script: Script, to: Address) -> None:
        """Begin to send what a script says, in place of what was played; it goes on by itself."""
        self.hush()
        self._hushed = threading.Event()
        thread = threading.Thread(target=self._send, args=(script.packets, to, self._hushed), daemon=True)
        self._threads.append(thread)
        thread.start()

    def report(self, lost: int = 0) -> None:
        """Send a receiver report about what was heard last, on the ports above RTP's (RFC 3550 6.4.2, 6.5).

        Args:
            lost: how many packets are told as lost, and that a quarter of the last ones were if there are any.
        """
        last = self.heard[-1]
        block = struct.pack("!II", last.ssrc, (64 << 24 if lost else 0) | lost) + struct.pack(
            "!IIII", last.sequence, 0, 0, 0
        )
        report = struct.pack("!BBHI", 0x81, 201, 7, 1) + block
        description = struct.pack("!BBHI", 0x81, 202, 3, 1) + bytes([1, 5]) + b"mouth" + b"\0"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reporting:
            reporting.bind((self.host, self.port + 1))
            reporting.sendto(report + description, (last.source[0], last.source[1] + 1))

    def hush(self) -> None:
        """End what is being played."""
        self._hushed.set()

    def _send(self, packets: list[Packet], to: Address, hushed: threading.Event) -> None:
        begun = time.monotonic()
        for packet in packets:
            if hushed.wait(max(0.0, begun + packet.due_s - time.monotonic())):
                return
            self._socket.sendto(packet.data, to)
            self.sent.append(packet)

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                data, source = self._socket.recvfrom(2048)
            except OSError:  # nothing came, or the other end has closed its port
                continue
            if len(data) >= _HEADER.size:
                _, second, sequence, _, ssrc = _HEADER.unpack_from(data)
                heard = Heard(time.monotonic(), second & 0x7F, data[_HEADER.size :], source, ssrc, sequence)
                self.heard.append(heard)
