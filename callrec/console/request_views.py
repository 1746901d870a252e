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
    "legal_hold": "it goes on by itself when the hold is released",
    "sar_hold": "it goes on by itself when what keeps the rest is lifted",
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


def request_lines(document: Json, zone: ZoneInfo) -> Iterator[str]:
    """Return a request as lines: where it stands, until when, what was done, and what is next."""
    result = f", {document['result']}" if document.get("result") else ""
    yield f"{document['id'][:SHORT_ID]}  {words(document['state'])}{result}"
    yield from _who(document, zone)
    if document.get("promise_due_local_date"):
        yield _line("promised", f"before {document['promise_due_local_date']} begins")
    if document.get("statutory_due_local_date"):
        yield _line("by law", f"on {document['statutory_due_local_date']} at the latest")
    yield from _outcome(document)
    for one in document.get("others_since_approval") or ():
        call_id = one if isinstance(one, str) else one.get("call_id", "")
        yield _line("not in it", f"call {call_id[:SHORT_ID]}, which came after the approval; a new request names it")
    for one in document.get("notify") or ():
        yield _line("notify", ", ".join(str(value) for value in one.values() if value not in (None, "")))
    for step in document.get("history") or ():
        said = words(step.get("input"))
        yield f"  {local(step['at'], zone, TO_THE_MINUTE)}  {said} by {step['actor']}: {words(step['state'])}"
    if following := _NEXT.get(str(document["state"])):
        yield _line("next", following.format(id=document["id"][:SHORT_ID]))


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
    for store in document.get("stores") or ():
        until = f" until {store['until']}" if store.get("until") else ""
        yield _line("store", f"{store['store']}: {words(store['state'])}{until}")
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
