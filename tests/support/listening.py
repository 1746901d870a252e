"""Compares what an export holds with what was really spoken, sample for sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from demonstration.telephony import g711
from demonstration.telephony.voice import Voice

Samples = npt.NDArray[np.int16]
KEY = 160


@dataclass(frozen=True)
class Match:
    """Where a channel holds a stretch of what was spoken, in samples."""

    in_channel: int
    in_voice: int
    length: int

    @property
    def seconds(self) -> float:
        return self.length / 8000


def decoded(payload_type: int, coded: bytes) -> Samples:
    """Return what a decoder gives for coded audio."""
    table = np.array(g711.decoding_table(payload_type), dtype=np.int16)
    return table[np.frombuffer(coded, dtype=np.uint8)]


def matches(channel: Samples, voice: Samples) -> list[Match]:
    """Cut a channel into stretches of the voice; whatever else is not silence fails the test."""
    found: list[Match] = []
    place = 0
    while (start := _next_sound(channel, place)) is not None:
        key = channel[start : start + KEY]
        at = _find(voice, key)
        assert at is not None, (
            f"at {start / 8} ms the channel holds something that was never said: {key[:12].tolist()} …"
        )
        length = _common(channel[start:], voice[at:])
        found.append(Match(start, at, length))
        place = start + length
    return found


def _next_sound(channel: Samples, place: int) -> int | None:
    sounding = np.flatnonzero(channel[place:])
    return None if not len(sounding) else place + int(sounding[0])


def _find(voice: Samples, key: Samples) -> int | None:
    data, wanted = voice.tobytes(), key.tobytes()
    at = data.find(wanted)
    while at >= 0 and at % 2:
        at = data.find(wanted, at + 1)
    return None if at < 0 else at // 2


def _common(one: Samples, other: Samples) -> int:
    size = min(len(one), len(other))
    different = np.flatnonzero(one[:size] != other[:size])
    return int(different[0]) if len(different) else size


def skew_ms(left: Match, left_voice: Voice, right: Match, right_voice: Voice) -> float:
    """Return how far the channels are apart from how they were really spoken, in milliseconds.

    For the first packet of each stretch it is known when it left its phone and where the export placed it.
    """
    placed = (left.in_channel - right.in_channel) / 8.0
    spoken = (_spoken_at(left_voice, left.in_voice) - _spoken_at(right_voice, right.in_voice)) * 1000.0
    return placed - spoken


def _spoken_at(voice: Voice, place: int) -> float:
    sent_at, first_byte = next(entry for entry in voice.sent if entry[1] + KEY > place)
    return sent_at + (place - first_byte) / 8000
