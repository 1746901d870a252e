"""The recorder as a process: what is started in which order, how it reloads, drains and ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import callrec
from callrec.catalogue import StorageUnavailable
from callrec.catalogue.values import Event
from callrec.clock import Clock, SystemClock
from callrec.errors import CallrecError, ConfigurationError, ExitCode, OperatorError
from callrec.media import CapacityError, MediaService
from callrec.privacy.erasing import Reason as ErasingReason
from callrec.recorder.desk import Desk
from callrec.recorder.extensions import SUPPORTED, session_timer_of, spares
from callrec.recorder.front import Front, Server
from callrec.recorder.garbage import collect_garbage_rarely
from callrec.recorder.hall import Hall
from callrec.recorder.health import Code, Health, Problem
from callrec.recorder.loop_faults import LoopFaults
from callrec.recorder.notify import Notifier, keep_alive
from callrec.recorder.opening import Opening, unopened_stores
from callrec.recorder.overload import RETRY_LATER
from callrec.recorder.prompts import Prompts
from callrec.recorder.startup import end_interrupted, recover_recordings
from callrec.recorder.stores import Stores
from callrec.recorder.tools import Tools
from callrec.recorder.tracing import Tracing
from callrec.settings import Settings, destinations
from callrec.signalling import Driver, DriverSettings, Peers, TlsFiles
from callrec.tasks import Tasks
from callrec.vault.trace_files import FOLDER as TRACES
from callrec.vault.trace_files import TraceFiles

log = logging.getLogger("callrec.service")

_PRIORITY = -10
_OPEN_S = 2.0
_PROMPTS_S = 2.0
_PUT_RIGHT_S = 2.0
_PUT_RIGHT_AGAIN_S = 2.0
_LET_GO_S = 0.25
_NEEDS_RESTART = ("node", "paths", "keys", "sip", "rtp", "mqtt", "api")


class Service:
    """One recorder; `run` returns when it has ended, with the exit code."""

    def __init__(
        self,
        settings: Settings,
        *,
        reload: Callable[[], Settings],
        make_server: Callable[[Desk], Server],
        clock: Clock | None = None,
    ) -> None:
        self._reload_settings = reload
        self._make_server = make_server
        self._clock = clock or SystemClock.of_environment(test_node=settings.node.test)
        self._settings = settings
        self._notifier = Notifier.of_environment()
        self._health = Health(self._clock)
        self._tasks = Tasks("service")
        self._terminate = asyncio.Event()
        self._at_once = asyncio.Event()
        self._reload = asyncio.Event()
        self._serving = asyncio.Event()
        self._moving = Tasks("moving")
        self._front: Front | None = None
        self._failure: OperatorError | None = None

    async def run(self) -> int:
        """Start everything, serve until SIGTERM, end everything in the reverse order.

        Raises:
            OperatorError: 78 where a socket cannot be had, 75 where another recorder has the state folder.
        """
        self._listen_to_signals()
        LoopFaults(asyncio.get_running_loop())
        _go_before_others()
        opening = Opening(self._settings, self._clock)
        stores = await opening.within(_OPEN_S)
        tools, hall = self._build(stores or unopened_stores(self._settings, self._clock))
        try:
            if stores is None:
                log.warning("the state folder does not answer: calls pass unrecorded until it does")
                self._moving.start("move-in", self._move_in(tools, hall, opening))
            self._health.take(opening.health)
            await self._serve(tools, hall)
        finally:
            await self._moving.stop()
            await self._tasks.stop()
            await opening.stop()
            await tools.stores.close()
            self._notifier.close()
        if self._failure is not None:
            raise self._failure
        return ExitCode.DONE

    async def _serve(self, tools: Tools, hall: Hall) -> None:
        self._health.tell = partial(tell_health, tools, self._tasks)
        self._front = front = self._make_front(tools, hall)
        if not tools.stores.is_unopened:
            await self._put_right(tools.stores, hall)
        await self._start_media(tools)
        await self._load_prompts_in_time(tools)
        try:
            await front.open()
            await tools.driver.start()
            self._tasks.start("watchdog", keep_alive(self._notifier))
            self._tasks.start("reload", self._reload_when_asked(tools))
            front.run()
            if tools.tracing is not None:
                self._tasks.start("traces", tools.tracing.run())
                self._tasks.start("old-traces", tools.tracing.run_keeping())
            collect_garbage_rarely()
            self._notifier.ready("ready")
            log.info("callrec is ready on %s", ", ".join(str(place) for place in tools.driver.listening))
            self._serving.set()
            self._tell_started(tools)
            await self._until_ended(hall, tools)
        finally:
            await self._stop(tools, hall)

    def _make_front(self, tools: Tools, hall: Hall) -> Front:
        return Front(tools, hall, self._make_server, lambda: self._reload_notices(tools))

    async def _move_in(self, tools: Tools, hall: Hall, opening: Opening) -> None:
        """Take stores into use whose disk answered at last; the calls that are going on do not notice.

        A state folder that turns out to be another recorder's ends this one, as it would have at the start.
        """
        await self._serving.wait()
        try:
            stores = await opening.finish()
        except OperatorError as error:
            self._failure = error
            self._asked_to_end()
            self._asked_to_end()
            return
        before, tools.stores = tools.stores, stores
        _share_traces(tools)
        await before.hand_over(stores)
        self._health.take(opening.health)
        old, front = self._front, self._make_front(tools, hall)
        await self._put_right(stores, hall)
        self._front = front
        try:
            await front.open(instead_of=old)
        finally:
            if old is not None:
                await old.close()
        front.run()
        await before.close()
        self._tell_started(tools)
        log.info("the state folder answers: calls are recorded from now on")

    def _build(self, stores: Stores) -> tuple[Tools, Hall]:
        """Join the parts: the hall and its tools need each other, so the hall is made first and joined last."""
        settings, hall = self._settings, Hall()
        media = MediaService(settings, hall.on_media, self._clock)
        driver = Driver(
            DriverSettings(
                [str(place) for place in settings.sip.listen],
                advertise=settings.sip.advertise,
                dns_servers=[(server.host, server.port) for server in settings.sip.dns_servers],
                supported=SUPPORTED,
                session_timer=session_timer_of(settings),
                spares=spares(settings),
                options_reply=lambda: self._options_reply(hall),
                tls=TlsFiles(settings.sip.tls_certificate_file, settings.sip.tls_key_file, settings.sip.tls_ca_file),
            ),
            Peers(settings.peer),
            hall.on_sip,
            clock=self._clock,
        )
        driver.watch(destinations(settings))
        tools = Tools(
            settings=settings,
            clock=self._clock,
            random=secrets.token_bytes,
            driver=driver,
            media=media,
            stores=stores,
            prompts=Prompts.of_settings(settings),
            health=self._health,
            feed=hall.feed,
            register=hall.register,
            forget=hall.forget,
        )
        traces = TraceFiles(settings.paths.state / TRACES)
        tools.tracing = Tracing(lambda: tools.settings, traces, self._clock, tools.random)
        driver.tap = tools.tracing.take
        _share_traces(tools)
        hall.join(tools)
        return tools, hall

    def _options_reply(self, hall: Hall) -> tuple[int, list[tuple[str, str]]]:
        """Tell whoever asks whether new calls are taken, so that a trunk can route around us (FAIL-2)."""
        if hall.draining:
            return 503, [*RETRY_LATER]
        return 200, []

    async def _put_right(self, stores: Stores, hall: Hall) -> None:
        """Finish what a crash left undone, before any call arrives; a disk that does not answer costs no call.

        What takes long, or fails, goes on while calls pass unrecorded.
        """
        tried = asyncio.Event()
        self._tasks.start("put-right", self._until_right(stores, hall, tried))
        try:
            await asyncio.wait_for(tried.wait(), _PUT_RIGHT_S)
        except TimeoutError:
            text = (
                f"what the last run left is not put right after {_PUT_RIGHT_S:.0f} s; calls pass unrecorded until then"
            )
            self._health.raise_problem(Code.STORAGE_UNAVAILABLE, text, about="start")

    async def _until_right(self, stores: Stores, hall: Hall, tried: asyncio.Event) -> None:
        """Put right what the last run left; whatever prevents it is told, and it is tried again."""
        while True:
            try:
                await self._put_right_once(stores, hall)
            except Exception as error:
                if not isinstance(error, CallrecError | OSError):
                    log.exception("internal error: the last run could not be put right")
                text = f"the last run could not be put right: {error}; mend the store, it is tried again"
                self._health.raise_problem(Code.STORAGE_UNAVAILABLE, text, about="start")
            else:
                self._health.clear(Code.STORAGE_UNAVAILABLE, about="start")
                return
            finally:
                tried.set()
            await asyncio.sleep(_PUT_RIGHT_AGAIN_S)

    async def _put_right_once(self, stores: Stores, hall: Hall) -> None:
        folder, now = self._settings.paths.recordings, self._clock.now()
        if (problem := stores.catalogue.problem) is not None:
            raise StorageUnavailable(problem.text)  # cheaper than a walk through all recordings
        await recover_recordings(folder, now)
        await stores.put_right()
        # The media workers of the last run may still keep what they have; they tell nobody any more.
        discard = (
            None if stores.eraser is None else partial(stores.eraser.discard_audio, reason=ErasingReason.NOT_TO_BE_KEPT)
        )
        while await end_interrupted(stores.catalogue, folder, now, hall.knows, discard):  # noqa: ASYNC110 - as above
            await asyncio.sleep(_LET_GO_S)

    async def _start_media(self, tools: Tools) -> None:
        try:
            await tools.media.start()
        except CapacityError as error:
            log.error("calls pass unrecorded until a media worker starts: %s", error)  # noqa: TRY400 - told by status

    async def _load_prompts_in_time(self, tools: Tools) -> None:
        """Load the prompts before calls come, unless their disk does not answer: then they come when they can."""
        loading = self._tasks.start("prompts", self._load_prompts(tools))
        done, _ = await asyncio.wait({loading}, timeout=_PROMPTS_S)
        if done:
            loading.result()

    async def _load_prompts(self, tools: Tools) -> None:
        faults = await asyncio.to_thread(tools.prompts.load, tools.settings)
        self._health.set(Code.NOTICE_INVALID, "; ".join(faults) or None)
        for sources in tools.prompts.all_sources():
            await tools.media.preload(sources)

    def _reload_notices(self, tools: Tools) -> None:
        self._tasks.start("notices", self._load_prompts(tools))

    # Signals

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_end)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)

    def _asked_to_end(self) -> None:
        if self._terminate.is_set():
            self._at_once.set()
        self._terminate.set()

    async def _until_ended(self, hall: Hall, tools: Tools) -> None:
        """Wait for SIGTERM, then drain; a second SIGTERM seals now."""
        await self._terminate.wait()
        limit = float(self._settings.sip.drain_seconds)
        self._notifier.stopping(f"draining {len(hall)} calls")
        log.info("draining: %d calls run on for at most %d s; a second SIGTERM seals them now", len(hall), limit)
        self._tell(tools, "stopping", {"reason": "drain", "active_calls": len(hall)})
        hall.draining = True
        drain = self._tasks.start("drain", hall.drain(limit))
        at_once = self._tasks.start("at-once", self._at_once.wait())
        await asyncio.wait({drain, at_once}, return_when=asyncio.FIRST_COMPLETED)
        if len(hall):
            await hall.seal_all()

    def _tell_started(self, tools: Tools) -> None:
        self._tell(tools, "started", {"version": callrec.__version__, "pid": os.getpid()})

    def _tell(self, tools: Tools, verb: str, data: dict[str, Any]) -> None:
        """Tell how the recorder itself is, without waiting for a disk."""
        self._tasks.start(f"system-{verb}", tools.stores.tell(Event("system", verb, None, data)))

    async def _stop(self, tools: Tools, hall: Hall) -> None:
        await self._moving.stop()
        if self._front is not None:
            await self._front.close_door()
        await tools.driver.stop()
        await hall.stop()
        if tools.tracing is not None:
            await tools.tracing.stop()
        if self._front is not None:
            await self._front.close()
        await tools.media.stop()

    async def _reload_when_asked(self, tools: Tools) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            self._notifier.reloading()
            try:
                await self._reload_now(tools)
            except ConfigurationError as error:
                log.error("the configuration was not reloaded, the old one stays: %s", error)  # noqa: TRY400 - theirs
            self._reload_certificates(tools)
            self._notifier.ready()

    def _reload_certificates(self, tools: Tools) -> None:
        """Read the certificates anew, whatever became of the configuration: they are renewed more often."""
        if not tools.driver.uses_tls:
            return
        try:
            tools.driver.reload_certificates()
        except OperatorError as error:
            log.error("the certificates were not reloaded, the old ones stay: %s", error)  # noqa: TRY400 - theirs

    async def _reload_now(self, tools: Tools) -> None:
        """Take a new configuration into use for calls to come; a broken one changes nothing."""
        new = await asyncio.to_thread(self._reload_settings)
        changed = [name for name in _NEEDS_RESTART if getattr(new, name) != getattr(tools.settings, name)]
        if changed:
            log.warning("changes of [%s] count after a restart", "], [".join(changed))
        kept = {name: getattr(tools.settings, name) for name in _NEEDS_RESTART}
        tools.settings = new.model_copy(update=kept)
        tools.driver.replace_peers(Peers(new.peer))
        await tools.driver.look_up_peers()
        tools.driver.watch(destinations(tools.settings))
        await self._load_prompts(tools)
        log.info("the configuration was reloaded")


def _share_traces(tools: Tools) -> None:
    """Let erasing and gathering know of each other: what still waits of an erased call is not written any more."""
    if tools.tracing is not None and tools.stores.eraser is not None:
        tools.stores.eraser.traces = tools.tracing.files


def _go_before_others() -> None:
    """Take the processor before ordinary work where the system allows it: a voice cannot wait.

    Media workers inherit it; helper processes give it up again.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)


def tell_health(tools: Tools, tasks: Tasks, verb: str, problem: Problem) -> None:
    """Tell the world that something is wrong, or mended."""
    tasks.start(f"system-{verb}", tools.stores.tell(Event("system", verb, None, problem.as_dict())))
