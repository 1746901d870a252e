"""The notices a recorder can play: each version a folder with a manifest, the wording and the audio (NOT-8).

    <notices>/<id>/<version>/manifest.json  notice.wav  notice.alaw  notice.ulaw  notice.g722  notice.opus

`notice.alaw`, `notice.ulaw` and `notice.g722` are G.711 and G.722 without any header, as they go into RTP packets;
`notice.opus` is an Ogg Opus file (RFC 7845) of packets of 20 ms. All begin with 200 ms of silence (NOT-7) and fill
whole packets of 20 ms. A version imported by an older callrec lacks the last two: it is played to G.711 alone.
A version never changes; a new wording or recording is a new version.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callrec.errors import OperatorError

MANIFEST = "manifest.json"
MASTER = "notice.wav"
ALAW = "notice.alaw"
ULAW = "notice.ulaw"
G722 = "notice.g722"
OPUS = "notice.opus"
FALLBACK_LANGUAGE = "en-GB"
"""NOT-8: what is played where the language asked for is not there."""

NOTICE_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")

SAMPLE_RATE = 8000
PACKET_SAMPLES = 160
"""20 ms at 8 kHz."""

_ENCODINGS = {
    "PCMA": (ALAW, "alaw_sha256"),
    "PCMU": (ULAW, "ulaw_sha256"),
    "G722": (G722, "g722_sha256"),
    "OPUS": (OPUS, "opus_sha256"),
}
"""For each codec, by its name in capitals, the file and the field of the manifest that holds its hash."""

_INSTALLED_IN = (Path("/usr/local/share/callrec/notices"), Path("/usr/share/callrec/notices"))
_FIELDS: dict[str, type] = {
    "id": str,
    "version": int,
    "language": str,
    "text": str,
    "text_sha256": str,
    "audio_sha256": str,
    "alaw_sha256": str,
    "ulaw_sha256": str,
    "duration_ms": int,
}
_OPTIONAL = ("g722_sha256", "opus_sha256")


@dataclass(frozen=True, slots=True)
class NoticeAsset:
    """One version of a notice, as verified on load."""

    id: str
    version: int
    language: str
    text: str
    """The wording, exactly as spoken."""
    text_sha256: str
    """Hexadecimal SHA-256 of the wording in UTF-8."""
    audio_sha256: str
    """Hexadecimal SHA-256 of `notice.wav`, from which both encodings were made."""
    alaw_sha256: str
    ulaw_sha256: str
    duration_ms: int
    """What the caller hears, from the first packet to the end of the last; a multiple of 20."""
    directory: Path
    g722_sha256: str = ""
    """Empty where the version is not there in this codec."""
    opus_sha256: str = ""

    @property
    def codecs(self) -> tuple[str, ...]:
        """Return the codecs in which this version can be played, by their names in capitals."""
        return tuple(codec for codec, (_, field) in _ENCODINGS.items() if getattr(self, field))

    @property
    def path_alaw(self) -> Path:
        """Return the file with the notice as A-law, 8000 bytes a second."""
        return self.directory / ALAW

    @property
    def path_ulaw(self) -> Path:
        """Return the file with the notice as u-law, 8000 bytes a second."""
        return self.directory / ULAW

    def path_for(self, codec: str) -> Path:
        """Return the file for an RTP encoding name, such as `PCMA` or `opus`.

        Raises:
            OperatorError: if this version is not there in that codec.
        """
        if codec.upper() not in self.codecs:
            raise OperatorError(f"notice {self.id} is there as {', '.join(self.codecs)}, not as {codec}")
        return self.directory / _ENCODINGS[codec.upper()][0]

    def sha256_for(self, codec: str) -> str:
        """Return the SHA-256 of what is sent in a codec, for the evidence of a play (NOT-13 `asset_sha256`)."""
        _, field = _ENCODINGS.get(codec.upper(), _ENCODINGS["PCMA"])
        return str(getattr(self, field))


class NoticeLibrary:
    """Notices in one or more directories; the highest version of a notice counts, wherever it lies."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self._directories = tuple(directories)

    @classmethod
    def of_state(cls, state: Path) -> NoticeLibrary:
        """Return the notices imported under `<state>/notices` and those shipped with callrec."""
        return cls((state / "notices", *shipped_directories()))

    def find(self, notice_id: str, language: str = FALLBACK_LANGUAGE) -> NoticeAsset:
        """Return the newest version of a notice in a language, else in British English, after checking its hashes.

        Raises:
            OperatorError: beginning with `notice_invalid`, if there is none or its files are not what was imported.
        """
        folders = sorted(self._folders(notice_id), reverse=True)
        assets = [_manifest_of(folder) for _, folder in folders]
        for wanted in (language, FALLBACK_LANGUAGE):
            for asset in assets:
                if asset.language.casefold() == wanted.casefold():
                    return _verified(asset, notice_id)
        raise OperatorError(self._why_not(notice_id, language, [asset.language for asset in assets]))

    def newest(self) -> list[NoticeAsset]:
        """Return the newest version of every notice in each of its languages, unverified, in the order of ids."""
        found: dict[tuple[str, str], NoticeAsset] = {}
        for notice_id in self.ids():
            for _, folder in sorted(self._folders(notice_id)):
                asset = _manifest_of(folder)
                found[notice_id, asset.language.casefold()] = asset
        return list(found.values())

    def ids(self) -> list[str]:
        """Return the ids of all notices, in order."""
        names = {path.parent.name for directory in self._directories for path in directory.glob("*/*/")}
        return sorted(name for name in names if NOTICE_ID.fullmatch(name))

    def next_version(self, notice_id: str) -> int:
        """Return the number the next version of a notice gets; a number is never used twice."""
        return max((version for version, _ in self._folders(notice_id)), default=0) + 1

    def _folders(self, notice_id: str) -> Iterator[tuple[int, Path]]:
        if not NOTICE_ID.fullmatch(notice_id):
            return
        for directory in self._directories:
            for folder in (directory / notice_id).glob("*"):
                if folder.name.isdecimal() and folder.is_dir():
                    yield int(folder.name), folder

    def _why_not(self, notice_id: str, language: str, languages: list[str]) -> str:
        if languages:
            have = ", ".join(sorted(set(languages)))
            found = f"there is notice {notice_id!r} in {have}, and neither {language} nor {FALLBACK_LANGUAGE}"
        else:
            known = ", ".join(self.ids()) or "none"
            found = f"there is no notice {notice_id!r} (known: {known})"
        return f"notice_invalid: {found}; import it: callrec notice import FILE --id {notice_id} --text TEXT"


