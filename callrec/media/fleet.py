"""The worker processes: started, listened to, pinged, and replaced when they are gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from callrec.clock import Clock
from callrec.descriptors import limit
from callrec.media.channel import Message
from callrec.media.errors import CapacityError, ShortageError
from callrec.media.process import WorkerProcess
from callrec.tasks import Tasks

log = logging.getLogger("callrec.media")

CHECK_S = 0.25
PING_S = 0.5
SILENCE_S = 2.0
"""A worker that says nothing for so long is killed (design, section 2)."""
START_S = 10.0
"""A worker that has not said hello after so long is killed."""
_PAUSED_S = 0.75  # a check this late means that we stood still, not the workers
_STOP_S = 15.0
_START_ATTEMPTS = 3
_TRY_AGAIN_S = 2.0
_DESCRIPTORS_A_LEG = 2.5
"""Of a worker: two sockets a leg, and a file for the two of a call."""
_DESCRIPTORS_OF_WORKER = 48
"""What a worker has open beside its calls, prompts among it."""

Hear = Callable[[WorkerProcess, Message], None]
Replace = Callable[[WorkerProcess, WorkerProcess | None, str], None]
"""The lost worker, the one in its place or None if there is none, and why: `died` or `silent`."""


class Fleet:
    """The workers that carry calls and one more that stands by.

    A spare worker that has started already is why a lost one costs its calls milliseconds and not an interpreter's
    start.
    """

    def __init__(self, size: int, hear: Hear, replace: Replace, clock: Clock) -> None:
        self._size = size
        self._hear = hear
        self._replace = replace
        self._clock = clock
        self._tasks = Tasks("media workers")
        self.workers: list[WorkerProcess] = []
        self._spare: WorkerProcess | None = None
        self._ended: list[WorkerProcess] = []
        self._filling = False
        self._fill_at = 0.0
        self._stopping = False
        self._pings = 0

    async def start(self) -> None:
        """Start the workers and a spare one.

        Raises:
            CapacityError: if a worker cannot be started; it is tried again meanwhile.
        """
        try:
            for _ in range(self._size):
                self.workers.append(await self._start_worker())
            self._spare = await self._start_worker()
        finally:
            self._tasks.start("watch", self._watch())

    async def stop(self) -> None:
        """Close every control socket and wait until the workers have made durable what they have."""
        self._stopping = True
        await self._tasks.stop()
        workers = [*self._alive(), *self._ended]
        for worker in workers:
            self._let_go(worker)
            worker.close()
        await asyncio.gather(*(asyncio.to_thread(worker.wait, _STOP_S) for worker in workers))

    def least_loaded(self) -> WorkerProcess:
        """Return the worker with the fewest legs.

        Raises:
            CapacityError: if none runs.
        """
        able = [worker for worker in self.workers if not worker.gone]
        if not able or self._stopping:
            raise CapacityError("found no media worker running; see the log for why it does not start")
        return min(able, key=lambda each: each.legs)

    def least_loaded_with_room(self, legs: int = 2) -> WorkerProcess:
        """Return the worker for a new call of so many legs.

        Raises:
            ShortageError: if it would have no descriptor left for them; a worker has the same limit as we have.
            CapacityError: if none runs.
        """
        worker = self.least_loaded()
        if _DESCRIPTORS_OF_WORKER + _DESCRIPTORS_A_LEG * (worker.legs + legs) > limit():
            raise ShortageError(
                f"found {worker.legs} legs in the media worker with the fewest; "
                "raise LimitNOFILE (ulimit -n), add [rtp] workers or lower [sip] max_calls"
            )
        return worker

    def _alive(self) -> list[WorkerProcess]:
        return [*self.workers, *([self._spare] if self._spare is not None else [])]

    async def _start_worker(self) -> WorkerProcess:
        for _ in range(_START_ATTEMPTS):
            try:
                worker = await asyncio.to_thread(WorkerProcess.start, self._clock.monotonic())
            except OSError as error:
                log.error("a media worker does not start: %s", error.strerror)  # noqa: TRY400 - the reason is enough
                await asyncio.sleep(0.2)
                continue
            worker.heard_at = self._clock.monotonic()
            worker.channel.on_backlog = partial(self._flush_later, worker)
            asyncio.get_running_loop().add_reader(worker.channel.fileno(), self._read, worker)
            return worker
        raise CapacityError("no media worker can be started; see the log for why")

    def _read(self, worker: WorkerProcess) -> None:
        """Take in everything a worker has said."""
        for message, _ in worker.channel.receive():
            worker.heard_at = self._clock.monotonic()
            if message["t"] == "hello":
                worker.ready = True
            else:
                self._hear(worker, message)
        if worker.channel.closed:
            self._lost(worker, "died")

    def _flush_later(self, worker: WorkerProcess) -> None:
        asyncio.get_running_loop().add_writer(worker.channel.fileno(), self._flush, worker)

    def _flush(self, worker: WorkerProcess) -> None:
        descriptor = worker.channel.fileno()
        worker.channel.flush()
        if not worker.channel.backlog and descriptor >= 0:
            asyncio.get_running_loop().remove_writer(descriptor)

    async def _watch(self) -> None:
        """Look after the workers: ping them, and replace those that are gone."""
        checked_at = self._clock.monotonic()
        while True:
            await asyncio.sleep(CHECK_S)
            now = self._clock.monotonic()
            paused = now - checked_at > _PAUSED_S
            checked_at = now
            for worker in self._alive():
                self._check(worker, now, paused=paused)
            self._ended = [worker for worker in self._ended if not worker.reap()]
            await self._fill_up()

    def _check(self, worker: WorkerProcess, now: float, *, paused: bool) -> None:
        self._read(worker)  # silence is judged only after everything said has been heard
        if worker.channel.closed:
            return
        if worker.gone:
            self._lost(worker, "died")
            return
        if paused:
            worker.heard_at = now  # we stood still and asked nothing: its time starts anew
        silent_s = now - worker.heard_at
        if silent_s > (SILENCE_S if worker.ready else START_S):
            log.warning("media worker %d has been silent for %.1f s", worker.pid, silent_s)
            self._lost(worker, "silent")
            return
        if now - worker.pinged_at >= PING_S:
            worker.pinged_at = now
            self._pings += 1
            worker.channel.send({"t": "ping", "n": self._pings})

    def _let_go(self, worker: WorkerProcess) -> None:
        descriptor = worker.channel.fileno()
        if descriptor >= 0:
            loop = asyncio.get_running_loop()
            loop.remove_reader(descriptor)
            loop.remove_writer(descriptor)

    def _lost(self, worker: WorkerProcess, reason: str) -> None:
        """End a worker and put the spare one in its place."""
        self._let_go(worker)
        worker.kill()
        self._ended.append(worker)
        if worker is self._spare:
            self._spare = None
        if worker not in self.workers or self._stopping:
            return
        self.workers.remove(worker)
        log.warning("media worker %d %s; its calls go to another", worker.pid, reason)
        spare, self._spare = self._spare, None
        if spare is None or spare.gone:
            self._tasks.start("replace", self._replace_later(worker, reason))
        else:
            self.workers.append(spare)
            self._replace(worker, spare, reason)
            self._tasks.start("spare", self._fill_up())

    async def _replace_later(self, worker: WorkerProcess, reason: str) -> None:
        """Replace a worker where no spare one stands by."""
        try:
            fresh = await self._start_worker()
        except CapacityError:
            self._replace(worker, None, reason)
            return
        self.workers.append(fresh)
        self._replace(worker, fresh, reason)

    async def _fill_up(self) -> None:
        """See to it that there are enough workers and a spare one; what fails is tried again a little later."""
        if self._filling or self._clock.monotonic() < self._fill_at:
            return
        self._filling = True
        try:
            while self._spare is None:
                self._spare = await self._start_worker()
                if len(self.workers) < self._size and len(self._tasks) == 1:  # no replacement is under way
                    self.workers.append(self._spare)
                    self._spare = None
        except CapacityError:
            self._fill_at = self._clock.monotonic() + _TRY_AGAIN_S
        finally:
            self._filling = False
