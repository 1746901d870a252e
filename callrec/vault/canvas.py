"""Where the payloads of one direction lie until they are decoded and yielded: one canvas for each rate of decoding."""

from __future__ import annotations

from functools import cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from callrec.rtp.g711 import Law, decode_sample
from callrec.vault.coding import A_LAW, G722, MU_LAW, OPUS
from callrec.vault.decoding import Decoder, G722Decoder, OpusDecoder
from callrec.vault.interpolation import Interpolator

Samples = npt.NDArray[np.int16]

_ROOM = 80_000
"""Codes by which the canvas of G.711 grows at once: ten seconds."""
_RATES = {A_LAW: 8000, MU_LAW: 8000, G722: 16000, OPUS: 48000}


class _Layer(Protocol):
    """What can be painted on and taken off, in samples at the rate of its codec."""

    late: int
    end: int

    def place(self, position: int, payload: bytes, coding: int) -> None: ...

    def take(self, length: int) -> Samples: ...


class Canvas:
    """One direction of a rendering: codecs of lower rates are brought to its rate by interpolation."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._taken = 0
        self._layers: dict[int, _Layer] = {}
        self._raised: dict[int, Interpolator] = {}

    def place(self, position: int, payload: bytes, coding: int) -> None:
        """Put a payload at a position in samples of the rendering; what lies before the canvas comes too late."""
        native = _RATES[coding]
        layer = self._layers.get(native) or self._new_layer(native)
        layer.place(position * native // self._rate, payload, coding)

    def _new_layer(self, native: int) -> _Layer:
        start = self._taken * native // self._rate
        layer: _Layer = _CodesLayer(start) if native == _RATES[A_LAW] else _DecodedLayer(_decoder(native), start)
        self._layers[native] = layer
        if native != self._rate:
            self._raised[native] = Interpolator(layer.take, self._rate // native)
        return layer

    def take(self, length: int) -> Samples:
        """Return and forget the next samples; only the last take may be no multiple of 6."""
        self._taken += length
        taken = [
            self._raised[native].take(length) if native in self._raised else layer.take(length)
            for native, layer in self._layers.items()
        ]
        if not taken:
            return np.zeros(length, np.int16)
        if len(taken) == 1:
            return taken[0]
        mixed = np.sum(taken, axis=0, dtype=np.int32)
        clipped: Samples = np.clip(mixed, -32768, 32767).astype(np.int16)
        return clipped

    @property
    def late(self) -> int:
        """Return how many payloads came when their place had been yielded."""
        return sum(layer.late for layer in self._layers.values())

    @property
    def end(self) -> int:
        """Return the position behind the last sample placed."""
        return max((-(-layer.end * self._rate // native) for native, layer in self._layers.items()), default=0)


class _CodesLayer:
    """G.711: a byte of code for each sample, and the law that decodes it."""

    def __init__(self, start: int) -> None:
        self.late = 0
        self.end = 0
        self._start = start
        self._codes = bytearray()
        self._laws = bytearray()

    def place(self, position: int, payload: bytes, coding: int) -> None:
        first = position - self._start
        if first < 0:
            self.late += 1
            payload, first = payload[-first:] if first + len(payload) > 0 else b"", 0
        behind = first + len(payload)
        missing = behind - len(self._codes)
        if missing > 0:
            self._codes += bytes(missing + _ROOM)
            self._laws += bytes(missing + _ROOM)
        self._codes[first:behind] = payload
        self._laws[first:behind] = bytes((coding,)) * len(payload)
        self.end = max(self.end, self._start + behind if payload else 0)

    def take(self, length: int) -> Samples:
        codes = np.frombuffer(self._codes[:length].ljust(length, b"\0"), np.uint8)
        laws = np.frombuffer(self._laws[:length].ljust(length, b"\0"), np.uint8)
        del self._codes[:length], self._laws[:length]
        self._start += length
        samples: Samples = _table()[(laws.astype(np.uint16) << 8) | codes]
        return samples


class _DecodedLayer:
    """Codecs whose decoder remembers: payloads wait, and are decoded in the order of their places, not of arrival."""

    def __init__(self, decoder: Decoder, start: int) -> None:
        self.late = 0
        self.end = 0
        self._decoder = decoder
        self._start = start
        self._waiting: list[tuple[int, bytes]] = []
        self._over = np.zeros(0, np.int16)
        """What the last payload held beyond the samples taken."""

    def place(self, position: int, payload: bytes, coding: int) -> None:
        if position < self._start:
            self.late += 1
            return
        self._waiting.append((position, payload))
        self.end = max(self.end, position + self._decoder.length(payload))

    def take(self, length: int) -> Samples:
        until = self._start + length
        due = sorted((waiting for waiting in self._waiting if waiting[0] < until), key=lambda waiting: waiting[0])
        self._waiting = [waiting for waiting in self._waiting if waiting[0] >= until]
        pieces = self._decoder.decode([payload for _, payload in due])
        size = max(
            [length, len(self._over), *(at - self._start + len(piece) for (at, _), piece in _pairs(due, pieces))]
        )
        samples = np.zeros(size, np.int16)
        samples[: len(self._over)] = self._over
        for (position, _), piece in _pairs(due, pieces):
            samples[position - self._start : position - self._start + len(piece)] = piece
        self._over = samples[length:].copy()
        self._start = until
        return samples[:length]


def _pairs(due: list[tuple[int, bytes]], pieces: list[Samples]) -> zip[tuple[tuple[int, bytes], Samples]]:
    return zip(due, pieces, strict=True)


def _decoder(native: int) -> Decoder:
    return G722Decoder() if native == _RATES[G722] else OpusDecoder()


@cache
def _table() -> Samples:
    """Return the sample of each code under each law: none, A, mu."""
    silent = [0] * 256
    laws = ([decode_sample(law, code) for code in range(256)] for law in (Law.A, Law.MU))
    table: Samples = np.array([*silent, *(value for law in laws for value in law)], np.int16)
    table.setflags(write=False)
    return table
