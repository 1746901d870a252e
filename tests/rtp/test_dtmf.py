"""Keys pressed in the voice (RTP-5, ITU-T Q.23 and Q.24): every key is heard, no speech is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from callrec.rtp.dtmf import HELD_BACK, ToneDetector
from callrec.rtp.g711 import Law, encode

ROOT = Path(__file__).resolve().parents[2]
KEYS = "123A456B789C*0#D"
ROWS, COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
Samples = npt.NDArray[np.float64]


def tone(key: str, milliseconds: int, *, row: float = 8000, column: float = 8000, beside: float = 1.0) -> Samples:
    """Return one press of a key."""
    index = KEYS.index(key)
    time = np.arange(milliseconds * 8) / 8000 * beside * 2 * np.pi
    return row * np.sin(time * ROWS[index // 4]) + column * np.sin(time * COLUMNS[index % 4] + 1)


def nothing(milliseconds: int) -> Samples:
    return np.zeros(milliseconds * 8)


def heard(samples: Samples, *, law: Law = Law.A, stretch: int = 3200) -> tuple[str, list[tuple[int, int]]]:
    """Return keys and spans, as found in stretches of so many samples."""
    detector, keys, spans = ToneDetector(), "", list[tuple[int, int]]()
    voice = encode(law, np.clip(samples, -32768, 32767).astype("<i2").tobytes())
    for start in range(0, len(voice), stretch):
        found = detector.take(voice[start : start + stretch], law)
        keys, spans = keys + found.keys, [*spans, *found.spans]
    return keys, spans


@pytest.mark.parametrize("law", list(Law))
@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_heard_and_its_whole_tone_is_masked(key: str, law: Law) -> None:
    """Q.24: 40 ms are a key, in whatever stretches they come, beside other sounds of a line."""
    for before in (10, 13, 100):
        for stretch in (160, 400, 3200):
            keys, spans = heard(
                np.concatenate([nothing(before), tone(key, 40), nothing(100)]), law=law, stretch=stretch
            )
            assert keys == key
            assert min(first for first, _ in spans) <= before * 8
            assert max(until for _, until in spans) >= (before + 40) * 8


def test_two_presses_are_two_and_a_short_break_is_none() -> None:
    """Q.24: 40 ms apart, and they are two; a tone broken for 10 ms is one."""
    assert heard(np.concatenate([tone("5", 60), nothing(60), tone("5", 60), nothing(99)]))[0] == "55"
    assert heard(np.concatenate([tone("5", 60), nothing(10), tone("5", 60), nothing(99)]))[0] == "5"
    assert heard(np.concatenate([tone("*", 60), tone("9", 60), nothing(99)]))[0] == "*9"


@pytest.mark.parametrize("beside", [0.985, 0.99, 1.01, 1.015])
def test_frequencies_may_be_a_little_beside(beside: float) -> None:
    """Q.24: 1.5 % are accepted."""
    assert all(heard(np.concatenate([tone(key, 60, beside=beside), nothing(99)]))[0] == key for key in KEYS)


@pytest.mark.parametrize("beside", [0.965, 1.035])
def test_frequencies_far_beside_are_no_key(beside: float) -> None:
    """Q.24: 3.5 % are rejected."""
    assert not any(heard(np.concatenate([tone(key, 60, beside=beside), nothing(99)]))[0] for key in KEYS)


@pytest.mark.parametrize(("row", "column"), [(4000, 6300), (8000, 5000), (400, 400), (15000, 15000)])
def test_levels_and_twist(row: float, column: float) -> None:
    """Q.24: 4 dB of twist either way, quiet and loud."""
    assert all(heard(np.concatenate([tone(key, 60, row=row, column=column), nothing(99)]))[0] == key for key in KEYS)


def test_keys_are_heard_in_noise() -> None:
    """At 15 dB above the noise of a line every key is heard."""
    noise = np.random.default_rng(4733)
    for key in KEYS:
        samples = np.concatenate([nothing(50), tone(key, 80, row=3000, column=3000), nothing(99)])
        assert heard(samples + noise.normal(0, 530, len(samples)))[0] == key


@pytest.mark.parametrize("name", ["demonstration/voices/caller.wav", "demonstration/voices/desk.wav"])
@pytest.mark.parametrize("speed", [0.8, 0.9, 1.0, 1.1, 1.25])
def test_speech_is_no_key(name: str, speed: float) -> None:
    """Voices, faster and slower, at every pitch between a man's and a child's: nothing is told, nothing is masked."""
    samples, rate = soundfile.read(ROOT / name, dtype="float64")
    voice = soxr.resample(samples if samples.ndim == 1 else samples[:, 0], rate * speed, 8000) * 32767
    for loud in (0.3, 1.0):
        assert heard(voice * loud) == ("", [])


@given(st.integers(0, 2**32 - 1), st.floats(50, 12_000), st.lists(st.floats(200, 3400), max_size=6))
def test_noise_and_chords_are_no_key(seed: int, loudness: float, chord: list[float]) -> None:
    """Noise with tones anywhere in it is told as a key only where two of them are near one's."""
    noise = np.random.default_rng(seed)
    time = np.arange(8000) / 8000 * 2 * np.pi
    samples = noise.normal(0, loudness, 8000)
    for frequency in chord:
        samples += 3000 * np.sin(time * frequency + noise.uniform(0, 6))
    keys, _ = heard(samples)
    near = [any(abs(frequency / each - 1) < 0.06 for frequency in chord) for each in (*ROWS, *COLUMNS)]
    assert not keys or (any(near[:4]) and any(near[4:]))


@given(st.lists(st.binary(max_size=700), max_size=12), st.sampled_from(Law))
def test_whatever_bytes_come(stretches: list[bytes], law: Law) -> None:
    """Any bytes in any stretches: what is settled grows, never beyond what came, and is never masked afterwards."""
    detector, came, settled = ToneDetector(), 0, 0
    for voice in stretches:
        found = detector.take(voice, law)
        came += len(voice)
        assert all(settled <= first < until for first, until in found.spans if first >= 0 and settled > HELD_BACK)
        assert settled <= detector.settled <= came
        settled = detector.settled
