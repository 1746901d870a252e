"""Parties with real sockets, and a service whose events can be waited for."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

from callrec.clock import SystemClock
from callrec.errors import PeerError
from callrec.identifiers import new_id
from callrec.media import MediaService, RemoteMedia
from callrec.rtp import RtpPacket
from callrec.sip.events import Address
from callrec.vault.part_reader import RecordingReader
from callrec.vault.part_writer import PartSource
from callrec.vault.recording_format import Direction, MarkRecord

Event = TypeVar("Event")
LIMIT_S = 10.0


class Party:
    """A telephone: sends numbered RTP packets and keeps what it is sent."""

    def __init__(self, host: str = "127.0.0.1", *, payload_type: int = 8) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.setblocking(False)
        self.address = Address(*self.socket.getsockname()[:2])
        self.payload_type = payload_type
        self.sequence = random.randrange(0x10000)
        self.timestamp = random.randrange(1 << 32)
        self.ssrc = random.randrange(1 << 32)
        self.target: Address | None = None
        self.sent: list[RtpPacket] = []

    def packet(self, payload: bytes, *, payload_type: int | None = None, marker: bool = False) -> RtpPacket:
        """Return the next packet of the stream."""
        kind = self.payload_type if payload_type is None else payload_type
        packet = RtpPacket(kind, self.sequence, self.timestamp, self.ssrc, payload, marker)
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.timestamp = (self.timestamp + 160) & 0xFFFFFFFF
        return packet

    def send(self, packet: RtpPacket) -> None:
        """Send a packet to where this party was told to."""
        self.sent.append(packet)
        self.send_raw(packet.serialize())

    def send_raw(self, data: bytes) -> None:
        assert self.target is not None
        self.socket.sendto(data, self.target)

    def speak(self, payload: bytes = b"") -> RtpPacket:
        """Send one frame of 20 ms."""
        packet = self.packet(payload or secrets.token_bytes(160))
        self.send(packet)
        return packet

    async def talk(self, seconds: float, *, each_s: float = 0.02) -> list[RtpPacket]:
        """Send a frame every 20 ms for some time."""
        frames = []
        end = time.monotonic() + seconds
        due = time.monotonic()
        while time.monotonic() < end:
            frames.append(self.speak())
            due += each_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        return frames

    def heard(self) -> list[bytes]:
        """Return the datagrams that have arrived."""
        datagrams = []
        while True:
            try:
                datagrams.append(self.socket.recv(65536))
            except (BlockingIOError, ConnectionRefusedError):
                return datagrams

    async def hear(self, limit_s: float = LIMIT_S) -> RtpPacket:
        """Return the next whole packet that arrives."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(limit_s):
            while True:
                data = await loop.sock_recv(self.socket, 65536)
                with suppress(PeerError):
                    return RtpPacket.parse(data)

    def close(self) -> None:
        self.socket.close()


class Hall:
    """A media service and everything it has told."""

    def __init__(self, *, workers: int = 1, ports: range | None = None) -> None:
        ports = ports if ports is not None else range(30000, 60000)
        settings = SimpleNamespace(rtp=SimpleNamespace(ports=ports, workers=workers))
        self.events: list[object] = []
        self._news = asyncio.Event()
        self.service = MediaService(settings, self._tell, SystemClock())
        self._pings = 0
        self._pongs: set[tuple[int, int]] = set()
        take = self.service._reports.take

        def take_and_note(pid: int, message: dict[str, object]) -> None:
            if message["t"] == "pong":
                self._pongs.add((pid, int(str(message["n"]))))
                self._news.set()
            take(pid, message)

        self.service._reports.take = take_and_note  # type: ignore[method-assign]

    def _tell(self, event: object) -> None:
        self.events.append(event)
        self._news.set()

    def told(self, kind: type[Event], matching: Callable[[Event], bool] = lambda _: True) -> list[Event]:
        """Return the events of a kind so far."""
        return [event for event in self.events if isinstance(event, kind) and matching(event)]

    async def event(
        self, kind: type[Event], matching: Callable[[Event], bool] = lambda _: True, *, limit_s: float = LIMIT_S
    ) -> Event:
        """Wait for the first event of a kind."""
        async with asyncio.timeout(limit_s):
            while not (found := self.told(kind, matching)):
                self._news.clear()
                await self._news.wait()
        return found[0]

    @property
    def worker_pid(self) -> int:
        return self.service.workers()[0].pid

    async def settled(self) -> None:
        """Wait until every worker has carried out the commands and read the packets sent so far.

        Twice, since within one look at its sockets a worker may answer before it reads the last packet.
        """
        for _ in range(2):
            await self._round()

    async def _round(self) -> None:
        self._pings += 1
        number = -self._pings
        waiting = {worker.pid for worker in self.service._fleet.workers}
        for worker in self.service._fleet.workers:
            worker.channel.send({"t": "ping", "n": number})
        async with asyncio.timeout(LIMIT_S):
            while not waiting <= {pid for pid, n in self._pongs if n == number}:
                self._news.clear()
                await self._news.wait()


