"""The recording of a live call: its parts, its time line, and how its end becomes known."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from callrec.calls.outcome import Reason
from callrec.catalogue.values import Part
from callrec.media import RecordingFailed, Sealed
from callrec.media import events as media_events
from callrec.recorder.timeline import Timeline


@dataclass
class LiveRecording:
    """What is known of a recording while it grows; `done` is set when the media worker has said its last word."""

    recording_id: str
    started_at: datetime
    timeline: Timeline
    folder: Path
    done: asyncio.Event = field(default_factory=asyncio.Event)
    sealed: Sealed | None = None
    failed: RecordingFailed | None = None
    discarded: bool = False

    def finish(self, event: Sealed | RecordingFailed) -> None:
        """Keep the media worker's last word."""
        if isinstance(event, Sealed):
            self.sealed = event
        else:
            self.failed = event
        self.done.set()

    def duration_ms(self, now: float) -> int:
        """Return the length of the recording: as sealed, else until now."""
        return self.sealed.duration_ms if self.sealed else self.timeline.milliseconds(now)

    def parts(self) -> tuple[Part, ...]:
        """Return the files of the recording as the catalogue keeps them."""
        known = self.sealed or self.failed
        if known is None:
            return ()
        return tuple(self._part(part) for part in known.parts)

    def _part(self, part: media_events.Part) -> Part:
        path = Path(part.path)
        relative = path.relative_to(self.folder) if path.is_relative_to(self.folder) else path
        return Part(self.recording_id, part.part, str(relative), part.segments, cut=not part.sealed)

    def reason(self, now: float) -> Reason:
        """Return whether the recording is whole, cut, or nothing at all.

        A gap inside leaves it complete; missing its end makes it cut. Nothing stored is no recording.
        """
        parts = self.parts()
        if self.failed is not None and not any(part.segments for part in parts):
            return Reason.STORAGE_UNAVAILABLE
        if self.sealed is None or self.timeline.missing_end(self.duration_ms(now)):
            return Reason.CUT
        return Reason.COMPLETE
