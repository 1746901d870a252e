"""A helper process that renders one recording: a JSON job on stdin, JSON lines on stdout, low priority, no arguments.

Job: `recording_id`, `paths` (of all parts), `audio_key` (base64), `format` (`wav`, `flac`, `mp3`, `opus`, `pcapng`;
`levels` for a meter; `summary` for length and segments only), and where sound goes: `to` (a path) or `fd` (a number).

Lines: `{"type": "progress", "done", "total"}` in bytes, `{"type": "level", "second", "left_dbfs", "right_dbfs"}`, and
at the end `{"type": "done", …}` or `{"type": "error", "message"}`. The exit code is that of the `callrec` command.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from dataclasses import asdict
from typing import Any, TextIO

from callrec.errors import ExitCode, IntegrityError, OperatorError
from callrec.vault.export import export_file, export_to
from callrec.vault.export_order import LEVELS, SUMMARY, ExportFormat, ExportJob
from callrec.vault.part_reader import RecordingReader
from callrec.vault.rendering import Renderer, Summary, levels, summarise

NICE = 10
_PROGRESS_INTERVAL_S = 0.2


class _Teller:
    """Prints JSON lines, progress not too often."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._next_s = 0.0

    def tell(self, kind: str, **fields: Any) -> None:
        """Print one line."""
        self._out.write(json.dumps({"type": kind, **fields}) + "\n")
        self._out.flush()

    def progress(self, done: int, total: int) -> None:
        """Print how far the work is, if that was not told just now."""
        now = time.monotonic()
        if now >= self._next_s:
            self._next_s = now + _PROGRESS_INTERVAL_S
            self.tell("progress", done=done, total=total)


def run(job: ExportJob, teller: _Teller) -> Summary:
    """Do a job.

    Raises:
        IntegrityError: if the recording does not verify.
        OSError: if a file cannot be read or written.
        OperatorError: if a part is not there, or the job says not where to.
    """
    with _open(job) as reader:
        if job.form == SUMMARY:
            return summarise(reader)
        if job.form == LEVELS:
            renderer = Renderer(reader)
            for level in levels(renderer.blocks(), renderer.rate):
                teller.tell("level", **asdict(level))
            return renderer.summary
        if job.to is not None:
            return export_file(reader, ExportFormat(job.form), job.to, teller.progress)
        if job.fd is not None:
            return export_to(reader, ExportFormat(job.form), job.fd, teller.progress)
        raise OperatorError("export job: found neither `to` nor `fd`, expected one of them", exit_code=ExitCode.USAGE)


def _open(job: ExportJob) -> RecordingReader:
    try:
        return RecordingReader(job.paths, job.audio_key, job.recording_id)
    except FileNotFoundError as error:
        message = f"recording {job.recording_id}: its file is not there: {error.filename}"
        raise OperatorError(message, exit_code=ExitCode.NOT_FOUND) from None


def main(source: TextIO = sys.stdin, out: TextIO = sys.stdout) -> int:
    """Read a job, do it, tell the outcome, and return the exit code."""
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold voice and key in clear
    teller = _Teller(out)
    try:
        summary = run(ExportJob.from_json(source.read()), teller)
        teller.tell("done", **_told(summary))
    except BrokenPipeError:
        return ExitCode.FAILED  # nobody listens any more
    except IntegrityError as error:
        return _failed(teller, str(error), ExitCode.INTEGRITY)
    except OperatorError as error:
        return _failed(teller, str(error), error.exit_code)
    except OSError as error:
        return _failed(teller, str(error), ExitCode.FAILED)
    return ExitCode.DONE


def _told(summary: Summary) -> dict[str, Any]:
    return {
        "duration_ms": summary.duration_ms,
        "cut": summary.cut,
        "segments": [asdict(segment) for segment in summary.segments],
        "outside": asdict(summary.outside),
        "ours": asdict(summary.ours),
        "warnings": list(summary.warnings),
    }


def _failed(teller: _Teller, message: str, code: ExitCode) -> int:
    teller.tell("error", message=message, exit_code=int(code))
    return code


if __name__ == "__main__":
    sys.exit(main())
