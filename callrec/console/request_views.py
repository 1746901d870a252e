"""Deletion requests as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from callrec.console.call_views import NOTHING, SHORT_ID, TO_THE_MINUTE, local
from callrec.console.output import Column

Json = Mapping[str, Any]

_NEXT = {
    "received": "callrec request verify {id} --method account|call_back|knowledge",
    "identity_pending": "callrec request verify {id} --method account|call_back|knowledge",
    "authorisation_pending": "callrec request approve {id}, by somebody else under four eyes",
    "authorised": "callrec request execute {id}",
    "partly_refused": "callrec request execute {id}",
    "legal_hold": "callrec request execute {id}, once the hold is released",
    "sar_hold": "callrec request execute {id}, once what keeps the rest is lifted",
    "completed": "callrec request letter {id} completion; callrec request certificate {id}",
    "refused": "callrec request letter {id} refusal",
}


def request_columns(zone: ZoneInfo) -> Sequence[Column]:
    """Return the columns of a list of requests."""
    return (
        Column("ID", lambda item: str(item["id"])[:SHORT_ID]),
        Column("STATE", lambda item: words(item["state"])),
        Column("RECEIVED", lambda item: local(item["received_at"], zone, TO_THE_MINUTE)),
        Column("PROMISED", lambda item: str(item.get("promise_due_local_date") or NOTHING)),
        Column("BY LAW", lambda item: str(item.get("statutory_due_local_date") or NOTHING)),
        Column("CALLS", lambda item: str(count(item.get("calls"))), right=True),
    )


def step_lines(document: Json) -> Iterator[str]:
    """Return what a step has made of a request: where it stands, until when, what was erased, and what is next."""
    yield _title(document)
    yield from _deadlines(document)
    yield from _outcome(document)
    yield from _afterwards(document)
    yield from _next(document)


def request_lines(document: Json, zone: ZoneInfo) -> Iterator[str]:
    """Return all that is known of a request, as lines."""
    yield _title(document)
    yield from _who(document, zone)
    yield from _deadlines(document)
    yield from _outcome(document)
    yield from _afterwards(document)
    for step in document.get("history") or ():
        said = words(step.get("input"))
        yield f"  {local(step['at'], zone, TO_THE_MINUTE)}  {said} by {step['actor']}: {words(step['state'])}"
    yield from _next(document)


def _title(document: Json) -> str:
    result = f", {document['result']}" if document.get("result") else ""
    return f"{document['id'][:SHORT_ID]}  {words(document['state'])}{result}"


def _next(document: Json) -> Iterator[str]:
    if following := _NEXT.get(str(document["state"])):
        yield _line("next", following.format(id=document["id"][:SHORT_ID]))


def _deadlines(document: Json) -> Iterator[str]:
    if document.get("promise_due_local_date"):
        yield _line("promised", f"before {document['promise_due_local_date']} begins")
    if document.get("statutory_due_local_date"):
        yield _line("by law", f"on {document['statutory_due_local_date']} at the latest")


def _afterwards(document: Json) -> Iterator[str]:
    if document.get("problem"):
        yield _line("goes on", f"by itself, later: {document['problem']}")
    for call_id in document.get("others_since_approval") or ():
        yield _line("not in it", f"call {call_id[:SHORT_ID]}, which came after the approval; a new request names it")
    for one in document.get("notify") or ():
        given = len(one["call_ids"])
        yield _line("notify", f"{one['recipient']} was given {given} of these calls, and is to be told (LAW-38)")


def _who(document: Json, zone: ZoneInfo) -> Iterator[str]:
    if document.get("received_at"):
        channel = f" by {words(document['channel'])}" if document.get("channel") else ""
        yield _line("received", f"{local(document['received_at'], zone, TO_THE_MINUTE)}{channel}")
    for name in ("name", "number"):
        if document.get(name):
            yield _line(name, str(document[name]))
    if verified := document.get("verified"):
        at = local(verified.get("at"), zone, TO_THE_MINUTE)
        yield _line("verified", f"{words(verified['method'])}, by {verified['by']}, {at}")
    if approved := document.get("approved"):
        yield _line("approved", f"by {approved['by']}, {local(approved.get('at'), zone, TO_THE_MINUTE)}")


def _outcome(document: Json) -> Iterator[str]:
    if "calls" in document:
        yield _line("calls", str(count(document["calls"])))
    said: dict[str, list[str]] = {}
    for store in document.get("stores") or ():
        until = f" until {store['until']}" if store.get("until") else ""
        said.setdefault(f"{words(store['state'])}{until}", []).append(str(store["store"]))
    for state, stores in said.items():
        yield _line("stores", f"{', '.join(stores)}: {state}")
    erased = document.get("erased") or ()
    if erased:
        yield _line("erased", ", ".join(call_id[:SHORT_ID] for call_id in erased))
    for kept in document.get("kept") or ():
        yield _line("kept", f"{kept['call_id'][:SHORT_ID]}: {words(kept['reason'])}")


def words(value: object) -> str:
    """Return a word of the program as a person reads it."""
    return NOTHING if value in (None, "") else str(value).replace("_", " ")


def count(calls: object) -> int:
    """Return how many calls there are, whether they are listed or counted."""
    if isinstance(calls, int):
        return calls
    return len(calls) if isinstance(calls, Sequence) else 0


def _line(name: str, text: str) -> str:
    return f"{name + ':':<12}{text}"
