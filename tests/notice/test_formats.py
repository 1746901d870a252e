"""Issue 4, notices in every usual format: what is brought in is heard, and what cannot be says why."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile  # type: ignore[import-untyped]

from callrec.errors import OperatorError
from callrec.notice import NoticeAsset, NoticeLibrary
from callrec.notice.importing import Wording, import_notice
from callrec.notice.library import G722, MANIFEST, OPUS, SAMPLE_RATE
from callrec.notice.wideband import TONES, tone_sources
from callrec.rtp import BUSY, CONGESTION, NUMBER_UNOBTAINABLE, RINGBACK, Law, tone
from callrec.rtp.g711 import decode
from callrec.rtp.ogg import packets_of
from callrec.rtp.opus import packet_samples, unframed
from tests.support.sounds import ffmpeg_decoded, level_at

WORDING = Wording("sales", "We record this call. Press 9 to decline.")
HERTZ = 700


def take_in(source: Path, place: Path) -> NoticeAsset:
    library = NoticeLibrary([place])
    return import_notice(source, WORDING, library, place)


def sine(rate: int, channels: int, seconds: float = 2.0) -> np.ndarray:
    wave = 0.3 * np.sin(2 * np.pi * HERTZ * np.arange(int(rate * seconds)) / rate)
    return np.column_stack([wave] * channels)


def is_the_sine(asset: NoticeAsset) -> None:
    master, rate = soundfile.read(str(asset.directory / "notice.wav"), dtype="int16")
    assert rate == SAMPLE_RATE
    assert 2200 <= asset.duration_ms <= 2340  # MP3 and AAC may bring a little silence
    assert level_at(master[3200:16_000], rate, HERTZ) == pytest.approx(0.3 * 32768, rel=0.1)


@pytest.mark.parametrize(
    ("form", "subtype", "rate", "channels"),
    [
        ("WAV", "PCM_16", 8000, 1),
        ("WAV", "FLOAT", 96_000, 2),
        ("FLAC", "PCM_24", 44_100, 2),
        ("MP3", "MPEG_LAYER_III", 44_100, 2),
        ("OGG", "VORBIS", 22_050, 1),
        ("OGG", "OPUS", 48_000, 2),
        ("AIFF", "PCM_16", 32_000, 1),
    ],
)
def test_what_libsndfile_reads_needs_no_extra(
    tmp_path: Path, form: str, subtype: str, rate: int, channels: int
) -> None:
    """WAV, FLAC, MP3, Ogg Vorbis and Ogg Opus of any rate become a notice; the name of the file does not matter."""
    source = tmp_path / "notice"
    soundfile.write(str(source), sine(rate, channels), rate, format=form, subtype=subtype)
    is_the_sine(take_in(source, tmp_path / "notices"))


@pytest.mark.parametrize("suffix", ["m4a", "aac", "wma", "webm"])
def test_what_ffmpeg_reads_comes_in_with_the_extra(tmp_path: Path, suffix: str) -> None:
    """m4a, aac, wma and others through ffmpeg, which resamples."""
    soundfile.write(str(tmp_path / "in.wav"), sine(44_100, 2), 44_100)
    source = tmp_path / f"notice.{suffix}"
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(tmp_path / "in.wav"), str(source)], check=True, timeout=60)
    is_the_sine(take_in(source, tmp_path / "notices"))


@pytest.mark.parametrize("suffix", ["m4a", "aac", "wma", "webm"])
@pytest.mark.parametrize("missing", ["pydub", "ffmpeg"])
def test_what_is_missing_for_a_format_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, missing: str
) -> None:
    """One sentence: what was found, what it needs, what else would do."""
    soundfile.write(str(tmp_path / "in.wav"), sine(44_100, 2), 44_100)
    source = tmp_path / f"notice.{suffix}"
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(tmp_path / "in.wav"), str(source)], check=True, timeout=60)
    if missing == "pydub":
        monkeypatch.setitem(sys.modules, "pydub", None)
        needs = r"pip install 'callrec\[formats\]'"
    else:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert shutil.which("ffmpeg") is None
        needs = "apt install ffmpeg"
    with pytest.raises(OperatorError, match=f"only ffmpeg reads.*{needs}.*or convert it to WAV"):
        take_in(source, tmp_path / "notices")


@pytest.mark.parametrize("form", ["WAV", "MP3", "m4a"])
def test_a_long_file_is_refused_before_it_is_read_whole(tmp_path: Path, form: str) -> None:
    """Two minutes of music are no notice, in whatever format."""
    source = tmp_path / "music.wav"
    soundfile.write(str(source), sine(8000, 1, 120), 8000, format="WAV" if form == "m4a" else form)
    if form == "m4a":
        wave, source = source, tmp_path / "music.m4a"
        subprocess.run(["ffmpeg", "-v", "error", "-i", str(wave), str(source)], check=True, timeout=60)
    with pytest.raises(OperatorError, match="expected at most 60 s; cut it"):
        take_in(source, tmp_path / "notices")


def test_a_file_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    """A misspelt name and a folder are not "no audio"."""
    for source, why in ((tmp_path / "none.wav", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(OperatorError, match=f"cannot be read \\({why}"):
            take_in(source, tmp_path / "notices")


def test_a_notice_in_wide_band_is_what_an_independent_decoder_hears(tmp_path: Path) -> None:
    """RTP-6, NOT-7: G.722 and Opus of the same length as G.711, with the same sound after the same silence."""
    source = tmp_path / "in.wav"
    soundfile.write(str(source), sine(48_000, 1), 48_000)
    asset = take_in(source, tmp_path / "notices")
    assert asset.codecs == ("PCMA", "PCMU", "G722", "OPUS")
    packets = packets_of(asset.path_for("opus").read_bytes())
    assert {packet_samples(packet) for packet in packets} == {960}
    assert len(packets) * 20 == asset.duration_ms == len(asset.path_for("G722").read_bytes()) // 8
    decoded = {
        16_000: ffmpeg_decoded(asset.directory / G722, "-f", "g722", rate=16_000),
        48_000: ffmpeg_decoded(asset.directory / OPUS, rate=48_000),
    }
    for rate, samples in decoded.items():
        assert np.abs(samples[: rate * 15 // 100]).max() < 40
        assert level_at(samples[rate // 2 : 2 * rate], rate, HERTZ) == pytest.approx(0.3 * 32768, rel=0.05)


def test_a_version_of_an_older_callrec_is_played_in_g711(tmp_path: Path) -> None:
    """A manifest without the hashes of wide band is whole: nobody has to import again."""
    source = tmp_path / "in.wav"
    soundfile.write(str(source), sine(8000, 1), 8000)
    folder = take_in(source, tmp_path / "notices").directory
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["g722_sha256"], manifest["opus_sha256"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    for name in (G722, OPUS):
        (folder / name).unlink()
    asset = NoticeLibrary([tmp_path / "notices"]).find("sales")
    assert asset.codecs == ("PCMA", "PCMU")
    with pytest.raises(OperatorError, match="is there as PCMA, PCMU, not as opus"):
        asset.path_for("opus")


@pytest.mark.parametrize("kind", [RINGBACK, BUSY, CONGESTION, NUMBER_UNOBTAINABLE], ids=lambda kind: kind.name)
def test_tones_sound_the_same_in_wide_band(kind: object) -> None:
    """BT SIN 350: the rhythm and the pitch of a tone do not depend on the codec."""
    sources = tone_sources(kind)  # type: ignore[arg-type]
    period = np.frombuffer(decode(Law.A, tone(kind, Law.A)), "<i2")  # type: ignore[arg-type]
    repeats = len(sources["G722"]) // len(period)
    assert len(unframed(sources["OPUS"])) * 160 == len(sources["G722"]) == repeats * len(period)
    expected = _loudness(np.tile(period, repeats), 8000)
    name = kind.name  # type: ignore[attr-defined]
    for samples, rate in (
        (ffmpeg_decoded(TONES / f"{name}.g722", "-f", "g722", rate=16_000), 16_000),
        (ffmpeg_decoded(TONES / f"{name}.opus", rate=48_000), 48_000),
    ):
        found = _loudness(samples, rate)[: len(expected)]
        # By windows of 25 ms, without those in which it begins or ends: a codec delays by some milliseconds.
        steady = [
            index
            for index in range(2, len(expected) - 1)
            if np.ptp(expected[index - 1 : index + 2]) < 400  # 50 Hz beat within a burst of two frequencies
        ]
        assert len(steady) > len(expected) // 2
        assert np.abs(found - expected)[steady].max() < 600


def _loudness(samples: np.ndarray, rate: int) -> np.ndarray:
    windows = samples[: len(samples) // (rate // 40) * (rate // 40)].reshape(-1, rate // 40).astype(float)
    return np.sqrt(np.mean(windows**2, axis=1))
