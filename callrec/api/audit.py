"""Paths of the audit chain: who did what, and whether the chain is whole."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from callrec.api.parts import MayReadAudit, Parts
from callrec.api.replies import JsonReply

router = APIRouter(tags=["audit"])

LARGEST_PAGE = 500


@router.get("/audit")
async def page(
    parts: Parts,
    _actor: MayReadAudit,
    after: Annotated[int, Query(ge=0, description="Entries with a higher number.")] = 0,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = LARGEST_PAGE,
) -> JsonReply:
    """Return entries in order; `detail` is null where what it said was erased."""
    entries = await parts.recorder.audit_entries(after, limit)
    following = entries[-1]["number"] if len(entries) == limit else None
    return JsonReply({"items": entries, "next": following})


@router.post("/audit/verify")
async def verify(parts: Parts, actor: MayReadAudit) -> JsonReply:
    """Check every entry against the one before; a break is an integrity problem that names the entry."""
    entries = await parts.recorder.verify_audit()
    await parts.recorder.audit(actor.name, "audit.verify", {"entries": entries})
    return JsonReply({"verified": True, "entries": entries})
