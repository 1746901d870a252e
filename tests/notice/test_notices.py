"""Notices: what a caller was given can be rebuilt from the record, and nothing that was changed is ever played."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile  # type: ignore[import-untyped]

from callrec.errors import ExitCode, OperatorError
from callrec.notice import NoticeLibrary
from callrec.notice.importing import LEAD_IN_MS, Wording, import_notice
from callrec.notice.library import ALAW, G722, MANIFEST, MASTER, OPUS, ULAW, shipped_directories

WORDING = Wording("sales", "We record this call. Press 9 to decline.")


def tone(path: Path, *, rate: int = 16_000, channels: int = 1, seconds: float = 2.0, level: float = 0.3) -> Path:
    wave = level * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)
    soundfile.write(str(path), np.column_stack([wave] * channels), rate, subtype="PCM_24")
    return path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "notices"


def take_in(source: Path, directory: Path, wording: Wording = WORDING) -> NoticeLibrary:
    library = NoticeLibrary([directory])
    import_notice(source, wording, library, directory)
    return library


@pytest.mark.parametrize(
    ("rate", "channels"), [(8000, 1), (8000, 2), (16_000, 1), (44_100, 2), (48_000, 1), (11_025, 1)]
)
def test_any_wav_becomes_g711_at_8_khz(tmp_path: Path, directory: Path, rate: int, channels: int) -> None:
    """NOT-7, NOT-8: 200 ms of silence, then the sound, in whole packets of 20 ms, as A-law and u-law."""
    asset = take_in(tone(tmp_path / "in.wav", rate=rate, channels=channels), directory).find("sales")
    assert (asset.version, asset.language, asset.duration_ms) == (1, "en-GB", 2200)
    for codec, subtype in (("PCMA", "ALAW"), ("PCMU", "ULAW")):
        content = asset.path_for(codec).read_bytes()
        assert len(content) == asset.duration_ms * 8 == 17_600
        assert hashlib.sha256(content).hexdigest() == asset.sha256_for(codec)
        decoded, _ = soundfile.read(
            str(asset.path_for(codec)), format="RAW", subtype=subtype, channels=1, samplerate=8000, dtype="float64"
        )
        lead_in = decoded[: 8 * LEAD_IN_MS - 40]
        assert np.max(np.abs(lead_in)) < 0.001
        spectrum = np.abs(np.fft.rfft(decoded[2000:10_000]))
        assert abs(int(np.argmax(spectrum)) - 440) <= 1
        assert 0.15 < float(np.sqrt(np.mean(decoded[2000:10_000] ** 2))) < 0.26


def test_a_tone_above_the_telephone_band_does_not_fold_back(tmp_path: Path, directory: Path) -> None:
    """Resampling filters: 5 kHz must not come back as 3 kHz."""
    rate = 16_000
    time = np.arange(rate * 2) / rate
    soundfile.write(
        str(tmp_path / "in.wav"), 0.3 * np.sin(2 * np.pi * 440 * time) + 0.3 * np.sin(2 * np.pi * 5000 * time), rate
    )
    asset = take_in(tmp_path / "in.wav", directory).find("sales")
    samples, _ = soundfile.read(str(asset.directory / MASTER))
    spectrum = np.abs(np.fft.rfft(samples[2000:10_000]))
    assert spectrum[2990:3010].max() < spectrum[435:445].max() / 1000


def test_versions_count_up_and_older_ones_stay(tmp_path: Path, directory: Path) -> None:
    """NOT-8: a version is immutable; a call refers to the one that was played."""
    library = take_in(tone(tmp_path / "in.wav"), directory)
    first = library.find("sales")
    before = {path: path.read_bytes() for path in first.directory.iterdir()}
    take_in(tone(tmp_path / "in.wav", seconds=3), directory, Wording("sales", "New words."))
    assert (library.find("sales").version, library.find("sales").text) == (2, "New words.")
    assert {path: path.read_bytes() for path in first.directory.iterdir()} == before


def test_a_language_falls_back_to_english(tmp_path: Path, directory: Path) -> None:
    """NOT-8: Welsh where it is asked for and there, English else."""
    library = take_in(tone(tmp_path / "in.wav"), directory)
    take_in(tone(tmp_path / "in.wav"), directory, Wording("sales", "Rydym yn recordio.", "cy"))
    assert library.find("sales", "cy").version == 2
    assert library.find("sales", "cy").language == "cy"
    assert library.find("sales", "fr").language == "en-GB"


def test_an_import_on_top_of_a_shipped_notice_is_its_next_version(tmp_path: Path, directory: Path) -> None:
    """The highest version counts, wherever it lies, and no number is used twice."""
    shipped = tmp_path / "shipped"
    take_in(tone(tmp_path / "in.wav"), shipped)
    library = NoticeLibrary([directory, shipped])
    asset = import_notice(tone(tmp_path / "in.wav"), Wording("sales", "Ours."), library, directory)
    assert (asset.version, library.find("sales").text) == (2, "Ours.")


@pytest.mark.parametrize("name", [MASTER, ALAW, ULAW, G722, OPUS, MANIFEST])
@pytest.mark.parametrize("damage", ["changed", "gone", "shortened"])
def test_what_was_changed_after_import_is_never_played(tmp_path: Path, directory: Path, name: str, damage: str) -> None:
    """Hashes are checked on every load; the error names the file and how to mend it."""
    library = take_in(tone(tmp_path / "in.wav"), directory)
    path = library.find("sales").directory / name
    if damage == "gone":
        path.unlink()
    elif damage == "shortened":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.raises(OperatorError, match=r"^notice_invalid: .*callrec notice import"):
        library.find("sales")


@pytest.mark.parametrize(
    "change", [{"text": "Other words."}, {"version": 2}, {"id": "other"}, {"duration_ms": 2000}, {"version": True}]
)
def test_a_manifest_that_says_something_else_is_refused(
    tmp_path: Path, directory: Path, change: dict[str, object]
) -> None:
    """The wording is evidence: it cannot be replaced under the same version."""
    library = take_in(tone(tmp_path / "in.wav"), directory)
    manifest = library.find("sales").directory / MANIFEST
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **change}))
    with pytest.raises(OperatorError, match="notice_invalid"):
        library.find("sales")


def test_an_unknown_notice_says_which_are_there(tmp_path: Path, directory: Path) -> None:
    """A misspelt id is found at once."""
    library = take_in(tone(tmp_path / "in.wav"), directory)
    with pytest.raises(OperatorError, match=r"no notice 'sale' \(known: sales\)"):
        library.find("sale")


@pytest.mark.parametrize("content", [b"", b"This is no audio.", b"RIFF\x24\x00\x00\x00WAVEfmt ", bytes(5000)])
def test_a_file_without_audio_says_what_to_do(tmp_path: Path, directory: Path, content: bytes) -> None:
    """Exit code 1, one sentence, and nothing is left behind."""
    source = tmp_path / "notice.wav"
    source.write_bytes(content)
    with pytest.raises(OperatorError, match=r"no audio found in it.*record the notice as WAV"):
        take_in(source, directory)
    assert not directory.exists()


@pytest.mark.parametrize(
    ("sound", "message"),
    [
        ({"seconds": 0.5}, "found 0.5 s of audio, expected 1 to 60 s"),
        ({"seconds": 61, "rate": 8000}, "found 61.0 s"),
        ({"level": 0.0}, "found silence"),
        ({"level": 0.002}, "found silence"),
    ],
)
def test_what_nobody_could_hear_is_refused(
    tmp_path: Path, directory: Path, sound: dict[str, float], message: str
) -> None:
    """A notice has one second to a minute of audible sound."""
    with pytest.raises(OperatorError, match=message):
        take_in(tone(tmp_path / "in.wav", **sound), directory)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wording",
    [
        Wording("", "x"),
        Wording("../x", "x"),
        Wording("Sales", "x"),
        Wording("a b", "x"),
        Wording("a", " "),
        Wording("a", "x", "?"),
    ],
)
def test_an_unusable_wording_is_exit_code_2(tmp_path: Path, directory: Path, wording: Wording) -> None:
    """An id becomes a folder: no path may hide in it."""
    with pytest.raises(OperatorError) as told:
        take_in(tone(tmp_path / "in.wav"), directory, wording)
    assert told.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("notice", "least_ms", "most_ms", "words"),
    [
        (
            "training-and-monitoring",
            8000,
            12_000,
            ("Better Comms", "record", "training and monitoring", "press 9", "website"),
        ),
        ("opt-out-confirmed", 1000, 5000, ("not being recorded",)),
        ("not-available", 1000, 10_000, ("not available",)),
    ],
)
def test_the_shipped_notices_are_whole_and_say_what_they_must(
    notice: str, least_ms: int, most_ms: int, words: tuple[str, ...]
) -> None:
    """NOT-9: who records, the fact, the purposes, the opt-out key, where the privacy notice is; 8 to 12 s."""
    asset = NoticeLibrary(shipped_directories()).find(notice)
    assert least_ms <= asset.duration_ms <= most_ms
    for word in words:
        assert word in asset.text
    samples, rate = soundfile.read(str(asset.directory / MASTER))
    assert rate == 8000
    assert 0.02 < float(np.sqrt(np.mean(samples**2))) < 0.3
    assert float(np.max(np.abs(samples))) < 0.99
