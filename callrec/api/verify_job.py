"""A helper process that reads recordings to their end: `python -m callrec.api.verify_job`, low priority, no arguments.

Each line of standard input is a recording: `call_id`, `recording_id`, `audio_key` (hexadecimal) and `parts`, each with
`path`, `segments` (what the catalogue noted, or null) and `cut`. For each it prints one line: `type` recording,
`call_id`, `recording_id`, `state` (whole, cut, missing, damaged) and `found`, a sentence.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from callrec.errors import IntegrityError
from callrec.vault.part_reader import VerifiedRecording, verify

NICE = 10


def main() -> int:
    """Verify one recording after the other."""
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold voice and key in clear
    for line in sys.stdin:
        job = json.loads(line)
        state, found = verified(job)
        told = {"call_id": job["call_id"], "recording_id": job["recording_id"], "state": state, "found": found}
        sys.stdout.write(json.dumps({"type": "recording", **told}) + "\n")
        sys.stdout.flush()
    return 0


def verified(job: Mapping[str, Any]) -> tuple[str, str]:
    """Return the state of one recording and a sentence about it."""
    paths = [Path(part["path"]) for part in job["parts"]]
    try:
        result = verify(paths, bytes.fromhex(job["audio_key"]), job["recording_id"])
    except FileNotFoundError as error:
        return "missing", f"{error.filename} is missing; take it from a backup"
    except OSError as error:
        return "missing", f"{error.filename} cannot be read ({error.strerror})"
    except IntegrityError as error:
        return "damaged", str(error)
    return _compared(result, {Path(part["path"]).stem: part for part in job["parts"]})


def _compared(result: VerifiedRecording, noted: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """Compare the parts with what the catalogue noted: a cut part cannot know how long it was."""
    for part in result.parts:
        expected = noted[part.path.stem]
        if expected["segments"] is not None and part.end.segments != expected["segments"]:
            found = f"{part.path.name}: found {part.end.segments} segments, expected {expected['segments']}"
            return "damaged", f"{found}; take the file from a backup"
        if part.end.cut and not expected["cut"]:
            return "damaged", f"{part.path.name}: its end is missing, and the catalogue knows of no cut"
    if result.cut:
        return "cut", "authentic up to its last whole segment"
    return "whole", "every segment verifies"


if __name__ == "__main__":
    sys.exit(main())
