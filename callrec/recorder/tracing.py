"""SIP traces of live calls: gathered in memory by Call-ID, sealed and written by a thread now and then.

Of a caller who withheld the number, of an emergency call and of a call without an identity key nothing is kept at all
(LAW-70, CLI-12). A message costs the event loop a search for its Call-ID and an append.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Never

from callrec.clock import Clock
from callrec.recorder.rounds import keep_on
from callrec.sip.blanking import blanked
from callrec.vault.trace_files import TracedMessage, TraceFiles, TraceOwner

if TYPE_CHECKING:
    from callrec.identifiers import RandomBytes
    from callrec.recorder.live_call import LiveCall
    from callrec.settings import Settings
    from callrec.sip.events import Flow

log = logging.getLogger("callrec.tracing")

MOST_OF_A_CALL = 400
"""Messages; a call of eight hours with session timers has some two hundred."""
MOST_BYTES_OF_A_CALL = 512 << 10
MOST_BYTES = 32 << 20
"""Of all calls, that wait to be written."""
WRITE_EVERY_S = 10.0
LINGER_S = 3.0
"""After the end of a call: the answer to its BYE, and copies of both."""
_KEEP_EVERY_S = 600.0
_STOP_LIMIT_S = 2.0
_UNCLAIMED = 512
_UNCLAIMED_MESSAGES = 8
_CALL_ID = re.compile(rb"\n(?:call-id|i)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)

Raw = tuple[datetime, bool, "Flow", bytes]


@dataclass(slots=True)
class CallTrace:
    """What is gathered of one call and not written yet."""

    owner: TraceOwner
    names: list[bytes] = field(default_factory=list)
    """The SIP Call-IDs of its legs."""
    waiting: list[Raw] = field(default_factory=list)
    waiting_bytes: int = 0
    taken: int = 0
    taken_bytes: int = 0
    left_out: int = 0
    chunks: int = 0
    over: bool = False


class Tracing:
    """Traces of the calls that go on; `run` writes them until it is cancelled."""

    def __init__(self, settings: Callable[[], Settings], files: TraceFiles, clock: Clock, random: RandomBytes) -> None:
        self._settings = settings
        self._files = files
        self._clock = clock
        self._random = random
        self._by_name: dict[bytes, CallTrace] = {}
        self._traces: dict[str, CallTrace] = {}
        self._unclaimed: OrderedDict[bytes, list[Raw]] = OrderedDict()
        """INVITEs that came and belong to no call yet, and what was said about them."""
        self._waiting_bytes = 0
        self._writing = asyncio.Lock()

    @property
    def files(self) -> TraceFiles:
        """Return where traces are kept."""
        return self._files

    # Messages

    def take(self, data: bytes, flow: Flow, *, sent: bool) -> None:
        """Take a message that came or goes; one of no traced call is left where it is."""
        name = call_id_of(data)
        trace = self._by_name.get(name)
        if trace is not None:
            self._keep(trace, (self._clock.now(), sent, flow, data))
        elif (waiting := self._unclaimed.get(name)) is not None:
            if len(waiting) < _UNCLAIMED_MESSAGES:
                waiting.append((self._clock.now(), sent, flow, data))
        elif not sent and data.startswith(b"INVITE "):
            self._unclaimed[name] = [(self._clock.now(), sent, flow, data)]
            if len(self._unclaimed) > _UNCLAIMED:
                self._unclaimed.popitem(last=False)

    def _keep(self, trace: CallTrace, raw: Raw) -> None:
        size = len(raw[3])
        full = trace.taken >= MOST_OF_A_CALL or trace.taken_bytes + size > MOST_BYTES_OF_A_CALL
        if full or self._waiting_bytes + size > MOST_BYTES:
            trace.left_out += 1
            return
        trace.waiting.append(raw)
        trace.waiting_bytes += size
        trace.taken += 1
        trace.taken_bytes += size
        self._waiting_bytes += size

    # Calls

    def begin(self, call: LiveCall) -> None:
        """Claim the INVITE of a call that was admitted, or let go of it where no trace may be kept."""
        # What is no UTF-8 in a header is read with surrogateescape: so it is the sender's bytes again.
        name = (call.arrival.incoming.request.headers.get("Call-ID") or "").encode("utf-8", "surrogateescape")
        waiting = self._unclaimed.pop(name, [])
        calling = call.arrival.calling
        hidden = calling.withheld or calling.diverting_withheld or calling.original_called_withheld
        if call.keys is None or hidden or call.arrival.emergency or not self._settings().limits.most_traces:
            return
        trace = CallTrace(TraceOwner(call.call_id, call.started_at, call.keys.identity_key))
        self._traces[call.call_id] = trace
        if name:
            self._name(trace, name)
        for raw in waiting:
            self._keep(trace, raw)

    def name_leg(self, call_id: str) -> str | None:
        """Return the SIP Call-ID for a leg that is about to be dialled; None leaves it to the endpoint."""
        trace = self._traces.get(call_id)
        if trace is None:
            return None
        name = self._random(16).hex()
        self._name(trace, name.encode())
        return name

    def _name(self, trace: CallTrace, name: bytes) -> None:
        trace.names.append(name)
        self._by_name[name] = trace

    def end(self, call_id: str) -> None:
        """The call is over: write its trace as soon as the last answers have gone by."""
        if (trace := self._traces.get(call_id)) is not None:
            asyncio.get_running_loop().call_later(LINGER_S, self._close, trace)

    def _close(self, trace: CallTrace) -> None:
        trace.over = True
        for name in trace.names:
            self._by_name.pop(name, None)

    # Disk

    async def run(self) -> Never:
        """Write what has gathered, for ever."""
        await keep_on(self.write, WRITE_EVERY_S, "traces")

    async def run_keeping(self) -> Never:
        """Remove what is too old, for ever."""
        await keep_on(self.keep_house, _KEEP_EVERY_S, "old traces")

    async def stop(self) -> None:
        """Write what has gathered, unless the disk does not answer."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.write(last=True), _STOP_LIMIT_S)

    async def write(self, *, last: bool = False) -> None:
        """Write what has gathered of every call; what cannot be written is left out, and the log says so once."""
        async with self._writing:
            for trace in list(self._traces.values()):
                if trace.waiting:
                    await self._write(trace)
                if (trace.over or last) and not trace.waiting:
                    self._close(trace)
                    self._traces.pop(trace.owner.call_id, None)

    async def _write(self, trace: CallTrace) -> None:
        batch, trace.waiting = trace.waiting, []
        self._waiting_bytes -= trace.waiting_bytes
        trace.waiting_bytes = 0
        try:
            await asyncio.to_thread(self._append, trace, batch)
            trace.chunks += 1
        except OSError as error:
            trace.left_out += len(batch)
            log.warning("call %s: its trace cannot be written: %s", trace.owner.call_id, error.strerror)

    def _append(self, trace: CallTrace, batch: Sequence[Raw]) -> None:
        messages = [_message(raw) for raw in batch]
        self._files.append(trace.owner, trace.chunks, messages, trace.left_out)

    async def keep_house(self) -> None:
        """Remove the traces whose time is over, and the oldest where there are too many."""
        limits = self._settings().limits
        try:
            removed = await asyncio.to_thread(
                self._files.age_out, self._clock.now() - limits.keep_traces, limits.most_traces
            )
        except OSError as error:
            log.warning("old traces cannot be removed: %s", error.strerror)
            return
        if removed:
            log.info("%d traces were removed: they are kept for %s", removed, limits.keep_traces)


def call_id_of(data: bytes) -> bytes:
    """Return the Call-ID of a message, empty where it has none."""
    start = data.find(b"\r\nCall-ID: ")
    if start >= 0:  # as nearly everybody writes it
        return data[start + 11 : data.find(b"\r\n", start + 11)].strip()
    found = _CALL_ID.search(data)
    return found[1].strip() if found is not None else b""


def _message(raw: Raw) -> TracedMessage:
    at, sent, flow, data = raw
    ours, theirs = (f"{address.host}:{address.port}" for address in (flow.local, flow.remote))
    return TracedMessage(
        round(at.timestamp() * 1e6), sent, flow.transport, ours, theirs, blanked(bytes(data)).decode("latin-1")
    )
