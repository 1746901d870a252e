"""Paths that delete: first a plan that shows what would go, then the deletion of just that."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from callrec.api.calls import whole_number_of
from callrec.api.parts import MayDelete, Parts
from callrec.api.replies import JsonReply, masked

router = APIRouter(tags=["deleting"])

Id = Annotated[str, Field(min_length=1, max_length=64)]


class PlanRequest(BaseModel):
    """Which calls: ids, or an outside party's number."""

    model_config = ConfigDict(extra="forbid")

    ids: list[Id] = Field(default_factory=list, max_length=10_000)
    number: str | None = Field(None, max_length=64)

    @model_validator(mode="after")
    def _one_of_them(self) -> PlanRequest:
        if bool(self.ids) == (self.number is not None):
            raise ValueError("either ids or a number is expected")
        return self


class DeleteRequest(BaseModel):
    """The plan that was shown, and why it is carried out."""

    model_config = ConfigDict(extra="forbid")

    plan: str = Field(min_length=1, max_length=128)
    reason: str = Field("", max_length=1000)


@router.post("/deletions/plan")
async def plan(parts: Parts, actor: MayDelete, asked: PlanRequest) -> JsonReply:
    """Return what would be deleted, with numbers masked, and the hash that deletes it."""
    number = None if asked.number is None else whole_number_of(asked.number)
    prepared = await parts.recorder.plan_deletion(asked.ids, number)
    detail = {"hash": prepared.hash, "calls": len(prepared.items)}
    await parts.recorder.audit(actor.name, "deletion.plan", detail)
    return JsonReply({"hash": prepared.hash, "items": [masked(item) for item in prepared.items]})


@router.post("/deletions")
async def delete(parts: Parts, actor: MayDelete, asked: DeleteRequest) -> JsonReply:
    """Delete what a plan listed, and say for each call what each store answered and whether it is gone."""
    erasures = await parts.recorder.delete(asked.plan, reason=asked.reason, actor=actor.name)
    items = [{"call_id": one.call_id, "stores": dict(one.stores), "verified": one.verified} for one in erasures]
    return JsonReply({"hash": asked.plan, "items": items, "verified": all(one.verified for one in erasures)})
