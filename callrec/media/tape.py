"""What the loop of a worker knows of one recording: the batch being gathered, marks, and the bound in memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from callrec.media.writer import Batch, Ending, Job, Track
from callrec.vault.recording_format import OURS, OUTSIDE, CodecEntry, Mark, codec_map_body, encode_mark, gap_body

CUT_US = 380_000
"""A batch is cut at this age: written at most 0.4 s, and durable at most 0.9 s, behind the wire."""
LOOK_US = 100_000
"""How often a tape that gathers nothing, or whose batches are not written yet, is looked at."""
HELD_BACK_US = 5_000_000
"""How much of a call may wait for the disk; what comes after it is a marked gap."""
HELD_BACK_BYTES = 4 << 20
GAP_TOLD_EVERY_US = 4_000_000
GAP_INTERRUPTED = "interrupted"
"""Why there is a gap where a worker was lost: the renderer's word for a span between parts, so that both are one."""
BLOCKED_AFTER_US = 2_000_000


class TellGap(Protocol):
    """How a tape tells of a gap: why, and from when to when in microseconds from the part's start."""

    def __call__(self, tape: Tape, reason: str, span: tuple[int, int], *, final: bool) -> None:
        """Tell it; `final` once it is over."""


class Tape:
    """One part being recorded. Microseconds count from the part's start."""

    def __init__(
        self,
        track: Track,
        started_mono_us: int,
        tell_gap: TellGap,
        clock: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    ) -> None:
        self.track = track
        self.call = track.call
        self.started_us = started_mono_us
        """Of the monotonic clock."""
        self.chunks: list[bytes] = []
        """Records not handed over yet; the legs append to this very list."""
        self.packets = 0
        self.held = False
        self.paused = False
        self._gap_from: int | None = None
        self._gap_told = 0
        self.look_at_us = started_mono_us + CUT_US
        """When `due` is to be asked next, on the monotonic clock."""
        self._handed: deque[tuple[int, int]] = deque()  # (until_us, bytes) not yet written
        self._handed_bytes = 0
        self._tell_gap = tell_gap
        self._clock = clock

    @property
    def storing(self) -> bool:
        """Return whether packets are to be stored now."""
        return not self.held and not self.paused and self._gap_from is None

    @property
    def blocked_us(self) -> int:
        """Return how far the disk is behind, in microseconds; 0 while it takes what it is given."""
        return self._now() - self._handed[0][0] if self._handed else 0

    def codecs(self, direction: int, entries: list[CodecEntry]) -> None:
        """Mark what the payload types of one side mean from now on."""
        self._mark(Mark.CODECS, codec_map_body(direction, entries))

    def gap_at_start(self, until_us: int) -> None:
        """Mark that this part took over from one whose writer was lost."""
        self.chunks.insert(0, encode_mark(Mark.GAP, 0, gap_body(until_us, GAP_INTERRUPTED)))

    def hold(self, *, on: bool) -> None:
        """Mark that a side holds the other (NOT-20), or that it does so no more."""
        if on != self.held:
            self.held = on
            self._mark(Mark.HOLD if on else Mark.HOLD_ENDED)

    def pause(self, *, on: bool) -> None:
        """Mark that somebody paused the recording (LAW-72), or resumed it."""
        if on != self.paused:
            self.paused = on
            self._mark(Mark.PAUSE if on else Mark.PAUSE_ENDED)

    def due(self, now_us: int) -> list[Job]:
        """Return the batch that is due, if one is, and begin or end a gap as the disk demands.

        `now_us` is the monotonic clock. The caller asks `storing` again afterwards.
        """
        now = now_us - self.started_us
        self.look_at_us = now_us + LOOK_US
        self._settle()
        if self._gap_from is not None:
            self._go_on_with_gap(now)
        elif self._handed and (now - self._handed[0][0] > HELD_BACK_US or self._handed_bytes > HELD_BACK_BYTES):
            self._gap_from = self._gap_told = now
            return []
        if self._gap_from is not None or not self.chunks:
            return []
        self.look_at_us = now_us + CUT_US
        return [self._cut(now)]

    def flush(self) -> list[Job]:
        """Return what was gathered, whatever its age; nothing is ended."""
        return [self._cut(self._now())] if self.chunks else []

    def seal(self, reason: str) -> list[Job]:
        """Return the jobs that end this part with an end mark."""
        now = self._now()
        if self._gap_from is not None:
            self._end_gap(now)
        self._mark(Mark.END, reason.encode())
        return [self._cut(now), Ending(self.track, "seal")]

    def discard(self, paths: tuple[str, ...]) -> list[Job]:
        """Return the job that removes this part and the files of earlier ones."""
        self.chunks.clear()
        return [Ending(self.track, "discard", paths)]

    def _now(self) -> int:
        return self._clock() - self.started_us

    def _mark(self, mark: Mark, body: bytes = b"") -> None:
        self.chunks.append(encode_mark(mark, max(self._now(), 0), body))

    def _cut(self, now: int) -> Batch:
        batch = Batch(self.track, b"".join(self.chunks), now)
        self.packets += len(self.chunks)
        self.chunks.clear()
        self._handed.append((now, len(batch.records)))
        self._handed_bytes += len(batch.records)
        return batch

    def _settle(self) -> None:
        """Forget what the writer has written."""
        kept = self.track.kept_us
        while self._handed and self._handed[0][0] <= kept:
            self._handed_bytes -= self._handed.popleft()[1]

    def _go_on_with_gap(self, now: int) -> None:
        assert self._gap_from is not None, "internal error: no gap to go on with"
        if not self._handed:
            self._end_gap(now)
        elif now - self._gap_told >= GAP_TOLD_EVERY_US:
            self._gap_told = now
            self._tell_gap(self, "storage", (self._gap_from, now), final=False)

    def _end_gap(self, now: int) -> None:
        assert self._gap_from is not None, "internal error: no gap to end"
        self.chunks.append(encode_mark(Mark.GAP, self._gap_from, gap_body(now, "storage")))
        self._tell_gap(self, "storage", (self._gap_from, now), final=True)
        self._gap_from = None


SIDES = {"outside": OUTSIDE, "ours": OURS}
"""The direction of a record by the word of the protocol."""
