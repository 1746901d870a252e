"""What is asked of an export: light to import, because the recorder asks and only the helper process does it."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from callrec.errors import ExitCode, OperatorError

LEVELS, SUMMARY = "levels", "summary"


class ExportFormat(StrEnum):
    """What a recording can be exported as; the value is also the suffix of the file."""

    WAV = "wav"
    FLAC = "flac"
    MP3 = "mp3"
    OPUS = "opus"
    PCAPNG = "pcapng"


@dataclass(frozen=True, slots=True)
class ExportJob:
    """What a helper process is asked to do."""

    recording_id: str
    paths: tuple[Path, ...]
    audio_key: bytes = field(repr=False)
    form: str
    """A value of ExportFormat, or LEVELS or SUMMARY."""
    to: Path | None = None
    fd: int | None = None

    def to_json(self) -> str:
        """Return the job as a helper process reads it."""
        return json.dumps(
            {
                "recording_id": self.recording_id,
                "paths": [str(path) for path in self.paths],
                "audio_key": base64.b64encode(self.audio_key).decode(),
                "format": self.form,
                "to": str(self.to) if self.to is not None else None,
                "fd": self.fd,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> ExportJob:
        """Return the job that a JSON text holds.

        Raises:
            OperatorError: if it is malformed; the message never holds the key.
        """
        try:
            job = json.loads(text)
            form = job["format"]
            if form not in (*ExportFormat, LEVELS, SUMMARY):
                raise OperatorError(f"export job: found format {form!r}, expected wav, flac, mp3, opus or pcapng")
            return cls(
                recording_id=str(job["recording_id"]),
                paths=tuple(Path(path) for path in job["paths"]),
                audio_key=base64.b64decode(job["audio_key"], validate=True),
                form=form,
                to=Path(job["to"]) if job.get("to") is not None else None,
                fd=int(job["fd"]) if job.get("fd") is not None else None,
            )
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise OperatorError(
                "export job: found malformed JSON, expected an export job", exit_code=ExitCode.USAGE
            ) from None
