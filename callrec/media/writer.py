"""The writer thread of a worker: the only place of it that touches files.

The loop hands over batches of records and never waits. However many calls there are, durability is one sync of the
file system at most every half second (design, section 2); parts that end are published together behind that sync.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from callrec.vault.part_writer import PartSpec, PartWriter, SealedPart

if TYPE_CHECKING:
    from callrec.media.masking import Ear, Mask

SYNC_INTERVAL_S = 0.5
RETRY_INTERVAL_S = 0.5
QUIET_S = 0.6
"""A part to which nothing came for so long gets what was held back of it: no tone goes on over such a silence."""
GIVE_UP_S = 60.0
"""How long an ended part that the disk refuses is tried; then it stays as it is and is told as failed."""
_SINGLE_SYNCS = 3  # up to so many files are synced one by one: a sync of the file system may have others' work to do

_libc = ctypes.CDLL(None, use_errno=True)


class MaskError(Exception):
    """Records could not be searched for tones."""


class Track:
    """One part of one call's recording, as loop and writer share it.

    The loop writes `ending` and hands batches over; the writer writes `kept_us` and `failing`. Each value has one
    writer, and none of them has to be exact to the packet.
    """

    __slots__ = (
        "batches",
        "call",
        "ended_at",
        "ending",
        "failing",
        "kept_us",
        "mask",
        "paths",
        "retry_at",
        "spec",
        "started_at_ns",
        "taken_us",
        "tones_from",
        "writer",
    )

    def __init__(self, call: int, spec: PartSpec, started_at_ns: int) -> None:
        self.call = call
        self.spec = spec
        self.started_at_ns = started_at_ns
        self.writer: PartWriter | None = None
        self.tones_from: frozenset[int] = frozenset()
        """Directions whose keys are tones in the voice; the loop says so."""
        self.mask: Mask | None = None
        self.batches: deque[Batch] = deque()
        self.kept_us = 0
        """Everything of this part up to here is written, in microseconds from its start."""
        self.taken_us = 0
        """As `kept_us`, with what is encrypted and waits for its write to be repeated."""
        self.failing = ""
        """Why the last write failed, empty while writes go through."""
        self.retry_at = 0.0
        self.ending = ""
        """Empty, `seal` or `discard`."""
        self.ended_at = 0.0
        self.paths: tuple[str, ...] = ()
        """Files of this recording's earlier parts, removed with it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole records of one call, of at most half a second."""

    track: Track
    records: bytes
    until_us: int


@dataclass(frozen=True, slots=True)
class Ending:
    """The last word on a track: seal it, or remove it and the files of its earlier parts."""

    track: Track
    how: str
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listening:
    """Voice of a leg to be listened to for keys while a notice plays; nothing of it is written."""

    leg: int
    records: bytes
    over: bool = False


@dataclass(frozen=True, slots=True)
class KeysHeard:
    """Keys were pressed in the voice of a leg."""

    leg: int
    keys: str


@dataclass(frozen=True, slots=True)
class TrackSealed:
    """A part is durable under its final name."""

    track: Track
    part: SealedPart


@dataclass(frozen=True, slots=True)
class TrackDiscarded:
    """A part and the earlier ones are removed."""

    track: Track
    removed: int


@dataclass(frozen=True, slots=True)
class TrackFailed:
    """A part could not be kept or ended; nothing more of it will be written."""

    track: Track
    reason: str


Job = Batch | Ending | Listening
Report = TrackSealed | TrackDiscarded | TrackFailed | KeysHeard


