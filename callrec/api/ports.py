"""What the API asks of the recorder.

Values are described by their attributes: the recorder, on a floor below, gives dataclasses of its own that have them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from callrec.api.books import Promises
from callrec.catalogue.values import FindQuery
from callrec.vault.trace_files import Trace

Item = Mapping[str, Any]
"""A call as contract.md describes it under "An item", numbers in full."""

Document = Mapping[str, Any]
"""A stored event as published: CloudEvents 1.0, with `sequence` as twenty decimal digits."""


class Page(Protocol):
    """Some calls, newest first, and where the next ones begin."""

    @property
    def items(self) -> Sequence[Item]:
        """Return the calls."""

    @property
    def next(self) -> str | None:
        """Return the cursor of the next page, or nothing after the last."""


class StoredPart(Protocol):
    """One file of a recording, and what the catalogue noted about it."""

    @property
    def path(self) -> Path:
        """Return the file; it may be gone."""

    @property
    def segments(self) -> int | None:
        """Return how many segments it must have, or nothing if that was never noted."""

    @property
    def cut(self) -> bool:
        """Say whether its end is known to be missing."""


class StoredRecording(Protocol):
    """All a helper process needs to read one recording; the key goes through a pipe, never into an argument."""

    @property
    def call_id(self) -> str:
        """Return the call's id."""

    @property
    def recording_id(self) -> str:
        """Return the recording's id, bound into each of its parts."""

    @property
    def parts(self) -> Sequence[StoredPart]:
        """Return the parts in order; one of which the file is gone is listed all the same."""

    @property
    def audio_key(self) -> bytes:
        """Return the 32 bytes all part keys derive from."""

    @property
    def started_at(self) -> datetime | None:
        """Return `recording_started_at`."""


class DeletionPlan(Protocol):
    """What would go; deleting needs the hash, so that what was shown is what is deleted."""

    @property
    def hash(self) -> str:
        """Return the hash over all that would be deleted."""

    @property
    def items(self) -> Sequence[Item]:
        """Return the calls, numbers in full (the API masks them)."""


class Erasure(Protocol):
    """What became of one call that was to be deleted."""

    @property
    def call_id(self) -> str:
        """Return the call's id."""

    @property
    def stores(self) -> Mapping[str, str]:
        """Return what each store says: `ledger`, `keyring`, `recordings`, `catalogue` and so on."""

    @property
    def verified(self) -> bool:
        """Say whether reading it was tried afterwards and failed as it must."""


class Backups(Protocol):
    """Backups, and what a restore left in doubt."""

    async def create(self, to: str, *, keys_only: bool, actor: str, tell: Callable[[int], None]) -> Mapping[str, Any]:
        """Make a backup into a folder of the recorder's machine; `tell` is told how many recordings are done.

        Raises:
            OperatorError: 2 for a path that is not absolute, 75 while another backup is made there, 1 if it failed.
        """

    async def copies(self) -> Sequence[Mapping[str, Any]]:
        """Return the copies of keyring and catalogue that are known to exist, the oldest first."""

    async def accept(self, *, reason: str, actor: str) -> Sequence[str]:
        """Accept what a restore or an altered ledger left in doubt; return what was accepted, in sentences.

        Raises:
            OperatorError: 2 without a reason.
        """


class LiveState(Protocol):
    """How the recording of a live call is."""

    def document(self) -> Mapping[str, Any]:
        """Return `call_id` and `recording`: recording, paused, ended, none or not_begun."""


class LiveControl(Protocol):
    """What may be done to calls that go on.

    Each raises OperatorError: 3 if no such call is live, 5 if there is nothing to do it to or a hold forbids it,
    75 if it is not in force in time.
    """

    async def pause(self, call: str, *, purpose: str, reason: str, actor: str) -> LiveState:
        """Store nothing from now on; it returns when that is in force."""

    async def resume(self, call: str, *, reason: str, actor: str) -> LiveState:
        """Store again what is said from now on."""

    async def stop(self, call: str, *, discard: bool, reason: str, actor: str) -> LiveState:
        """Record nothing more of a call, and destroy what was stored if that is asked."""


class CallTraced(Protocol):
    """A call and the trace of its signalling."""

    @property
    def item(self) -> Item:
        """Return the call."""

    @property
    def trace(self) -> Trace:
        """Return what is kept of its messages."""


class Traces(Protocol):
    """What is asked of the traces."""

    async def read(self, call: str) -> CallTraced:
        """Return the trace of a call.

        Raises:
            OperatorError: if there is no such call, or no trace of it (3).
            IntegrityError: if its key cannot be had, or the trace was altered.
        """


class Recorder(Protocol):
    """The recorder, as the API sees it. Errors are OperatorError with the exit code to tell, or IntegrityError."""

    @property
    def promises(self) -> Promises:
        """Return the books of promises."""

    @property
    def backups(self) -> Backups:
        """Return what is asked about backups."""

    @property
    def live(self) -> LiveControl:
        """Return what may be done to calls that go on."""

    @property
    def traces(self) -> Traces:
        """Return what is asked of the traces."""

    def status(self) -> Mapping[str, Any]:
        """Return the document of `callrec status --json`; it must not wait for anything."""

    def live_calls(self) -> Sequence[Item]:
        """Return the calls in progress, newest first."""

    async def find(self, query: FindQuery) -> Page:
        """Return one page of calls."""

    async def get(self, prefix: str) -> Item:
        """Return the call that a call id, recording id, call reference or a unique prefix of an id names.

        Raises:
            OperatorError: if there is none or it is erased (3), or the prefix names several (2).
        """

    async def recording(self, prefix: str, *, despite_restriction: bool = False) -> StoredRecording:
        """Return what is needed to read a call's recording.

        Raises:
            OperatorError: as `get`, and if the call has no audio (3), is still being recorded (75), or is restricted
                (5) and that is not set aside by somebody who may, with a reason (LAW-42).
            IntegrityError: if its key cannot be had.
        """

    def recordings(self) -> AsyncIterator[StoredRecording]:
        """Return every recording that the catalogue knows, for verification; those in progress are left out."""

    async def stray_files(self) -> Sequence[Path]:
        """Return the files under `[paths] recordings` that belong to no recording and to no call in progress."""

    async def plan_deletion(self, prefixes: Sequence[str], number: str | None) -> DeletionPlan:
        """Return what deleting these calls, or all calls of an outside party's number (E.164), would take away.

        Raises:
            OperatorError: if a prefix names no call (3) or several (2), or a hold forbids it (5).
        """

    async def delete(self, plan_hash: str, *, reason: str, actor: str) -> Sequence[Erasure]:
        """Erase what a plan listed, in the erasing order, and try to read it afterwards.

        Raises:
            OperatorError: if the plan is unknown or no longer true (75).
        """

    async def events_after(self, sequence: int, limit: int) -> Sequence[Document]:
        """Return up to `limit` stored events with a higher sequence, in order."""

    async def wait_for_events(self, after: int) -> None:
        """Return as soon as there is an event with a higher sequence; the caller sets the limit of time."""

    async def audit(self, actor: str, action: str, detail: Mapping[str, Any]) -> None:
        """Write down who did what; numbers in `detail` are masked already."""

    async def audit_entries(self, after: int, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return up to `limit` audit entries with a higher number, in order; `detail` is None where it was erased."""

    async def verify_audit(self) -> int:
        """Check the whole audit chain; return its length.

        Raises:
            IntegrityError: at the first entry that does not follow from the one before.
        """

    def reload_notices(self) -> None:
        """Take newly imported notices into use for calls to come; it must not wait for anything."""
