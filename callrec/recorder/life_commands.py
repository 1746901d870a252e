"""Carries out what a call asks for at its beginning and its end: row, ports, timers, sealing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from callrec.calls import commands as do
from callrec.calls import inputs as given
from callrec.calls.announced import AnnouncedCall
from callrec.calls.inputs import Timer
from callrec.calls.outcome import Kind, Outcome, Reason
from callrec.calls.transparent import TransparentCall
from callrec.catalogue.values import CallChange, CallEnd, Event
from callrec.media import ShortageError
from callrec.recorder.evidence import unheard
from callrec.recorder.live_call import LiveCall
from callrec.recorder.ports import open_ports
from callrec.recorder.tools import Tools
from callrec.recorder.work import start

log = logging.getLogger("callrec.calls")

_LONGEST_CALL = 'Q.850;cause=102;text="the longest time of a call"'
_MEDIA_LIMIT_S = 1.0
_EMERGENCY_MEDIA_LIMIT_S = 0.2
_EVIDENCE_LIMIT_S = 1.0
_TONE_S = 10.0
_REPLY_S = 4.0
"""A destination that is there says 100 within 200 ms (RFC 3261 8.2.6.1), unless a packet was lost, or two."""
_STOP_OFFER_S = 4.0
_COUNTERS_LIMIT_S = 0.25
_DISCARD_LIMIT_S = 5.0
_SEAL_LIMIT_S = 120.0
"""A disk that blocks for half a minute must not make a whole recording a cut one."""


def prepare(tools: Tools, call: LiveCall, _: do.Prepare) -> None:
    """Make the row durable and open the ports, both at once."""
    start(tools, call, "prepare", _prepare(tools, call, _open_row(tools, call)))


async def _prepare(tools: Tools, call: LiveCall, row: asyncio.Task[bool] | None) -> None:
    """Wait for ports and row; the row of an emergency call is written afterwards (FAIL-1)."""
    emergency = call.arrival.emergency
    try:
        media = await open_ports(tools, call, _EMERGENCY_MEDIA_LIMIT_S if emergency else _MEDIA_LIMIT_S)
    except ShortageError as error:
        log.warning("call %s is refused: %s", call.call_id, error)
        if not call.ended:
            tools.feed(call, given.Prepared(row_kept=False, media=False, short=True))
        return
    kept = emergency or (row is not None and await row)
    call.anchored = media and call.anchored
    tools.stop_list.new_calls |= call.under_hold
    if call.ended:
        tools.media.close_call(call.call_id)  # the caller left meanwhile
        return
    tools.feed(call, given.Prepared(row_kept=kept, media=media))


def _open_row(tools: Tools, call: LiveCall) -> asyncio.Task[bool] | None:
    try:
        call.row = tools.stores.new_row(call)
    except Exception:  # what cannot be written down must not cost the call
        log.exception("internal error: call %s: its row cannot be made", call.call_id)
        return None
    return call.row.open(Event("call", "started", call.call_id))


def go_transparent(tools: Tools, call: LiveCall, command: do.GoTransparent) -> None:
    """Let the call pass unrecorded from here on: what was prepared is used."""
    late = call.arrival.incoming.offer is None
    call.machine = TransparentCall(
        command.reason, prepared=True, late_offer=late, next_on_busy=call.arrival.next_on_busy
    )
    tools.feed(call, given.Started())


def set_timer(tools: Tools, call: LiveCall, command: do.SetTimer) -> None:
    """Tell the call when the time that the configuration gives has passed."""
    limit = _limit_s(tools, call, command.timer)
    loop = asyncio.get_running_loop()
    _stop(call, command.timer)
    call.timers[command.timer] = loop.call_later(limit, _fire, tools, call, command.timer)


def _limit_s(tools: Tools, call: LiveCall, timer: Timer) -> float:
    route, menu = call.arrival.route, call.arrival.menu
    match timer:
        case Timer.ANSWER | Timer.TRANSFER:
            return route.answer_timeout.total_seconds() if route else 60.0
        case Timer.REPLY:
            return _REPLY_S
        case Timer.MENU:
            return menu.timeout.total_seconds() if menu else 5.0
        case Timer.LONGEST_CALL:
            return tools.settings.limits.longest_call.total_seconds()
        case Timer.PAUSE:
            return tools.settings.limits.longest_pause.total_seconds()
        case Timer.STOP_OFFER:
            return _STOP_OFFER_S
        case Timer.TONE:
            return _TONE_S


def _fire(tools: Tools, call: LiveCall, timer: Timer) -> None:
    call.timers.pop(timer, None)
    if timer is Timer.REPLY and tools.driver.endpoint.has_replied(call.destination.sip_id):
        return
    if timer is Timer.LONGEST_CALL:
        call.our_reason = _LONGEST_CALL
    tools.feed(call, given.TimerFired(timer))


def stop_timer(_: Tools, call: LiveCall, command: do.StopTimer) -> None:
    """Forget a timer."""
    _stop(call, command.timer)


def _stop(call: LiveCall, timer: Timer) -> None:
    handle = call.timers.pop(timer, None)
    if handle is not None:
        handle.cancel()


def finish(tools: Tools, call: LiveCall, command: do.Finish) -> None:
    """End the call: seal, close the row with its one outcome, release everything."""
    call.stop_timers()
    call.ended = True
    call.tasks.start(f"finish/{call.call_id}", _finish(tools, call, command.outcome))


async def _finish(tools: Tools, call: LiveCall, outcome: Outcome) -> None:
    """Seal and release everything, then give the row its one outcome; a failure of the one must not cost the other."""
    ended_at = tools.clock.now()
    for leg in call.former:
        tools.driver.endpoint.hang_up(leg.sip_id, tools.now)
    for leg in (call.caller, call.destination):
        leg.ended_at = leg.ended_at or (ended_at if leg.started_at else None)
    try:
        await _release(tools, call)
        await _end_row(tools, call, outcome, ended_at)
    finally:
        tools.media.close_call(call.call_id)
        tools.forget(call)


async def _release(tools: Tools, call: LiveCall) -> None:
    try:
        await _release_in_order(tools, call)
    except Exception:
        log.exception("internal error: call %s: its media was not released in order", call.call_id)


async def _release_in_order(tools: Tools, call: LiveCall) -> None:
    recording = call.recording
    if recording is not None and not recording.discarded:
        tools.media.seal(call.call_id)
    await _hear_of_notice(tools, call)
    await _close_legs(tools, call)
    await _recording_done(call)
    if recording is not None and not recording.discarded:
        await recording.settle()


async def _end_row(tools: Tools, call: LiveCall, outcome: Outcome, ended_at: datetime) -> None:
    if call.row is None:
        call.row = tools.stores.new_row(call)
    events = []
    if outcome.kind is Kind.RECORDED:
        outcome = _as_stored(tools, call, outcome)
        if outcome.kind is Kind.RECORDED:
            events.append(Event("recording", "sealed", call.call_id))
    events.append(Event("call", "ended", call.call_id))
    final, cut = _last_change(tools, call), outcome.reason is Reason.CUT
    await call.row.end(CallEnd(ended_at, outcome.kind.value, outcome.reason.value, cut=cut, final=final), events)
    tools.stop_list.new_calls |= call.under_hold


def _as_stored(tools: Tools, call: LiveCall, outcome: Outcome) -> Outcome:
    """Return how a recording ended that the call says exists: whole, cut, or nothing was stored of it at all."""
    recording = call.recording
    stored = Reason.STORAGE_UNAVAILABLE if recording is None else recording.reason(tools.now)
    if stored is Reason.STORAGE_UNAVAILABLE:
        return Outcome(call.machine.why_not or stored)
    return outcome if stored is Reason.COMPLETE else Outcome(stored)


async def _close_legs(tools: Tools, call: LiveCall) -> None:
    """Close the RTP ports: nobody is to hear anything after the end; each port's last counters come with it."""
    call.legs_closing = {leg.id for leg in (call.caller, call.destination) if leg.local is not None}
    tools.media.close_call(call.call_id)
    if call.legs_closing:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(call.counters_complete.wait(), _COUNTERS_LIMIT_S)


