"""Looks once a second at what may go wrong by itself: disk, stores, workers, broker, clock."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Callable
from pathlib import Path

from callrec.events import BrokerState, Publisher
from callrec.media import ShortageError
from callrec.recorder.clock_watch import ClockWatch
from callrec.recorder.health import SPACE, Code
from callrec.recorder.tools import Tools

log = logging.getLogger("callrec.health")

_EVERY_S = 1.0
_COLLECT_EVERY_S = 60.0
_COLLECT_AT_LATEST_S = 600.0
_FEW_CALLS = 20
_FIRST_CONNECTION_S = 5.0
_DISK_LIMIT_S = 2.0


class Watching:
    """Turns what it sees into the problems that `status` shows."""

    def __init__(self, tools: Tools, publisher: Publisher, live: Callable[[], int]) -> None:
        self._tools = tools
        self._live = live
        self._started_at = self._collected_at = tools.now
        self._publisher = publisher
        self._disk: asyncio.Task[int] | None = None
        self._clock = ClockWatch(tools.clock)
        self._down: set[str] = set()

    async def run(self) -> None:
        """Look every second, for ever; one look that fails does not end the next."""
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("internal error: a look at the recorder's health failed")
            await asyncio.sleep(_EVERY_S)

    async def wake_publisher(self) -> None:
        """Tell the publisher as soon as there are new events."""
        catalogue = self._tools.stores.catalogue
        while True:
            await catalogue.wait_for_events(catalogue.last_event)
            self._publisher.wake()

    async def look(self) -> None:
        """Look once."""
        self._collect_garbage()
        self._look_at_broker()
        self._tools.health.set(Code.CLOCK, self._clock.look())
        self._look_at_media()
        self._look_at_peers()
        await self._tools.stores.look(self._tools.health)
        await self._look_at_disk()

    def _collect_garbage(self) -> None:
        """Collect what the automatic collector leaves alone: when few calls are live, or after ten minutes."""
        now = self._tools.now
        waited = now - self._collected_at
        if waited < _COLLECT_EVERY_S or (self._live() > _FEW_CALLS and waited < _COLLECT_AT_LATEST_S):
            return
        self._collected_at = now
        gc.collect()

    def _look_at_broker(self) -> None:
        lost = self._publisher.state is BrokerState.DISCONNECTED
        if lost and self._tools.now - self._started_at < _FIRST_CONNECTION_S:
            return  # the first connection is still under way
        reason = self._publisher.reason or "not connected yet"
        text = f"the MQTT broker is not connected: {reason}; events wait in the outbox" if lost else None
        self._tools.health.set(Code.BROKER_DISCONNECTED, text)

    def _look_at_media(self) -> None:
        """A call found no port, no descriptor or no worker: said until another one would."""
        short = self._tools.media.shortage()
        what = "are refused" if isinstance(short, ShortageError) else "pass unrecorded"
        text = f"a call cannot be given media: {short}; such calls {what}" if short else None
        self._tools.health.set(Code.CAPACITY, text, about="media")

    def _look_at_peers(self) -> None:
        """A peer leaves calls or questions unanswered, lets us not register, or has no address: said while it is so."""
        driver = self._tools.driver
        down = driver.reachability.problems() | driver.registrations.problems() | driver.peers.problems()
        for place in self._down - down.keys():
            self._tools.health.clear(Code.PEER_DOWN, about=place)
        for place, text in down.items():
            self._tools.health.raise_problem(Code.PEER_DOWN, text, about=place)
        self._down = set(down)

    async def _look_at_disk(self) -> None:
        """Compare what is free with the limit; a disk that does not answer in time is a problem of its own."""
        tools = self._tools
        folder, least = tools.settings.paths.recordings, int(tools.settings.limits.min_free)
        if self._disk is None or self._disk.done():
            self._disk = asyncio.ensure_future(asyncio.to_thread(_free_bytes, folder))  # noqa: TID251 - awaited below
        try:
            # Not wait_for: Python 3.11 forgets a cancellation that meets the answer, and this loop would not end.
            async with asyncio.timeout(_DISK_LIMIT_S):
                free = await asyncio.shield(self._disk)
        except TimeoutError:
            text = f"{folder} does not answer; mend the disk, calls pass unrecorded until then"
            tools.health.raise_problem(Code.STORAGE_UNAVAILABLE, text, about="disk")
        except OSError as error:
            text = f"{folder} cannot be used ({error.strerror}); make it writable, calls pass unrecorded until then"
            tools.health.raise_problem(Code.STORAGE_UNAVAILABLE, text, about="disk")
        else:
            short = (
                f"{folder} has {free >> 20} MiB free, expected {least >> 20} MiB; free space or lower limits.min_free"
            )
            tools.health.clear(Code.STORAGE_UNAVAILABLE, about="disk")
            tools.health.set(Code.STORAGE_UNAVAILABLE, short if free < least else None, about=SPACE)


def _free_bytes(folder: Path) -> int:
    """Return what is free where recordings go; a folder that cannot be written raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, "not writable")
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize
