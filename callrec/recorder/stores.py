"""The stores a call is kept in: keyring, catalogue, reserve journal, ledger; each may be missing, and calls go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from callrec.calls.outcome import Reason
from callrec.catalogue import Catalogue, NumbersMode, Options, ReserveJournal, StateLock, StorageUnavailable
from callrec.catalogue.numbers import NoLedger
from callrec.catalogue.sealer import NoKeys
from callrec.catalogue.values import CallEnd, Event, NewCall
from callrec.clock import Clock
from callrec.errors import CallrecError, ExitCode, OperatorError
from callrec.privacy import Eraser
from callrec.privacy.backups import Backups
from callrec.privacy.backups import Node as BackupNode
from callrec.privacy.erasing import Reason as ErasingReason
from callrec.recorder.health import Code, Health
from callrec.recorder.new_rows import new_row
from callrec.recorder.restored import RestoreGuard
from callrec.recorder.rows import Row
from callrec.settings import Settings
from callrec.tasks import Tasks
from callrec.vault.backup_restoring import finish_restore, read_marker
from callrec.vault.key_rotation import load_master_key
from callrec.vault.keyring import CallKeys, Keyring
from callrec.vault.keyring_errors import KeysUnavailable
from callrec.vault.ledger import Ledger
from callrec.vault.trace_files import FOLDER as TRACES
from callrec.vault.trace_files import TraceFiles

if TYPE_CHECKING:
    from callrec.recorder.live_call import LiveCall

log = logging.getLogger("callrec.stores")

KEYRING, CATALOGUE, LEDGER, JOURNAL, LOCK = "keyring.db", "catalogue.db", "ledger", "reserve.journal", "lock"

_DISCARD_LIMIT_S = 5.0
_MOST_IN_MEMORY = 20_000
_RESUME_EVERY = 30
"""Looks (one a second) between tries to complete what waited for a disk."""


@dataclass
class Stores:
    """What is written about calls, and what opens it. Made by `open_stores`."""

    settings: Settings
    catalogue: Catalogue
    keyring: Keyring | None
    ledger: Ledger | None
    journal: ReserveJournal | None
    lock: StateLock | None
    eraser: Eraser | None = None
    guard: RestoreGuard | None = None
    """What a restore makes doubtful."""
    backups: Backups | None = None
    is_unopened: bool = False
    """Whether these only stand for stores that are not open yet."""
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    """What waits is entered by one task only, or it would be told twice."""
    _completing: Tasks = field(default_factory=lambda: Tasks("stores"))
    _sweeping: Tasks = field(default_factory=lambda: Tasks("sweep"))
    _discards: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """Discarded audio whose key, files or row could not be reached yet."""
    _looks: int = 0
    _waiting: bool = False
    _successor: Stores | None = None
    """Who took over from stores that stood for others while these could not be opened."""
    _in_memory: list[tuple[NewCall, CallEnd | None, Sequence[Event]]] = field(default_factory=list)
    """Calls that began and ended before there was any store."""

    # A call's beginning and end

    def take_call_keys(self) -> CallKeys | None:
        """Return the two keys of a new call, or None where there are none: the call is not recorded then."""
        if self.keyring is None:
            return None
        try:
            return self.keyring.take_call_keys()
        except KeysUnavailable as error:
            log.warning("no keys for a new call: %s", error)
            return None

    def new_row(self, call: LiveCall) -> Row:
        """Return the row that a call begins with."""
        recordable = call.notice is not None and call.keys is not None
        return Row(self.catalogue, self, new_row(call, recordable=recordable), call.tasks)

    async def keep_open(self, new: NewCall) -> None:
        """Keep a call that begins while the catalogue cannot; what even the journal cannot keep is in the log."""
        await self.keep(new, None)

    async def keep_end(self, new: NewCall, end: CallEnd, events: Sequence[Event] = ()) -> None:
        """Keep how a call ended, and what is to be told of it, while the catalogue cannot."""
        await self.keep(new, end, events)

    async def keep(self, new: NewCall, end: CallEnd | None, events: Sequence[Event] = ()) -> None:
        """Keep a call that begins, or how it ended; where nothing is open yet, in memory."""
        if self._successor is not None:
            await self._successor.keep(new, end, events)
            return
        self._waiting = True
        if self.is_unopened and len(self._in_memory) < _MOST_IN_MEMORY:
            self._in_memory.append((new, end, events))
            return
        try:
            journal = self._open_journal()
            await (journal.keep_open(new) if end is None else journal.keep_end(new, end, events))
        except StorageUnavailable as error:
            outcome = "in progress" if end is None else f"{end.outcome}/{end.outcome_reason}"
            log.critical("call %s (%s, %s) is in no store: %s", new.call_id, new.direction, outcome, error)

    async def hand_over(self, successor: Stores) -> None:
        """Give calls of before, and those that still go on, to stores that could be opened at last."""
        self._successor = successor
        kept, self._in_memory = self._in_memory, []
        for new, end, events in kept:
            await successor.keep(new, end, events)

    def _open_journal(self) -> ReserveJournal:
        if self.journal is None:
            raise StorageUnavailable("there is no reserve journal")
        return self.journal

    async def discard_audio(self, call: LiveCall) -> None:
        """Destroy what a live call stored: the key at once, the files when the worker has let go of them."""
        recording = call.recording
        if self.eraser is None or call.keys is None or recording is None or self.keyring is None:
            return
        reason = ErasingReason.OPT_OUT if call.machine.why_not is Reason.OPT_OUT else ErasingReason.STOP
        try:
            await self.keyring.destroy([call.keys.audio_key_id])
        except CallrecError as error:
            log.warning("call %s: its audio key cannot be destroyed yet: %s", call.call_id, error)
        try:
            await asyncio.wait_for(recording.done.wait(), _DISCARD_LIMIT_S)
        except TimeoutError:
            log.warning("call %s: the media worker has not let go of its files yet", call.call_id)
        discard = partial(
            self.eraser.discard_audio, call.call_id, call.keys.audio_key_id, recording.recording_id, reason=reason
        )
        try:
            await discard()
        except CallrecError as error:
            self._discards.append(discard)
            log.warning("call %s: discarding its audio is completed later: %s", call.call_id, error)

    async def tell(self, event: Event) -> None:
        """Tell an event that is about no call; without a catalogue it is only in the log."""
        try:
            await self.catalogue.tell([event])
        except CallrecError as error:
            log.warning("%s/%s could not be told: %s", event.noun, event.verb, error)

    # Health

    async def look(self, health: Health) -> None:
        """Turn what is wrong with the stores into problems, and complete what waited for them."""
        problem = self.catalogue.problem
        health.set(Code.STORAGE_UNAVAILABLE, problem.text if problem else None, about="catalogue")
        health.set(Code.STORAGE_UNAVAILABLE, self.catalogue.log_problem, about="catalogue-log")
        if self.keyring is not None:
            self.keyring.keep_ready()
            health.set(Code.KEYS_UNAVAILABLE, self.keyring.problem, about="pool")
        if self.ledger is not None:
            health.set(Code.LEDGER, "; ".join(self.ledger.problems) or None)
        if self.guard is not None:
            health.set(Code.STORAGE_UNAVAILABLE, self.guard.lost_text, about="promises")
        self._looks += 1
        due = self._looks % _RESUME_EVERY == 0
        if problem is None and (due or (self.journal is not None and self.journal.used)) and not len(self._completing):
            # By itself: a disk that stops answering in the middle must not keep the other looks waiting.
            self._completing.start("complete", self._complete())

    async def _complete(self) -> None:
        try:
            async with self._one_at_a_time:
                await self._enter_what_waits()
        except CallrecError as error:
            log.info("what waits for a store goes on waiting: %s", error)

    async def _enter_what_waits(self) -> None:
        if self.journal is not None and self.journal.used:
            entered = await self.journal.replay(self.catalogue)
            log.info("%d entries of the reserve journal are in the catalogue now", entered)
        while self._discards:
            await self._discards[0]()
            del self._discards[0]
        if self._waiting and self.eraser is not None and (self.guard is None or self.guard.replayed):
            await self.eraser.resume()
            self._waiting = False

    async def put_right(self) -> None:
        """Finish what a crash left undone: half erased calls, the journal, keys that nobody has.

        Raises:
            CallrecError: if a store cannot be used; the next look tries again.
        """
        self._waiting = True
        async with self._one_at_a_time:
            await self._put_right()
        self._waiting = False

    async def _put_right(self) -> None:
        if self.guard is not None:
            await self.guard.before_replay()
        if self.eraser is not None:
            await self.eraser.resume()
        if self.guard is not None and await self.guard.after_replay():
            self._sweeping.start("sweep", self._sweep(self.guard))
        if self.journal is not None:
            await self.journal.replay(self.catalogue)
        if self.keyring is not None:
            left = self.keyring.left_over
            claimed = await self.catalogue.claimed_keys(left)
            waiting = await self.journal.claimed_keys() if self.journal is not None else set()
            await self.keyring.sweep_unclaimed(claimed | waiting)

    async def _sweep(self, guard: RestoreGuard) -> None:
        try:
            await guard.sweep()
        except (CallrecError, OSError) as error:
            log.warning("files of erased recordings could not be looked for: %s", error)

    def complete_later(self) -> None:
        """Note that something waits for a store; the looks at health complete it."""
        self._waiting = True

    async def stray_files(self, growing: Collection[str]) -> list[Path]:
        """Return the files under the recordings folder that belong to no call of the catalogue and none that grows."""
        folder = self.settings.paths.recordings
        files = await asyncio.to_thread(lambda: [path for path in folder.rglob("*") if path.is_file()])
        names = {str(path.relative_to(folder)): path for path in files if path.name not in ("README.md", ".gitignore")}
        known = await self.catalogue.known_paths(names)
        return [
            path
            for name, path in sorted(names.items())
            if name not in known and path.name.partition(".")[0] not in growing
        ]

    async def close(self) -> None:
        """Close every store, the last opened first."""
        await self._completing.stop()
        await self._sweeping.stop()
        if self.guard is not None:
            await self.guard.end()
        await self.catalogue.close()
        if self.journal is not None:
            self.journal.close()
        if self.ledger is not None:
            self.ledger.close()
        if self.keyring is not None:
            self.keyring.close()
        if self.lock is not None:
            self.lock.release()


async def open_stores(settings: Settings, clock: Clock, health: Health) -> Stores:
    """Open what can be opened; what cannot is a problem in `status`, and calls pass unrecorded.

    Raises:
        OperatorError: 75 if another recorder uses the state folder.
    """
    state = settings.paths.state
    lock = await asyncio.to_thread(_lock, state, health)
    restored = await asyncio.to_thread(_finish_restore, state, health)
    keyring = await asyncio.to_thread(_open_keyring, settings, health)
    ledger = await asyncio.to_thread(_open_ledger, settings, keyring, clock, health) if keyring else None
    sealer = keyring or NoKeys()
    numbers = NumbersMode(settings.event_numbers.value)
    options = Options(settings.node.id, numbers, clock, ledger or NoLedger(), restored=restored)
    catalogue = await Catalogue.open(state / CATALOGUE, sealer, options)
    journal = None
    try:
        journal = await asyncio.to_thread(ReserveJournal, state / JOURNAL, sealer)
    except StorageUnavailable as error:
        health.raise_problem(Code.STORAGE_UNAVAILABLE, str(error), about="journal")
    stores = Stores(settings, catalogue, keyring, ledger, journal, lock)
    if keyring is not None and ledger is not None:
        stores.eraser = Eraser(catalogue, keyring, ledger, settings.paths.recordings)
        stores.eraser.traces = TraceFiles(state / TRACES)
        node = BackupNode(settings.node.id, state, settings.paths.recordings)
        stores.backups = Backups(node, ledger, keyring.system_key("signing"), clock)
    stores.guard = RestoreGuard(catalogue, keyring, ledger, state, settings.paths.recordings)
    return stores


def _finish_restore(state: Path, health: Health) -> bool:
    """Finish a restore that a kill cut off; return whether there was one since the last start."""
    try:
        finish_restore(state)
    except OSError as error:
        text = f"state folder {state}: a restore cannot be finished ({error}); mend its disk, then restart"
        health.raise_problem(Code.STORAGE_UNAVAILABLE, text, about="restore")
    return read_marker(state) is not None


def _lock(state: Path, health: Health) -> StateLock | None:
    """Take the state folder for this process; a folder that cannot be written costs recordings, not calls."""
    try:
        if not state.is_dir():  # asking costs no write, which a blocked disk would not let through
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
        return StateLock.acquire(state / LOCK)
    except OperatorError as error:
        if error.exit_code is ExitCode.BUSY:
            raise
        health.raise_problem(Code.STORAGE_UNAVAILABLE, str(error), about="state")
    except OSError as error:
        text = f"state folder {state}: cannot be made ({error.strerror}); make it, or name another in [paths] state"
        health.raise_problem(Code.STORAGE_UNAVAILABLE, text, about="state")
    return None


def _open_keyring(settings: Settings, health: Health) -> Keyring | None:
    try:
        master_key = load_master_key(settings.keys.master_key_file, settings.paths.state / KEYRING)
        return Keyring.open(settings.paths.state / KEYRING, master_key, create=False)
    except (CallrecError, OSError) as error:
        health.raise_problem(Code.KEYS_UNAVAILABLE, str(error))
        return None


def _open_ledger(settings: Settings, keyring: Keyring, clock: Clock, health: Health) -> Ledger | None:
    copy, state = settings.privacy.ledger_copy, settings.paths.state
    try:
        fresh = not (state / CATALOGUE).exists()
        return Ledger.open(state / LEDGER, copy, keyring.system_key("signing"), clock, fresh=fresh)
    except CallrecError as error:
        health.raise_problem(Code.LEDGER, str(error))
        return None
