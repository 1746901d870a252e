"""The recording of a live call: its parts, its time line, and how its end becomes known."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from callrec.calls.outcome import Reason
from callrec.catalogue.values import Part
from callrec.media import RecordingFailed, Sealed
from callrec.media import events as media_events
from callrec.recorder.timeline import HOLD, PAUSED, RECORDED, Timeline
from callrec.vault.recovery import Recovered, part_numbers, recover_recording

log = logging.getLogger("callrec.recording")

FLAG_RECORDING_ENDED = "recording_ended"
"""The recording ended before its call: a stop, or a hold that kept it from being discarded."""

FLAG_PAUSE_EXPIRED = "pause_expired"
"""A pause ended because nobody ended it within `[limits] longest_pause`: somebody looks at what was said since."""

_SETTLE_LIMIT_S = 5.0


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
    held: bool = False
    pause: str | None = None
    """Who paused it and what for, while it is paused."""
    pause_heard: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the media worker has said that the pause, or its end, is in force."""
    settled: dict[int, Recovered] = field(default_factory=dict)
    """Parts that a lost worker or a failed disk left without an end, made whole up to their last whole segment."""
    there: set[int] | None = None
    """Parts of which there is a file, once that was looked at: a worker may be lost before it wrote anything."""

    def hold(self, now: float, *, on: bool) -> None:
        """Note that a party holds the other, or does so no more."""
        self.held = on
        self._note(now)

    def set_pause(self, now: float, pause: str | None) -> None:
        """Note a pause, or with None its end."""
        self.pause = pause
        self._note(now)

    def note_transfer(self, now: float) -> None:
        """Mark on the time line that a new party speaks from now on."""
        if self.pause is None and not self.held:
            self.timeline.change(now, RECORDED, "transfer")

    def _note(self, now: float) -> None:
        """Say what the time line shows from now on: a pause in a hold is a pause, and after it the hold goes on."""
        if self.pause is not None:
            self.timeline.change(now, PAUSED, self.pause)
        elif self.held:
            self.timeline.change(now, HOLD, "hold")
        else:
            self.timeline.change(now, RECORDED)

    def finish(self, event: Sealed | RecordingFailed) -> None:
        """Keep the media worker's last word."""
        if isinstance(event, Sealed):
            self.sealed = event
        else:
            self.failed = event
        self.done.set()

    async def settle(self) -> None:
        """Take up what was left without an end; a disk that does not answer leaves it to the next start."""
        if self.sealed is not None and all(part.sealed for part in self.sealed.parts):
            return
        try:
            found, self.there = await asyncio.wait_for(asyncio.to_thread(self._take_up), _SETTLE_LIMIT_S)
        except (OSError, TimeoutError) as error:
            log.warning("recording %s: what is left of it is taken up later (%s)", self.recording_id, error)
            return
        self.settled = {part.part: part for part in found}

    def _take_up(self) -> tuple[list[Recovered], set[int]]:
        found = recover_recording(self.folder, self.recording_id, self.started_at)
        return found, part_numbers(self.folder, self.recording_id, self.started_at)

    def duration_ms(self, now: float) -> int:
        """Return the length of the recording: as sealed, as far as its parts go, else until now."""
        if self.sealed is not None:
            return self.sealed.duration_ms
        start_ns = round(self.started_at.timestamp() * 1e9)
        ends = [part.started_at_ns - start_ns + part.duration_ms * 1_000_000 for part in self.settled.values()]
        return min(max(ends) // 1_000_000, self.timeline.milliseconds(now)) if ends else self.timeline.milliseconds(now)

    def parts(self) -> tuple[Part, ...]:
        """Return the files of the recording as the catalogue keeps them."""
        known = self.sealed or self.failed
        parts = {
            part.part: self._part(part)
            for part in (known.parts if known is not None else ())
            if part.sealed or part.segments or self.there is None or part.part in self.there
        }
        for number, found in self.settled.items():
            if not found.segments:  # a part of which nothing is left is no part
                parts.pop(number, None)
                continue
            path = str(self._relative(found.path))
            parts[number] = Part(self.recording_id, number, path, found.segments, cut=not found.sealed)
        return tuple(parts[number] for number in sorted(parts))

    def _part(self, part: media_events.Part) -> Part:
        return Part(
            self.recording_id, part.part, str(self._relative(Path(part.path))), part.segments, cut=not part.sealed
        )

    def _relative(self, path: Path) -> Path:
        return path.relative_to(self.folder) if path.is_relative_to(self.folder) else path

    def reason(self, now: float) -> Reason:
        """Return whether the recording is whole, cut, or nothing at all.

        A gap inside leaves it complete; missing its end makes it cut. Nothing stored is no recording.
        """
        parts = self.parts()
        if self.sealed is None and not any(part.segments for part in parts):
            return Reason.STORAGE_UNAVAILABLE
        if self.sealed is None or self.timeline.missing_end(self.duration_ms(now)):
            return Reason.CUT
        return Reason.COMPLETE
