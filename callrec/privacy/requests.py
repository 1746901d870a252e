"""The book of deletion requests: each command asks the table, and writes what became of it in one transaction."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from callrec.calling_line import mask
from callrec.catalogue.requests import CallRow, RequestRow, RequestWrite, StoreRow
from callrec.catalogue.values import AuditEntry
from callrec.clock import rfc3339
from callrec.errors import CallrecError, ExitCode, OperatorError
from callrec.identifiers import new_id
from callrec.privacy.clocks import check_extension
from callrec.privacy.erasing import no_hook
from callrec.privacy.grounds import ground_of, read_ground
from callrec.privacy.plans import DeletionPlan, ItemAction
from callrec.privacy.promise_people import usage
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.protections import Protection
from callrec.privacy.repeats import repeat_ids
from callrec.privacy.request_execution import (
    ERASED,
    KEEP,
    LIVE_STORES,
    BeyondUseUntil,
    Execution,
    LiveCalls,
    Point,
    no_copies,
)
from callrec.privacy.request_file import CHANNELS, KIND, METHODS, RequestFile, Subject, known_word
from callrec.privacy.request_finding import Finder, HoldsOf, PartyBook
from callrec.privacy.request_reading import RequestReadings
from callrec.privacy.request_steps import Changes, Steps
from callrec.privacy.request_table import RequestInput, RequestState, take

log = logging.getLogger("callrec.privacy.requests")

_UNDER_WAY = frozenset({RequestState.EXECUTING, RequestState.VERIFYING})
_REST_KEPT = frozenset({RequestState.LEGAL_HOLD, RequestState.SAR_HOLD})
ITSELF = "callrec"
"""Who acts where nobody commanded it."""


class RequestBook(RequestReadings):
    """The deletion requests of one node; each method returns a document for people and programs."""

    def __init__(  # noqa: PLR0913 - what it joins
        self,
        stores: PromiseStores,
        parties: PartyBook,
        holds_of: HoldsOf,
        live: LiveCalls,
        *,
        beyond_use_until: BeyondUseUntil = no_copies,
        hook: Callable[[Point], None] = no_hook,
    ) -> None:
        """Make the book.

        Args:
            stores: where it is kept, and what it erases.
            parties: the book of relationships.
            holds_of: what protects calls, of the book of protections.
            live: the calls that are going on.
            beyond_use_until: when the last backup from before an erasure is gone.
            hook: is told each point of an execution; a fault test pulls the plug there.
        """
        super().__init__(stores)
        self._steps = Steps(stores)
        self._finder = Finder(stores, parties, holds_of)
        self._execution = Execution(stores, self._steps, self._finder, live, beyond_use_until, hook)
        self._lock = asyncio.Lock()
        self._unfinished: set[str] = set()
        self.on_change: Callable[[], Awaitable[object]] | None = None
        """Called after each change, for what is due may be something else then."""

    # Taking in

    async def new(  # noqa: PLR0913 - all that a request may say
        self,
        *,
        number: str | None = None,
        name: str | None = None,
        calls: Sequence[str] = (),
        window: Mapping[str, Any] | None = None,
        channel: str,
        received_at: datetime | None = None,
        actor: str,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """Take a request in; both clocks run from the day on which it was received.

        Args:
            number: of the person, in any spelling.
            name: of the person; searched for where it is all that is known.
            calls: any unique prefix of ids, or references, of calls.
            window: `since`, `until` and `called`, our number, for somebody who withheld his own.
            channel: how it came, one of CHANNELS (LAW-25).
            received_at: when it came; now, where it is None.
            actor: who takes it in.
            idempotency_key: a request that the same person took in under the same key is found, not made again.

        Raises:
            OperatorError: if it names nobody, was received in the future, or another was taken in under that key (2),
                or nothing is held of the person (3).
        """
        known_word("channel", channel, CHANNELS)
        now = self._stores.now()
        received = received_at if received_at is not None else now
        if received > now:
            raise usage(f"received {rfc3339(received)}: lies in the future, expected a time up to {rfc3339(now)}")
        subject = await self._finder.read(number, name, calls, window)
        request_id, made = await self._id_of(actor, idempotency_key)
        if made is not None:
            return await self._taken_in(made, subject, channel)
        found = await self._finder.find(subject)
        if not found.call_ids and found.party_id is None:
            raise OperatorError(
                f"nothing is held of {_whom(subject)}, so no request was entered: check what was given, or answer that "
                "nothing was found (ground not_found, LAW-33)",
                exit_code=ExitCode.NOT_FOUND,
            )
        key_id, key = await self._stores.keys.new_key("request")
        body = RequestFile(subject).seal(self._stores.keys, key, request_id)
        state = RequestState.RECEIVED.value
        row = RequestRow(request_id, KIND, state, channel, received, now, actor, key_id, body, party_id=found.party_id)
        await self._steps.open(row, [CallRow(call_id, "found", "request") for call_id in found.call_ids])
        told = {"channel": channel, "calls": len(found.call_ids), **_masked(subject)}
        await self._finish(actor, "request.new", row, told)
        return {**self._standing(row, ()).document(), "calls": len(found.call_ids), "call_ids": list(found.call_ids)}

    async def _id_of(self, actor: str, idempotency_key: str | None) -> tuple[str, RequestRow | None]:
        """Return the id for a new request, and the request that was taken in under the same key already."""
        if idempotency_key is None:
            return new_id(), None
        node_key = self._stores.keys.system_key("node")
        ids = repeat_ids(node_key, "request", actor, idempotency_key, self._stores.now().date())
        made = [row for request_id in ids for row in await self.reader.named(request_id)]
        return ids[0], made[0] if made else None

    async def _taken_in(self, row: RequestRow, subject: Subject, channel: str) -> dict[str, Any]:
        """Return a request as it stands; raises OperatorError (2) if it is about something else."""
        whole = await self._whole(row)
        if (whole.file.subject, row.channel) != (subject, channel):
            raise usage("found another request under this idempotency key before; take a new key")
        call_ids = [call.call_id for call in whole.calls]
        return {**whole.standing.document(), "calls": len(call_ids), "call_ids": call_ids}

    # Deciding

    async def verify(
        self, request_id: str, method: str, *, evidence_at: datetime | None = None, failed: bool = False, actor: str
    ) -> dict[str, Any]:
        """Say how it was found out who asks, or that it could not be (LAW-23).

        Raises:
            OperatorError: for an unknown method, or evidence from the future or before the request (2), or in a state
                in which nothing is to be verified (5).
        """
        known_word("method", method, METHODS)
        async with self._lock:
            row = await self._named(request_id)
            now = self._stores.now()
            evidence = evidence_at if evidence_at is not None else now
            if not row.received_at <= evidence <= now:
                since = rfc3339(row.received_at)
                raise usage(f"evidence at {rfc3339(evidence)}: expected a time from receipt at {since} to now")
            given = RequestInput.VERIFY_FAILED if failed else RequestInput.VERIFY
            known = {"identity_at": evidence, "verified_method": method, "verified_by": actor, "verified_at": now}
            row = await self._steps.take(row, given, actor, Changes({} if failed else known))
        await self._finish(actor, "request.verify", row, {"method": method, "failed": failed})
        return await self.show(row.request_id)

    async def approve(self, request_id: str, actor: str) -> dict[str, Any]:
        """Authorise a request: what goes and what stays is saved, and nothing else is erased.

        Raises:
            OperatorError: with exit code 5 in a state that cannot be approved, or under four eyes by whoever verified.
        """
        async with self._lock:
            row = await self._named(request_id)
            take(RequestState(row.state), RequestInput.APPROVE)
            if self._stores.settings().privacy.four_eyes and actor == row.verified_by:
                raise OperatorError(
                    f"request {row.request_id}: {actor} verified who asks; somebody else approves it "
                    "([privacy] four_eyes, LAW-34)",
                    exit_code=ExitCode.REFUSED,
                )
            file = await self._file(row)
            found = await self._finder.find(file.subject)
            calls = {*found.call_ids, *(one.call_id for one in await self.reader.calls_of(row.request_id))}
            row = await self._save_plan(row, sorted(calls), found.party_id, actor)
        await self._finish(actor, "request.approve", row, {"plan_hash": row.plan_hash})
        return await self.show(row.request_id)

    async def _save_plan(
        self, row: RequestRow, call_ids: Sequence[str], party_id: str | None, actor: str
    ) -> RequestRow:
        plan = DeletionPlan.of(row.request_id, await self._finder.facts(call_ids))
        given = RequestInput.APPROVE_PARTLY if plan.is_partial else RequestInput.APPROVE
        approved = {"approved_by": actor, "approved_at": self._stores.now(), "party_id": party_id}
        return await self._steps.take(row, given, actor, await self._planned(row, plan, approved))

    async def _planned(self, row: RequestRow, plan: DeletionPlan, more: Mapping[str, Any]) -> Changes:
        calls = {item.call_id: CallRow(item.call_id, item.action.value, item.reason) for item in plan.items}
        before = {one.call_id: one for one in await self.reader.calls_of(row.request_id) if one.action == ERASED}
        grounds = [ground for item in plan.kept if (ground := ground_of(Protection(item.reason)))]
        return Changes(
            {"plan": plan.to_json(), "plan_hash": plan.hash, **more},
            list({**calls, **before}.values()),
            reason=grounds[0].value if grounds else (plan.kept[0].reason if plan.kept else None),
        )

    async def refuse(self, request_id: str, ground: str, reason: str, actor: str) -> dict[str, Any]:
        """Refuse a request on a ground of the law (LAW-33).

        Raises:
            OperatorError: with exit code 2 for an unknown ground, 5 once it is being executed.
        """
        known = read_ground(ground)
        async with self._lock:
            row = await self._named(request_id)
            take(RequestState(row.state), RequestInput.REFUSE)
            values = {"ground": known.value, "body": await self._saying(row, "refuse", reason)}
            row = await self._steps.take(row, RequestInput.REFUSE, actor, Changes(values, reason=known.value))
        await self._finish(actor, "request.refuse", row, {"ground": known.value})
        return await self.show(row.request_id)

    async def extend(self, request_id: str, notice_date: date, reasons: str, actor: str) -> dict[str, Any]:
        """Take two further months for the statutory answer; the promise does not move (LAW-22).

        Raises:
            OperatorError: without reasons or with a notice from the future (2), or too late (5).
        """
        async with self._lock:
            row = await self._named(request_id)
            take(RequestState(row.state), RequestInput.EXTEND)
            check_extension(self._standing(row, ()).deadlines, notice_date, reasons, today=self._stores.today())
            values = {"extended_on": notice_date, "body": await self._saying(row, "extend", reasons)}
            row = await self._steps.take(row, RequestInput.EXTEND, actor, Changes(values))
        await self._finish(actor, "request.extend", row, {"notice_date": notice_date.isoformat()})
        return await self.show(row.request_id)

    async def withdraw(self, request_id: str, reason: str, actor: str) -> dict[str, Any]:
        """Note that the person wishes it no more; raises OperatorError (5) once it is being executed."""
        async with self._lock:
            row = await self._named(request_id)
            take(RequestState(row.state), RequestInput.WITHDRAW)
            values = {"body": await self._saying(row, "withdraw", reason)}
            row = await self._steps.take(row, RequestInput.WITHDRAW, actor, Changes(values))
        await self._finish(actor, "request.withdraw", row, {})
        return await self.show(row.request_id)

    # Executing

    async def execute(self, request_id: str, actor: str) -> dict[str, Any]:
        """Carry the approved plan out in every store, and read back that nothing is left.

        What cannot be finished now, such as a call that is still going on, goes on by itself.

        Raises:
            OperatorError: with exit code 5 if it is not approved, or an item of its plan changed since; 7 without
                keys. Nothing was changed then.
        """
        _ = self._stores.erasing, self._stores.tombstones
        async with self._lock:
            row = await self._named(request_id)
            if row.state in _UNDER_WAY:
                row = await self._steps.take(row, RequestInput.EXECUTE, actor)
            else:
                take(RequestState(row.state), RequestInput.EXECUTE)
                plan = DeletionPlan.from_json(row.plan or "")
                found = await self._finder.find((await self._file(row)).subject)
                facts = await self._finder.facts({*found.call_ids, *(item.call_id for item in plan.items)})
                row = await self._execution.begin(row, plan, facts, actor)
            self._unfinished.add(row.request_id)
            await self._finish(actor, "request.execute", row, {"plan_hash": row.plan_hash})
            await self._carry_on(row)
        return await self.show(row.request_id)

    async def _carry_on(self, row: RequestRow) -> None:
        after = await self._execution.carry_on(row)
        if after.state != row.state:
            await self._tell_change()
        if after.state not in _UNDER_WAY:
            self._unfinished.discard(row.request_id)
            await self._stores.erasing.pay_ledger()

    async def carry_on_unfinished(self) -> None:
        """Go on with what could not be finished; to be called now and then."""
        if not self._unfinished:
            return
        async with self._lock:
            for row in await self.reader.in_states(_UNDER_WAY):
                await self._carry_on(row)

    async def restart(self) -> None:
        """Go on where a crash or a stop cut off; to be called once the ledger has been replayed. May be repeated.

        Raises:
            CallrecError: if a store cannot be used; then it is to be called again.
        """
        async with self._lock:
            for row in await self.reader.in_states(_UNDER_WAY):
                log.warning("request %s is gone on with after a restart", row.request_id)
                self._unfinished.add(row.request_id)
                await self._carry_on(await self._steps.take(row, RequestInput.RESTARTED, ITSELF))
        await self._queue_again(await self.reader.in_states(_REST_KEPT))

    async def release_happened(self, call_ids: Collection[str]) -> None:
        """Queue requests again that kept one of these calls for a hold or restriction that is gone (LAW-53)."""
        await self._queue_again(await self.reader.keeping(call_ids, _REST_KEPT))

    async def look_for_released(self) -> None:
        """Queue again what waits although nothing holds it any more, however that came to be."""
        await self._queue_again(await self.reader.in_states(_REST_KEPT))

    async def _queue_again(self, rows: Sequence[RequestRow]) -> None:
        for row in rows:
            async with self._lock:
                kept = [one.call_id for one in await self.reader.calls_of(row.request_id) if one.action == KEEP]
                plan = DeletionPlan.of(row.request_id, await self._finder.facts(kept))
                gone = len(plan.items) < len(kept)
                if not gone and all(item.action is ItemAction.KEEP for item in plan.items):
                    continue
                try:
                    again = await self._steps.take(
                        row, RequestInput.HOLD_RELEASED, ITSELF, await self._planned(row, plan, {})
                    )
                except OperatorError as error:
                    log.warning("request %s is not queued again: %s", row.request_id, error)
                    continue
                await self._finish(ITSELF, "request.queued_again", again, {"plan_hash": again.plan_hash})

    async def tick(self, request_id: str, store: str, actor: str) -> dict[str, Any]:
        """Confirm that a store outside callrec has erased, too.

        Raises:
            OperatorError: with exit code 2 if there is no such store, 5 before the request was executed.
        """
        async with self._lock:
            row = await self._named(request_id)
            stores = {one.store: one for one in await self.reader.stores_of(row.request_id)}
            outside = [name for name in stores if name not in {*LIVE_STORES, "backups"}]
            if not stores:
                message = f"request {row.request_id} is {row.state}; a store is ticked once it is executed"
                raise OperatorError(message, exit_code=ExitCode.REFUSED)
            if store not in outside:
                known = ", ".join(outside) or "none: [privacy] outside_stores names no store"
                raise usage(f"store {store!r}: expected one of {known}")
            ticked = StoreRow(store, "ticked", None, self._stores.now(), actor)
            await self._steps.note(RequestWrite(row.request_id, stores=[ticked]))
        await self._finish(actor, "request.tick", row, {"store": store})
        return await self.show(row.request_id)

    # How

    def _problem(self, request_id: str) -> str | None:
        return self._execution.waits_for.get(request_id)

    async def _saying(self, row: RequestRow, what: str, words: str) -> bytes:
        key = await self._stores.keys.load(row.key_id)
        file = RequestFile.open(self._stores.keys, key, row).saying(what, words)
        return file.seal(self._stores.keys, key, row.request_id)

    async def _tell_change(self) -> None:
        if self.on_change is not None:
            try:
                await self.on_change()
            except CallrecError as error:
                log.info("the clocks of requests are looked at later: %s", error)

    async def _finish(self, actor: str, action: str, row: RequestRow, detail: Mapping[str, Any]) -> None:
        await self._stores.catalogue.record_audit(AuditEntry(actor, action, row.request_id, detail))
        await self._tell_change()
        try:
            await self._stores.erasing.pay_ledger()
        except CallrecError as error:
            log.warning("the ledger learns of request %s later: %s", row.request_id, error)


def _whom(subject: Subject) -> str:
    if subject.number is not None:
        return mask(subject.number)
    return "this name" if subject.name is not None else "a caller in this window"


def _masked(subject: Subject) -> dict[str, str]:
    return {} if subject.number is None else {"number": mask(subject.number)}