async def _hear_of_notice(tools: Tools, call: LiveCall) -> None:
    """Wait for the evidence of a notice that was cut short, so that the row has it (NOT-13)."""
    if call.notice is None or not call.answered_us or not isinstance(call.machine, AnnouncedCall):
        return
    if call.notice_playing:
        tools.media.stop_play(call.caller.id, why="closed")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(call.notice_ended.wait(), _EVIDENCE_LIMIT_S)
    if call.notice_evidence is None:
        call.notice_evidence = unheard(call.notice, "hangup")


async def _recording_done(call: LiveCall) -> None:
    """Wait until the media worker has let go of the call's recording."""
    recording = call.recording
    if recording is None:
        return
    limit = _DISCARD_LIMIT_S if recording.discarded else _SEAL_LIMIT_S
    try:
        await asyncio.wait_for(recording.done.wait(), limit)
    except TimeoutError:
        log.warning("call %s: the media worker has not let go of its recording in %d s", call.call_id, limit)


def _last_change(tools: Tools, call: LiveCall) -> CallChange:
    legs = tuple(leg.as_item() for leg in call.legs())
    change = CallChange(legs=legs, notice=call.notice_evidence)
    recording = call.recording
    if recording is None or recording.discarded:
        return change
    segments = recording.timeline.segments(recording.duration_ms(tools.now))
    return replace(change, segments=tuple(segment.as_item() for segment in segments), parts=recording.parts())


LIFE_COMMANDS: dict[type[do.Command], Callable[..., None]] = {
    do.Prepare: prepare,
    do.GoTransparent: go_transparent,
    do.SetTimer: set_timer,
    do.StopTimer: stop_timer,
    do.Finish: finish,
}
