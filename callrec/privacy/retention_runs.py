"""The book of retention: which classes hold, why a call still exists, what a run would delete, and running it.

Whether a row goes is decided by `judge` alone. A run is permitted by `check_run` (LAW-61): the first only once somebody
has approved a plan, one that would delete very much only if that very plan was approved, and none by a wrong clock.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, time
from typing import Any

from callrec.catalogue.retention_runs import ApprovalRow, RunReader, RunRow, RunState, add_run, approve_plan
from callrec.catalogue.values import AuditEntry
from callrec.clock import rfc3339
from callrec.errors import ExitCode, OperatorError
from callrec.identifiers import new_id
from callrec.privacy.erasing import no_hook
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.retention import Action
from callrec.privacy.retention_classes import RetentionPolicy
from callrec.privacy.retention_execution import Execution, RunPoint
from callrec.privacy.retention_plan import Guard, RunFacts, Tally, check_run, goes, moves
from callrec.privacy.retention_sweep import Sweep
from callrec.settings import CalendarPeriod, RetentionStart

log = logging.getLogger("callrec.privacy.retention")

NIGHTLY = "callrec"
"""Who orders the recorder's own run of each night."""
RUNS_AT = time(3, 30)
"""Local: when the fewest calls go on."""
_HASH = re.compile("[0-9a-f]{64}")
_PLANS_REMEMBERED = 100


def nothing_blocks() -> str | None:
    """Return that nothing keeps retention from deleting."""
    return None


@dataclass(frozen=True, slots=True)
class _Class:
    """A retention class as somebody would have it."""

    name: str
    keep: CalendarPeriod
    from_: RetentionStart


