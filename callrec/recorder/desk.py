"""The desk: what people ask of the recorder, answered from its stores and its live calls (the API's port)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import callrec
from callrec.catalogue.values import AuditEntry, FindQuery, Item, Page, Recording
from callrec.errors import ExitCode, IntegrityError, OperatorError
from callrec.events import Publisher
from callrec.privacy import ErasedCall
from callrec.privacy.promises import Promises
from callrec.privacy.protections import Protection
from callrec.recorder.backups import BackupDesk
from callrec.recorder.deleting import Deleting, DeletionPlan
from callrec.recorder.hall import Hall
from callrec.recorder.live_control import LiveControl
from callrec.recorder.promising import make_promises
from callrec.recorder.tools import Tools
from callrec.recorder.trace_desk import TraceDesk
from callrec.settings import Settings
from callrec.vault.keyring_errors import KeyDestroyed


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One file of a recording, and what the catalogue noted about it."""

    path: Path
    segments: int | None
    cut: bool


@dataclass(frozen=True, slots=True)
class StoredRecording:
    """All that is needed to read one recording."""

    call_id: str
    recording_id: str
    parts: tuple[StoredPart, ...]
    audio_key: bytes
    started_at: datetime | None

    def __repr__(self) -> str:
        return f"StoredRecording({self.recording_id})"


