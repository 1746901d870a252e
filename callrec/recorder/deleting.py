"""Deleting by an operator: what would go is shown first, and exactly that goes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from callrec.catalogue import Catalogue, FindQuery, Item
from callrec.errors import ExitCode, OperatorError
from callrec.privacy import ErasedCall
from callrec.privacy.erasing import Reason
from callrec.recorder.stores import Stores

_PLANS_KEPT = 64


@dataclass(frozen=True, slots=True)
class DeletionPlan:
    """What would go."""

    hash: str
    items: tuple[Item, ...]


class Deleting:
    """Makes plans and carries them out; a plan that is no longer true is refused."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._plans: OrderedDict[str, DeletionPlan] = OrderedDict()

    @property
    def _catalogue(self) -> Catalogue:
        return self._stores.catalogue

    async def plan(self, prefixes: Sequence[str], number: str | None) -> DeletionPlan:
        """Return what deleting these calls, or all ended calls of an outside party's number, would take away.

        Raises:
            OperatorError: if a prefix names no call (3) or several (2), one is going on (75), or is held (5).
        """
        items = [await self._catalogue.get(prefix) for prefix in prefixes]
        for item in items:
            if item["in_progress"]:
                message = f"call {item['call_id']} is still going on; delete it when it has ended"
                raise OperatorError(message, exit_code=ExitCode.BUSY)
        if number is not None:
            items += [item for item in await self._of_number(number) if not item["in_progress"]]
        unique = list({item["call_id"]: item for item in items}.values())
        _refuse_held(unique)
        plan = DeletionPlan(_hash(unique), tuple(unique))
        self._plans[plan.hash] = plan
        while len(self._plans) > _PLANS_KEPT:
            self._plans.popitem(last=False)
        return plan

    async def _of_number(self, number: str) -> list[Item]:
        items: list[Item] = []
        cursor: str | None = None
        while True:
            query = FindQuery(number=number, outside_only=True, limit=500, cursor=cursor)
            page = await self._catalogue.find(query)
            items += page.items
            cursor = page.next
            if cursor is None:
                return items

    async def carry_out(self, plan_hash: str, actor: str) -> Sequence[ErasedCall]:
        """Erase what a plan listed.

        Raises:
            OperatorError: if the plan is unknown or no longer true (75), or nothing can be erased now (5, 75).
        """
        plan = self._plans.pop(plan_hash, None)
        if plan is None:
            message = "what was to be deleted is no longer known; look at it again, then delete"
            raise OperatorError(message, exit_code=ExitCode.BUSY)
        if self._stores.eraser is None:
            message = "nothing can be erased without keyring and ledger; `callrec status` says what is wrong"
            raise OperatorError(message, exit_code=ExitCode.INTEGRITY)
        ids = [item["call_id"] for item in plan.items]
        _refuse_held([await self._catalogue.get(call_id) for call_id in ids])
        return await self._stores.eraser.erase(ids, reason=Reason.DELETE, authoriser=actor)


def _hash(items: Sequence[Item]) -> str:
    return hashlib.sha256("\n".join(sorted(item["call_id"] for item in items)).encode()).hexdigest()


def _refuse_held(items: Sequence[Item]) -> None:
    held = [item["call_id"] for item in items if item["holds"]]
    if held:
        message = f"{len(held)} of these calls are under a hold, such as {held[0]}; release it first"
        raise OperatorError(message, exit_code=ExitCode.REFUSED)
