"""The erasing order, of which every step may be repeated (design: "Keys, and what erasing means").

1. intent in the ledger, its outside copy first, and the mark on the row; 2. keys destroyed; 3. files removed;
4. row reduced to its stub, events queued; 5. verified by trying to read; 6. completed in the ledger.
From step 1 on the ledger knows what is to go, so the next start completes what a crash left half done, and a
restored keyring or catalogue, which is older than the ledger, is brought up to it before anything is served.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from callrec.catalogue.catalogue import Catalogue
from callrec.catalogue.erasure import LedgerDue, Target
from callrec.catalogue.errors import CallNotFound, StorageUnavailable
from callrec.catalogue.parties import forget_party
from callrec.catalogue.requests import forget_requests
from callrec.catalogue.values import Event
from callrec.errors import CallrecError, ExitCode, IntegrityError, OperatorError
from callrec.identifiers import new_id, recording_id_of
from callrec.privacy.recording_files import RecordingFiles
from callrec.vault.keyring import Keyring
from callrec.vault.keyring_errors import LedgerUnavailable
from callrec.vault.ledger import Ledger
from callrec.vault.ledger_entries import Draft, Entry
from callrec.vault.trace_files import TraceFiles

log = logging.getLogger("callrec.privacy.erasing")

_CALLS_AN_INTENT = 256
_STORES = ("keyring", "recordings", "traces", "catalogue")
_LOG_TRIES = 50
_LOG_WAIT_S = 0.1


class Reason(StrEnum):
    """Why something was erased, as the ledger and events say it."""

    DELETE = "delete"
    REQUEST = "request"
    RETENTION = "retention"
    OPT_OUT = "opt_out"
    STOP = "stop"
    NOT_TO_BE_KEPT = "not_to_be_kept"


class Step(StrEnum):
    """Where an erasure stands; a fault test pulls the plug after each."""

    INTENT = "intent"
    MARKED = "marked"
    KEYS = "keys"
    FILES = "files"
    ROWS = "rows"
    VERIFIED = "verified"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True)
class ErasedCall:
    """What became of one call that was to be erased."""

    call_id: str
    stores: Mapping[str, str]
    """Each store's word: `erased`, `not_present` or `failed`; the ledger's is `entered`."""
    verified: bool
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class _Intent:
    """What the ledger says is to go; enough without any row."""

    erasure_id: str
    reason: str
    targets: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, entry: Entry) -> _Intent:
        return cls(entry.body["erasure_id"], entry.body["reason"], tuple(entry.body["targets"]))

    @property
    def call_ids(self) -> list[str]:
        return [target["call_id"] for target in self.targets]

    @property
    def key_ids(self) -> list[str]:
        return [key for target in self.targets for key in target["key_ids"]]


@dataclass(slots=True)
class _Progress:
    """What the steps of one erasure found."""

    known: dict[str, Target] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    files: dict[str, int] = field(default_factory=dict)
    traced: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)


def no_hook(point: object) -> None:
    """Let an execution go on: where no fault test pulls the plug."""
    del point


class Eraser:
    """Erases calls, discards audio, and completes what was left half done."""

    def __init__(
        self,
        catalogue: Catalogue,
        keyring: Keyring,
        ledger: Ledger,
        recordings: Path,
        hook: Callable[[Step], None] = no_hook,
    ) -> None:
        self._catalogue = catalogue
        self._keyring = keyring
        self._ledger = ledger
        self._files = RecordingFiles(recordings)
        self.traces: TraceFiles | None = None  # where the signalling of calls is kept
        self._hook = hook
        self._lock = asyncio.Lock()
        self._resumed = False
        """Whether what the last run left is completed; what this run declines is its own affair."""

    # Erasing calls

    async def erase(
        self, call_ids: Sequence[str], *, reason: Reason, authoriser: str, case_id: str | None = None
    ) -> list[ErasedCall]:
        """Erase calls and verify it; what could not be finished is finished at the next `resume`.

        Args:
            call_ids: which; unknown and erased ones are told as `not_present`.
            reason: why.
            authoriser: who ordered it; an account name, no more.
            case_id: the request's random id.

        Raises:
            OperatorError: if one of them is still in progress (75) or under a hold (5); then nothing was changed.
            LedgerUnavailable: if the ledger or its outside copy cannot be written; then nothing was changed.
            StorageUnavailable: if the catalogue cannot be read; then nothing was changed.
        """
        wanted = list(dict.fromkeys(call_ids))
        results: list[ErasedCall] = []
        async with self._lock:
            for start in range(0, len(wanted), _CALLS_AN_INTENT):
                chunk = wanted[start : start + _CALLS_AN_INTENT]
                results += await self._erase_some(chunk, reason, authoriser, case_id)
        return results

    def quiet(self) -> AbstractAsyncContextManager[None]:
        """Return a span in which nothing is being erased: a hold placed in it is seen by every erasure that follows."""
        return self._lock

    async def _erase_some(
        self, call_ids: Sequence[str], reason: Reason, authoriser: str, case_id: str | None
    ) -> list[ErasedCall]:
        targets = [target for target in await self._catalogue.erasure_targets(call_ids) if not target.erased]
        for target in targets:
            if target.in_progress:
                raise OperatorError(
                    f"call {target.call_id} is still in progress; try again when it has ended", exit_code=ExitCode.BUSY
                )
            if target.held:
                raise OperatorError(
                    f"call {target.call_id} is under a hold or restriction; release it first",
                    exit_code=ExitCode.REFUSED,
                )
        here = {target.call_id for target in targets}
        results = [_nothing_there(call_id) for call_id in call_ids if call_id not in here]
        if targets:
            body = _intent_body(targets, reason, authoriser, case_id)
            entries = await self._ledger.append([Draft("intent", body)], reach_copy=True)
            self._hook(Step.INTENT)
            results += await self._carry_out(_Intent.of(entries[0]), complete=True)
        return results

    async def _carry_out(self, intent: _Intent, *, complete: bool) -> list[ErasedCall]:
        """Take every step after the intent; a failure is told, and left to the next `resume`."""
        progress = _Progress()
        try:
            await self._steps(intent, progress)
            if complete:
                await self._ledger.append([Draft("completed", {"erasure_id": intent.erasure_id})], reach_copy=False)
                progress.done.append("ledger")
                self._hook(Step.COMPLETED)
            await self._note_applied()
        except (CallrecError, OSError) as error:
            log.error("erasure %s is not complete: %s", intent.erasure_id, error)  # noqa: TRY400 - told, and resumed
            return [_result(target, progress, str(error)) for target in intent.targets]
        return [_result(target, progress, None) for target in intent.targets]

    async def _steps(self, intent: _Intent, progress: _Progress) -> None:
        ids = intent.call_ids
        progress.known = {target.call_id: target for target in await self._catalogue.erasure_targets(ids)}
        await self._catalogue.mark_erasing(ids)
        self._hook(Step.MARKED)
        progress.keys = await self._keyring.existing(intent.key_ids)
        await self._keyring.destroy(intent.key_ids)
        progress.done.append("keyring")
        self._hook(Step.KEYS)
        await self._remove_files(intent, progress)
        progress.done += ["recordings", "traces"]
        self._hook(Step.FILES)
        await self._catalogue.reduce_to_stubs(ids, intent.reason)
        progress.done.append("catalogue")
        self._hook(Step.ROWS)
        await self._verify(intent, progress)
        self._hook(Step.VERIFIED)

    async def _remove_files(self, intent: _Intent, progress: _Progress) -> None:
        for target in intent.targets:
            if target["recording_id"] is not None:
                paths = await self._paths(target, progress)
                progress.files[target["call_id"]] = await asyncio.to_thread(self._files.remove, paths)
        if self.traces is not None:
            progress.traced = await asyncio.to_thread(self.traces.remove, intent.call_ids)

    async def _paths(self, target: Mapping[str, Any], progress: _Progress) -> list[Path]:
        known = progress.known.get(target["call_id"])
        parts, started_at = (known.parts, known.started_at) if known else ((), None)
        return await asyncio.to_thread(self._files.find, target["recording_id"], parts, started_at)

    async def _verify(self, intent: _Intent, progress: _Progress) -> None:
        """Try to read everything that was erased.

        Raises:
            IntegrityError: if anything can still be read.
            StorageUnavailable: if it cannot be told.
        """
        # A deleted blob lives on in the write-ahead log until that is emptied (measured).
        await self._empty_log()
        left = [f"key {key}" for key in await self._keyring.load_many(intent.key_ids)]
        for target in intent.targets:
            if target["recording_id"] is not None:
                left += [f"file {path.name}" for path in await self._paths(target, progress)]
        if self.traces is not None:
            left += [f"trace {path.stem}" for path in await asyncio.to_thread(self.traces.find, intent.call_ids)]
        left += await self._catalogue.leftovers(intent.call_ids)
        if left:
            raise IntegrityError(f"erasure {intent.erasure_id}: still there after erasing: {'; '.join(left)}")

    async def _empty_log(self) -> None:
        for _ in range(_LOG_TRIES):
            if await self._catalogue.truncate_log():
                return
            await asyncio.sleep(_LOG_WAIT_S)
        raise StorageUnavailable("the catalogue's log is held by a reader and cannot be emptied yet")

    async def _note_applied(self) -> None:
        """Note in both stores that they are as new as the ledger, unless an older intent is still open."""
        waiting = [entry.n for entry in self._ledger.open_intents]
        upto = min(waiting) - 1 if waiting else self._ledger.head.n
        await self._keyring.note_applied(upto)
        await self._catalogue.note_applied(upto)

    # Discarding audio

    async def discard_audio(
        self, call_id: str, audio_key_id: str, recording_id: str | None, *, reason: Reason = Reason.OPT_OUT
    ) -> None:
        """Discard what a call has stored while its row stays: the audio key first, then files, row and ledger.

        The media worker must have stopped writing. What fails after the key is gone is completed by `resume`.

        Raises:
            KeysUnavailable: if the key cannot be destroyed; the files are removed all the same.
            StorageUnavailable: if the row cannot be changed yet.
        """
        async with self._lock:
            try:
                await self._keyring.destroy([audio_key_id])
            finally:
                await self._discard_files(call_id, recording_id)
            await self._discard_row(call_id, audio_key_id, recording_id, reason)
            await self._pay_ledger()

    async def _discard_files(self, call_id: str, recording_id: str | None) -> None:
        if recording_id is None:
            return
        try:
            known = {target.call_id: target for target in await self._catalogue.erasure_targets([call_id])}
        except StorageUnavailable:
            known = {}
        target = {"call_id": call_id, "recording_id": recording_id}
        paths = await self._paths(target, _Progress(known=known))
        await asyncio.to_thread(self._files.remove, paths)

    async def _discard_row(self, call_id: str, key_id: str, recording_id: str | None, reason: str) -> None:
        body = {"call_id": call_id, "recording_id": recording_id, "key_ids": [key_id], "reason": reason}
        event = Event("recording", "erased", call_id, {"recording_id": recording_id, "reason": reason})
        try:
            await self._catalogue.discard_audio(call_id, LedgerDue("destroyed", body), [event] if recording_id else [])
        except CallNotFound:
            # It waits in the reserve journal, or its row was never written: the ledger learns of it all the same.
            await self._ledger.append([Draft("destroyed", body)], reach_copy=False)

    async def pay_ledger(self) -> bool:
        """Enter what is owed to the ledger, unless something is being erased: nobody waits for that.

        Returns whether nothing is owed any more; otherwise ask again, or the next `resume` does it.

        Raises:
            StorageUnavailable: if the catalogue cannot say what is owed.
        """
        if self._lock.locked():
            return False
        async with self._lock:
            return await self._pay_ledger()

    async def _pay_ledger(self) -> bool:
        """Enter what is owed to the ledger; if it cannot be written now, the next `resume` does."""
        due = await self._catalogue.ledger_due()
        if not due:
            return True
        try:
            await self._ledger.append([Draft(entry.kind, entry.body) for entry in due], reach_copy=False)
        except LedgerUnavailable as error:
            log.warning("%d ledger entries wait: %s", len(due), error)
            return False
        await self._catalogue.ledger_paid([entry.due_id for entry in due])
        await self._note_applied()
        return True

    # Completing

    async def resume(self) -> list[ErasedCall]:
        """Complete what was left half done, and bring restored stores up to the ledger.

        At start: before anything is served and before interrupted calls are ended. Later: now and then, so that
        what waited for a disk is completed. Returns what became of the erasures that were open.

        Raises:
            StorageUnavailable, KeysUnavailable, LedgerUnavailable: if a store cannot be used; try again later.
        """
        async with self._lock:
            results: list[ErasedCall] = []
            await self._replay()
            for entry in self._ledger.open_intents:
                results += await self._carry_out(_Intent.of(entry), complete=True)
            await self._finish_discards()
            if not self._resumed:
                await self._finish_declined()
                self._resumed = True
            await self._pay_ledger()
            return results

    async def _replay(self) -> None:
        """Erase again what the ledger names and an older keyring or catalogue has brought back."""
        applied = min(await self._keyring.applied_entry(), await self._catalogue.applied_entry())
        if applied >= self._ledger.last_erasure:
            return
        waiting = {entry.n for entry in self._ledger.open_intents}
        for entry in await self._ledger.entries(frozenset({"intent", "destroyed"})):
            if entry.n > applied and entry.n not in waiting:
                await self._redo(entry)
        await self._note_applied()

    async def _redo(self, entry: Entry) -> None:
        if entry.kind == "destroyed":
            await self._redo_destroyed(entry.body)
            return
        intent = _Intent.of(entry)
        targets = await self._catalogue.erasure_targets(intent.call_ids)
        if await self._keyring.existing(intent.key_ids) or any(not target.erased for target in targets):
            log.warning("erasure %s is carried out again: a restored store had brought it back", intent.erasure_id)
            await self._steps(intent, _Progress())

    async def _redo_destroyed(self, body: Mapping[str, Any]) -> None:
        """Destroy keys again, and what of a call, a party or the file of a request was to go with them."""
        await self._keyring.destroy(body["key_ids"])
        if (call_id := body.get("call_id")) is not None:
            await self._forget_audio([call_id], body["reason"])
        if (party_id := body.get("party_id")) is not None:
            await self._catalogue.transact(lambda connection, _: forget_party(connection, party_id))
            self._catalogue.refs.forget(party_id)
        if (request_id := body.get("request_id")) is not None:
            await self._catalogue.transact(lambda connection, _: forget_requests(connection, [request_id]))

    async def _finish_discards(self) -> None:
        """Complete a discard that a crash cut off: the audio key is gone, the row does not know it yet."""
        rows = [row for row in await self._catalogue.in_progress() if row.audio_key_id is not None]
        existing = await self._keyring.existing(row.audio_key_id for row in rows if row.audio_key_id)
        gone = [row.call_id for row in rows if row.audio_key_id not in existing]
        await self._forget_audio(gone, Reason.OPT_OUT)

    async def _finish_declined(self) -> None:
        """Complete a discard of which a crash cut off even the key: the row ended as declined, the audio is there."""
        for target in await self._catalogue.erasure_targets(await self._catalogue.declined()):
            if target.audio_key_id is not None:
                await self._keyring.destroy([target.audio_key_id])
                await self._forget_audio([target.call_id], Reason.OPT_OUT)

    async def _forget_audio(self, call_ids: Iterable[str], reason: str) -> None:
        for target in await self._catalogue.erasure_targets(list(call_ids)):
            if target.audio_key_id is None or target.erased:
                continue
            if await self._keyring.existing([target.audio_key_id]):
                continue
            # Its row may not have learnt of the recording: a disk that blocked, and then a crash.
            await self._discard_files(target.call_id, target.recording_id or recording_id_of(target.call_id))
            await self._discard_row(target.call_id, target.audio_key_id, target.recording_id, reason)


def _intent_body(targets: Sequence[Target], reason: Reason, authoriser: str, case_id: str | None) -> dict[str, Any]:
    return {
        "erasure_id": new_id(),
        "reason": reason.value,
        "authoriser": _account(authoriser),
        "case_id": case_id,
        "targets": [
            {"call_id": target.call_id, "recording_id": target.recording_id, "key_ids": list(target.key_ids)}
            for target in targets
        ],
    }


def _account(name: str) -> str:
    """Return an account name as the ledger takes it: closed characters, nothing like a number."""
    return f"account:{re.sub('[^A-Za-z0-9_.-]', '_', name)[:64]}"


def _nothing_there(call_id: str) -> ErasedCall:
    stores = dict.fromkeys(("ledger", *_STORES), "not_present")
    return ErasedCall(call_id, stores, verified=True)


def _result(target: Mapping[str, Any], progress: _Progress, problem: str | None) -> ErasedCall:
    stores = {name: "erased" if name in progress.done else "failed" for name in _STORES}
    found = {
        "keyring": progress.keys.intersection(target["key_ids"]),
        "recordings": progress.files.get(target["call_id"]),
        "traces": target["call_id"] in progress.traced,
    }
    for name, there in found.items():
        if stores[name] == "erased" and not there:
            stores[name] = "not_present"
    return ErasedCall(target["call_id"], {"ledger": "entered", **stores}, problem is None, problem)
