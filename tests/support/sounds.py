"""Voices in every codec for tests, and decoders of another house."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from G722 import G722

from callrec.rtp.ogg import packets_of

Samples = npt.NDArray[np.int16]


def speech(seconds: float, rate: int, seed: int = 1) -> Samples:
    """Return something like speech: a few moving tones, in syllables, that repeats nowhere."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    sound = np.zeros(len(time))
    for _ in range(5):
        frequency = random.uniform(200, 3000)
        sound += random.uniform(0.2, 1) * np.sin(2 * np.pi * frequency * time + 3 * np.sin(2 * np.pi * 0.7 * time))
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * random.uniform(2, 4) * time + random.uniform(0, 6))
    return (sound * syllables / np.abs(sound).max() * 12_000).astype(np.int16)


def tone(seconds: float, rate: int, frequency: float, amplitude: int = 8000) -> Samples:
    """Return a sine."""
    return (np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate) * amplitude).astype(np.int16)


def g722(samples: Samples) -> bytes:
    """Return G.722 of samples at 16 kHz."""
    return bytes(G722(16_000, 64_000).encode(samples.tolist()))


def opus_packets(samples: Samples, rate: int = 48_000) -> list[bytes]:
    """Return packets of 20 ms."""
    memory = os.memfd_create("opus")
    try:
        with soundfile.SoundFile(memory, "w", rate, 1, format="OGG", subtype="OPUS", closefd=False) as file:
            file.write(samples)
        return packets_of(os.pread(memory, os.fstat(memory).st_size, 0))
    finally:
        os.close(memory)


def ffmpeg_decoded(path: Path, *before: str, rate: int) -> Samples:
    """Return what ffmpeg, which shares no code with callrec, makes of a file."""
    command = ["ffmpeg", "-v", "error", *before, "-i", str(path), "-f", "s16le", "-ac", "1", "-ar", str(rate), "-"]
    return np.frombuffer(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout, "<i2")


def level_at(samples: npt.NDArray[np.int16], rate: int, frequency: float) -> float:
    """Return the amplitude of one frequency in samples."""
    time = np.arange(len(samples)) / rate
    return float(2 * np.abs(np.mean(samples * np.exp(-2j * np.pi * frequency * time))))
