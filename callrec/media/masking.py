"""Keeps tones of keys pressed in the voice out of a recording (RTP-5, LAW-74); runs in the writer thread.

A tone is known for one only after 25 ms of it, and it may begin in one batch and be known in the next. So the newest
50 ms are held back until what follows them has been heard: no sample of a tone ever reaches the file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from callrec.errors import PeerError
from callrec.rtp.dtmf import ToneDetector
from callrec.rtp.g711 import PAYLOAD_TYPES, SILENCE, Law
from callrec.rtp.header import FIXED_LENGTH, RtpPacket
from callrec.vault.recording_format import (
    RECORD_HEADER_LENGTH,
    Mark,
    parse_codec_map,
    walk_records,
)

_LAWS = {number: law for law, number in PAYLOAD_TYPES.items()}


@dataclass(slots=True)
class _Waiting:
    """A record that waits; of a packet of a listened-to side, which samples it holds."""

    record: bytes
    side: _Side | None = None
    first: int = 0
    behind: int = 0


@dataclass(slots=True)
class _Side:
    """One direction that is listened to."""

    detector: ToneDetector = field(default_factory=ToneDetector)
    laws: dict[int, Law] = field(default_factory=lambda: dict(_LAWS))
    taken: int = 0
    """Samples that have come."""
    masked_from: int = 0
    masked_until: int = 0
    """The last span that holds a tone; it may reach beyond what has come."""
    voice: list[tuple[Law, bytes]] = field(default_factory=list)


class Mask:
    """Records of one call on their way to the file."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._sides: dict[int, _Side] = {}

    @property
    def waiting(self) -> bool:
        """Return whether records are held back."""
        return bool(self._waiting)

    def take(self, records: bytes, directions: frozenset[int]) -> bytes:
        """Take in whole records; return those that may be written, in their order.

        Args:
            records: what has come.
            directions: the sides whose keys are tones in their voice.
        """
        for direction in self._sides.keys() - directions:
            del self._sides[direction]
        for direction in directions - self._sides.keys():
            self._sides[direction] = _Side()
        for kind, _, start, end in walk_records(records):
            record = records[start - RECORD_HEADER_LENGTH : end]
            self._waiting.append(self._entry(kind, record))
        spans = {id(side): _listen(side) for side in self._sides.values()}
        for entry in self._waiting:
            if entry.side is not None and any(
                entry.first < until and entry.behind > begins for begins, until in spans.get(id(entry.side), ())
            ):
                entry.record = _silenced(entry)
        return b"".join(self._ready())

    def flush(self) -> bytes:
        """Return what is held back: nothing follows it for now."""
        records = b"".join(entry.record for entry in self._waiting)
        self._waiting.clear()
        return records

    def _entry(self, kind: int, record: bytes) -> _Waiting:
        body = record[RECORD_HEADER_LENGTH:]
        if kind == Mark.CODECS:
            self._learn(body)
        side = self._sides.get(kind)
        law = side.laws.get(body[1] & 0x7F) if side is not None and len(body) > FIXED_LENGTH else None
        if side is None or law is None:
            return _Waiting(record)
        with suppress(PeerError):
            payload = RtpPacket.parse(body).payload
            first = side.taken
            side.taken += len(payload)
            side.voice.append((law, payload))
            return _Waiting(record, side, first, side.taken)
        return _Waiting(record)

    def _learn(self, body: bytes) -> None:
        """Take in what the payload types of a side mean from here on."""
        direction, entries = parse_codec_map(body)
        if (side := self._sides.get(direction)) is not None:
            laws = {
                entry.payload_type: Law(entry.name.upper()) for entry in entries if entry.name.upper() in tuple(Law)
            }
            side.laws = {**_LAWS, **laws}

    def _ready(self) -> Iterator[bytes]:
        """Yield what nothing more can be found in, up to the first record that must wait."""
        while self._waiting:
            entry = self._waiting[0]
            if entry.side is not None and self._listens(entry.side) and entry.behind > entry.side.detector.settled:
                return
            yield self._waiting.popleft().record

    def _listens(self, side: _Side) -> bool:
        return any(side is each for each in self._sides.values())


def _listen(side: _Side) -> list[tuple[int, int]]:
    """Listen to what has come of a side; return the spans that hold a tone."""
    spans = [(side.masked_from, side.masked_until)]
    for law, payload in _joined(side.voice):
        spans += side.detector.take(payload, law).spans
    side.voice.clear()
    if len(spans) > 1:
        side.masked_from, side.masked_until = spans[-1]
    return spans


def _joined(voice: list[tuple[Law, bytes]]) -> Iterator[tuple[Law, bytes]]:
    """Yield the payloads, those of one law that follow each other as one."""
    law, parts = None, list[bytes]()
    for each, payload in voice:
        if each is not law and parts and law is not None:
            yield law, b"".join(parts)
            parts = []
        law = each
        parts.append(payload)
    if parts and law is not None:
        yield law, b"".join(parts)


def _silenced(entry: _Waiting) -> bytes:
    """Return the record of a packet with nothing in its voice; its header and its length stay."""
    body = entry.record[RECORD_HEADER_LENGTH:]
    packet = RtpPacket.parse(body)
    assert entry.side is not None, "internal error: a record that is not listened to is silenced"
    law = entry.side.laws.get(packet.payload_type, Law.A)
    padding = body[-1] if body[0] & 0x20 else 0
    start = len(entry.record) - padding - len(packet.payload)
    silence = SILENCE[law] * len(packet.payload)
    return entry.record[:start] + silence + entry.record[start + len(silence) :]


class Ear:
    """Listens for keys in the voice of one leg while a notice plays to it (NOT-16); nothing of it is kept."""

    def __init__(self) -> None:
        self._detector = ToneDetector()

    def hear(self, records: bytes) -> str:
        """Return the keys that were pressed, as far as that is certain."""
        voice: list[tuple[Law, bytes]] = []
        for _, _, start, end in walk_records(records):
            law = _LAWS.get(records[start + 1] & 0x7F) if end - start > FIXED_LENGTH else None
            if law is None:
                continue
            with suppress(PeerError):
                voice.append((law, RtpPacket.parse(records[start:end]).payload))
        return "".join(self._detector.take(payload, law).keys for law, payload in _joined(voice))
