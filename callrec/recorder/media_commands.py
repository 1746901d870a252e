"""Carries out what a call asks of its media: what is heard, who hears whom, and what is stored."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from callrec.calls import commands as do
from callrec.calls import inputs as given
from callrec.catalogue.values import CallChange, Event
from callrec.errors import CallrecError
from callrec.identifiers import new_id, recording_id_of
from callrec.media import DigitPolicy, Play, PlayKind, PlayStart
from callrec.recorder.live_call import LiveCall
from callrec.recorder.pausing import note_pause, pause_recording, resume_recording
from callrec.recorder.prompts import Sources
from callrec.recorder.recording import FLAG_RECORDING_ENDED, LiveRecording
from callrec.recorder.signalling_commands import link_early, tell_remotes
from callrec.recorder.timeline import Timeline
from callrec.recorder.tools import Tools
from callrec.vault.part_writer import PartSource

log = logging.getLogger("callrec.calls")

_LONGEST_TONE_MS = 10_000


def play_notice(tools: Tools, call: LiveCall, _: do.PlayNotice) -> None:
    """Play the notice of the capture rule to the caller; its evidence comes back with the end of the play."""
    loaded = tools.prompts.notice(call.notice.id) if call.notice else None
    if loaded is None:
        tools.feed(call, given.PlayEnded(completed=False))
        return
    call.notice = loaded.asset
    tell_remotes(tools, call)
    call.play_id = new_id(tools.random)
    call.notice_playing = True
    # The lead-in of NOT-7 is part of the asset.
    tools.media.play(call.caller.id, Play(call.play_id, PlayKind.NOTICE, loaded.sources, start=PlayStart.ON_MEDIA))


def play_opt_out_confirmed(tools: Tools, call: LiveCall, _: do.PlayOptOutConfirmed) -> None:
    """Tell the caller that the call is not recorded; where there is no such prompt, go on at once."""
    _play_prompt(tools, call, tools.prompts.confirmation)


def play_stop_offer(tools: Tools, call: LiveCall, _: do.PlayStopOffer) -> None:
    """Tell the caller the key that stops the recording of all their calls (NOT-16)."""
    _play_prompt(tools, call, tools.prompts.stop_offer)


def add_stop(tools: Tools, call: LiveCall, _: do.AddStop) -> None:
    """Enter the caller's number in the stop list; the call does not wait for it."""
    number = call.arrival.own_number()
    if number is not None and tools.add_stop is not None:
        call.tasks.start(f"add-stop/{call.call_id}", _add_stop(tools.add_stop(number), call.call_id))


async def _add_stop(adding: Awaitable[None], call_id: str) -> None:
    try:
        await adding
    except CallrecError as error:
        # Theirs is a wish we must keep: whoever reads the log enters it by hand.
        log.error("call %s: the caller's stop could not be entered: %s", call_id, error)  # noqa: TRY400 - theirs


def play_menu(tools: Tools, call: LiveCall, _: do.PlayMenu) -> None:
    """Tell the caller the keys of the menu."""
    menu = call.arrival.menu
    _play_prompt(tools, call, tools.prompts.menu(menu.name) if menu is not None else None)


def _play_prompt(tools: Tools, call: LiveCall, sources: Sources | None) -> None:
    if sources is None:
        tools.feed(call, given.PlayEnded(completed=True))
        return
    call.play_id = new_id(tools.random)
    tools.media.play(call.caller.id, Play(call.play_id, PlayKind.PROMPT, sources))


def play_tone(tools: Tools, call: LiveCall, command: do.PlayTone) -> None:
    """Play a tone to a party: ringback until it is stopped, another for at most ten seconds."""
    call.play_id = new_id(tools.random)
    maximum = None if command.forever else _LONGEST_TONE_MS // 2
    play = Play(call.play_id, PlayKind.TONE, tools.prompts.tone(command.tone), loop=True, maximum_ms=maximum)
    tools.media.play(call.leg(command.side).id, play)


