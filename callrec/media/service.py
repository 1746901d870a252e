"""The recorder's side of media: ports, workers and their replacement, and what each call's media shall be.

Every method but `start`, `stop`, `open_leg` and `preload` returns at once and never blocks; what comes of it is told
as events, in the event loop.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from callrec.clock import Clock
from callrec.descriptors import raise_limit
from callrec.identifiers import RandomBytes
from callrec.media.channel import Message
from callrec.media.commands import DigitPolicy, Play, RemoteMedia
from callrec.media.errors import CapacityError
from callrec.media.events import KeysLost, MediaEvent, MediaLost, WorkerReplaced
from callrec.media.fleet import Fleet
from callrec.media.ports import PortPool, bind_first_pair, bind_pair, try_room
from callrec.media.process import WorkerProcess
from callrec.media.prompts import Prompt, PromptStore
from callrec.media.reports import Reports, played_nothing
from callrec.media.settings import MediaSettings
from callrec.media.state import CallState, LegState, Parts, RecordingState, nanoseconds
from callrec.sip.events import Address
from callrec.tasks import Tasks

log = logging.getLogger("callrec.media")


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker as `status` shows it."""

    pid: int
    calls: int


class MediaService:
    """Media workers and the calls they carry."""

    def __init__(
        self,
        settings: MediaSettings,
        tell: Callable[[MediaEvent], None],
        clock: Clock,
        random: RandomBytes = secrets.token_bytes,
    ) -> None:
        self._pool = PortPool(settings.rtp.ports)
        self._tell = tell
        self._clock = clock
        self._random = random
        self._tasks = Tasks("media")
        self._fleet = Fleet(settings.rtp.workers, self._hear, self._replace, clock)
        self._calls: dict[str, CallState] = {}
        self._legs: dict[str, LegState] = {}
        self._reports = Reports(tell, self._call_ended)
        self._prompts = PromptStore()
        self._next_number = 0
        self._short_on: str | None = None
        """The address of ours on which the last leg found no room; empty where no worker started."""

    # --- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the workers and a spare one.

        Raises:
            CapacityError: if a worker cannot be started; it is tried again meanwhile.
        """
        raise_limit()
        try:
            await self._fleet.start()
        except CapacityError:
            self._short_on = ""
            raise

    async def stop(self) -> None:
        """Let the workers make durable what they have and end; recordings under way stay as `.partial`."""
        await self._tasks.stop()
        await self._fleet.stop()
        for leg in self._legs.values():
            leg.pair.close()
        self._prompts.close()
        self._legs.clear()
        self._calls.clear()

    def workers(self) -> tuple[WorkerStatus, ...]:
        """Return the workers and how many calls each carries."""
        carried: dict[int, int] = {worker.pid: 0 for worker in self._fleet.workers}
        for call in self._calls.values():
            carried[call.worker.pid] = carried.get(call.worker.pid, 0) + bool(call.legs)
        return tuple(WorkerStatus(pid, calls) for pid, calls in carried.items())

    # --- legs ----------------------------------------------------------------------------------------------------

    async def open_leg(self, call_id: str, leg: str, bind: str) -> Address:
        """Open a leg of a call on one of our IP addresses; return the address to write into SDP.

        Raises:
            ShortageError: if there is no port or descriptor for it, or, if it is a call's first, for two.
            CapacityError: if there is no worker or address for it.
        """
        assert leg not in self._legs, "internal error: a leg is opened twice"
        try:
            call = self._calls.get(call_id) or self._new_call(call_id)
            pair = (bind_pair if call.legs else bind_first_pair)(self._pool, bind, self._clock.monotonic())
        except CapacityError:
            self._short_on = bind
            self._forget_if_done(self._calls.get(call_id))
            raise
        numbers = self._random(10)
        state = LegState(
            number=self._number(),
            name=leg,
            call=call,
            pair=pair,
            ssrc=int.from_bytes(numbers[:4], "big"),
            sequence=int.from_bytes(numbers[4:6], "big"),
            timestamp=int.from_bytes(numbers[6:], "big"),
        )
        call.legs[leg] = self._legs[leg] = state
        self._reports.add_leg(state)
        call.worker.legs += 1
        self._send_open(state)
        return pair.address

    def shortage(self) -> CapacityError | None:
        """Return why another call would get no media, or None: looked at only after one did not."""
        if self._short_on is None:
            return None
        try:
            self._fleet.least_loaded_with_room()
            if self._short_on:
                try_room(self._pool, self._short_on, self._clock.monotonic())
            self._short_on = None
        except CapacityError as error:
            return error
        return None

    def set_remote(self, leg: str, remote: RemoteMedia) -> None:
        """Tell a leg its far end, at first and after every offer and answer."""
        if (state := self._legs.get(leg)) is not None:
            state.remote = remote
            state.call.worker.channel.send(state.remote_message(remote, keep=False))

    def set_digits(self, leg: str, policy: DigitPolicy, codes: tuple[str, ...] = ()) -> None:
        """Say whether RFC 4733 digits of a leg go on, but those that complete a code; at first none does."""
        if (state := self._legs.get(leg)) is not None:
            state.digits, state.codes = policy, codes
            state.call.worker.channel.send(state.digits_message())

    def link(self, a: str, b: str) -> None:
        """Let two legs of a call hear each other."""
        first, second = self._legs.get(a), self._legs.get(b)
        if first is None or second is None:
            return
        if first.call is not second.call:
            raise RuntimeError("internal error: legs of two calls are linked")
        for leg in (first, second):
            if leg.peer is not None:
                leg.peer.peer = None
        first.peer, second.peer = second, first
        first.call.worker.channel.send(first.link_message(second))

    def unlink(self, a: str, b: str) -> None:
        """Let two legs hear each other no more."""
        first, second = self._legs.get(a), self._legs.get(b)
        if first is not None and second is not None and first.peer is second:
            first.peer = second.peer = None
            first.call.worker.channel.send({"t": "unlink", "a": first.number, "b": second.number})

    def close_leg(self, leg: str) -> None:
        """End a leg; its port rests before it is used again."""
        state = self._legs.pop(leg, None)
        if state is None:
            return
        call = state.call
        del call.legs[leg]
        call.worker.legs -= 1
        if state.peer is not None:
            state.peer.peer = None
        if state.loading:
            self._play_failed(state, "closed")
        call.worker.channel.send({"t": "close", "leg": state.number})
        state.pair.close()
        self._pool.give_back(state.pair.address.port, self._clock.monotonic())
        self._forget_if_done(call)

    def close_call(self, call_id: str) -> None:
        """End every leg of a call; a recording nobody sealed is sealed, so that nothing is lost."""
        call = self._calls.get(call_id)
        if call is None:
            return
        call.closing = True
        if call.recording is not None and not call.recording.ending:
            self.seal(call_id)
        for leg in list(call.legs):
            self.close_leg(leg)

    # --- playing -------------------------------------------------------------------------------------------------

    async def preload(self, sources: Mapping[str, bytes | Path]) -> None:
        """Read prompts into memory before they are needed, and again where a file has changed.

        Raises:
            OSError: if a file cannot be read.
        """
        for source in sources.values():
            if isinstance(source, Path):
                await self._prompts.read(source)
            else:
                self._prompts.keep(source)

    def play(self, leg: str, play: Play) -> None:
        """Play something to a leg instead of the other party; Played tells how it went."""
        state = self._legs.get(leg)
        if state is None:
            return
        if state.loading:
            self._play_failed(state, "stopped")
        state.play = play
        source = play.sources.get(state.remote.codec_name.upper()) if state.remote is not None else None
        if source is None:
            self._play_failed(state, "no_prompt" if state.remote is not None else "no_address")
        elif isinstance(source, bytes):
            self._send_play(state, play, self._prompts.keep(source))
        elif (prompt := self._prompts.of_file(source)) is not None:
            self._send_play(state, play, prompt)
        else:
            state.loading = True
            self._tasks.start("prompt", self._load_and_play(state, play, source))

    def stop_play(self, leg: str, play_id: str | None = None, *, why: str = "stopped") -> None:
        """End the play of a leg, if it is this one; `why` is told as `interrupted_by`."""
        state = self._legs.get(leg)
        if state is None or state.play is None or play_id not in (None, state.play.play_id):
            return
        if state.loading:
            self._play_failed(state, why)
        else:
            message = {"t": "stop_play", "leg": state.number, "play_id": state.play.play_id, "why": why}
            state.call.worker.channel.send(message)

    # --- recording -----------------------------------------------------------------------------------------------

    def record(self, call_id: str, *, outside: str, ours: str, parts: Parts, paused: bool = False) -> datetime | None:
        """Keep both legs from now on; return the start of the recording, or None if the call is gone.

        A `paused` one begins with nothing stored.
        """
        call = self._calls.get(call_id)
        if call is None:
            return None
        if call.recording is not None:
            raise RuntimeError("internal error: a call is recorded twice")
        now_utc, mono_ns = self._clock.now(), time.monotonic_ns()
        call.recording = RecordingState(
            source=parts,
            outside=self._legs.get(outside),
            ours=self._legs.get(ours),
            started_unix_ns=nanoseconds(now_utc),
            started_mono_ns=mono_ns,
            spec=parts.next_part(now_utc),
            part_started_mono_ns=mono_ns,
            paused=paused,
        )
        self._send_record(call, call.recording, resume=False)
        return now_utc

    def hold(self, call_id: str, *, on: bool) -> None:
        """Keep no audio of either side while one holds the other (NOT-20)."""
        if (recording := self._recording(call_id)) is not None:
            recording.held = on
            self._send(call_id, {"t": "hold", "on": on})

    def pause(self, call_id: str, *, on: bool) -> None:
        """Keep no audio while somebody paused the recording (LAW-72); RecordingPaused tells when that is so."""
        if (recording := self._recording(call_id)) is not None:
            if recording.paused and not on:
                recording.resumed_mono_ns = time.monotonic_ns()
            recording.paused = on
            self._send(call_id, {"t": "pause", "on": on})

    def replace_recorded(self, call_id: str, old: str, new: str) -> None:
        """Keep another leg of a call on the side of one that was kept (a transfer); before it is linked."""
        first, second = self._legs.get(old), self._legs.get(new)
        if (recording := self._recording(call_id)) is not None and first is not None and second is not None:
            self._send(call_id, recording.replace(first, second))

    def seal(self, call_id: str, reason: str = "") -> bool:
        """End a recording and make it durable; return whether there was one. Sealed or RecordingFailed follows."""
        recording = self._recording(call_id)
        if recording is None:
            return False
        recording.ending, recording.reason = "seal", reason
        recording.ended_mono_ns = time.monotonic_ns()
        self._send(call_id, {"t": "seal", "reason": reason})
        return True

    def discard(self, call_id: str) -> bool:
        """Stop a recording and remove its files; return whether there was one. Discarded or RecordingFailed follows."""
        call = self._calls.get(call_id)
        if call is None or call.recording is None:
            return False
        call.recording.ending = "discard"
        call.worker.channel.send(call.recording.discard_message(call.number))
        return True

    # --- inside: calls -------------------------------------------------------------------------------------------

    def _number(self) -> int:
        self._next_number += 1
        return self._next_number

    def _new_call(self, call_id: str) -> CallState:
        call = CallState(self._number(), call_id, self._fleet.least_loaded_with_room())
        self._calls[call_id] = call
        self._reports.add_call(call)
        return call

    def _recording(self, call_id: str) -> RecordingState | None:
        """Return a call's recording unless it ends already."""
        call = self._calls.get(call_id)
        if call is None or call.recording is None or call.recording.ending:
            return None
        return call.recording

    def _call_ended(self, call: CallState) -> None:
        """A recording is sealed, removed or given up."""
        call.recording = None
        self._forget_if_done(call)

    def _forget_if_done(self, call: CallState | None) -> None:
        if call is not None and not call.legs and call.recording is None and self._calls.get(call.name) is call:
            del self._calls[call.name]
            self._reports.forget_call(call)

    # --- inside: messages ----------------------------------------------------------------------------------------

    def _send(self, call_id: str, message: dict[str, object]) -> None:
        call = self._calls[call_id]
        call.worker.channel.send({**message, "call": call.number})

    def _send_open(self, leg: LegState, *, quiet: bool = False) -> None:
        message = leg.open_message(time.monotonic_ns(), quiet=quiet)
        leg.call.worker.channel.send(message, (leg.pair.rtp.fileno(), leg.pair.rtcp.fileno()))

    def _send_record(self, call: CallState, recording: RecordingState, *, resume: bool) -> None:
        call.worker.channel.send(recording.record_message(call.number, resume=resume))

    def _send_play(self, leg: LegState, play: Play, prompt: Prompt) -> None:
        leg.call.worker.channel.send(leg.play_message(play, prompt.name), (prompt.descriptor,))

    async def _load_and_play(self, leg: LegState, play: Play, path: Path) -> None:
        try:
            prompt = await self._prompts.read(path)
        except OSError as error:
            log.warning("prompt %s cannot be read: %s", path, error.strerror)
            if leg.play is play and leg.loading:
                self._play_failed(leg, "error")
            return
        if leg.play is play and leg.loading and self._legs.get(leg.name) is leg:
            leg.loading = False
            self._send_play(leg, play, prompt)

    def _play_failed(self, leg: LegState, why: str) -> None:
        """Tell a play that never reached its listener, or was lost with its worker."""
        play, leg.play, leg.loading = leg.play, None, False
        if play is not None:
            self._tell(played_nothing(leg, play, why, self._clock.now().timestamp()))

    # --- inside: workers ---------------------------------------------------------------------------------------------

    def _hear(self, worker: WorkerProcess, message: Message) -> None:
        self._reports.take(worker.pid, message)

    def _replace(self, old: WorkerProcess, new: WorkerProcess | None, reason: str) -> None:
        """Build up a lost worker's calls in another: legs, links, tones, recordings with their next part."""
        calls = [call for call in self._calls.values() if call.worker is old]
        if new is None:
            for call in calls:
                self._give_up(call)
            return
        for call in calls:
            call.worker = new
            new.legs += len(call.legs)
            self._restore(call, old, reason)
        self._tell(WorkerReplaced(old.pid, new.pid, reason, len(calls)))

    def _give_up(self, call: CallState) -> None:
        """Tell that a call's media cannot be restored, and what there is of its recording."""
        self._tell(MediaLost(call.name, "no media worker can be started; see the log for why"))
        for leg in call.legs.values():
            self._play_failed(leg, "worker")
        if call.recording is not None:
            self._reports.given_up(call, call.recording, time.monotonic_ns())

    def _restore(self, call: CallState, old: WorkerProcess, reason: str) -> None:
        channel = call.worker.channel
        keyed = [leg for leg in call.legs.values() if leg.lose_keys(self._random(4))]
        for leg in call.legs.values():
            self._send_open(leg, quiet=True)
            if leg.remote is not None:
                channel.send(leg.remote_message(leg.remote, keep=True))
            channel.send(leg.digits_message())
        if call.recording is not None:
            self._restore_recording(call, call.recording, old, reason)
        for leg in call.legs.values():
            channel.send({"t": "listen", "leg": leg.number})
        for leg in call.legs.values():
            if leg.peer is not None and leg.number < leg.peer.number:
                channel.send(leg.link_message(leg.peer))
            if leg.play is not None and not leg.loading:
                if leg.play.loop:
                    self.play(leg.name, leg.play)
                else:
                    self._play_failed(leg, "worker")
        for leg in keyed:
            self._tell(KeysLost(call.name, leg.name))

    def _restore_recording(self, call: CallState, recording: RecordingState, old: WorkerProcess, reason: str) -> None:
        recording.parts.append(self._reports.abandoned(recording))
        if recording.ending == "discard":
            call.worker.channel.send(recording.discard_message(call.number))
            return
        if recording.ending:
            self._reports.ended(call, recording)
            return
        recording.part_started_mono_ns = self._gap_start(recording, old, reason)
        recording.kept_ms = 0
        recording.spec = recording.source.next_part(self._clock.now())
        self._send_record(call, recording, resume=True)

    def _gap_start(self, recording: RecordingState, old: WorkerProcess, reason: str) -> int:
        """Return from when on the lost worker's audio is taken as lost, in nanoseconds of the monotonic clock.

        At the earliest what it reported as written; it had cut its batches 0.3 s behind the wire when it was last
        seen alive, or died just now.
        """
        kept = recording.part_started_mono_ns + recording.kept_ms * 1_000_000
        silent_s = self._clock.monotonic() - old.heard_at if reason == "silent" else 0.0
        alive = time.monotonic_ns() - int(silent_s * 1e9)
        return max(kept, alive - 300_000_000, recording.part_started_mono_ns)