@dataclass
class Bridge:
    """Two parties of one call, linked."""

    hall: Hall
    call: str
    caller: Party
    callee: Party
    a: str
    b: str

    def close(self) -> None:
        self.caller.close()
        self.callee.close()

    async def latch(self) -> None:
        """Let both parties be heard once each, so that both sides are connected."""
        await self.say(self.caller)
        await self.say(self.callee)

    async def say(self, speaker: Party, count: int = 1) -> RtpPacket:
        """Let a party say something and the other one hear it: by then the worker has dealt with it.

        Return the last packet as it was heard.
        """
        listener = self.callee if speaker is self.caller else self.caller
        said = [speaker.speak() for _ in range(count)]
        heard: list[bytes] = []
        while len(heard) < count:
            packet = await listener.hear()
            if any(packet.payload == each.payload for each in said):
                heard.append(packet.payload)
        return packet


def remote_of(party: Party, **changes: object) -> RemoteMedia:
    values: dict[str, object] = {
        "address": party.address,
        "payload_type": party.payload_type,
        "codec_name": "PCMA" if party.payload_type != 0 else "PCMU",
        "telephone_event": 101,
    }
    return RemoteMedia(**{**values, **changes})  # type: ignore[arg-type]


async def open_party(hall: Hall, call: str, leg: str, party: Party, **changes: object) -> str:
    """Open a leg towards a party; return the leg."""
    host = "::1" if ":" in party.address.host else "127.0.0.1"
    party.target = await hall.service.open_leg(call, leg, host)
    hall.service.set_remote(leg, remote_of(party, **changes))
    return leg


async def bridge(hall: Hall, host: str = "127.0.0.1") -> Bridge:
    """Return a linked call of two parties."""
    call, caller, callee = new_id(), Party(host), Party(host)
    a = await open_party(hall, call, f"{call}/a", caller)
    b = await open_party(hall, call, f"{call}/b", callee)
    hall.service.link(a, b)
    await hall.settled()
    return Bridge(hall, call, caller, callee, a, b)


def part_source(directory: Path) -> tuple[PartSource, bytes]:
    """Return a source of parts and the audio key behind it."""
    key = os.urandom(32)
    return PartSource(new_id(), key, directory, os.urandom), key


@dataclass
class Taped:
    """What a recording holds, read back."""

    packets: dict[Direction, list[bytes]]
    marks: list[MarkRecord]
    parts: int


def read_back(paths: list[Path], key: bytes, recording_id: str) -> Taped:
    """Read the files of a recording."""
    reader = RecordingReader(paths, key, recording_id)
    packets: dict[Direction, list[bytes]] = {Direction.OUTSIDE: [], Direction.OURS: []}
    marks = []
    for _, record in reader.records():
        if isinstance(record, MarkRecord):
            marks.append(record)
        else:
            packets[record.direction].append(record.packet)
    parts = len(reader.parts)
    reader.close()
    return Taped(packets, marks, parts)


def files_in(directory: Path, pattern: str = "*") -> list[Path]:
    """Return the files under a directory."""
    return [path for path in directory.rglob(pattern) if path.is_file()]


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and is not reaped does not."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except FileNotFoundError:
        return False


def open_files(pid: int) -> list[str]:
    """Return what a process has open."""
    return [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]


def mapped(pid: int) -> str:
    """Return the files mapped into a process."""
    return Path(f"/proc/{pid}/maps").read_text()


def contents(path: str) -> bytes:
    """Return a file's bytes."""
    return Path(path).read_bytes()
