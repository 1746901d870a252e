"""The hall: every event goes through here to its call, and what the call asks for is carried out, in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from callrec.calls import inputs as given
from callrec.calls.inputs import Input
from callrec.media import MediaEvent, StatsReport, StorageBlocked, StorageRecovered, WorkerReplaced
from callrec.recorder.admission import Admission
from callrec.recorder.health import Code
from callrec.recorder.life_commands import LIFE_COMMANDS
from callrec.recorder.live_call import LiveCall
from callrec.recorder.media_commands import MEDIA_COMMANDS
from callrec.recorder.media_events import CALL_MEDIA_EVENTS, on_leg_stats
from callrec.recorder.signalling_commands import SIGNALLING_COMMANDS
from callrec.recorder.sip_events import SIP_EVENTS
from callrec.recorder.tools import Tools
from callrec.sip import events as sip

log = logging.getLogger("callrec.hall")

_COMMANDS = {**SIGNALLING_COMMANDS, **MEDIA_COMMANDS, **LIFE_COMMANDS}
_SEAL_NOW_LIMIT_S = 2.0


class Hall:
    """The live calls of this recorder."""

    def __init__(self) -> None:
        self._calls: dict[str, LiveCall] = {}
        self._by_dialog: dict[str, LiveCall] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self.draining = False

    def join(self, tools: Tools) -> None:
        """Take the hands that carry commands out; before this no event may come."""
        self._tools = tools
        self._admission = Admission(tools)

    def __len__(self) -> int:
        return len(self._calls)

    def calls(self) -> Iterator[LiveCall]:
        """Return the calls that have not ended, the oldest first."""
        return (call for call in self._calls.values() if not call.ended)

    def get(self, call_id: str) -> LiveCall | None:
        """Return a live call."""
        return self._calls.get(call_id)

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
        SIP_EVENTS[type(event)](self._tools, call, event)

    def _arrive(self, event: sip.IncomingCall) -> None:
        call = self._admission.admit(event, live=len(self._calls), draining=self.draining)
        if call is None:
            return
        self._calls[call.call_id] = call
        self._empty.clear()
        self.register(call)
        self.feed(call, given.Started())

    def on_media(self, event: MediaEvent) -> None:
        """Take what the media workers tell."""
        match event:
            case StatsReport():
                for stats in event.legs:
                    call = self._calls.get(stats.call_id)
                    if call is not None:
                        on_leg_stats(self._tools, call, stats)
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

    def _on_call_media(self, event: MediaEvent) -> None:
        handler = CALL_MEDIA_EVENTS.get(type(event))
        call = self._calls.get(getattr(event, "call_id", ""))
        if handler is not None and call is not None:
            handler(self._tools, call, event)

    # Commands out

    def feed(self, call: LiveCall, event: Input) -> None:
        """Tell a call something and carry out what it asks for.

        A command that fails costs at most its call: the call is ended and its row says so.
        """
        for command in call.handle(event):
            try:
                _COMMANDS[type(command)](self._tools, call, command)
            except Exception:
                log.exception("call %s: %s failed", call.call_id, type(command).__name__)
                if isinstance(event, given.SealNow):
                    continue
                self.feed(call, given.SealNow())
                break
        self._tools.driver.flush()

    def register(self, call: LiveCall) -> None:
        """Find the call by the dialogs of its legs."""
        self._by_dialog[call.caller.sip_id] = call
        self._by_dialog[call.destination.sip_id] = call

    def forget(self, call: LiveCall) -> None:
        """The call is over and its row is closed."""
        self._calls.pop(call.call_id, None)
        for leg in (call.caller, call.destination):
            self._by_dialog.pop(leg.sip_id, None)
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

    async def seal_all(self) -> None:
        """Hang up every call and seal what was recorded, within two seconds."""
        self.draining = True
        for call in list(self.calls()):
            self.feed(call, given.SealNow())
        try:
            await asyncio.wait_for(self._empty.wait(), _SEAL_NOW_LIMIT_S)
        except TimeoutError:
            log.warning("%d recordings could not be sealed in time; the next start does it", len(self))