class WriterThread(threading.Thread):
    """Carries out jobs in the order they were given; reports through `reports` and `notify`."""

    def __init__(self, notify: Callable[[], None]) -> None:
        super().__init__(name="callrec-writer", daemon=True)
        self.reports: deque[Report] = deque()
        self._notify = notify
        self._jobs: SimpleQueue[Iterable[Job] | None] = SimpleQueue()
        self._dirty: dict[Track, None] = {}
        self._sealing: dict[Track, None] = {}
        self._failing: dict[Track, None] = {}
        self._open: dict[Track, None] = {}
        self._masked: dict[Track, float] = {}
        """Parts of which something is held back, and since when nothing came to them."""
        self._ears: dict[int, Ear] = {}
        self._synced_at = 0.0

    def hand_over(self, jobs: Iterable[Job]) -> None:
        """Take jobs; called by the loop, never waits."""
        self._jobs.put(jobs)

    def finish(self, timeout_s: float) -> bool:
        """Write and sync what was handed over, end the thread, seal nothing; return whether it did so in time."""
        self._jobs.put(None)
        self.join(timeout_s)
        return not self.is_alive()

    def run(self) -> None:
        """Work until `finish`."""
        while True:
            try:
                jobs = self._jobs.get(timeout=self._wait_s())
            except Empty:
                jobs = ()
            if jobs is None:
                break
            for job in jobs:
                self._take(job)
            self._retry()
            self._let_go(time.monotonic() - QUIET_S)
            if time.monotonic() - self._synced_at >= SYNC_INTERVAL_S:
                self._sync()
        self._let_go(time.monotonic())
        self._sync()
        for track in self._open:
            if track.writer is not None:
                track.writer.close()

    def _wait_s(self) -> float:
        if self._dirty or self._sealing:
            return max(0.0, self._synced_at + SYNC_INTERVAL_S - time.monotonic())
        return 0.1 if self._failing or self._masked else 5.0

    def _take(self, job: Job) -> None:
        if isinstance(job, Listening):
            self._listen(job)
            return
        track = job.track
        if isinstance(job, Batch):
            if track.ending != "failed":
                track.batches.append(job)
                self._write(track)
        elif job.how == "discard":
            self._discard(track, job.paths)
        elif track.ending != "failed":
            track.ending, track.ended_at = job.how, time.monotonic()
            self._write(track)

    def _write(self, track: Track) -> None:
        """Write the batches of a track, and its last segment if it ends; a failure is tried again later."""
        if track.failing and time.monotonic() < track.retry_at:
            return
        try:
            self._write_all(track)
        except FileExistsError as error:
            self._fail(track, str(error))
        except MaskError as error:
            self._fail(track, f"internal error: tones could not be masked: {error}")
        except OSError as error:
            track.failing = error.strerror or str(error)
            track.retry_at = time.monotonic() + RETRY_INTERVAL_S
            self._failing[track] = None
        else:
            track.failing = ""
            self._failing.pop(track, None)

    def _write_all(self, track: Track) -> None:
        writer = track.writer
        if writer is None:
            writer = track.writer = PartWriter(track.spec, track.started_at_ns)
            self._open[track] = None
        if writer.pending:
            writer.retry()
            track.kept_us = track.taken_us
        while track.batches:
            batch = track.batches.popleft()
            self._dirty[track] = None
            track.taken_us = batch.until_us
            writer.append(self._masked_records(track, batch.records))  # takes the records even where it raises
            track.kept_us = batch.until_us
        if track.ending == "seal" and track not in self._sealing:
            self._append_held_back(track, writer)
            writer.finish()
            self._sealing[track] = None

    def _masked_records(self, track: Track, records: bytes) -> bytes:
        """Return what may be written of a batch, the tones in it silenced, with what was held back of the last one."""
        if track.mask is None:
            if not track.tones_from:
                return records
            from callrec.media.masking import Mask  # noqa: PLC0415 - numpy, which few workers need

            track.mask = Mask()
        try:
            ready = track.mask.take(records, track.tones_from)
        except Exception as error:  # a key that might be in it must not be stored (LAW-74)
            raise MaskError(type(error).__name__) from error
        if track.mask.waiting:
            self._masked[track] = time.monotonic()
        return ready

    def _listen(self, job: Listening) -> None:
        if job.over:
            self._ears.pop(job.leg, None)
            return
        from callrec.media.masking import Ear  # noqa: PLC0415 - numpy, which few workers need

        ear = self._ears.setdefault(job.leg, Ear())
        try:
            keys = ear.hear(job.records)
        except Exception:  # a voice that cannot be listened to must not end the writing of all others
            return
        if keys:
            self._report(KeysHeard(job.leg, keys))

    def _append_held_back(self, track: Track, writer: PartWriter) -> None:
        self._masked.pop(track, None)
        if track.mask is not None and (held_back := track.mask.flush()):
            self._dirty[track] = None
            writer.append(held_back)

    def _let_go(self, quiet_since: float) -> None:
        """Write what is held back of parts to which nothing has come since then."""
        for track, came_at in list(self._masked.items()):
            if came_at > quiet_since or track.writer is None or track.failing or track.writer.pending:
                continue
            try:
                self._append_held_back(track, track.writer)
            except OSError as error:
                track.failing = error.strerror or str(error)
                track.retry_at = time.monotonic() + RETRY_INTERVAL_S
                self._failing[track] = None

    def _retry(self) -> None:
        now = time.monotonic()
        for track in list(self._failing):
            if track.ending == "seal" and now - track.ended_at > GIVE_UP_S:
                self._fail(track, track.failing)
            else:
                self._write(track)

    def _fail(self, track: Track, reason: str) -> None:
        track.ending = "failed"
        self._forget(track)
        if track.writer is not None:
            track.writer.close()
        self._report(TrackFailed(track, reason))

    def _forget(self, track: Track) -> None:
        self._masked.pop(track, None)
        for group in (self._dirty, self._sealing, self._failing, self._open):
            group.pop(track, None)
        track.batches.clear()

    def _discard(self, track: Track, paths: tuple[str, ...]) -> None:
        track.ending = "discard"
        self._forget(track)
        removed = 0
        try:
            if track.writer is not None:
                track.writer.discard()
                removed += 1
            for path in paths:
                with suppress(FileNotFoundError):
                    Path(path).unlink()
                    removed += 1
            _sync_folder(track.spec.path.parent)
        except OSError as error:
            self._report(TrackFailed(track, f"discard: {error.strerror or error}"))
        else:
            self._report(TrackDiscarded(track, removed))

    def _sync(self) -> None:
        """Make everything written durable and publish the parts that ended."""
        dirty, sealing = list(self._dirty), [track for track in self._sealing if not track.failing]
        tracks = list(dict.fromkeys([*dirty, *sealing]))
        if not tracks:
            return
        self._dirty.clear()
        for group in _by_file_system(tracks):
            for track, error in _sync_group(group).items():
                self._sync_failed(track, error)
        self._publish([track for track in sealing if not track.failing])
        self._synced_at = time.monotonic()

    def _sync_failed(self, track: Track, error: OSError) -> None:
        track.failing = error.strerror or str(error)
        track.retry_at = time.monotonic() + RETRY_INTERVAL_S
        self._failing[track] = None
        self._dirty[track] = None

    def _publish(self, tracks: list[Track]) -> None:
        published: list[tuple[Track, SealedPart]] = []
        for track in tracks:
            assert track.writer is not None, "internal error: a part ends that was never begun"
            try:
                published.append((track, track.writer.publish(synced=True)))
            except OSError as error:
                self._sync_failed(track, error)
        for folder in {part.path.parent for _, part in published}:
            with suppress(OSError):  # the rename is repeated by recovery, should the machine stop now
                _sync_folder(folder)
        for track, part in published:
            self._forget(track)
            self._report(TrackSealed(track, part))

    def _report(self, report: Report) -> None:
        self.reports.append(report)
        self._notify()