def stop_play(tools: Tools, call: LiveCall, command: do.StopPlay) -> None:
    """Stop what plays; the evidence of a notice that was cut short still comes and is kept."""
    call.play_id = None
    tools.media.stop_play(call.leg(command.side).id)


def link(tools: Tools, call: LiveCall, command: do.Link) -> None:
    """Relay audio both ways; once connected the keys a party presses go through."""
    if not call.anchored:
        return
    link_early(tools, call)
    if not command.early:
        for leg in (call.caller, call.destination):
            tools.media.set_digits(leg.id, DigitPolicy.PASS, call.machine.codes_of(leg.side))


def start_recording(tools: Tools, call: LiveCall, command: do.StartRecording) -> None:
    """Store both voices from now on: the outside party left, our side right.

    The stop list is asked once more: it may have changed since the INVITE, or the menu may lead to somebody on it.
    """
    if not tools.stop_list.known or tools.stop_list.is_stopped(call.speaking()):
        tools.feed(call, given.RecordingStopped())
        return
    if call.keys is None:
        tools.feed(call, given.RecordingLost())
        return
    recording_id, folder = recording_id_of(call.call_id), tools.settings.paths.recordings
    parts = PartSource(recording_id, call.keys.audio_key, folder, tools.random)
    try:
        started_at = tools.media.record(
            call.call_id, outside=call.outside.id, ours=call.ours.id, parts=parts, paused=command.pause is not None
        )
    except Exception:  # a recording that does not begin must not end its call
        log.exception("internal error: call %s: its recording does not begin", call.call_id)
        started_at = None
    if started_at is None:
        tools.feed(call, given.RecordingLost())
        return
    call.recording = LiveRecording(recording_id, started_at, Timeline(tools.now), folder)
    if call.row is not None:
        change = CallChange(recording_started_at=started_at, recording_id=recording_id)
        call.row.change(change, Event("recording", "started", call.call_id))
    if command.pause is not None:
        note_pause(tools, call, command.pause)


def discard_recording(tools: Tools, call: LiveCall, _: do.DiscardRecording) -> None:
    """Stop storing at once, and destroy what was stored: its key first, then its files."""
    if call.recording is None:
        return
    call.recording.discarded = True
    if call.row is not None:
        call.row.forget_recording()
    tools.media.discard(call.call_id)
    call.tasks.start(f"discard/{call.call_id}", tools.stores.discard_audio(call))


def end_recording(tools: Tools, call: LiveCall, command: do.EndRecording) -> None:
    """Store nothing more and seal what was stored, while the call goes on."""
    if call.recording is None:
        return
    tools.media.seal(call.call_id, command.reason.value)
    if call.row is not None:
        call.row.change(CallChange(add_flags=(FLAG_RECORDING_ENDED,)))


def hold(tools: Tools, call: LiveCall, _: do.Hold) -> None:
    """Store nothing while the call is on hold (NOT-20)."""
    if call.recording is not None:
        tools.media.hold(call.call_id, on=True)
        call.recording.hold(tools.now, on=True)


def resume(tools: Tools, call: LiveCall, _: do.Resume) -> None:
    """Store both sides again."""
    if call.recording is not None:
        tools.media.hold(call.call_id, on=False)
        call.recording.hold(tools.now, on=False)


MEDIA_COMMANDS: dict[type[do.Command], Callable[..., None]] = {
    do.PlayNotice: play_notice,
    do.PlayMenu: play_menu,
    do.PlayOptOutConfirmed: play_opt_out_confirmed,
    do.PlayStopOffer: play_stop_offer,
    do.AddStop: add_stop,
    do.PlayTone: play_tone,
    do.StopPlay: stop_play,
    do.Link: link,
    do.StartRecording: start_recording,
    do.DiscardRecording: discard_recording,
    do.EndRecording: end_recording,
    do.Hold: hold,
    do.Resume: resume,
    do.PauseRecording: pause_recording,
    do.ResumeRecording: resume_recording,
}
