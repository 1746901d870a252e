"""RTP with exact, known samples: what is sent, when, and what came, packet by packet (RFC 3550, RFC 4733)."""

from __future__ import annotations

import heapq
import secrets
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from demonstration.telephony.messages import Address

PACKET_S = 0.02
PACKET_SAMPLES = 160
RECEIVE_BUFFER = 1 << 20


@dataclass
class Heard:
    """One packet that came: when (monotonic seconds), from where, and its parts."""

    at: float
    source: Address
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


@dataclass
class _Play:
    payload_type: int
    data: bytes
    loop: bool
    at_byte: int = 0


@dataclass
class _Digit:
    payload_type: int
    event: int
    packets: int
    sent: int = 0


@dataclass(eq=False)
class Voice:
    """One RTP socket: speaks coded audio in packets of 20 ms at absolute times, and keeps what it hears."""

    engine: VoiceEngine
    host: str
    port: int = 0
    heard: list[Heard] = field(default_factory=list)
    sent: list[tuple[float, int]] = field(default_factory=list)
    """For each audio packet: when it left (monotonic seconds) and the place of its first byte in what is played."""
    refused: int = 0

    def __post_init__(self) -> None:
        self._socket = _even_socket(self.host, self.port)
        self.port = self._socket.getsockname()[1]
        self._sequence = secrets.randbelow(1 << 16)
        self._timestamp = secrets.randbelow(1 << 32)
        self._ssrc = secrets.randbelow(1 << 32)
        self._remote: Address | None = None
        self._play: _Play | None = None
        self._digits: list[_Digit] = []
        self._last_due = 0.0
        self._marker = True
        self._idle = threading.Event()
        self._idle.set()
        self.engine.add(self, self._socket)

    def send_to(self, host: str, port: int) -> None:
        """Say where the far side listens; before that nothing is sent."""
        self._remote = (host, port)

    def speak(self, payload_type: int, data: bytes, *, loop: bool = False) -> None:
        """Start to send coded audio from its first byte, in place of what was playing."""
        self._idle.clear()
        self._marker = True
        self._play = _Play(payload_type, data, loop)
        self.engine.wake(self)

    def fall_silent(self) -> None:
        """Stop sending audio: nothing comes from here any more, as from a phone on mute with DTX."""
        self._play = None
        self._idle.set()

    def press(self, digit: str, payload_type: int, duration_s: float = 0.1) -> None:
        """Send a key as RFC 4733 events: one packet each 20 ms, its end three times (2.5.1.4)."""
        event = "0123456789*#ABCD".index(digit)
        self._digits.append(_Digit(payload_type, event, max(1, round(duration_s / PACKET_S))))
        self.engine.wake(self)

    def wait_spoken(self, timeout: float) -> bool:
        """Wait until what was given to `speak` has been sent to its end."""
        return self._idle.wait(timeout)

    def wait_heard(self, what: Callable[[list[Heard]], bool], timeout: float) -> bool:
        """Wait until what was heard satisfies a condition."""
        with self.engine.news:
            return self.engine.news.wait_for(lambda: what(self.heard), timeout)

    def audio_heard(self, payload_type: int) -> bytes:
        """Return the audio that came, in the order of arrival."""
        return b"".join(packet.payload for packet in self.heard if packet.payload_type == payload_type)

    def close(self) -> None:
        self.engine.remove(self, self._socket)
        self._idle.set()

    def tick(self, due: float, now: float) -> None:
        """Send what is due in this packet time; called by the engine only. Silence moves the timestamp on, too."""
        if self._remote is None:
            return
        passed = round((due - self._last_due) / PACKET_S) if self._last_due else 1
        self._timestamp = (self._timestamp + passed * PACKET_SAMPLES) & 0xFFFFFFFF
        self._last_due = due
        if self._digits:
            self._send_digit(self._digits[0])
        elif self._play is not None:
            self._send_audio(self._play, now)

    def _send_audio(self, play: _Play, now: float) -> None:
        piece = play.data[play.at_byte : play.at_byte + PACKET_SAMPLES]
        if len(piece) < PACKET_SAMPLES and play.loop:
            piece, play.at_byte = play.data[:PACKET_SAMPLES], 0
        if len(piece) < PACKET_SAMPLES:
            self.fall_silent()
            return
        self.sent.append((now, play.at_byte))
        play.at_byte += PACKET_SAMPLES
        self._send(play.payload_type, self._timestamp, piece, marker=self._marker)
        self._marker = False

    def _send_digit(self, digit: _Digit) -> None:
        digit.sent += 1
        end = digit.sent > digit.packets
        duration = min(digit.sent, digit.packets) * PACKET_SAMPLES
        started = (self._timestamp - (digit.sent - 1) * PACKET_SAMPLES) & 0xFFFFFFFF
        payload = struct.pack("!BBH", digit.event, (0x80 if end else 0) | 10, duration)
        for _ in range(3 if end else 1):
            self._send(digit.payload_type, started, payload, marker=digit.sent == 1)
        if end:
            self._digits.pop(0)
            self._marker = True

    def _send(self, payload_type: int, timestamp: int, payload: bytes, *, marker: bool) -> None:
        mark = 0x80 if marker else 0
        header = struct.pack("!BBHII", 0x80, mark | payload_type, self._sequence, timestamp, self._ssrc)
        self._sequence = (self._sequence + 1) & 0xFFFF
        assert self._remote is not None
        try:
            self._socket.sendto(header + payload, self._remote)
        except OSError:
            self.refused += 1

    @property
    def busy(self) -> bool:
        return self._play is not None or bool(self._digits)

    def receive(self, now: float) -> None:
        """Take in what has come; called by the engine only."""
        while True:
            try:
                data, source = self._socket.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError:
                self.refused += 1
                continue
            if len(data) >= 12 and data[0] >> 6 == 2:
                _, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
                body = data[12 + 4 * (data[0] & 15) :]
                self.heard.append(Heard(now, source, second & 0x7F, second > 127, sequence, timestamp, ssrc, body))


