"""Carrying an approved plan out over every store, and reading back that nothing is left (LAW-35, LAW-36).

Each step may be repeated: whatever a crash cut off, the next start goes on from the state that is stored. What is
promised by then is in the ledger, and `Eraser.resume` erases it before this goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol
from zoneinfo import ZoneInfo

from callrec.catalogue.requests import CallRow, RequestRow, RequestWrite, StoreRow
from callrec.errors import CallrecError
from callrec.privacy.erasing import ErasedCall, Reason, no_hook
from callrec.privacy.grounds import ground_of
from callrec.privacy.plans import DeletionPlan, ItemFacts, PlanItem, check_plan, require_fresh
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.protections import Protection
from callrec.privacy.recording_files import RecordingFiles
from callrec.privacy.request_finding import Finder
from callrec.privacy.request_steps import Changes, Steps
from callrec.privacy.request_table import RequestInput, RequestState
from callrec.vault.trace_files import TraceFiles

log = logging.getLogger("callrec.privacy.requests")

ERASE, KEEP, ERASED, SINCE = "erase", "keep", "erased", "since"
KEYRING, RECORDINGS, TRACES = "keyring", "recordings", "traces"
CATALOGUE, EVENTS = "catalogue", "events"
RELATIONSHIPS, EXPORTS, BROKER, BACKUPS = "relationships", "exports", "broker", "backups"
OF_CALLS = (KEYRING, RECORDINGS, TRACES, CATALOGUE, EVENTS)
LIVE_STORES = (*OF_CALLS, RELATIONSHIPS, EXPORTS, BROKER)
"""Callrec's own stores. `events` is the outbox; `exports` are rendered in memory and `broker` retains no event: both
keep nothing."""


class Point(StrEnum):
    """Where an execution stands; a fault test pulls the plug after each."""

    BEGUN = "begun"
    STOPPED = "stopped"
    ERASED = "erased"
    FORGOTTEN = "forgotten"
    REPORTED = "reported"
    READ_BACK = "read_back"
    VERIFIED = "verified"


class LiveCalls(Protocol):
    """The calls that are going on."""

    def stop(self, call_ids: Sequence[str], *, discard: bool) -> object:
        """End the recording of those that are live, and discard what they stored."""
        ...


BeyondUseUntil = Callable[[datetime, ZoneInfo], date | None]
"""When the last copy of the keys from before an erasure is gone; None if there is none."""


def no_copies(erased_at: datetime, zone: ZoneInfo) -> date | None:
    """Return that no copy is known."""
    del erased_at, zone
    return None


@dataclass(slots=True)
class Execution:
    """Executes requests."""

    stores: PromiseStores
    steps: Steps
    finder: Finder
    live: LiveCalls
    beyond_use_until: BeyondUseUntil = no_copies
    hook: Callable[[Point], None] = no_hook
    waits_for: dict[str, str] = field(default_factory=dict)
    """Why a request that is under way goes on later, by its id, in one sentence."""

    async def begin(self, row: RequestRow, plan: DeletionPlan, facts: Sequence[ItemFacts], actor: str) -> RequestRow:
        """Let the plan be carried out from now on, whatever happens.

        Raises:
            OperatorError: with exit code 5 if an item changed since it was approved; nothing was changed then.
        """
        check = check_plan(plan, facts)
        require_fresh(check)
        going = {call_id: CallRow(call_id, ERASE, "request") for call_id in (*plan.to_erase, *check.live)}
        kept = {item.call_id: CallRow(item.call_id, KEEP, item.reason) for item in plan.kept}
        since = {call_id: CallRow(call_id, SINCE, "not_in_plan") for call_id in check.since}
        gone = {call_id: CallRow(call_id, ERASED, "gone_before") for call_id in check.gone}
        before = await self._erased_before(row)
        calls = {**since, **kept, **going, **gone, **before}
        outside = [StoreRow(name, "outstanding") for name in self.stores.settings().privacy.outside_stores]
        ticked = {one.store for one in await self.steps.reader.stores_of(row.request_id) if one.state == "ticked"}
        reports = [
            *await self._at_first(row, list(going)),
            *(one for one in outside if one.store not in ticked or self._new_to_erase(going, before)),
        ]
        changes = Changes({"executed_by": actor}, list(calls.values()), reports)
        begun = await self.steps.take(row, RequestInput.EXECUTE, actor, changes)
        self.hook(Point.BEGUN)
        return begun

    @staticmethod
    def _new_to_erase(going: Iterable[str], before: Iterable[str]) -> bool:
        return bool({*going} - {*before})

    async def _erased_before(self, row: RequestRow) -> dict[str, CallRow]:
        """Return what an earlier execution of this request erased: a released hold makes a second one."""
        calls = await self.steps.reader.calls_of(row.request_id)
        return {call.call_id: call for call in calls if call.action == ERASED}

    async def _at_first(self, row: RequestRow, call_ids: Sequence[str]) -> list[StoreRow]:
        """Return which stores have anything: the others say so at once."""
        targets = [one for one in await self.stores.catalogue.erasure_targets(call_ids) if not one.erased]
        there = {
            KEYRING: any(target.key_ids for target in targets),
            RECORDINGS: any(target.recording_id is not None for target in targets),
            TRACES: bool(await asyncio.to_thread(self._traces.find, [target.call_id for target in targets])),
            CATALOGUE: bool(targets),
            EVENTS: bool(targets),
            RELATIONSHIPS: row.party_id is not None,
            EXPORTS: False,
            BROKER: False,
        }
        known = {one.store: one for one in await self.steps.reader.stores_of(row.request_id)}
        now = self.stores.now()
        return [
            StoreRow(store, "outstanding") if there[store] else StoreRow(store, "not_present", at=now)
            for store in LIVE_STORES
            if there[store] or known.get(store, StoreRow(store, "")).state != "erased"
        ]

    # What follows

    async def carry_on(self, row: RequestRow) -> RequestRow:
        """Erase, report, read back and verify, as far as it goes now; what fails is told, and tried again later."""
        before = self.waits_for.pop(row.request_id, None)
        try:
            if row.state == RequestState.EXECUTING:
                row = await self._erase(row)
            if row.state == RequestState.VERIFYING:
                row = await self._verify(row)
        except (CallrecError, OSError) as error:
            self.waits_for[row.request_id] = str(error)
        why = self.waits_for.get(row.request_id)
        if why is not None and why != before:
            log.warning("request %s goes on later: %s", row.request_id, why)
        return row

    async def _erase(self, row: RequestRow) -> RequestRow:
        calls = await self._still_wished(row)
        ids = [call.call_id for call in calls if call.action == ERASE]
        states = await self.steps.reader.call_states(ids)
        live = [state.call_id for state in states if state.in_progress]
        self.live.stop(live, discard=True)
        self.hook(Point.STOPPED)
        ended = [call_id for call_id in ids if call_id not in set(live)]
        results = await self.stores.erasing.erase(
            ended, reason=Reason.REQUEST, authoriser=row.executed_by or "", case_id=row.request_id
        )
        self.hook(Point.ERASED)
        if failed := _failed(results, self.stores.now()):
            self.waits_for[row.request_id] = next((one.problem for one in results if one.problem), "a store failed")
            await self._failed(row, failed)
            return row
        if live:
            self.waits_for[row.request_id] = f"{len(live)} calls are still going on; they are erased when they end"
            return row
        if not await self._forget_party(row, calls):
            self.waits_for[row.request_id] = "the party's entry could not be erased yet"
            await self._failed(row, [StoreRow(RELATIONSHIPS, "failed", at=self.stores.now())])
            return row
        self.hook(Point.FORGOTTEN)
        return await self._report(row)

    async def _still_wished(self, row: RequestRow) -> list[CallRow]:
        """Return the calls of the request; a hold that was placed since it began wins (LAW-53)."""
        calls = await self.steps.reader.calls_of(row.request_id)
        facts = await self.finder.facts([call.call_id for call in calls if call.action == ERASE])
        held = {one.call_id: PlanItem.of(one).reason for one in facts if one.holds}
        if not held:
            return calls
        calls = [
            replace(call, action=KEEP, reason=held[call.call_id]) if call.call_id in held else call for call in calls
        ]
        await self.steps.note(RequestWrite(row.request_id, calls=calls))
        return calls

    async def _forget_party(self, row: RequestRow, calls: Sequence[CallRow]) -> bool:
        """Erase the party with its calls; one of whom something is kept stays, for what is kept is its."""
        if row.party_id is None or any(call.action == KEEP for call in calls):
            return True
        return await self.finder.parties.forget(row.party_id)

    async def _failed(self, row: RequestRow, reports: Sequence[StoreRow]) -> RequestRow:
        known = {one.store: one.state for one in await self.steps.reader.stores_of(row.request_id)}
        if all(known.get(report.store) == "failed" for report in reports) and row.state == RequestState.EXECUTING:
            return row  # told already
        changes = Changes(stores=reports, reason="store_failed")
        return await self.steps.take(row, RequestInput.STORE_FAILED, "callrec", changes)

    async def _report(self, row: RequestRow) -> RequestRow:
        calls = await self.steps.reader.calls_of(row.request_id)
        keeps = any(call.action == KEEP for call in calls)
        now = self.stores.now()
        reports = [
            _reported(one, now, keeps=keeps)
            for one in await self.steps.reader.stores_of(row.request_id)
            if one.store in LIVE_STORES and one.state in {"outstanding", "failed"}
        ]
        changes = Changes({"executed_at": now}, stores=reports)
        row = await self.steps.take(row, RequestInput.ERASED, row.executed_by or "callrec", changes)
        self.hook(Point.REPORTED)
        return row

    # Reading back

    async def _verify(self, row: RequestRow) -> RequestRow:
        calls = await self.steps.reader.calls_of(row.request_id)
        # Again: a start that replays the ledger may have left a trace that a party was looked at.
        await self._forget_party(row, calls)
        left = await self._left(row, calls)
        self.hook(Point.READ_BACK)
        if left:
            self.waits_for[row.request_id] = f"still there after erasing: {'; '.join(left)}"
            now = self.stores.now()
            return await self._failed(row, [StoreRow(store, "failed", at=now) for store in sorted(_stores_of(left))])
        erased = [replace(call, action=ERASED) if call.action == ERASE else call for call in calls]
        gone = [call.call_id for call in erased if call.action == ERASED]
        kept = [call for call in erased if call.action == KEEP]
        changes = Changes(
            {"completed_at": self.stores.now()},
            erased,
            [self._backups(row)],
            await self.steps.reader.disclosures(gone),
            reason=kept[0].reason if kept else None,
        )
        row = await self.steps.take(row, _verified(kept), row.executed_by or "callrec", changes)
        self.hook(Point.VERIFIED)
        return row

    async def _left(self, row: RequestRow, calls: Sequence[CallRow]) -> list[str]:
        """Query every store again, and try to read and decrypt by id; each word begins with the store's name."""
        ids = [call.call_id for call in calls if call.action == ERASE]
        keys, recordings = await self._promised(row)
        left = [f"{KEYRING}: key {key}" for key in await self.stores.keys.existing(keys)]
        left += [f"{KEYRING}: key {key}" for key in await self.stores.keys.load_many(keys)]
        files = RecordingFiles(self.stores.settings().paths.recordings)
        left += [f"{RECORDINGS}: file {path.name}" for path in await asyncio.to_thread(files.anywhere, recordings)]
        left += [f"{TRACES}: file {path.name}" for path in await asyncio.to_thread(self._traces.find, ids)]
        left += [f"{CATALOGUE}: {text}" for text in await self.stores.catalogue.leftovers(ids)]
        left += [f"{CATALOGUE}: call {one.call_id}" for one in await self.steps.reader.call_states(ids)]
        if row.party_id is not None and not any(call.action == KEEP for call in calls):
            left += [f"{RELATIONSHIPS}: {text}" for text in await self.finder.parties.leftovers(row.party_id)]
        return left

    @property
    def _traces(self) -> TraceFiles:
        return TraceFiles(self.stores.settings().paths.state / TRACES)

    async def _promised(self, row: RequestRow) -> tuple[list[str], set[str]]:
        """Return the keys and recordings that the ledger says were to go for this request."""
        keys: list[str] = []
        recordings: set[str] = set()
        for entry in await self.stores.tombstones.entries(frozenset({"intent"})):
            if entry.body.get("case_id") == row.request_id:
                for target in entry.body["targets"]:
                    keys += target["key_ids"]
                    recordings |= {target["recording_id"]} if target["recording_id"] is not None else set()
        return keys, recordings

    def _backups(self, row: RequestRow) -> StoreRow:
        now = self.stores.now()
        until = self.beyond_use_until(row.executed_at or now, self.stores.zone)
        return StoreRow(BACKUPS, "not_present" if until is None else "beyond_use", until, now)


def _verified(kept: Sequence[CallRow]) -> RequestInput:
    """Return how it ends: what a legal hold or a law keeps is a refusal in part, the rest only waits."""
    if not kept:
        return RequestInput.VERIFIED
    if any(ground_of(Protection(call.reason)) is not None for call in kept):
        return RequestInput.VERIFIED_REST_HELD
    return RequestInput.VERIFIED_REST_FOR_ACCESS


def _failed(results: Iterable[ErasedCall], now: datetime) -> list[StoreRow]:
    """Return the stores that failed; those of calls that were not there have nothing to say."""
    names: set[str] = set()
    for result in results:
        if not result.verified:
            failed = {store for store, state in result.stores.items() if state == "failed"}
            names |= failed or {CATALOGUE}
    return [StoreRow(name, "failed", at=now) for name in sorted(names)]


def _reported(store: StoreRow, now: datetime, *, keeps: bool) -> StoreRow:
    if store.store == RELATIONSHIPS and keeps:
        return StoreRow(store.store, "outstanding", at=now)
    return StoreRow(store.store, "erased", at=now)


def _stores_of(left: Iterable[str]) -> set[str]:
    return {text.partition(":")[0] for text in left}
