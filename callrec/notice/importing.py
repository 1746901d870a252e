"""Take a notice in: any audio becomes one immutable version in every codec callers are answered with (NOT-7, NOT-8)."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callrec.errors import ExitCode, OperatorError
from callrec.notice.library import (
    ALAW,
    FALLBACK_LANGUAGE,
    G722,
    LANGUAGE,
    MANIFEST,
    MASTER,
    NOTICE_ID,
    OPUS,
    PACKET_SAMPLES,
    SAMPLE_RATE,
    ULAW,
    NoticeAsset,
    NoticeLibrary,
)
from callrec.notice.reading import read_sound
from callrec.notice.wideband import g722_of, opus_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float64]

LEAD_IN_MS = 200
"""NOT-7: silence before the first word, so that a slow path does not clip it."""

SHORTEST_S = 1.0
LONGEST_S = 60.0
QUIETEST_DB = -45.0
"""RMS below full scale; a notice that nobody can hear is none. Speech on the telephone lies around -20."""

_MODE_FILE = 0o644
_MODE_FOLDER = 0o755


@dataclass(frozen=True, slots=True)
class Wording:
    """What a notice says, and in which language."""

    id: str
    text: str
    language: str = FALLBACK_LANGUAGE

    def check(self) -> None:
        """Refuse an id, language or text that cannot be used.

        Raises:
            OperatorError: with exit code 2.
        """
        if not NOTICE_ID.fullmatch(self.id):
            raise _misuse(f"--id: found {self.id!r}, expected small letters, digits and hyphens, such as sales-notice")
        if not LANGUAGE.fullmatch(self.language):
            raise _misuse(f"--language: found {self.language!r}, expected a language tag such as en-GB or cy")
        if not self.text.strip():
            raise _misuse(
                "--text: found nothing, expected the wording that is spoken: it is the proof of what was said"
            )


def import_notice(source: Path, wording: Wording, library: NoticeLibrary, directory: Path) -> NoticeAsset:
    """Store an audio file as the next version of a notice under `directory`, and return it verified.

    Raises:
        OperatorError: if the file is no audio, too short, too long or silent (1), the wording is unusable (2), or
            the directory cannot be written (1).
    """
    wording.check()
    samples = _framed(_telephone_audio(source))
    parent = directory / wording.id
    try:
        _make_folder(parent)
        _write_version(samples, wording, library, parent)
    except OSError as error:
        message = f"{parent} cannot be written ({error.strerror}); run the command as the user that owns it"
        raise OperatorError(message) from None
    return NoticeLibrary((directory,)).find(wording.id, wording.language)


def _write_version(samples: Samples, wording: Wording, library: NoticeLibrary, parent: Path) -> None:
    """Write the version under another name and rename the folder, so that half a notice is never found."""
    aside = parent / f".{secrets.token_hex(8)}.partial"
    aside.mkdir()
    aside.chmod(_MODE_FOLDER)  # whatever the umask: the recorder runs as another user
    try:
        _write_audio(samples, aside)
        version = library.next_version(wording.id)
        while True:
            _write(aside / MANIFEST, _manifest(samples, wording, version, aside))
            try:
                aside.rename(parent / str(version))
            except OSError:
                if not (parent / str(version)).exists():
                    raise
                version += 1  # another import was quicker
            else:
                break
        _sync_directory(parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _make_folder(folder: Path) -> None:
    for path in (folder.parent, folder):
        if not path.exists():
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(_MODE_FOLDER)


def _telephone_audio(source: Path) -> Samples:
    """Return the file's audio as one channel at 8 kHz, checked for length and loudness."""
    sound = read_sound(source, LONGEST_S)
    _check_length(source, len(sound.samples) / sound.rate)
    _check_loudness(source, sound.samples)
    return _resampled(sound.samples, sound.rate)


def _resampled(mono: Samples, rate: int) -> Samples:
    import numpy as np  # noqa: PLC0415  only an import needs it
    import soxr  # type: ignore[import-untyped]  # noqa: PLC0415

    if rate == SAMPLE_RATE:
        return mono
    # The filter overshoots a little where the source is near full scale.
    resampled: Samples = soxr.resample(mono, rate, SAMPLE_RATE, quality="VHQ")
    return np.clip(resampled, -1.0, 1.0)


def _check_length(source: Path, seconds: float) -> None:
    if not SHORTEST_S <= seconds <= LONGEST_S:
        expected = f"expected {SHORTEST_S:.0f} to {LONGEST_S:.0f} s"
        raise OperatorError(f"{source}: found {seconds:.1f} s of audio, {expected}; cut or record it again")


def _check_loudness(source: Path, mono: Samples) -> None:
    import numpy as np  # noqa: PLC0415  only an import needs it

    level = 20 * float(np.log10(np.sqrt(np.mean(np.square(mono))) + 1e-9))
    if not level >= QUIETEST_DB:
        expected = f"expected speech above {QUIETEST_DB:.0f} dB"
        raise OperatorError(f"{source}: found silence ({level:.0f} dB below full scale), {expected}; record it again")


def _framed(samples: Samples) -> Samples:
    """Return the audio after the lead-in, filled up with silence to whole packets."""
    import numpy as np  # noqa: PLC0415  only an import needs it

    lead_in = SAMPLE_RATE * LEAD_IN_MS // 1000
    tail = -(lead_in + len(samples)) % PACKET_SAMPLES
    return np.concatenate((np.zeros(lead_in), samples, np.zeros(tail)))


def _write_audio(samples: Samples, folder: Path) -> None:
    import soundfile  # type: ignore[import-untyped]  # noqa: PLC0415  60 ms that only an import needs to pay

    # From the 16-bit master, so that the encodings can be made again from what is kept (NOT-15).
    soundfile.write(str(folder / MASTER), samples, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    master, _ = soundfile.read(str(folder / MASTER), dtype="int16")
    soundfile.write(str(folder / ALAW), master, SAMPLE_RATE, format="RAW", subtype="ALAW")
    soundfile.write(str(folder / ULAW), master, SAMPLE_RATE, format="RAW", subtype="ULAW")
    (folder / G722).write_bytes(g722_of(master))
    (folder / OPUS).write_bytes(opus_of(master))
    for name in (MASTER, ALAW, ULAW, G722, OPUS):
        _sync_file(folder / name)


def _manifest(samples: Samples, wording: Wording, version: int, folder: Path) -> bytes:
    content: dict[str, Any] = {
        "id": wording.id,
        "version": version,
        "language": wording.language,
        "text": wording.text,
        "text_sha256": hashlib.sha256(wording.text.encode()).hexdigest(),
        "audio_sha256": _sha256(folder / MASTER),
        "alaw_sha256": _sha256(folder / ALAW),
        "ulaw_sha256": _sha256(folder / ULAW),
        "g722_sha256": _sha256(folder / G722),
        "opus_sha256": _sha256(folder / OPUS),
        "duration_ms": len(samples) * 1000 // SAMPLE_RATE,
    }
    return json.dumps(content, ensure_ascii=False, indent=2).encode() + b"\n"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    _sync_file(path)


def _sync_file(path: Path) -> None:
    path.chmod(_MODE_FILE)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _misuse(message: str) -> OperatorError:
    return OperatorError(message, exit_code=ExitCode.USAGE)
