"""The vectors of docs/recording-format.md: each is read, read at offsets, and rewritten to the same bytes."""

from __future__ import annotations

import base64
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from callrec.errors import IntegrityError
from callrec.vault.part_reader import PartReader, RecordingReader, verify
from callrec.vault.part_writer import PartSpec, PartWriter
from callrec.vault.recording_format import Header, decode_records, derive_part_key

FOLDER = Path(__file__).parent.parent / "vectors" / "recording"


@dataclass(frozen=True)
class Vector:
    name: str
    expect: str
    segments: int
    recording: str
    audio_key: bytes
    parts: tuple[bytes, ...]

    @classmethod
    def load(cls, path: Path) -> Vector:
        head, body = path.read_text().split("\n\n", 1)
        fields = dict(line.split(": ", 1) for line in head.splitlines())
        parts = tuple(base64.b64decode(part) for part in body.split("---"))
        key = bytes.fromhex(fields["audio_key"])
        return cls(path.stem, fields["expect"], int(fields["segments"]), fields["recording"], key, parts)

    def write(self, folder: Path) -> list[Path]:
        paths = [folder / f"{number}.crec" for number in range(len(self.parts))]
        for path, part in zip(paths, self.parts, strict=True):
            path.write_bytes(part)
        return paths

    def open(self, folder: Path) -> RecordingReader:
        return RecordingReader(self.write(folder), self.audio_key, self.recording)


VECTORS = [Vector.load(path) for path in sorted(FOLDER.glob("*.txt"))]
READABLE = [vector for vector in VECTORS if vector.expect != "error"]
BROKEN = [vector for vector in VECTORS if vector.expect == "error"]


def named(vector: Vector) -> str:
    return vector.name


def test_every_kind_of_damage_has_a_vector() -> None:
    """The kinds of damage that the format promises to detect are all among the vectors."""
    names = {vector.name for vector in VECTORS}
    assert {"good", "cut-sealed", "swapped", "repeated", "flipped", "wrong-id", "wrong-key", "bad-magic"} <= names
    assert len(READABLE) >= 15
    assert len(BROKEN) >= 30


@pytest.mark.parametrize("vector", READABLE, ids=named)
def test_a_vector_is_read_as_it_says(vector: Vector, tmp_path: Path) -> None:
    """A readable vector gives its segments and says truly whether it is cut."""
    with vector.open(tmp_path) as reader:
        segments = list(reader.segments())
        assert len(segments) == vector.segments
        assert reader.cut is (vector.expect == "cut")
        for _, plaintext in segments:
            assert b"".join(record.encode() for record in decode_records(plaintext)) == plaintext


@pytest.mark.parametrize("vector", READABLE, ids=named)
def test_a_vector_is_read_at_offsets(vector: Vector, tmp_path: Path) -> None:
    """Reading from any segment on gives the same segments as reading from the first."""
    with vector.open(tmp_path) as reader:
        for part in reader.parts:
            whole = list(part.segments())
            for first in range(1, len(whole) + 1):
                assert list(part.segments(first)) == whole[first - 1 :]


@pytest.mark.parametrize("vector", READABLE, ids=named)
def test_a_vector_is_rewritten_to_the_same_bytes(vector: Vector, tmp_path: Path) -> None:
    """Writing what was read under the same salt gives the same bytes, up to what a cut part lost."""
    with vector.open(tmp_path) as reader:
        for number, part in enumerate(reader.parts):
            original = vector.parts[number]
            plaintexts = list(part.segments())
            assert part.end is not None
            rewritten = rewrite(part.header, plaintexts, vector.audio_key, tmp_path, sealed=not part.end.cut)
            assert rewritten == original[: len(original) - part.end.left_over]


def rewrite(header: Header, plaintexts: list[bytes], audio_key: bytes, folder: Path, *, sealed: bool) -> bytes:
    key = derive_part_key(audio_key, header.salt, header.recording_id, header.part)
    path = folder / f"again.{header.part}.partial"
    writer = PartWriter(PartSpec(header.recording_id, header.part, path, header.salt, key), header.started_at_ns)
    for plaintext in plaintexts[: len(plaintexts) - sealed]:
        writer.append(plaintext)
    if sealed:
        return writer.seal(plaintexts[-1]).path.read_bytes()
    writer.close()
    return path.read_bytes()


@pytest.mark.parametrize("vector", BROKEN, ids=named)
def test_damage_is_an_integrity_error(vector: Vector, tmp_path: Path) -> None:
    """A damaged vector raises IntegrityError, after no more segments than are authentic."""
    authentic = 0

    def read() -> None:
        nonlocal authentic
        with vector.open(tmp_path) as reader:
            for _ in reader.segments():
                authentic += 1
            for _ in reader.records():
                pass

    with pytest.raises(IntegrityError):
        read()
    assert authentic == vector.segments
    with pytest.raises(IntegrityError):
        verify(vector.write(tmp_path), vector.audio_key, vector.recording)


@pytest.mark.parametrize("vector", [v for v in READABLE if v.name == "good"], ids=named)
def test_a_segment_that_is_not_there_is_an_integrity_error(vector: Vector, tmp_path: Path) -> None:
    """Asking for a segment behind the last one raises IntegrityError."""
    path = vector.write(tmp_path)[0]
    with path.open("rb") as file, pytest.raises(IntegrityError, match="expected segment 9"):
        list(PartReader(file, path.name, vector.audio_key, vector.recording).segments(9))


def test_the_vectors_are_what_their_script_makes(tmp_path: Path) -> None:
    """The script, which shares no code with callrec, writes exactly the vectors that are kept."""
    script = tmp_path / "make.py"
    script.write_text((FOLDER / "make.py").read_text())
    subprocess.run([sys.executable, str(script)], check=True, timeout=60)
    made = {path.name: path.read_text() for path in tmp_path.glob("*.txt")}
    assert made == {path.name: path.read_text() for path in FOLDER.glob("*.txt")}
