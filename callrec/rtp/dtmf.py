"""DTMF in the voice itself (ITU-T Q.23, Q.24): heard by its two tones, so that it can be kept out of a recording.

Only for parties that have no telephone-event. numpy works on a third of a second at once; nothing here is done for a
packet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from callrec.rtp.g711 import SAMPLE_RATE, Law, decode_sample

_ROWS = (697.0, 770.0, 852.0, 941.0)
_COLUMNS = (1209.0, 1336.0, 1477.0, 1633.0)
_KEYS = "123A456B789C*0#D"

_BLOCK = 102
"""12.75 ms: a tone 1.5 % beside its frequency (Q.24) keeps 85 % of its power, the next one is 8 dB weaker."""
_STEP = 51
_MASK_RUN = 3
"""So many blocks in a row, 25.5 ms, are a tone to be masked; Q.24 has 23 ms rejected and 40 ms accepted."""
_TELL_RUN = 5
"""So many, 38 ms, are a key: what acts on it must not act on a syllable."""
_GUARD = 102
"""Samples masked before the first and behind the last block: the tone begins and ends within one."""
_PAUSE = 320
"""Q.24: 40 ms without the tone, and it is another press."""

_LEAST_AMPLITUDE = 180.0
"""Of each tone, of 32,768: about -45 dBm0; quieter is no key but an echo."""
_SHARE = 0.76
"""So much of the block's energy is in the two tones: speech has more than two."""
_PEAK = 6.0
"""Each tone is 8 dB above the others of its group."""
_TWIST, _REVERSE_TWIST = 10 ** (9 / 10), 10 ** (6 / 10)
"""Q.24: the columns may be 4 dB, the rows 8 dB stronger; lines and telephones do a little more."""

HELD_BACK = 3 * _STEP + _GUARD
"""So many of the newest samples may still turn out to be a tone."""

_Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Heard:
    """What a stretch of voice held."""

    spans: tuple[tuple[int, int], ...]
    """Samples to be masked, from and up to, counted from the beginning of the voice; they may reach beyond its end."""
    keys: str
    """Keys whose press is certain since the last stretch."""


class ToneDetector:
    """Listens to one direction of one call, stretch by stretch; a law may change between two."""

    def __init__(self) -> None:
        self._rest: _Numbers = np.zeros(0)
        self._position = 0
        """Of the next block, in samples from the beginning."""
        self._key = -1
        self._run = 0
        self._run_from = 0
        self._told = -1
        self._last_hit = -(10**9)

    @property
    def settled(self) -> int:
        """Return up to which sample nothing more will be masked."""
        return max(0, self._position - HELD_BACK)

    def take(self, voice: bytes, law: Law) -> Heard:
        """Listen to the next G.711 bytes."""
        samples = np.concatenate([self._rest, _expanding(law)[np.frombuffer(voice, np.uint8)]])
        count = max(0, (len(samples) - _BLOCK) // _STEP + 1)
        keys = _keys_of(samples, count) if count else []
        self._rest = samples[count * _STEP :]
        spans: list[tuple[int, int]] = []
        told = "".join(self._follow(key, spans) for key in keys)
        return Heard(tuple(spans), told)

    def _follow(self, key: int, spans: list[tuple[int, int]]) -> str:
        """Take in the key of one block, -1 for none; return it once its press is certain."""
        position = self._position
        self._position += _STEP
        if key < 0 or key != self._key:
            self._key, self._run, self._run_from = key, 0, position
        if key < 0:
            return ""
        self._run += 1
        if position - self._last_hit > _PAUSE:
            self._told = -1
        if self._run < _MASK_RUN:
            return ""
        self._last_hit = position
        spans.append((max(0, self._run_from - _GUARD), position + _BLOCK + _GUARD))
        if self._run < _TELL_RUN or self._told == key:
            return ""
        self._told = key
        return _KEYS[key]


def _keys_of(samples: _Numbers, count: int) -> list[int]:
    """Return the key of each block, -1 where it holds none."""
    blocks = np.lib.stride_tricks.sliding_window_view(samples, _BLOCK)[: count * _STEP : _STEP]
    energy = np.einsum("ij,ij->i", blocks, blocks)
    waves = np.square(blocks @ _WAVES)
    # The energy of a tone of amplitude a is a²N/2, and the square of its product with the wave a²N²/4.
    power = (waves[:, :8] + waves[:, 8:]) * (2 / _BLOCK)
    rows, columns = power[:, :4], power[:, 4:]
    row, column = rows.argmax(axis=1), columns.argmax(axis=1)
    index = np.arange(count)
    low, high = rows[index, row], columns[index, column]
    rows[index, row] = columns[index, column] = 0.0
    least = _LEAST_AMPLITUDE**2 * _BLOCK / 2
    is_key = (
        (low >= least)
        & (high >= least)
        & (low + high >= _SHARE * energy)
        & (low >= _PEAK * rows.max(axis=1))
        & (high >= _PEAK * columns.max(axis=1))
        & (high <= _TWIST * low)
        & (low <= _REVERSE_TWIST * high)
    )
    keys: list[int] = np.where(is_key, 4 * row + column, -1).tolist()
    return keys


def _waves() -> _Numbers:
    """Return cosines and sines of the eight frequencies, a column each."""
    angles = 2 * np.pi / SAMPLE_RATE * np.outer(np.arange(_BLOCK), np.array(_ROWS + _COLUMNS))
    return np.hstack([np.cos(angles), np.sin(angles)])


_WAVES = _waves()
_TABLES: dict[Law, _Numbers] = {}


def _expanding(law: Law) -> _Numbers:
    """Return the value of every G.711 byte."""
    if law not in _TABLES:
        _TABLES[law] = np.array([decode_sample(law, code) for code in range(256)], np.float64)
    return _TABLES[law]