def _by_file_system(tracks: Iterable[Track]) -> list[list[Track]]:
    groups: dict[int, list[Track]] = {}
    for track in tracks:
        if track.writer is not None:
            groups.setdefault(os.fstat(track.writer.fileno()).st_dev, []).append(track)
    return list(groups.values())


def _sync_group(group: list[Track]) -> dict[Track, OSError]:
    """Sync the files of one file system, by one call if they are many; return those that failed and why."""
    failed: dict[Track, OSError] = {}
    if len(group) > _SINGLE_SYNCS:
        error = _sync_file_system(group)
        if error is not None:
            return dict.fromkeys(group, error)
    for track in group:
        assert track.writer is not None, "internal error: a part is synced that was never begun"
        try:
            if len(group) > _SINGLE_SYNCS:
                track.writer.sync_folders()
                track.writer.synced()
            else:
                track.writer.sync()
        except OSError as error:
            failed[track] = error
    return failed


def _sync_file_system(group: list[Track]) -> OSError | None:
    """Sync the file system that a group of parts lies on; ctypes lets go of the interpreter meanwhile."""
    first = group[0].writer
    assert first is not None, "internal error: a part is synced that was never begun"
    if _libc.syncfs(first.fileno()) == 0:
        return None
    number = ctypes.get_errno()
    for track in group:
        if track.writer is not None:
            track.writer.sync_failed()
    return OSError(number, os.strerror(number))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
