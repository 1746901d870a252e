"""What a person takes away is the voice as it was sent, and appears whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile  # type: ignore[import-untyped]  # publishes no types

from callrec.errors import ExitCode, IntegrityError, OperatorError
from callrec.rtp.g711 import Law, encode
from callrec.vault.atomic_file import atomic_file
from callrec.vault.export import ExportFormat, export_file, export_to
from callrec.vault.export_job import LEVELS, SUMMARY, ExportJob
from callrec.vault.recording_format import CodecEntry, Direction, Mark, codec_map_body, encode_mark
from callrec.vault.rendering import render
from tests.support.sounds import g722, opus_packets, speech
from tests.vault.recording_support import (
    AUDIO_KEY,
    RECORDING,
    STARTED_AT_NS,
    Packet,
    open_recording,
    ours,
    stream,
    voice,
    write_recording,
)

SOUND = [form for form in ExportFormat if form is not ExportFormat.PCAPNG]
PACKETS = stream(voice(12, 1)) + ours(stream(voice(12, 2)))


@pytest.fixture(name="paths")
def _paths(tmp_path: Path) -> list[Path]:
    return write_recording(tmp_path / "recordings", PACKETS, end_us=12_500_000)


@pytest.mark.parametrize("form", [ExportFormat.WAV, ExportFormat.FLAC])
def test_lossless_formats_hold_every_sample(paths: list[Path], tmp_path: Path, form: ExportFormat) -> None:
    """WAV and FLAC are 16-bit stereo at 8 kHz and hold exactly what was rendered."""
    target = tmp_path / f"call.{form}"
    with open_recording(paths) as reader:
        expected = render(reader)
        told: list[tuple[int, int]] = []
        summary = export_file(reader, form, target, lambda done, total: told.append((done, total)))
    samples, rate = soundfile.read(target, dtype="int16")
    assert rate == 8000
    assert np.array_equal(samples[:, 0], expected.left)
    assert np.array_equal(samples[:, 1], expected.right)
    assert summary == expected.summary
    assert told[-1][0] == told[-1][1] == paths[0].stat().st_size
    assert soundfile.info(target).subtype == "PCM_16"


@pytest.mark.parametrize("form", [ExportFormat.MP3, ExportFormat.OPUS])
def test_lossy_formats_keep_length_and_sides(tmp_path: Path, form: ExportFormat) -> None:
    """MP3 and Opus have the length of the call, each voice on its own side."""
    silence = b"\xd5" * 160
    packets = [*stream(voice(3)), *ours(stream(silence * 150))]
    target = tmp_path / f"call.{form}"
    with open_recording(write_recording(tmp_path, packets)) as reader:
        export_file(reader, form, target)
    samples, rate = soundfile.read(target)
    assert abs(len(samples) / rate - 3) < 0.15
    loud, quiet = np.sqrt(np.mean(samples**2, axis=0))
    assert loud > 0.1
    assert quiet < 0.02


@pytest.mark.parametrize("form", [ExportFormat.MP3, ExportFormat.OPUS])
@pytest.mark.parametrize("codec", ["PCMA", "G722", "opus"])
def test_lossy_formats_hold_the_voices_in_their_places(tmp_path: Path, form: ExportFormat, codec: str) -> None:
    """Each voice 15 dB above what the encoder does to it, at the instant it was said, of its length, and untagged."""
    said = [spoken(codec, seed) for seed in (1, 2)]
    packets: list[Packet | bytes] = [*said[0][0], *ours(said[1][0])]
    marks = [encode_mark(Mark.CODECS, 0, codec_map_body(way, [said[0][1]])) for way in Direction]
    target = tmp_path / f"call.{form}"
    with open_recording(write_recording(tmp_path, [*marks, *packets], end_us=4_000_000)) as reader:
        expected = render(reader)
        export_file(reader, form, target)
    with soundfile.SoundFile(target) as file:
        assert file.copy_metadata().keys() <= {"software"}
        rate = file.samplerate
        found = file.read(dtype="int16")
    assert rate == expected.rate
    assert abs(len(found) - len(expected.left)) <= rate // 100
    for heard, sound in ((found[:, 0], expected.left), (found[:, 1], expected.right)):
        length = min(len(heard), len(sound)) - rate // 2
        error = heard[:length].astype(float) - sound[:length]
        ratio = 10 * np.log10(np.mean(sound[:length].astype(float) ** 2) / np.mean(error**2))
        assert ratio > 15, f"{ratio:.1f} dB"


def spoken(codec: str, seed: int) -> tuple[list[Packet], CodecEntry]:
    """Return four seconds of a voice in packets, and how a codec map calls them."""
    match codec:
        case "PCMA":
            return stream(encode(Law.A, speech(4, 8000, seed).tobytes())), CodecEntry(8, "PCMA", 8000)
        case "G722":
            return stream(g722(speech(4, 16_000, seed)), payload_type=9), CodecEntry(9, "G722", 8000)
        case _:
            payloads = opus_packets(speech(4, 48_000, seed))
            packets = [
                Packet(index * 20_000, index, index * 960, payload, payload_type=111)
                for index, payload in enumerate(payloads)
            ]
            return packets, CodecEntry(111, "opus", 48_000, 2)


@pytest.mark.parametrize("form", list(ExportFormat))
def test_a_pipe_gets_what_a_file_gets(paths: list[Path], tmp_path: Path, form: ExportFormat) -> None:
    """Exporting into a pipe, which cannot be sought in, gives the same as into a file."""
    target = tmp_path / "call"
    with open_recording(paths) as reader:
        export_file(reader, form, target)
    reading, writing = os.pipe()
    received = bytearray()

    def drain() -> None:
        while data := os.read(reading, 1 << 16):
            received.extend(data)

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        with open_recording(paths) as reader:
            export_to(reader, form, writing)
    finally:
        os.close(writing)
        thread.join(30)
        os.close(reading)
    if form in (ExportFormat.MP3, ExportFormat.OPUS):  # an Ogg stream has a random number, and LAME varies by a bit
        piped = tmp_path / "piped"
        piped.write_bytes(received)
        assert soundfile.info(piped).frames == soundfile.info(target).frames > 90_000
    else:
        assert bytes(received) == target.read_bytes()


def blocks_of(capture: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the blocks of a pcapng file, checking both lengths of each."""
    position = 0
    while position < len(capture):
        kind, length = struct.unpack_from("<II", capture, position)
        assert length % 4 == 0
        assert capture[position + length - 4 : position + length] == struct.pack("<I", length)
        yield kind, capture[position + 8 : position + length - 4]
        position += length