class RetentionBook:
    """Answers what becomes of calls, and deletes those that are due."""

    def __init__(
        self,
        stores: PromiseStores,
        promises_blocked: Callable[[], str | None] = nothing_blocks,
        hook: Callable[[RunPoint], None] = no_hook,
    ) -> None:
        """Keep the book over some stores.

        Args:
            stores: the stores of the node.
            promises_blocked: says why nothing may be deleted by itself now, None if it may.
            hook: told where a run stands.
        """
        self._stores = stores
        self._blocked = promises_blocked
        self._sweep = Sweep(stores)
        self._execution = Execution(stores, self._sweep, hook)
        self._lock = asyncio.Lock()
        self._shown: OrderedDict[str, None] = OrderedDict()
        """Hashes of plans that somebody was shown, so that a plan of another day can be approved, too."""

    @property
    def reader(self) -> RunReader:
        """The runs and approvals as they are stored."""
        return RunReader(self._stores.catalogue.rows)

    # What would be

    async def show(self) -> dict[str, Any]:
        """Return the classes in force, the guard, the last run and approval, and what retention waits for."""
        last, approval = await self.reader.last(), await self.reader.last_approval()
        guard = self._guard
        return {
            "classes": [
                {"name": rule.name, "keep": str(rule.keep), "from": rule.start.value, "obligation": rule.obligation}
                for rule in self._sweep.policy.classes.values()
            ],
            "guard_percent": guard.percent,
            "guard_count": guard.count,
            "waits": self._blocked() or (last.problem if last is not None else None),
            "last_run": None if last is None else _run_document(last),
            "last_approval": None if approval is None else _approval_document(approval),
        }

    async def explain(self, prefix: str) -> dict[str, Any]:
        """Return why a call still exists and when it goes.

        Raises:
            OperatorError: if no call, or several, begin so.
        """
        call_id = (await self._stores.catalogue.get(prefix))["call_id"]
        verdicts = await self._sweep.judge([call_id], self._stores.today())
        if not verdicts:  # erased since the line before
            raise OperatorError(f"call {prefix}: found nothing of that id", exit_code=ExitCode.NOT_FOUND)
        verdict = verdicts[0]
        return {
            "call_id": call_id,
            "verdict": verdict.action.value,
            "cause": verdict.cause.value,
            "reason": verdict.reason,
            "delete_on": _iso(verdict.delete_on),
            "retention_class": verdict.retention_class,
            "class_version": verdict.class_version,
        }

    async def plan(self, at: date | None = None) -> AsyncIterator[dict[str, Any]]:
        """Give each call that a run of a local date would delete, and last the sums with the hash to approve."""
        day, tally = at or self._stores.today(), Tally()
        async for page in self._sweep.verdicts(day, self._sweep.policy, tally):
            for verdict in page:
                if goes(verdict):
                    yield {"call_id": verdict.call_id, "action": Action.DELETE.value, "reason": verdict.reason}
        self._remember(tally.summary.hash)
        yield {"at": day.isoformat(), **asdict(tally.summary)}

    async def simulate(
        self, classes: Sequence[Mapping[str, Any]], at: date | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Give each call whose end would move if these classes were as given, and last the sums.

        Raises:
            OperatorError: with exit code 2 if a class is none.
        """
        day, old = at or self._stores.today(), self._sweep.policy
        new = RetentionPolicy.of([*self._stores.settings().retention_class, *(_read_class(row) for row in classes)])
        rows = moved = going = 0
        async for page in self._sweep.facts():
            rows += len(page)
            for move in moves(((row, row) for row in page), old, new, day):
                moved += 1
                going += move.goes_now
                yield {
                    "call_id": move.call_id,
                    "before": _iso(move.before),
                    "after": _iso(move.after),
                    "goes_now": move.goes_now,
                }
        yield {"at": day.isoformat(), "rows": rows, "moved": moved, "goes_now": going}

    # What is decided

    async def approve(self, hash: str, actor: str) -> dict[str, Any]:  # noqa: A002 - the word of the contract
        """Let the plan of that hash be carried out by a run: a named person's word (LAW-61).

        Raises:
            OperatorError: with exit code 2 if it is no hash, 5 if nobody was shown a plan of that hash.
        """
        if not _HASH.fullmatch(hash):
            raise _usage(f"found {hash!r}, expected the 64 digits that `retention plan` prints")
        if not await self._known(hash):
            raise OperatorError(
                f"no plan has the hash {hash}: calls, holds or classes changed since; read `retention plan` again",
                exit_code=ExitCode.REFUSED,
            )
        row = ApprovalRow(hash, actor, self._stores.now())
        await self._stores.catalogue.transact(lambda connection, _: approve_plan(connection, row))
        await self._audit(actor, "retention.approve", {"hash": hash})
        return _approval_document(row)

    async def _known(self, plan_hash: str) -> bool:
        """Say whether a plan of that hash was shown, or is today's."""
        if plan_hash in self._shown:
            return True
        return plan_hash == (await self._sweep.gather(self._stores.today()))[0].hash

    def _remember(self, plan_hash: str) -> None:
        self._shown[plan_hash] = None
        self._shown.move_to_end(plan_hash)
        if len(self._shown) > _PLANS_REMEMBERED:
            self._shown.popitem(last=False)

    async def run(self, actor: str) -> dict[str, Any]:
        """Delete what is due today; a run that was cut off is completed first.

        Raises:
            OperatorError: with exit code 5 if somebody has to approve it first, the clock is wrong or promises are in
                doubt; 75 if a run is going on. Then nothing was deleted.
            CallrecError: if a store cannot be used; what was begun is completed later.
        """
        if self._lock.locked():
            raise OperatorError("a retention run is going on; try again when it has ended", exit_code=ExitCode.BUSY)
        async with self._lock:
            begun = RunRow(new_id(), RunState.GATHERING.value, actor, self._stores.today(), self._stores.now())
            run, going, refusal = await self._judged(begun)
            if refusal is not None:
                await self._note_refused(run, str(refusal))
                raise refusal
            return await self._carry_out(run, going)

    async def _judged(self, run: RunRow) -> tuple[RunRow, list[str] | None, OperatorError | None]:
        """Return the run with its sums, the calls it would delete unless they are too many, and what refuses it."""
        why = self._blocked()
        if why is not None:
            return run, None, OperatorError(f"retention did not run: {why}", exit_code=ExitCode.REFUSED)
        _ = self._stores.erasing  # says in one sentence that nothing can be erased, before anything is read
        await self._resume()
        summary, going = await self._sweep.gather(run.day)
        run = replace(run, hash=summary.hash, rows=summary.rows, to_delete=summary.to_delete)
        approved = await self.reader.approvals()
        facts = RunFacts(
            now=self._stores.now(),
            newest_recording_at=await self._sweep.newest(),
            first_run_approved=bool(approved),
            approved_hash=summary.hash if summary.hash in approved else None,
        )
        try:
            check_run(summary, facts, self._guard)
        except OperatorError as error:
            self._remember(summary.hash)
            return run, None, error
        return run, going, None

    async def _note_refused(self, run: RunRow, problem: str) -> None:
        """Store that a run was refused, and why: `retention show` tells it to whoever was not there."""
        refused = replace(run, state=RunState.REFUSED.value, ended_at=self._stores.now(), problem=problem)
        await self._stores.catalogue.transact(lambda connection, _: add_run(connection, refused))
        await self._audit(run.actor, "retention.run", _run_document(refused))
        log.warning("%s", problem)

    async def _carry_out(self, run: RunRow, going: list[str] | None) -> dict[str, Any]:
        if run.to_delete:
            await self._execution.begin(run, going)
            return await self._finish(run)
        done = replace(run, state=RunState.DONE.value, ended_at=self._stores.now())
        await self._stores.catalogue.transact(lambda connection, _: add_run(connection, done))
        if run.actor != NIGHTLY:  # of a night in which nothing happened the list of runs is enough
            await self._audit(run.actor, "retention.run", _run_document(done))
        return _run_document(done)

    async def _finish(self, run: RunRow) -> dict[str, Any]:
        await self._execution.finish(run)
        document = _run_document(await self.reader.named(run.run_id))
        await self._audit(run.actor, "retention.run", document)
        log.info("retention deleted %d of %d rows", document["deleted"], document["rows"])
        return document

    # What goes on by itself

    async def resume(self) -> bool:
        """Complete a run that was cut off; return whether there was one.

        Raises:
            CallrecError: if a store cannot be used; the next time completes it.
        """
        if self._lock.locked() or self._blocked() is not None:
            return False
        async with self._lock:
            return await self._resume()

    async def _resume(self) -> bool:
        run = await self.reader.unfinished()
        if run is None:
            return False
        if run.state == RunState.GATHERING:
            await self._execution.drop(run)
        else:
            await self._finish(run)
        return True

    async def nightly(self) -> bool:
        """Run once a local date, from 03:30 on, late after an outage; return whether it ran. A refusal is stored.

        Raises:
            CallrecError: if a store cannot be used; it is still due then.
        """
        if self._stores.now().astimezone(self._stores.zone).time() < RUNS_AT:
            return False
        if await self.reader.ran_on(self._stores.today(), NIGHTLY):
            return False
        try:
            await self.run(NIGHTLY)
        except OperatorError as error:
            if error.exit_code is not ExitCode.REFUSED:
                raise
            return False
        return True

    @property
    def _guard(self) -> Guard:
        privacy = self._stores.settings().privacy
        return Guard(privacy.guard_percent, privacy.guard_count)

    async def _audit(self, actor: str, action: str, detail: Mapping[str, Any]) -> None:
        await self._stores.catalogue.record_audit(AuditEntry(actor, action, None, detail))


def _read_class(row: Mapping[str, Any]) -> _Class:
    """Return a class that somebody would have.

    Raises:
        OperatorError: with exit code 2 if it is none.
    """
    try:
        keep = CalendarPeriod.read(str(row["keep"]))
        return _Class(str(row["name"]), keep, RetentionStart(row.get("from") or RetentionStart.CALL))
    except KeyError as error:
        raise _usage(f"found a class without {error}, expected name and keep") from None
    except ValueError as error:
        raise _usage(f"class {row['name']}: found {row['keep']!r} from {row.get('from')!r}, expected {error}") from None


def _usage(message: str) -> OperatorError:
    return OperatorError(message, exit_code=ExitCode.USAGE)


def _run_document(run: RunRow) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "state": run.state,
        "actor": run.actor,
        "day": run.day.isoformat(),
        "begun_at": rfc3339(run.begun_at),
        "ended_at": None if run.ended_at is None else rfc3339(run.ended_at),
        "hash": run.hash,
        "rows": run.rows,
        "to_delete": run.to_delete,
        "deleted": run.deleted,
        "spared": run.spared,
        "unverified": run.unverified,
        "problem": run.problem,
    }


def _approval_document(row: ApprovalRow) -> dict[str, Any]:
    return {"hash": row.hash, "approved_by": row.approved_by, "approved_at": rfc3339(row.approved_at)}


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
