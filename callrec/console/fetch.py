"""Fetch a rendered recording from the recorder: lines of progress first, then its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from callrec.console.client import Client, Stream
from callrec.console.progress import progress_bar
from callrec.errors import CallrecError


@dataclass(frozen=True, slots=True)
class Fetched:
    """A recording as it comes."""

    call_id: str
    recording_id: str
    size: int
    """Bytes."""
    warnings: tuple[str, ...]
    pieces: Iterator[bytes]


@contextmanager
def fetch(client: Client, call: str, audio_format: str, reason: str = "") -> Iterator[Fetched]:
    """Give a call's recording in a format; hanging up in the middle ends the recorder's work on it.

    Args:
        client: the way to the recorder.
        call: which.
        audio_format: such as `wav`.
        reason: why; a restricted recording needs one (LAW-42).

    Raises:
        CallrecError: as the recorder refuses: no such call, no audio, not allowed, damaged.
    """
    with client.stream("calls", call, "export", format=audio_format, progress=True, reason=reason or None) as stream:
        ready = _wait_for(stream, call)
        yield Fetched(
            call_id=str(ready["call_id"]),
            recording_id=str(ready["recording_id"]),
            size=int(ready["size"]),
            warnings=tuple(str(warning) for warning in ready.get("warnings") or ()),
            pieces=stream.pieces(int(ready["size"])),
        )


def _wait_for(stream: Stream, call: str) -> dict[str, Any]:
    with progress_bar(f"rendering {call[:8]}") as advance:
        while (line := stream.line()) is not None:
            if "size" in line:
                return line
            if "progress" in line:
                advance(float(line["progress"]))
    raise CallrecError("the recorder ended its answer before the recording came; try again")
