"""Turns what the media workers tell into what a call, its row and the health of the recorder understand."""

from __future__ import annotations

import logging
from collections.abc import Callable

from callrec.calls import inputs as given
from callrec.catalogue.values import CallChange, Event
from callrec.media import (
    Confirmed,
    Digit,
    Discarded,
    Gap,
    KeysLost,
    LegClosed,
    LegQuality,
    MediaLost,
    Played,
    RecordingFailed,
    RecordingPaused,
    Sealed,
)
from callrec.recorder.evidence import notice_evidence
from callrec.recorder.hearing import on_confirmed, on_leg_quality
from callrec.recorder.live_call import LiveCall
from callrec.recorder.rekeying import on_keys_lost
from callrec.recorder.tools import Tools
from callrec.recorder.transferring import note_repeated_notice

log = logging.getLogger("callrec.calls")


def on_digit(tools: Tools, call: LiveCall, event: Digit) -> None:
    """A party pressed a key."""
    if event.leg in (call.caller.id, call.destination.id):
        tools.feed(call, given.KeyPressed(call.side_of(event.leg), event.digit))


def on_played(tools: Tools, call: LiveCall, event: Played) -> None:
    """A notice, prompt or tone ended; the evidence of a notice is kept whatever came of it (NOT-13)."""
    if event.play_id == call.repeated_notice:
        note_repeated_notice(call, event)
    elif event.kind == "notice" and call.notice is not None:
        call.notice_evidence = notice_evidence(call.notice, event, event.leg)
        call.notice_playing = False
        call.notice_ended.set()
        events = [Event("notice", "completed", call.call_id)] if event.completed else []
        if call.row is not None:
            call.row.change(CallChange(notice=call.notice_evidence), *events)
    if event.play_id == call.play_id:
        call.play_id = None
        tools.feed(call, given.PlayEnded(event.completed))


def on_gap(_: Tools, call: LiveCall, event: Gap) -> None:
    """Audio is lost: it is marked in the time line, and told, while the gap still grows and when it is over."""
    if call.recording is None:
        return
    call.recording.timeline.gap(event.start_ms, event.end_ms, event.reason)
    if call.row is not None:
        data = {"start_ms": event.start_ms, "end_ms": event.end_ms, "reason": event.reason, "final": event.final}
        call.row.change(CallChange(), Event("recording", "gap", call.call_id, data))


def on_recording_ended(_: Tools, call: LiveCall, event: Sealed | RecordingFailed) -> None:
    """The media worker said its last word about a recording."""
    recording = call.recording
    if recording is None or recording.recording_id != event.recording_id:
        return
    recording.finish(event)
    if isinstance(event, RecordingFailed):
        log.error("call %s: nothing more of it is stored: %s", call.call_id, event.reason)
        # What was stored until then may still be opted out of; whether anything was is looked at when the call ends.


def on_paused(_: Tools, call: LiveCall, event: RecordingPaused) -> None:
    """The media worker stores nothing more of a call, or stores again."""
    if call.recording is not None and (call.recording.pause is not None) is event.on:
        call.recording.pause_heard.set()


def on_discarded(_: Tools, call: LiveCall, event: Discarded) -> None:
    """What a call had stored is unlinked."""
    if call.recording is not None and call.recording.recording_id == event.recording_id:
        call.recording.done.set()


def on_media_lost(tools: Tools, call: LiveCall, event: MediaLost) -> None:
    """The media of a call could not be restored: nobody hears anybody, so it ends; its recording is cut."""
    log.error("call %s: its media is lost: %s", call.call_id, event.reason)
    if call.recording is not None and not call.recording.done.is_set():
        call.recording.finish(RecordingFailed(call.call_id, call.recording.recording_id, event.reason))
    tools.feed(call, given.SealNow())


def on_leg_closed(_: Tools, call: LiveCall, event: LegClosed) -> None:
    """The last counters of a leg have come."""
    call.legs_closing.discard(event.leg)
    if not call.legs_closing:
        call.counters_complete.set()


CALL_MEDIA_EVENTS: dict[type, Callable[..., None]] = {
    Digit: on_digit,
    Played: on_played,
    Confirmed: on_confirmed,
    LegQuality: on_leg_quality,
    Gap: on_gap,
    LegClosed: on_leg_closed,
    RecordingPaused: on_paused,
    Sealed: on_recording_ended,
    RecordingFailed: on_recording_ended,
    Discarded: on_discarded,
    KeysLost: on_keys_lost,
    MediaLost: on_media_lost,
}
