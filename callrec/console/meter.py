"""Levels of a stereo recording over time, as bars: left the outside party, right our side."""

from __future__ import annotations

import io
import sys
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from callrec.errors import CallrecError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SILENCE_DB = -60.0
"""What a bar shows as empty; digital silence has no level at all."""

_ROWS = 40
_SHORTEST_WINDOW_S = 0.5
_BAR = 24


@dataclass(frozen=True, slots=True)
class Sound:
    """A decoded WAV: one row of 16-bit samples for each channel."""

    rate: int
    samples: NDArray[np.int16]

    @property
    def seconds(self) -> float:
        """Return its length."""
        return float(self.samples.shape[1]) / self.rate


@dataclass(frozen=True, slots=True)
class Level:
    """How loud both sides were in one window, as RMS in dB below full scale."""

    start_s: float
    left_db: float
    right_db: float


def read_sound(content: bytes) -> Sound:
    """Return the samples of a 16-bit WAV.

    Raises:
        CallrecError: if it is none.
    """
    import numpy as np  # noqa: PLC0415  100 ms that only `play` pays

    try:
        with wave.open(io.BytesIO(content)) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            frames = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise CallrecError(f"the recorder sent something else than a WAV ({error})") from None
    if width != 2:
        raise CallrecError(f"the recorder sent samples of {8 * width} bits, expected 16")
    samples = np.frombuffer(frames, dtype="<i2").reshape(-1, channels).T
    return Sound(rate, samples if channels > 1 else np.vstack((samples, samples)))


def levels(sound: Sound, window_s: float) -> Iterator[Level]:
    """Give the levels of one window after the other."""
    size = max(1, int(sound.rate * window_s))
    for start in range(0, sound.samples.shape[1], size):
        left, right = (decibels(channel[start : start + size]) for channel in sound.samples[:2])
        yield Level(start / sound.rate, left, right)


def decibels(samples: NDArray[np.int16]) -> float:
    """Return the RMS of samples in dB below full scale, at least SILENCE_DB."""
    import numpy as np  # noqa: PLC0415  see above

    if not len(samples):
        return SILENCE_DB
    power = float(np.mean(np.square(samples.astype(np.float64) / 32768)))
    return max(SILENCE_DB, 10 * float(np.log10(power))) if power > 0 else SILENCE_DB


def meter_lines(sound: Sound) -> Iterator[str]:
    """Give a heading and about forty lines, each a stretch of time with the bars of both sides."""
    yield f"{'':>9}  {'LEFT, outside':<{_BAR + 8}}  RIGHT, our side"
    for level in levels(sound, max(_SHORTEST_WINDOW_S, sound.seconds / _ROWS)):
        yield meter_line(level)


def meter_line(level: Level) -> str:
    """Return one line of the meter."""
    return f"{_moment(level.start_s):>9}  {_bar(level.left_db)}  {_bar(level.right_db)}"


def _moment(seconds: float) -> str:
    """Return a moment of the recording to a tenth of a second, cut off: two lines never show the same."""
    tenths = int(seconds * 10 + 1e-6)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    clock = f"{minutes:02}:{tenths // 10:02}.{tenths % 10}"
    return f"{hours}:{clock}" if hours else clock


def _bar(level_db: float) -> str:
    filled = round(_BAR * (1 - level_db / SILENCE_DB))
    full, empty = ("█", "·") if _can_print("█·") else ("#", ".")
    text = "silent" if level_db <= SILENCE_DB else f"{level_db:.0f} dB"
    return f"{full * filled}{empty * (_BAR - filled)} {text:>7}"


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
