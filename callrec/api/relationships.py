"""Paths about outside parties. A REF is what the company calls a party; it may hold a slash."""

from __future__ import annotations

from datetime import date
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from callrec.api.once import Key
from callrec.api.parts import MayKeepPromises, Parts
from callrec.api.replies import JsonReply

# The book itself keeps answers under an Idempotency-Key, sealed, and forgets them with the party.
router = APIRouter(tags=["relationships"])


class NumberOf(BaseModel):
    """A number and the days on which it was somebody's."""

    model_config = ConfigDict(extra="forbid")

    number: str = Field(max_length=64)
    since: date | None = None
    until: date | None = None


class ContractOf(BaseModel):
    """A contract and its days."""

    model_config = ConfigDict(extra="forbid")

    ref: str = Field(min_length=1, max_length=64)
    starts_on: date | None = None
    ends_on: date | None = None


class Change(BaseModel):
    """What is said of a party; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, max_length=200)
    numbers: list[str | NumberOf] = Field(default_factory=list, max_length=100)
    kind: str | None = Field(None, max_length=32)
    since: date | None = None
    contracts: list[ContractOf] = Field(default_factory=list, max_length=100)


class End(BaseModel):
    """The day on which a relationship ended."""

    model_config = ConfigDict(extra="forbid")

    on: date


class Import(BaseModel):
    """A CSV file, and what its columns say."""

    model_config = ConfigDict(extra="forbid")

    csv: str
    map: str = Field(max_length=65_536)
    dry_run: bool = False


@router.post("/relationships/import")
async def import_file(parts: Parts, actor: MayKeepPromises, given: Import) -> JsonReply:
    """Take a CSV file over, all of it or nothing; a dry run tells what would change and which calls would go when."""
    book = parts.recorder.promises.relationships
    return JsonReply(await book.import_file(given.csv, given.map, dry_run=given.dry_run, actor=actor.name))


@router.post("/relationships/{ref:path}/end")
async def end(parts: Parts, actor: MayKeepPromises, ref: str, given: End) -> JsonReply:
    """Say that a relationship ended; what was kept for its sake goes as its class says."""
    return JsonReply(await parts.recorder.promises.relationships.end(ref, given.on, actor.name))


@router.put("/relationships/{ref:path}")
async def set_(parts: Parts, actor: MayKeepPromises, ref: str, given: Change, key: Key = None) -> JsonReply:
    """Say what is known of a party, new or old; its calls are tied to it, older ones too."""
    said = given.model_dump(exclude={"numbers", "contracts"})
    document = await parts.recorder.promises.relationships.set(
        ref,
        **said,
        numbers=[_plain(number) for number in given.numbers],
        contracts=[contract.model_dump() for contract in given.contracts],
        actor=actor.name,
        idempotency_key=key,
    )
    return JsonReply(document)


@router.get("/relationships/{ref:path}")
async def show(parts: Parts, actor: MayKeepPromises, ref: str) -> JsonReply:
    """Return what is known of a party."""
    document = await parts.recorder.promises.relationships.show(ref)
    # Without the REF: what is written down about no one call outlives the party.
    await parts.recorder.audit(actor.name, "relationship.show", {})
    return JsonReply(document)


def _plain(number: str | NumberOf) -> str | dict[str, Any]:
    return number if isinstance(number, str) else number.model_dump()
