"""Read an audio file somebody brings: what libsndfile reads at once, the rest through ffmpeg where it is installed.

WAV, FLAC, MP3, Ogg Vorbis, Ogg Opus and AIFF need nothing more; m4a, aac, wma and others the extra `formats`.
"""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from callrec.errors import OperatorError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float64]

READ_AT_ONCE = "WAV, FLAC, MP3, Ogg Vorbis or Ogg Opus"

# Beginnings of files that hold audio which only ffmpeg reads: offset, bytes.
_FOREIGN = (
    (4, b"ftyp"),  # m4a, mp4, 3gp
    (0, b"\x30\x26\xb2\x75"),  # wma
    (0, b"#!AMR"),
    (0, b"\x1a\x45\xdf\xa3"),  # webm, mka
    (0, b"\xff\xf1"),  # aac, MPEG-4
    (0, b"\xff\xf9"),  # aac, MPEG-2
    (0, b"RIFF"),  # a WAV in an unusual coding
)
_FOREIGN_SUFFIXES = frozenset({".m4a", ".aac", ".wma", ".mp4", ".amr", ".webm", ".mka", ".3gp", ".ac3"})
_MAGIC_BYTES = 12


@dataclass(frozen=True, slots=True)
class Sound:
    """What a file holds: one channel, full scale at 1.0."""

    samples: Samples
    rate: int


def read_sound(source: Path, longest_s: float) -> Sound:
    """Return a file's audio as one channel.

    Raises:
        OperatorError: if the file is not there, holds no audio, needs what is not installed, or is longer than
            `longest_s` seconds.
    """
    begins = _beginning(source)
    found = _by_libsndfile(source, longest_s)
    if found is None:
        found = _by_ffmpeg(source, begins, longest_s)
    if found is None:
        raise OperatorError(
            f"{source}: no audio found in it, expected {READ_AT_ONCE} (any rate, mono or stereo); "
            "record the notice as WAV and import that"
        )
    return found


def _beginning(source: Path) -> bytes:
    try:
        with source.open("rb") as file:
            return file.read(_MAGIC_BYTES)
    except OSError as error:
        raise OperatorError(
            f"{source}: cannot be read ({error.strerror}), expected an audio file: {READ_AT_ONCE}; "
            "look at the name and who may read it"
        ) from None


def _by_libsndfile(source: Path, longest_s: float) -> Sound | None:
    """Return what libsndfile reads, None where it cannot."""
    import soundfile  # type: ignore[import-untyped]  # noqa: PLC0415  60 ms that only an import needs to pay

    try:
        with soundfile.SoundFile(str(source)) as file:
            if file.frames > longest_s * file.samplerate:
                raise too_long(source, file.frames / file.samplerate, longest_s)
            return Sound(file.read(dtype="float64", always_2d=True).mean(axis=1), file.samplerate)
    except (soundfile.LibsndfileError, OSError, RuntimeError, TypeError, ValueError):
        return None


def too_long(source: Path, seconds: float, longest_s: float) -> OperatorError:
    """Return the error of a file that lasts too long for a notice."""
    return OperatorError(f"{source}: found {seconds:.1f} s of audio, expected at most {longest_s:.0f} s; cut it")


def _by_ffmpeg(source: Path, begins: bytes, longest_s: float) -> Sound | None:
    """Return what ffmpeg reads, None where it cannot.

    Raises:
        OperatorError: where this looks like such audio, and the extra or ffmpeg itself is not installed.
    """
    foreign = source.suffix.lower() in _FOREIGN_SUFFIXES
    foreign |= any(begins[offset:].startswith(magic) for offset, magic in _FOREIGN)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of a missing ffmpeg in its own words
            from pydub import AudioSegment  # type: ignore[import-untyped]  # noqa: PLC0415  an extra
            from pydub.exceptions import CouldntDecodeError  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError:
        return _missing(source, "the extra `formats`: pip install 'callrec[formats]'", foreign=foreign)
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        return _missing(source, "ffmpeg: apt install ffmpeg", foreign=foreign)
    try:
        # No more of a film than is needed to refuse it; at its own rate, for pydub's resampler has no filter.
        segment = AudioSegment.from_file(str(source), duration=longest_s + 1)
    except (CouldntDecodeError, OSError, IndexError, KeyError, ValueError):
        return None
    import numpy as np  # noqa: PLC0415  only an import needs it

    words = np.asarray(segment.get_array_of_samples(), np.float64).reshape(-1, segment.channels)
    samples: Samples = words.mean(axis=1) / float(1 << 8 * segment.sample_width - 1)
    if len(samples) > longest_s * segment.frame_rate:
        raise too_long(source, len(samples) / segment.frame_rate, longest_s)
    return Sound(samples, segment.frame_rate)


def _missing(source: Path, what: str, *, foreign: bool) -> Sound | None:
    """Return None, for nobody reads this; or raise what is needed where ffmpeg would."""
    if not foreign:
        return None
    raise OperatorError(
        f"{source}: found audio that only ffmpeg reads, and this needs {what}; or convert it to {READ_AT_ONCE}"
    )
