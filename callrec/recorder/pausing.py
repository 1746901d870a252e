"""Carries out a pause of the recording and its end: media, time line, event, flag (LAW-72, LAW-73)."""

from __future__ import annotations

import logging

from callrec.calls import commands as do
from callrec.calls.inputs import Pause
from callrec.calls.pausing import BY_KEY
from callrec.catalogue.values import AuditEntry, CallChange, Event
from callrec.errors import CallrecError
from callrec.recorder.live_call import LiveCall
from callrec.recorder.recording import FLAG_PAUSE_EXPIRED
from callrec.recorder.tools import Tools

log = logging.getLogger("callrec.calls")


def pause_recording(tools: Tools, call: LiveCall, command: do.PauseRecording) -> None:
    """Store nothing of either side; the worker says when that is so."""
    if call.recording is None:
        return
    call.recording.pause_heard.clear()
    tools.media.pause(call.call_id, on=True)
    note_pause(tools, call, command.pause)


def note_pause(tools: Tools, call: LiveCall, pause: Pause) -> None:
    """Say in the time line and to the world that the recording is paused, by whom and what for."""
    if call.recording is None:
        return
    call.recording.set_pause(tools.now, f"{pause.by}: {pause.purpose}")
    _tell(tools, call, "paused", {"by": pause.by, "purpose": pause.purpose})
    if pause == BY_KEY:
        _audit(tools, call, "calls.pause", {"by": pause.by, "purpose": pause.purpose})


def resume_recording(tools: Tools, call: LiveCall, command: do.ResumeRecording) -> None:
    """Store again; a pause that nobody ended is an alert, for whoever paused may still be at it."""
    if call.recording is None:
        return
    call.recording.pause_heard.clear()
    tools.media.pause(call.call_id, on=False)
    call.recording.set_pause(tools.now, None)
    flags: tuple[str, ...] = ()
    if command.expired:
        flags = (FLAG_PAUSE_EXPIRED,)
        limit_s = tools.settings.limits.longest_pause.total_seconds()
        log.warning("call %s: nobody ended its pause in %d s: it is recorded again", call.call_id, limit_s)
    _tell(tools, call, "resumed", {"by": command.by, "expired": command.expired}, flags)
    if command.expired or command.by == BY_KEY.by:
        _audit(tools, call, "calls.resume", {"by": command.by, "expired": command.expired})


def _tell(tools: Tools, call: LiveCall, verb: str, data: dict[str, object], flags: tuple[str, ...] = ()) -> None:
    if call.row is None or call.recording is None:
        return
    at_ms = call.recording.timeline.milliseconds(tools.now)
    change = CallChange(add_flags=flags)
    call.row.change(change, Event("recording", verb, call.call_id, {**data, "at_ms": at_ms}))


def _audit(tools: Tools, call: LiveCall, action: str, detail: dict[str, object]) -> None:
    """Write down what no person at the API did; who asks there is written down by the desk."""
    entry = AuditEntry("callrec", action, call.call_id, {"call_id": call.call_id, **detail})
    call.tasks.start(f"audit/{call.call_id}", _write(tools, entry))


async def _write(tools: Tools, entry: AuditEntry) -> None:
    try:
        await tools.stores.catalogue.record_audit(entry)
    except CallrecError as error:
        log.error("call %s: %s could not be written to the audit trail: %s", entry.subject, entry.action, error)  # noqa: TRY400 - theirs
