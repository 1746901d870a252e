"""Carrying out a retention run: what is permitted is noted first, then deleted batch by batch.

Noted is a closed list of random ids. Whatever cuts a run off, the next start deletes the rest of that list and nothing
else: a call that came under a hold meanwhile, belongs to another party now or is a request's to erase is judged again
right before it goes, and spared.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from callrec.catalogue.retention_rows import A_PAGE
from callrec.catalogue.retention_runs import (
    RunReader,
    RunRow,
    RunState,
    add_run,
    change_run,
    drop_run,
    note_due,
    settle_due,
)
from callrec.errors import ExitCode, OperatorError
from callrec.privacy.erasing import ErasedCall, Reason, no_hook
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.retention_plan import Tally, goes
from callrec.privacy.retention_sweep import Sweep

log = logging.getLogger("callrec.privacy.retention")

_A_BATCH = 256
_TRIES = 5
"""How often a batch is judged again because a hold was placed between the judgement and the erasure."""


class RunPoint(StrEnum):
    """Where a run stands; a fault test pulls the plug after each."""

    PERMITTED = "permitted"
    NOTED = "noted"
    GATHERED = "gathered"
    ERASED = "erased"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class Execution:
    """Carries out runs that were permitted."""

    stores: PromiseStores
    sweep: Sweep
    hook: Callable[[RunPoint], None] = no_hook

    async def begin(self, run: RunRow, going: Sequence[str] | None) -> RunRow:
        """Note what a permitted run may delete; from here on it is completed, whatever happens.

        Args:
            run: the run, with the sums it was permitted for.
            going: the calls it may delete, None where they were too many to keep: then all rows are judged again.

        Raises:
            OperatorError: with exit code 75 if the calls are others than those the run was permitted for.
            StorageUnavailable: if the catalogue cannot be used; then nothing was changed, or it is dropped later.
        """
        await self.stores.catalogue.transact(lambda connection, _: add_run(connection, run))
        self.hook(RunPoint.PERMITTED)
        if going is None:
            await self._judge_again(run)
        else:
            for start in range(0, len(going), A_PAGE):
                await self._note(run.run_id, going[start : start + A_PAGE])
        await self._change(run.run_id, state=RunState.DELETING.value)
        self.hook(RunPoint.GATHERED)
        return run

    async def _judge_again(self, run: RunRow) -> None:
        tally = Tally()
        async for page in self.sweep.verdicts(run.day, self.sweep.policy, tally):
            await self._note(run.run_id, [verdict.call_id for verdict in page if goes(verdict)])
        if tally.summary.hash != run.hash:
            await self.drop(run)
            raise OperatorError(
                "retention did not run: calls or holds changed while it looked; try again", exit_code=ExitCode.BUSY
            )

    async def _note(self, run_id: str, call_ids: Sequence[str]) -> None:
        if call_ids:
            await self.stores.catalogue.transact(lambda connection, _: note_due(connection, run_id, call_ids))
            self.hook(RunPoint.NOTED)

    async def _change(self, run_id: str, **values: object) -> None:
        await self.stores.catalogue.transact(lambda connection, _: change_run(connection, run_id, **values))

    async def drop(self, run: RunRow) -> None:
        """Forget a run that was cut off while it noted: it had deleted nothing."""
        await self.stores.catalogue.transact(lambda connection, _: drop_run(connection, run.run_id))

    async def finish(self, run: RunRow) -> None:
        """Delete what a run noted and has not deleted yet.

        Raises:
            CallrecError: if a store cannot be used; the rest is deleted later.
        """
        reader = RunReader(self.stores.catalogue.rows)
        while call_ids := await reader.due(run.run_id, _A_BATCH):
            spared, results = await self._erase(run, call_ids)
            self.hook(RunPoint.ERASED)
            unverified = sum(not result.verified for result in results)
            sums = {"deleted": len(call_ids) - spared - unverified, "spared": spared, "unverified": unverified}
            await self._settle(run.run_id, call_ids, sums)
            self.hook(RunPoint.SETTLED)
        await self._change(run.run_id, state=RunState.DONE.value, ended_at=self.stores.now())

    async def _settle(self, run_id: str, call_ids: list[str], sums: dict[str, int]) -> None:
        await self.stores.catalogue.transact(lambda connection, _: settle_due(connection, run_id, call_ids, sums))

    async def _erase(self, run: RunRow, call_ids: list[str]) -> tuple[int, list[ErasedCall]]:
        """Erase those that still are to go; return how many are spared, and what became of the others.

        What is not there any more counts as deleted: a crash fell between its erasure and the note of it.
        """
        tries = 0
        while True:
            verdicts = await self.sweep.judge(call_ids, run.day)
            going = [verdict.call_id for verdict in verdicts if goes(verdict)]
            try:
                results = await self.stores.erasing.erase(going, reason=Reason.RETENTION, authoriser=run.actor)
            except OperatorError as error:
                tries += 1
                # A hold was placed since the judgement: nothing of this batch is erased, and it is judged again.
                if error.exit_code is not ExitCode.REFUSED or tries == _TRIES:
                    raise
                continue
            return len(verdicts) - len(going), results
