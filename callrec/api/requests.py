"""Paths of deletion requests. What may follow what is decided by the book; a step that cannot be is exit code 5."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from callrec.api.calls import number_of, whole_number_of
from callrec.api.once import Key, OnceRoute
from callrec.api.parts import MayKeepPromises, Parts
from callrec.api.replies import JsonReply

router = APIRouter(tags=["requests"], route_class=OnceRoute)

Text = Annotated[str, Field(max_length=2000)]
Channel = Literal["email", "post", "telephone", "web", "in_person"]
Method = Literal["account", "call_back", "knowledge"]


class Window(BaseModel):
    """Where a withheld caller is looked for: a span of time and the number of ours that was called."""

    model_config = ConfigDict(extra="forbid")

    since: AwareDatetime
    until: AwareDatetime
    called: str = Field(max_length=64)


class New(BaseModel):
    """What a person asks, and what the calls may be found by."""

    model_config = ConfigDict(extra="forbid")

    number: str | None = Field(None, max_length=64)
    name: str | None = Field(None, max_length=200)
    calls: list[str] = Field(default_factory=list, max_length=1000)
    window: Window | None = None
    channel: Channel = "email"
    received_at: AwareDatetime | None = Field(None, description="When it came; now, if it is left out.")

    @model_validator(mode="after")
    def _something(self) -> New:
        if not (self.number or self.name or self.calls or self.window):
            raise ValueError("a number, a name, calls, or a window of time is expected")
        return self


class Verification(BaseModel):
    """How it was found out who asks; the number that somebody calls from is no proof (LAW-23)."""

    model_config = ConfigDict(extra="forbid")

    method: Method
    evidence_at: AwareDatetime | None = None
    failed: bool = False


class Refusal(BaseModel):
    """The ground of the law, and words of one's own."""

    model_config = ConfigDict(extra="forbid")

    ground: str = Field(max_length=64)
    reason: Text = ""


class Extension(BaseModel):
    """The date of the notice to the person, and why."""

    model_config = ConfigDict(extra="forbid")

    notice_date: date
    reasons: Text


class Withdrawal(BaseModel):
    """What the person said."""

    model_config = ConfigDict(extra="forbid")

    reason: Text = ""


class Tick(BaseModel):
    """A store of `[privacy] outside_stores` that has erased, too."""

    model_config = ConfigDict(extra="forbid")

    store: str = Field(min_length=1, max_length=200)


@router.post("/requests")
async def new(parts: Parts, actor: MayKeepPromises, given: New, key: Key = None) -> JsonReply:
    """Take a request in: both clocks run from the day on which it was received."""
    window = None if given.window is None else given.window.model_dump() | {"called": number_of(given.window.called)}
    document = await parts.recorder.promises.requests.new(
        number=None if given.number is None else whole_number_of(given.number),
        name=given.name,
        calls=given.calls,
        window=window,
        channel=given.channel,
        received_at=given.received_at,
        actor=actor.name,
        idempotency_key=key,
    )
    return JsonReply(document)


@router.get("/requests")
async def list_requests(
    parts: Parts, actor: MayKeepPromises, *, open_only: Annotated[bool, Query(alias="open")] = False
) -> JsonReply:
    """Return the requests, the most urgent first."""
    document = await parts.recorder.promises.requests.list(open_only)
    await parts.recorder.audit(actor.name, "request.list", {"open": open_only})
    return JsonReply({"next": None, **document})


@router.get("/requests/check")
async def check(parts: Parts, _actor: MayKeepPromises) -> JsonReply:
    """Return how urgent every open request is."""
    return JsonReply(await parts.recorder.promises.requests.check())


@router.get("/requests/{request}")
async def show(parts: Parts, actor: MayKeepPromises, request: str) -> JsonReply:
    """Return all that is known of a request."""
    document = await parts.recorder.promises.requests.show(request)
    await parts.recorder.audit(actor.name, "request.show", {"request_id": document["id"]})
    return JsonReply(document)


@router.post("/requests/{request}/verify")
async def verify(parts: Parts, actor: MayKeepPromises, request: str, given: Verification) -> JsonReply:
    """Note how it was found out who asks, or that it could not be."""
    document = await parts.recorder.promises.requests.verify(
        request, given.method, evidence_at=given.evidence_at, failed=given.failed, actor=actor.name
    )
    return JsonReply(document)


@router.post("/requests/{request}/approve")
async def approve(parts: Parts, actor: MayKeepPromises, request: str) -> JsonReply:
    """Authorise a request: what goes and what stays is saved, and nothing else will be erased."""
    return JsonReply(await parts.recorder.promises.requests.approve(request, actor.name))


@router.post("/requests/{request}/refuse")
async def refuse(parts: Parts, actor: MayKeepPromises, request: str, given: Refusal) -> JsonReply:
    """Refuse a request on a ground of the law."""
    return JsonReply(await parts.recorder.promises.requests.refuse(request, given.ground, given.reason, actor.name))


@router.post("/requests/{request}/extend")
async def extend(parts: Parts, actor: MayKeepPromises, request: str, given: Extension) -> JsonReply:
    """Take two further months for the statutory answer; the promise of 28 days does not move."""
    book = parts.recorder.promises.requests
    return JsonReply(await book.extend(request, given.notice_date, given.reasons, actor.name))


@router.post("/requests/{request}/withdraw")
async def withdraw(parts: Parts, actor: MayKeepPromises, request: str, given: Withdrawal) -> JsonReply:
    """Note that the person wishes it no more."""
    return JsonReply(await parts.recorder.promises.requests.withdraw(request, given.reason, actor.name))


@router.post("/requests/{request}/execute")
async def execute(parts: Parts, actor: MayKeepPromises, request: str) -> JsonReply:
    """Erase what was approved, in every store, and try to read it afterwards."""
    return JsonReply(await parts.recorder.promises.requests.execute(request, actor.name))


@router.post("/requests/{request}/tick")
async def tick(parts: Parts, actor: MayKeepPromises, request: str, given: Tick) -> JsonReply:
    """Confirm that a store outside callrec has erased, too."""
    return JsonReply(await parts.recorder.promises.requests.tick(request, given.store, actor.name))


@router.get("/requests/{request}/letters/{kind}")
async def letter(parts: Parts, actor: MayKeepPromises, request: str, kind: str) -> JsonReply:
    """Return a letter to the person, as text: acknowledgement, completion, refusal or extension."""
    document = await parts.recorder.promises.requests.letter(request, kind)
    await parts.recorder.audit(actor.name, "request.letter", {"request_id": document["id"], "kind": kind})
    return JsonReply(document)


@router.get("/requests/{request}/certificate")
async def certificate(parts: Parts, actor: MayKeepPromises, request: str) -> JsonReply:
    """Return the signed certificate of what was erased; it names nobody."""
    document = await parts.recorder.promises.requests.certificate(request)
    await parts.recorder.audit(actor.name, "request.certificate", {"request_id": document["request_id"]})
    return JsonReply(document)
