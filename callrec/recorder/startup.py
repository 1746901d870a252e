"""What a start puts right before any call arrives: cut recordings, rows without an end, the reserve journal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from callrec.calls.outcome import Outcome, Reason
from callrec.catalogue import Catalogue
from callrec.catalogue.values import CallChange, CallEnd, Event, OpenRow, Part
from callrec.identifiers import recording_id_of
from callrec.recorder.recording import FLAG_RECORDING_ENDED
from callrec.recorder.timeline import GAP, RECORDED, Segment
from callrec.vault.recovery import Recovered, parts_left, recover

log = logging.getLogger("callrec.startup")


async def recover_recordings(folder: Path, now: datetime) -> None:
    """Make every part that a dead writer left whole up to its last whole segment."""
    for part in await asyncio.to_thread(recover, folder, now):
        log.warning("recording %s part %d: %s, %d segments", part.recording_id, part.part, part.found, part.segments)


Discard = Callable[[str, str, str], Awaitable[None]]
"""Destroys the audio of a call: its id, the id of its audio key, the id of its recording."""


async def end_interrupted(
    catalogue: Catalogue,
    folder: Path,
    now: datetime,
    is_live: Callable[[str], bool] = lambda _: False,
    discard: Discard | None = None,
) -> int:
    """Give every row that was in progress when the recorder died its one outcome; return how many wait for theirs.

    A media worker of the last run may still be writing, to a slow disk above all: what it keeps counts, so its rows
    wait until it has let go.

    Args:
        catalogue: where the rows are.
        folder: where the recordings are, recovered already.
        now: no call ended later.
        is_live: tells of a call of this run, which ends by itself.
        discard: takes away audio of which nothing proves that its notice was heard; None leaves the file.
    """
    rows = [row for row in await catalogue.in_progress() if not is_live(row.call_id)]
    began = {_recording_id(row): row.recording_started_at or row.started_at for row in rows if row.audio_key_id}
    left = await asyncio.to_thread(parts_left, folder, began)
    waiting = 0
    for row in rows:
        parts = left.get(_recording_id(row), [])
        if parts is None:
            waiting += 1
            continue
        if parts and _is_unproven(row) and discard is not None and row.audio_key_id is not None:
            log.warning("call %s: its audio is destroyed, for its notice is not known to be heard", row.call_id)
            await discard(row.call_id, row.audio_key_id, _recording_id(row))
        end, events = interrupted_end(row, parts, folder, now)
        await catalogue.end_call(row.call_id, end, events)
    if len(rows) > waiting:
        log.warning(
            "%d calls were interrupted by the recorder's own end; each has its outcome now", len(rows) - waiting
        )
    return waiting


def _recording_id(row: OpenRow) -> str:
    """Return the id of a row's recording, also where its beginning could not be written down any more."""
    return row.recording_id or recording_id_of(row.call_id)


def _is_unproven(row: OpenRow) -> bool:
    """Whether the row does not say that the notice was heard to its end: then nothing may be kept (NOT-2, NOT-14)."""
    return row.recording_id is None and not (row.notice or {}).get("completed")


def interrupted_end(
    row: OpenRow, recovered: Sequence[Recovered], folder: Path, now: datetime
) -> tuple[CallEnd, list[Event]]:
    """Return how a call ended that the recorder's death cut off, and what is told about it."""
    if recovered and _is_unproven(row):
        return CallEnd(row.started_at, "not_recorded", Reason.NOTICE_INCOMPLETE.value), [_told(row, "call", "ended")]
    parts = _parts(row, recovered, folder)
    if not any(part.segments for part in parts):
        reason = _why_not_recorded(row)
        end = CallEnd(row.started_at, "not_recorded", reason.value, final=CallChange(parts=parts))
        return end, [_told(row, "call", "ended")]
    began, events = _beginning(row, recovered)
    started = row.recording_started_at or began.recording_started_at or row.started_at
    segments = _segments(started, recovered)
    ended_at = started + timedelta(milliseconds=segments[-1].end_ms if segments else 0)
    final = replace(began, parts=parts, segments=tuple(segment.as_item() for segment in segments))
    # Only who ends a recording seals its last part: then the call was over, and just its row was not.
    # A stop seals one too, while the call goes on: its end is missing.
    newest = max(recovered, key=lambda part: part.part, default=None)
    whole = newest is not None and newest.sealed and FLAG_RECORDING_ENDED not in (row.flags or ())
    outcome = Outcome(Reason.COMPLETE if whole else Reason.CUT)
    end = CallEnd(min(ended_at, now), outcome.kind.value, outcome.reason.value, cut=not whole, final=final)
    return end, [*events, _told(row, "recording", "sealed"), _told(row, "call", "ended")]


def _told(row: OpenRow, noun: str, verb: str) -> Event:
    return Event(noun, verb, row.call_id)


def _beginning(row: OpenRow, recovered: Sequence[Recovered]) -> tuple[CallChange, list[Event]]:
    """Return what the row does not know yet of a recording that began while nothing could be written down."""
    if row.recording_id is not None or not recovered:
        return CallChange(), []
    began_ns = min(part.started_at_ns for part in recovered if part.segments)
    began = datetime.fromtimestamp(began_ns / 1e9, UTC)
    change = CallChange(recording_id=recovered[0].recording_id, recording_started_at=began)
    if row.answered_at is not None:
        return change, [_told(row, "recording", "started")]
    # A recording begins when the destination answers.
    return replace(change, answered_at=began), [_told(row, "call", "answered"), _told(row, "recording", "started")]


def _parts(row: OpenRow, recovered: Iterable[Recovered], folder: Path) -> tuple[Part, ...]:
    parts = {part.number: part for part in row.parts}
    for found in recovered:
        path = str(found.path.relative_to(folder)) if found.path.is_relative_to(folder) else str(found.path)
        parts[found.part] = Part(found.recording_id, found.part, path, found.segments, cut=not found.sealed)
    return tuple(parts[number] for number in sorted(parts))


def _segments(started: datetime, recovered: Sequence[Recovered]) -> list[Segment]:
    """Return the spans of the parts that are left, with gaps between them."""
    segments: list[Segment] = []
    started_ns = round(started.timestamp() * 1e9)
    for part in sorted(recovered, key=lambda part: part.part):
        if not part.segments:
            continue
        begin = max(0, (part.started_at_ns - started_ns) // 1_000_000)
        previous = segments[-1].end_ms if segments else 0
        if begin > previous:
            segments.append(Segment(previous, begin, GAP, "interrupted"))
        segments.append(Segment(max(begin, previous), begin + part.duration_ms, RECORDED))
    return segments


def _why_not_recorded(row: OpenRow) -> Reason:
    """Return the outcome of an interrupted call of which no audio is left, from what its row says."""
    if row.capture_rule is None:
        return Reason.NO_CAPTURE_RULE
    if row.notice is None:
        return Reason.ABANDONED_IN_NOTICE
    if not row.notice.get("completed"):
        return Reason.OPT_OUT if row.notice.get("interrupted_by") == "dtmf" else Reason.NOTICE_INCOMPLETE
    if row.answered_at is None:
        return Reason.NOT_ANSWERED
    return Reason.OPT_OUT if row.recording_id is None else Reason.STORAGE_UNAVAILABLE
