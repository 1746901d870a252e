"""What is asked of the traces: one call's, opened with its identity key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from callrec.catalogue.values import Item
from callrec.errors import ExitCode, IntegrityError, OperatorError
from callrec.recorder.tools import Tools
from callrec.vault.keyring_errors import KeyDestroyed
from callrec.vault.trace_files import Trace


@dataclass(frozen=True, slots=True)
class CallTraced:
    """A call and the trace of its signalling."""

    item: Item
    trace: Trace


class TraceDesk:
    """Reads traces; rights are the API's own part."""

    def __init__(self, tools: Tools, get: Callable[[str], Awaitable[Item]]) -> None:
        self._tools = tools
        self._get = get

    async def read(self, call: str) -> CallTraced:
        """Return the trace of a call, also of one that goes on.

        Raises:
            OperatorError: if there is no such call or no trace of it: erased, aged out, or never kept (3).
            IntegrityError: if its key cannot be had, or the trace was altered.
        """
        item = await self._get(call)
        call_id = str(item["call_id"])
        tracing, keyring = self._tools.tracing, self._tools.stores.keyring
        if tracing is None or keyring is None:
            raise IntegrityError("the keyring is not open; `callrec status` says why")
        await tracing.write()
        key_id = await self._tools.stores.catalogue.identity_key_of(call_id)
        try:
            key = None if key_id is None else await keyring.load(key_id)
        except KeyDestroyed:
            key = None
        try:
            trace = None if key is None else await asyncio.to_thread(tracing.files.read, call_id, key)
        except OSError as error:
            raise OperatorError(f"the trace of call {call_id} cannot be read: {error.strerror}") from None
        if trace is None:
            raise OperatorError(f"call {call_id} has no trace: {self._why_not(item)}", exit_code=ExitCode.NOT_FOUND)
        return CallTraced(item, trace)

    def _why_not(self, item: Item) -> str:
        if item["withheld"]:
            return "the caller withheld the number, and then none is kept"
        if item["outcome_reason"] == "emergency":
            return "none is kept of an emergency call"
        days = self._tools.settings.limits.keep_traces.days
        return f"it is older than {days} days ([limits] keep_traces), or none was kept of it"