def _even_socket(host: str, port: int) -> socket.socket:
    for _ in range(200):
        candidate = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        candidate.settimeout(0)
        candidate.bind((host, port))
        if port or candidate.getsockname()[1] % 2 == 0:
            return candidate
        candidate.close()
    raise OSError(f"no even UDP port is free on {host}")


class VoiceEngine:
    """One thread for all voices of a program: each has its own absolute packet times, so none drifts."""

    def __init__(self) -> None:
        self.news = threading.Condition()
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._due: list[tuple[float, int, Voice]] = []
        self._voices: set[Voice] = set()
        self._running = True
        self._awake, self._wake = socket.socketpair()
        self._awake.settimeout(0)
        self._selector.register(self._awake, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="voices", daemon=True)
        self._thread.start()

    def voice(self, host: str, port: int = 0) -> Voice:
        """Return a new voice on its own even port."""
        return Voice(self, host, port)

    def add(self, voice: Voice, its_socket: socket.socket) -> None:
        with self._lock:
            self._voices.add(voice)
            self._selector.register(its_socket, selectors.EVENT_READ, voice)

    def remove(self, voice: Voice, its_socket: socket.socket) -> None:
        with self._lock:
            if voice in self._voices:
                self._voices.discard(voice)
                self._selector.unregister(its_socket)
                its_socket.close()

    def wake(self, voice: Voice) -> None:
        """See to a voice that has something to send, from its next packet time on."""
        with self._lock:
            if voice in self._voices and not any(entry[2] is voice for entry in self._due):
                heapq.heappush(self._due, (time.monotonic(), id(voice), voice))
        self._wake.send(b"\0")

    def close(self) -> None:
        self._running = False
        self._wake.send(b"\0")
        self._thread.join(5)
        self._selector.close()
        self._awake.close()
        self._wake.close()

    def __enter__(self) -> VoiceEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while self._running:
            with self._lock:
                wait = max(0.0, self._due[0][0] - time.monotonic()) if self._due else 1.0
            ready = self._selector.select(wait)
            now = time.monotonic()
            with self._lock:
                for key, _ in ready:
                    self._take_in(key.data, now)
                self._send_due(now)
            if ready:
                with self.news:
                    self.news.notify_all()

    def _take_in(self, voice: Voice | None, now: float) -> None:
        if voice is None:
            try:
                self._awake.recv(4096)
            except BlockingIOError:
                return
        elif voice in self._voices:
            voice.receive(now)

    def _send_due(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            due, key, voice = heapq.heappop(self._due)
            if voice not in self._voices:
                continue
            voice.tick(due, now)
            if voice.busy:
                heapq.heappush(self._due, (due + PACKET_S, key, voice))
