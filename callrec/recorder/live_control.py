"""What people and programs may do to a call while it goes on: pause and resume its recording, or end it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from callrec.calls import inputs as given
from callrec.calls.inputs import Pause
from callrec.errors import ExitCode, OperatorError
from callrec.recorder.live_call import LiveCall
from callrec.recorder.tools import Tools

_IN_FORCE_LIMIT_S = 6.0
"""A media worker that hangs is replaced within 3.5 s, and its successor begins paused."""
_DIGITS = re.compile(r"\d(?:[ .-]?\d){3,}")
_SHORTEST_PREFIX = 4

Audit = Callable[[str, str, Mapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class LiveState:
    """How a live call's recording is now."""

    call_id: str
    recording: str
    """`recording`, `paused`, `ended` (kept so far), `none` (nothing is or will be stored) or `not_begun`."""

    def document(self) -> dict[str, Any]:
        """Return it as the API tells it."""
        return {"call_id": self.call_id, "recording": self.recording}


class LiveControl:
    """Pauses, resumes and ends recordings of live calls. Rights are the API's own part."""

    def __init__(self, tools: Tools, calls: Callable[[], Iterator[LiveCall]], audit: Audit) -> None:
        self._tools = tools
        self._calls = calls
        self._audit = audit

    async def pause(self, call: str, *, purpose: str, reason: str, actor: str) -> LiveState:
        """Store nothing of a call from now on; when this returns no later packet is stored.

        Asked again, it is one pause, and its limit begins anew. Before the recording has begun it begins paused.

        Raises:
            OperatorError: if no such call is live (3), its recording has ended or there is none (5), or the media
                worker does not say that the pause is in force (75).
        """
        live = await self._find(call)
        if live.machine.why_not is not None:
            raise _refused(live, f"it is not recorded ({live.machine.why_not}), so that there is nothing to pause")
        self._tools.feed(live, given.PauseAsked(Pause(actor, purpose)))
        await self._audit(actor, "calls.pause", _detail(live, reason, purpose=purpose))
        await self._in_force(live)
        return self._state(live)

    async def resume(self, call: str, *, reason: str, actor: str) -> LiveState:
        """Store again what is said from now on; a call that is not paused stays as it is.

        Raises:
            OperatorError: as `pause`.
        """
        live = await self._find(call)
        if live.machine.paused:
            self._tools.feed(live, given.ResumeAsked(actor))
            await self._audit(actor, "calls.resume", _detail(live, reason))
            await self._in_force(live)
        return self._state(live)

    async def stop(self, call: str, *, discard: bool, reason: str, actor: str) -> LiveState:
        """Record nothing more of a call; `discard` destroys what was stored (LAW-39), unless a hold keeps it.

        Raises:
            OperatorError: as `pause`, and if a hold forbade to discard (5): then the recording has ended all the same.
        """
        live = await self._find(call)
        self._tools.feed(live, given.RecordingStopped(discard))
        kept = live.machine.has_stored
        await self._audit(actor, "calls.stop", _detail(live, reason, discard=discard, kept=kept))
        if discard and kept:
            raise _refused(live, "its recording was ended now; what is stored of it is kept, for a hold is on it")
        return self._state(live)

    async def _find(self, name: str) -> LiveCall:
        """Return the live call that an id, a unique prefix, a recording id or a call reference names."""
        found = [call for call in self._calls() if len(name) >= _SHORTEST_PREFIX and call.call_id.startswith(name)]
        if not found:
            item = await self._tools.stores.catalogue.get(name)
            found = [call for call in self._calls() if call.call_id == item["call_id"]]
            if not found:
                message = f"call {item['call_id']} has ended: only a call in progress can be paused, resumed or stopped"
                raise OperatorError(message, exit_code=ExitCode.NOT_FOUND)
        if len(found) > 1:
            message = f"{name} names {len(found)} calls in progress; expected more of the id, see `callrec calls`"
            raise OperatorError(message, exit_code=ExitCode.USAGE)
        return found[0]

    async def _in_force(self, call: LiveCall) -> None:
        """Wait until the media worker stores nothing more, or stores again."""
        if call.recording is None or not call.machine.is_recording or call.recording.done.is_set():
            return
        try:
            await asyncio.wait_for(call.recording.pause_heard.wait(), _IN_FORCE_LIMIT_S)
        except TimeoutError:
            message = f"call {call.call_id}: its media worker does not say that this is in force; ask again"
            raise OperatorError(message, exit_code=ExitCode.BUSY) from None

    def _state(self, call: LiveCall) -> LiveState:
        machine = call.machine
        if machine.is_recording:
            return LiveState(call.call_id, "paused" if machine.paused else "recording")
        if machine.has_stored:
            return LiveState(call.call_id, "ended")
        if machine.why_not is not None:
            return LiveState(call.call_id, "none")
        return LiveState(call.call_id, "paused" if machine.paused else "not_begun")


def without_numbers(text: str) -> str:
    """Return what a person wrote without any run of four digits or more: it may be a card, or a telephone number."""
    return _DIGITS.sub("…", text)


def _detail(call: LiveCall, reason: str, **more: Any) -> dict[str, Any]:
    return {"call_id": call.call_id, "reason": without_numbers(reason), **more}


def _refused(call: LiveCall, why: str) -> OperatorError:
    return OperatorError(f"call {call.call_id}: {why}", exit_code=ExitCode.REFUSED)
