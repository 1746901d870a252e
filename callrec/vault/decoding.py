"""Decoders that remember: G.722 by the reference library, Opus by the decoder inside libsndfile."""

from __future__ import annotations

import os
from typing import Protocol

import numpy as np
import numpy.typing as npt
import soundfile  # type: ignore[import-untyped]  # publishes no types
from G722 import G722  # type: ignore[import-not-found]  # publishes no types

from callrec.rtp.ogg import ogg_of
from callrec.rtp.opus import packet_samples

Samples = npt.NDArray[np.int16]

_G722_BIT_RATE = 64_000
_PRE_ROLL = 50
"""Opus packets decoded once more, so that the decoder is where it was: RFC 7845 4.6 wants 80 ms; 25 packets of 20 ms
were measured to give the very samples of a decoder that never stopped."""


class Decoder(Protocol):
    """Turns payloads, in the order in which they were sent, into samples."""

    def length(self, payload: bytes) -> int:
        """Return how many samples a payload gives."""

    def decode(self, payloads: list[bytes]) -> list[Samples]:
        """Return the samples of each payload; it goes on from the payloads before."""


class G722Decoder:
    """ITU-T G.722 at 64 kbit/s: 16,000 samples a second, two for each byte."""

    def __init__(self) -> None:
        self._codec = G722(16_000, _G722_BIT_RATE)

    def length(self, payload: bytes) -> int:
        """Return how many samples a payload gives."""
        return 2 * len(payload)

    def decode(self, payloads: list[bytes]) -> list[Samples]:
        """Return the samples of each payload; it goes on from the payloads before."""
        if not payloads:
            return []
        samples = np.asarray(self._codec.decode(b"".join(payloads)), np.int16)
        return _cut(samples, [2 * len(payload) for payload in payloads])


class OpusDecoder:
    """RFC 6716: 48,000 samples a second, one channel. Payloads must be whole by `packet_samples`."""

    def __init__(self) -> None:
        self._before: list[bytes] = []

    def length(self, payload: bytes) -> int:
        """Return how many samples a payload gives."""
        return packet_samples(payload)

    def decode(self, payloads: list[bytes]) -> list[Samples]:
        """Return the samples of each payload; it goes on from the payloads before."""
        if not payloads:
            return []
        lengths = [packet_samples(payload) for payload in payloads]
        samples = _decoded([*self._before, *payloads])[sum(map(packet_samples, self._before)) :]
        missing = sum(lengths) - len(samples)
        if missing > 0:  # a decoder that gave up says so by its end; its silence is in its place
            samples = np.concatenate((samples, np.zeros(missing, np.int16)))
        self._before = [*self._before, *payloads][-_PRE_ROLL:]
        return _cut(samples, lengths)


def _decoded(packets: list[bytes]) -> Samples:
    memory = os.memfd_create("opus", os.MFD_CLOEXEC)
    try:
        with open(memory, "wb", closefd=False) as file:
            file.write(ogg_of(packets))
        os.lseek(memory, 0, os.SEEK_SET)
        # A descriptor, for the callbacks of a Python file object are forbidden by MemoryDenyWriteExecute.
        with soundfile.SoundFile(memory, closefd=False) as sound:
            samples: Samples = sound.read(dtype="int16")
            return samples
    finally:
        os.close(memory)


def _cut(samples: Samples, lengths: list[int]) -> list[Samples]:
    return np.split(samples, np.cumsum(lengths)[:-1])