def shipped_directories() -> tuple[Path, ...]:
    """Return where the notices shipped with callrec may lie: beside a clone, inside the package, or installed."""
    package = Path(__file__).resolve().parent
    return (package.parent.parent / "config" / "notices", package / "shipped", *_INSTALLED_IN)


def _manifest_of(folder: Path) -> NoticeAsset:
    try:
        content = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise _invalid(folder, f"its {MANIFEST} cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise _invalid(folder, f"its {MANIFEST} is no JSON object")
    return NoticeAsset(
        **{name: _field(content, name, kind, folder) for name, kind in _FIELDS.items()},
        **{name: _field(content, name, str, folder) for name in _OPTIONAL if name in content},
        directory=folder,
    )


def _field(content: dict[str, Any], name: str, kind: type, folder: Path) -> Any:
    value = content.get(name)
    if type(value) is not kind:
        raise _invalid(folder, f"its {MANIFEST} has {name} = {value!r}, expected {kind.__name__}")
    return value


def _verified(asset: NoticeAsset, notice_id: str) -> NoticeAsset:
    if asset.id != notice_id or str(asset.version) != asset.directory.name:
        raise _invalid(asset.directory, f"its {MANIFEST} speaks of {asset.id} version {asset.version}")
    _compare(asset.directory, "its wording", asset.text.encode(), asset.text_sha256)
    encodings = [_ENCODINGS[codec] for codec in asset.codecs]
    for name, expected in ((MASTER, asset.audio_sha256), *((name, getattr(asset, field)) for name, field in encodings)):
        try:
            content = (asset.directory / name).read_bytes()
        except OSError as error:
            raise _invalid(asset.directory, f"{name} cannot be read ({error.strerror})") from None
        _compare(asset.directory, name, content, expected)
        if name not in {MASTER, OPUS} and len(content) * 1000 != asset.duration_ms * SAMPLE_RATE:
            raise _invalid(asset.directory, f"{name} has {len(content)} bytes for {asset.duration_ms} ms")
    return asset


def _compare(folder: Path, what: str, content: bytes, expected: str) -> None:
    if hashlib.sha256(content).hexdigest() != expected:
        raise _invalid(folder, f"{what} is not what was imported (SHA-256 differs)")


def _invalid(folder: Path, found: str) -> OperatorError:
    advice = "import the notice again: callrec notice import FILE --id ID --text TEXT"
    return OperatorError(f"notice_invalid: {folder}: {found}; {advice}")
