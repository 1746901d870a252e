"""The hall: every event goes through here to its call, and what the call asks for is carried out, in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from callrec.calls import inputs as given
from callrec.calls.call import State
from callrec.calls.commands import Finish
from callrec.calls.inputs import Input
from callrec.calls.outcome import Outcome, Reason
from callrec.media import MediaEvent, StatsReport, StorageBlocked, StorageRecovered, WorkerReplaced
from callrec.recorder.admission import Admission
from callrec.recorder.health import Code
from callrec.recorder.hearing import look_for_silence, on_leg_stats
from callrec.recorder.life_commands import LIFE_COMMANDS, finish
from callrec.recorder.live_call import LiveCall
from callrec.recorder.media_commands import MEDIA_COMMANDS
from callrec.recorder.media_events import CALL_MEDIA_EVENTS
from callrec.recorder.replacing import take_replaces
from callrec.recorder.signalling_commands import SIGNALLING_COMMANDS
from callrec.recorder.sip_events import SIP_EVENTS
from callrec.recorder.tools import Tools
from callrec.recorder.transfer_targets import TARGET_EVENTS
from callrec.recorder.transferring import TRANSFER_COMMANDS
from callrec.sip import events as sip

log = logging.getLogger("callrec.hall")

_COMMANDS = {**SIGNALLING_COMMANDS, **MEDIA_COMMANDS, **LIFE_COMMANDS, **TRANSFER_COMMANDS}
_SEAL_NOW_LIMIT_S = 2.0


class Hall:
    """The live calls of this recorder."""

    def __init__(self) -> None:
        self._calls: dict[str, LiveCall] = {}
        self._by_dialog: dict[str, LiveCall] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self._live = 0
        self.draining = False

    def join(self, tools: Tools) -> None:
        """Take the hands that carry commands out; before this no event may come."""
        self._tools = tools
        tools.call_of = self._by_dialog.get
        self._admission = Admission(tools)

    def __len__(self) -> int:
        return len(self._calls)

    def calls(self) -> Iterator[LiveCall]:
        """Return the calls that have not ended, the oldest first."""
        return (call for call in self._calls.values() if not call.ended)

    def get(self, call_id: str) -> LiveCall | None:
        """Return a live call."""
        return self._calls.get(call_id)

    def knows(self, call_id: str) -> bool:
        """Return whether a call is live, or is being closed."""
        return call_id in self._calls

    def recording_ids(self) -> set[str]:
        """Return the recordings that are growing now."""
        return {call.recording.recording_id for call in self._calls.values() if call.recording is not None}

    # Events in

    def on_sip(self, event: sip.Event) -> None:
        """Take what the SIP endpoint tells."""
        if isinstance(event, sip.IncomingCall):
            self._arrive(event)
            return
        call = self._by_dialog.get(event.leg)
        if call is None:
            return  # it crossed the end of its call
        coming = call.transfer is not None and event.leg == call.transfer.leg.sip_id
        try:
            (TARGET_EVENTS if coming else SIP_EVENTS)[type(event)](self._tools, call, event)
        except Exception:  # at most its own call
            self._give_up(call, type(event).__name__)

    def _arrive(self, event: sip.IncomingCall) -> None:
        try:
            if take_replaces(self._tools, event):
                return
            call = self._admission.admit(event, live=self._live, draining=self.draining)
        except Exception:  # silence would leave the caller waiting
            log.exception("internal error: an INVITE could not be taken")
            self._tools.driver.endpoint.reject(event.leg, 500, self._tools.now)
            return
        if call is None:
            return
        self._calls[call.call_id] = call
        self._live += 1
        self._empty.clear()
        self.register(call)
        self._begin_trace(call)
        self.feed(call, given.Started())

    def _begin_trace(self, call: LiveCall) -> None:
        if self._tools.tracing is None:
            return
        try:
            self._tools.tracing.begin(call)
        except Exception:  # what is wrong with a trace must not cost the call
            log.exception("internal error: call %s has no trace", call.call_id)

    def on_media(self, event: MediaEvent) -> None:
        """Take what the media workers tell."""
        match event:
            case StatsReport():
                self._on_stats(event)
            case StorageBlocked():
                text = f"recordings cannot be written: {event.detail}; free or mend the disk, calls pass unrecorded"
                self._tools.health.raise_problem(Code.STORAGE_UNAVAILABLE, text, about=f"worker {event.worker_pid}")
            case StorageRecovered():
                self._tools.health.clear(Code.STORAGE_UNAVAILABLE, about=f"worker {event.worker_pid}")
            case WorkerReplaced():
                log.warning("media worker %d %s; its %d calls go on", event.old_pid, event.reason, event.calls)
                self._tools.health.clear(Code.STORAGE_UNAVAILABLE, about=f"worker {event.old_pid}")
            case _:
                self._on_call_media(event)
        self._tools.driver.flush()

    def _on_stats(self, event: StatsReport) -> None:
        calls: dict[str, LiveCall] = {}
        for stats in event.legs:
            if (call := self._calls.get(stats.call_id)) is not None:
                on_leg_stats(call, stats)
                calls[call.call_id] = call
        for call in calls.values():
            look_for_silence(self._tools, call)

    def _on_call_media(self, event: MediaEvent) -> None:
        handler = CALL_MEDIA_EVENTS.get(type(event))
        call = self._calls.get(getattr(event, "call_id", ""))
        if handler is None or call is None:
            return
        try:
            handler(self._tools, call, event)
        except Exception:  # at most its own call
            self._give_up(call, type(event).__name__)

    def _give_up(self, call: LiveCall, what: str) -> None:
        """End a call of which an event could not be taken: half a call would never end by itself."""
        log.error("internal error: call %s: %s was not taken; the call is ended", call.call_id, what, exc_info=True)  # noqa: LOG014 - called while handling it
        self.feed(call, given.SealNow())

    # Commands out

    def feed(self, call: LiveCall, event: Input) -> None:
        """Tell a call something and carry out what it asks for.

        What carrying out a command tells the call at once waits until the commands before it are done.
        """
        call.inputs.append(event)
        if call.carrying_out:
            return
        call.carrying_out = True
        try:
            while call.inputs:
                self._carry_out(call, call.inputs.popleft())
        finally:
            call.carrying_out = False
        self._tools.driver.flush()

    def _carry_out(self, call: LiveCall, event: Input) -> None:
        """Carry out what a call asks for about one input.

        A command that fails costs at most its call: the call is ended and its row says so.
        """
        was_ended = call.ended
        for command in call.handle(event):
            try:
                _COMMANDS[type(command)](self._tools, call, command)
            except Exception:
                log.exception("internal error: call %s: %s failed", call.call_id, type(command).__name__)
                if call.machine.state is not State.OVER:
                    call.inputs.appendleft(given.SealNow())
                    break
                # It ends already: the rest of what it asked for releases what it holds.
        if call.machine.state is State.OVER and not call.ended:
            finish(self._tools, call, Finish(Outcome(Reason.DESTINATION_FAILED)))
        if call.ended and not was_ended:
            self._live -= 1

    def register(self, call: LiveCall) -> None:
        """Find the call by the dialogs of its legs, as they are now."""
        for sip_id in call.dialogs:
            self._by_dialog.pop(sip_id, None)
        coming = [] if call.transfer is None else [call.transfer.leg.sip_id]
        call.dialogs = [call.caller.sip_id, call.destination.sip_id, *coming]
        for sip_id in call.dialogs:
            self._by_dialog[sip_id] = call

    def forget(self, call: LiveCall) -> None:
        """The call is over and its row is closed."""
        self._calls.pop(call.call_id, None)
        if self._tools.tracing is not None:
            self._tools.tracing.end(call.call_id)
        for sip_id in call.dialogs:
            self._by_dialog.pop(sip_id, None)
        if not self._calls:
            self._empty.set()

    # Ending

    async def drain(self, limit_s: float) -> None:
        """Take no new call but emergencies, and wait until the live ones have ended, at most until the limit."""
        self.draining = True
        try:
            await asyncio.wait_for(self._empty.wait(), limit_s)
        except TimeoutError:
            log.warning("%d calls still live after %d s of draining: they are ended and sealed", len(self), limit_s)

    async def stop(self) -> None:
        """Let go of calls whose end could not be written in time; the next start writes it."""
        await self._admission.stop()

    async def seal_all(self) -> None:
        """Hang up every call and seal what was recorded, within two seconds."""
        self.draining = True
        for call in list(self.calls()):
            self.feed(call, given.SealNow())
        try:
            await asyncio.wait_for(self._empty.wait(), _SEAL_NOW_LIMIT_S)
        except TimeoutError:
            log.warning("%d recordings could not be sealed in time; the next start does it", len(self))
