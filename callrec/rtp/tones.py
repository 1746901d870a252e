"""Call progress tones of the United Kingdom (BT SIN 350), as G.711 to be played in a loop."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from functools import cache

from callrec.rtp.g711 import SAMPLE_RATE, Law, encode


@dataclass(frozen=True, slots=True)
class Tone:
    """A sound and its rhythm; one period of it repeats without a click."""

    name: str
    frequencies: tuple[int, ...]
    """Hertz, sounded together."""
    cadence_ms: tuple[int, ...]
    """Sound, silence, sound, silence; one entry alone sounds without a break."""
    level: float = 0.16
    """Amplitude of each frequency, of full scale; about -19 dBm0."""


RINGBACK = Tone("ringback", (400, 450), (400, 200, 400, 2000))
BUSY = Tone("busy", (400,), (375, 375))
CONGESTION = Tone("congestion", (400,), (400, 350, 225, 525))
NUMBER_UNOBTAINABLE = Tone("number_unobtainable", (400,), (1000,))


@cache
def tone(kind: Tone, law: Law) -> bytes:
    """Return one period of a tone in G.711, 8000 bytes a second."""
    samples = array("h")
    for index, duration_ms in enumerate(kind.cadence_ms):
        count = duration_ms * SAMPLE_RATE // 1000
        samples.extend([0] * count if index % 2 else _burst(kind, count))
    return encode(law, samples.tobytes())


def tone_sources(kind: Tone) -> dict[str, bytes]:
    """Return one period of a tone for each law, by the codec's name in SDP."""
    return {law.value: tone(kind, law) for law in Law}


def _burst(kind: Tone, count: int) -> list[int]:
    peak = kind.level * 32767
    steps = [2 * math.pi * frequency / SAMPLE_RATE for frequency in kind.frequencies]
    return [round(sum(peak * math.sin(step * index) for step in steps)) for index in range(count)]