class Desk:
    """Answers the API; rights and masking are the API's own part."""

    def __init__(self, tools: Tools, hall: Hall, reload_notices: Callable[[], None]) -> None:
        self._tools = tools
        self._hall = hall
        self._reload_notices = reload_notices
        self._publisher: Publisher | None = None
        self._deleting = Deleting(tools.stores)
        self.promises: Promises = make_promises(tools, hall.calls)
        """The books of relationships, retention, requests and protections."""
        self.backups = BackupDesk(tools.stores, self.audit)
        self.traces = TraceDesk(tools, self.get)
        self.live = LiveControl(tools, hall.calls, self.audit)
        """What may be done to calls that go on."""

    def join(self, publisher: Publisher) -> None:
        """Take the publisher, whose state `status` shows, and which shows `status` itself."""
        self._publisher = publisher

    @property
    def settings(self) -> Settings:
        """Return the configuration in force."""
        return self._tools.settings

    # How it is

    def status(self) -> Mapping[str, Any]:
        """Return the document of `callrec status --json`."""
        health, catalogue = self._tools.health, self._tools.stores.catalogue
        ledger, guard = self._tools.stores.ledger, self._tools.stores.guard
        return {
            "pid": os.getpid(),
            "version": callrec.__version__,
            "recording": health.recording,
            "problems": [problem.as_dict() for problem in health.problems()],
            "active_calls": sum(1 for _ in self._hall.calls()),
            "one_way_audio": sum(1 for call in self._hall.calls() if call.unheard is not None),
            "workers": [{"pid": worker.pid, "calls": worker.calls} for worker in self._tools.media.workers()],
            "signalling": self._tools.driver.counted(),
            "outbox": catalogue.outbox_size,
            "broker": self._publisher.state.value if self._publisher is not None else "off",
            "requests": self.promises.watch.summary,
            "relationships": self.promises.relationships.silence,
            "reviews": self.promises.protections.due_reviews(),
            "draining": self._hall.draining,
            "lost": {kind: list(ids) for kind, ids in guard.lost.items()} if guard is not None else {},
            "signed_head": ledger.head.as_document() if ledger is not None else None,
        }

    def live_calls(self) -> Sequence[Item]:
        """Return the calls in progress, newest first, as far as they are known yet."""
        return self._tools.stores.catalogue.live_items()

    # Reading

    async def find(self, query: FindQuery) -> Page:
        """Return one page of calls."""
        self._check()
        return await self._tools.stores.catalogue.find(query)

    async def get(self, prefix: str) -> Item:
        """Return the call that an id, a reference or a unique prefix names."""
        self._check()
        return await self._tools.stores.catalogue.get(prefix)

    def _check(self) -> None:
        """Let somebody see what is stored; raises OperatorError where a restore made that doubtful."""
        if (guard := self._tools.stores.guard) is not None:
            guard.check()

    async def recording(self, prefix: str, *, despite_restriction: bool = False) -> StoredRecording:
        """Return what is needed to read a call's recording.

        Args:
            prefix: names the call as for `get`.
            despite_restriction: whether somebody who may gave a reason to use what is restricted (LAW-42).

        Raises:
            OperatorError: as `get`, and if the call has no audio (3), is still being recorded (75) or restricted (5).
            IntegrityError: if its key cannot be had.
        """
        item = await self.get(prefix)
        if not despite_restriction:
            _refuse_restricted(item)
        if item["in_progress"]:
            message = f"call {item['call_id']} is still going on; its recording can be read when it has ended"
            raise OperatorError(message, exit_code=ExitCode.BUSY)
        found = await self._tools.stores.catalogue.recordings_of(item["call_id"])
        if found is None or found.audio_key_id is None or not found.parts:
            message = f"call {item['call_id']} has no audio: {item['outcome_reason']}"
            raise OperatorError(message, exit_code=ExitCode.NOT_FOUND)
        return await self._stored(found)

    async def _stored(self, found: Recording) -> StoredRecording:
        keyring = self._tools.stores.keyring
        if keyring is None or found.audio_key_id is None:
            raise IntegrityError("the keyring is not open; `callrec status` says why")
        try:
            audio_key = await keyring.load(found.audio_key_id)
        except KeyDestroyed:
            message = f"the audio of call {found.call_id} was erased"
            raise OperatorError(message, exit_code=ExitCode.NOT_FOUND) from None
        folder = self._tools.settings.paths.recordings
        parts = tuple(StoredPart(folder / part.path, part.segments, part.cut) for part in found.parts)
        return StoredRecording(found.call_id, found.recording_id, parts, audio_key, found.started_at)

    async def recordings(self) -> AsyncIterator[StoredRecording]:
        """Return every recording that the catalogue knows, but those in progress."""
        after = ""
        while found := await self._tools.stores.catalogue.all_recordings(after):
            for recording in found:
                if recording.audio_key_id is None or not recording.parts:
                    continue
                with contextlib.suppress(OperatorError):  # erased while we walk
                    yield await self._stored(recording)
            after = found[-1].recording_id

    async def stray_files(self) -> Sequence[Path]:
        """Return the files under the recordings folder that belong to no call."""
        return await self._tools.stores.stray_files(self._hall.recording_ids())

    # Erasing

    async def plan_deletion(self, prefixes: Sequence[str], number: str | None) -> DeletionPlan:
        """Return what deleting these calls, or all calls of an outside party's number, would take away."""
        return await self._deleting.plan(prefixes, number)

    async def delete(self, plan_hash: str, *, reason: str, actor: str) -> Sequence[ErasedCall]:
        """Erase what a plan listed, in the erasing order, and try to read it afterwards."""
        erased = await self._deleting.carry_out(plan_hash, actor)
        if not all(call.verified for call in erased):
            self._tools.stores.complete_later()
        await self.audit(actor, "delete", {"calls": [call.call_id for call in erased], "reason": reason})
        return erased

    # Events and audit

    async def events_after(self, sequence: int, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return up to `limit` stored events with a higher sequence, in order."""
        events = await self._tools.stores.catalogue.events_after(sequence, limit)
        return [event.document for event in events]

    async def wait_for_events(self, after: int) -> None:
        """Return as soon as there is an event with a higher sequence."""
        await self._tools.stores.catalogue.wait_for_events(after)

    async def audit(self, actor: str, action: str, detail: Mapping[str, Any]) -> None:
        """Write down who did what, and to which call or request."""
        subject = detail.get("call_id", detail.get("request_id"))
        entry = AuditEntry(actor, action, subject if isinstance(subject, str) else None, detail)
        await self._tools.stores.catalogue.record_audit(entry)

    async def audit_entries(self, after: int, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return audit entries in order; `detail` is None where it was erased."""
        return await self._tools.stores.catalogue.audit_entries(after, limit)

    async def verify_audit(self) -> int:
        """Check the whole audit chain; return its length. Raises IntegrityError at a break."""
        return await self._tools.stores.catalogue.verify_audit()

    def reload_notices(self) -> None:
        """Take newly imported notices into use for calls to come."""
        self._reload_notices()


def _refuse_restricted(item: Item) -> None:
    if any(hold["kind"] == Protection.RESTRICTION for hold in item["holds"]):
        message = (
            f"call {item['call_id']} is restricted: it is kept and not used; "
            "an administrator may play or export it with --reason (LAW-42)"
        )
        raise OperatorError(message, exit_code=ExitCode.REFUSED)