def datagrams_of(capture: bytes) -> Iterator[tuple[int, str, int, bytes]]:
    """Yield arrival in microseconds, source address, port and payload of each UDP datagram."""
    for kind, body in blocks_of(capture):
        if kind != 6:
            continue
        _, high, low, captured, original = struct.unpack_from("<IIIII", body)
        assert captured == original
        datagram = body[20 : 20 + captured]
        words = struct.unpack("!10H", datagram[:20])
        total = sum(words)
        assert (total & 0xFFFF) + (total >> 16) == 0xFFFF, "the header's checksum is wrong"
        source = ".".join(str(part) for part in datagram[12:16])
        port, _, length, _ = struct.unpack("!HHHH", datagram[20:28])
        assert length == len(datagram) - 20
        yield high << 32 | low, source, port, datagram[28:]


def test_pcapng_holds_the_packets_as_received(tmp_path: Path) -> None:
    """Every stored packet is in the capture with its time, and SIP before it names the codecs of each direction."""
    packets = [*stream(voice(2), payload_type=96), *ours(stream(voice(2), payload_type=8))]
    changed = stream(voice(1), first_us=2_000_000, payload_type=97, sequence=1100, timestamp=16_000)
    opus, l16 = [CodecEntry(96, "opus", 48000, 2)], [CodecEntry(97, "L16", 8000)]
    marks = [
        encode_mark(Mark.CODECS, 0, codec_map_body(Direction.OUTSIDE, opus)),
        encode_mark(Mark.CODECS, 1_999_999, codec_map_body(Direction.OUTSIDE, l16)),
    ]
    target = tmp_path / "call.pcapng"
    with open_recording(write_recording(tmp_path, [*marks, *packets, *changed])) as reader:
        export_file(reader, ExportFormat.PCAPNG, target)
    found = list(datagrams_of(target.read_bytes()))
    stored = sorted([*packets, *changed], key=lambda packet: packet.at_us)
    rtp = [(at, source, payload) for at, source, port, payload in found if port == 40_000]
    assert rtp == [(STARTED_AT_NS // 1000 + packet.at_us, host(packet), packet.rtp()) for packet in stored]
    sip = [payload.decode() for _, _, port, payload in found if port == 5060]
    assert [text.split("\r\n")[0] for text in sip] == ["INVITE sip:ours@192.0.2.2 SIP/2.0", "SIP/2.0 200 OK"] * 2
    assert "a=rtpmap:8 PCMA/8000" in sip[0]
    assert "a=rtpmap:96 opus/48000/2" in sip[1]
    assert "a=rtpmap:97 L16/8000" in sip[3]
    for text in sip:
        head, body = text.split("\r\n\r\n", 1)
        assert f"Content-Length: {len(body)}" in head


def host(packet: Packet) -> str:
    return "192.0.2.1" if packet.direction == Direction.OUTSIDE else "192.0.2.2"


def test_pcapng_tells_wireshark_what_opus_and_g729_are(tmp_path: Path) -> None:
    """RFC 7587 7: Opus is opus/48000/2 whatever it holds; a codec that is not decoded here is there as received."""
    entries = [CodecEntry(111, "opus", 48_000), CodecEntry(18, "G729", 8000)]
    payloads = [bytes([number]) * 20 for number in range(5)]
    packets = [
        Packet(number * 20_000, number, number * 160, each, payload_type=18) for number, each in enumerate(payloads)
    ]
    mark = encode_mark(Mark.CODECS, 0, codec_map_body(Direction.OUTSIDE, entries))
    target = tmp_path / "call.pcapng"
    with open_recording(write_recording(tmp_path, [mark, *packets])) as reader:
        summary = export_file(reader, ExportFormat.PCAPNG, target)
    capture = target.read_bytes()
    assert b"a=rtpmap:111 opus/48000/2\r\n" in capture
    assert b"a=rtpmap:18 G729/8000\r\n" in capture
    assert all(payload in capture for payload in payloads)
    assert summary.warnings == ("outside party: 5 packets of G729 are silence here; export as pcapng to hear them",)


def test_a_damaged_recording_leaves_no_file(paths: list[Path], tmp_path: Path) -> None:
    """If the recording does not verify nothing new is there, and what was there before is unchanged."""
    content = bytearray(paths[0].read_bytes())
    content[-300] ^= 1
    paths[0].write_bytes(content)
    folder = tmp_path / "exports"
    folder.mkdir()
    kept = folder / "kept.wav"
    kept.write_bytes(b"kept")
    for target in (kept, folder / "new.wav"):
        with open_recording(paths) as reader, pytest.raises(IntegrityError):
            export_file(reader, ExportFormat.WAV, target)
    assert [path.name for path in folder.iterdir()] == ["kept.wav"]
    assert kept.read_bytes() == b"kept"


def test_a_file_appears_whole(tmp_path: Path) -> None:
    """While it is written nothing has the final name, or any; then it replaces what was there, mode 0600."""
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with atomic_file(target) as fd:
        os.write(fd, b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "none" / "file"):
        pass


# --- the helper process ---------------------------------------------------------------------------------------------


def helper(job: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "callrec.vault.export_job"]
    return subprocess.run(command, input=job, capture_output=True, text=True, timeout=60, check=False, **options)


def lines_of(process: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.stdout.splitlines()]


def test_a_helper_exports_to_a_path(paths: list[Path], tmp_path: Path) -> None:
    """A helper process writes the file, tells its progress and what it found, and exits 0."""
    target = tmp_path / "call.wav"
    process = helper(ExportJob(RECORDING, tuple(paths), AUDIO_KEY, "wav", to=target).to_json())
    assert process.returncode == ExitCode.DONE, process.stderr
    *progress, done = lines_of(process)
    assert progress[0]["type"] == "progress"
    assert (done["type"], done["duration_ms"], done["cut"]) == ("done", 12_500, False)
    assert done["segments"] == [{"start_ms": 0, "end_ms": 12_500, "state": "recorded", "reason": ""}]
    assert soundfile.info(target).frames == 100_000


def test_a_helper_exports_to_a_descriptor(paths: list[Path], tmp_path: Path) -> None:
    """A helper process writes to a descriptor that it was given."""
    with (tmp_path / "call.flac").open("wb") as file:
        job = ExportJob(RECORDING, tuple(paths), AUDIO_KEY, "flac", fd=file.fileno())
        process = helper(job.to_json(), pass_fds=[file.fileno()])
    assert process.returncode == ExitCode.DONE, process.stderr
    assert soundfile.info(tmp_path / "call.flac").frames == 100_000


def test_a_helper_tells_levels_and_summary(paths: list[Path]) -> None:
    """For a meter a helper tells each second; for a summary only the end."""
    levels = lines_of(helper(ExportJob(RECORDING, tuple(paths), AUDIO_KEY, LEVELS).to_json()))
    assert [line["second"] for line in levels if line["type"] == "level"] == list(range(13))
    summary = lines_of(helper(ExportJob(RECORDING, tuple(paths), AUDIO_KEY, SUMMARY).to_json()))
    assert [line["type"] for line in summary] == ["done"]
    assert summary[0]["outside"]["counters"]["packets"] == 600


def test_a_helper_fails_by_its_exit_code(paths: list[Path], tmp_path: Path) -> None:
    """Wrong key 7, no file 3, unwritable target 1, nonsense 2: each with one line that says what is wrong."""
    parts = tuple(paths)
    missing = ExportJob(RECORDING, (tmp_path / "none.crec",), AUDIO_KEY, "wav", to=tmp_path / "x")
    cases = [
        (ExportJob(RECORDING, parts, bytes(32), "wav", to=tmp_path / "x").to_json(), ExitCode.INTEGRITY),
        (missing.to_json(), ExitCode.NOT_FOUND),
        (ExportJob(RECORDING, parts, AUDIO_KEY, "wav", to=tmp_path / "none" / "x").to_json(), ExitCode.FAILED),
        (ExportJob(RECORDING, parts, AUDIO_KEY, "wav").to_json(), ExitCode.USAGE),
        ("{}", ExitCode.USAGE),
    ]
    for job, code in cases:
        process = helper(job)
        told = lines_of(process)
        assert (process.returncode, told[-1]["type"], told[-1]["exit_code"]) == (code, "error", code)
        assert process.stderr == ""
    assert not (tmp_path / "x").exists()


def test_a_killed_helper_leaves_nothing(tmp_path: Path) -> None:
    """A helper that is killed in the middle of its work leaves no half file, under no name."""
    paths = write_recording(tmp_path / "recordings", stream(voice(600)))
    folder = tmp_path / "exports"
    folder.mkdir()
    job = ExportJob(RECORDING, tuple(paths), AUDIO_KEY, "wav", to=folder / "call.wav")
    command = [sys.executable, "-m", "callrec.vault.export_job"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(job.to_json())
        process.stdin.close()
        assert "progress" in process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    assert list(folder.iterdir()) == []


def test_a_job_never_shows_its_key() -> None:
    """The key is in the JSON alone: not in the job's text form, nor in an error."""
    job = ExportJob(RECORDING, (Path("x"),), AUDIO_KEY, "wav", to=Path("y"))
    assert ExportJob.from_json(job.to_json()) == job
    assert repr(AUDIO_KEY)[2:20] not in repr(job)
    for broken in ("", "[]", '{"format": "wav"}', job.to_json().replace("wav", "avi")):
        with pytest.raises(OperatorError, match="export job"):
            ExportJob.from_json(broken)
