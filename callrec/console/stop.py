"""`callrec stop`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from callrec.console.call_views import NOTHING, SHORT_ID, TO_THE_MINUTE, local
from callrec.console.options import Group
from callrec.console.output import Column, print_document, print_items
from callrec.console.session import Session, with_session
from callrec.errors import ExitCode, OperatorError

Json = dict[str, Any]


@click.group(cls=Group)
def stop() -> None:
    """Never record somebody again, at their wish."""


@stop.command()
@click.option("--number", metavar="NUMBER", help="A telephone number, in any spelling.")
@click.option("--party", metavar="REF", help="A relationship, with all its numbers.")
@click.option("--discard", is_flag=True, help="Destroy also what a call in progress has stored so far.")
@with_session
def add(session: Session, number: str | None, party: str | None, *, discard: bool) -> None:
    """Stop recording calls of a number or a party, from this moment on, whichever side they are on.

    A call in progress goes on and is recorded no more; what it had stored is kept, unless --discard is given or the
    question that is asked at a terminal is answered with yes. A stop wins over every rule, and outlives the erasing of
    older calls.
    """
    if (number is None) == (party is None):
        raise OperatorError("either --number NUMBER or --party REF is expected", exit_code=ExitCode.USAGE)
    body = {"number": number, "party": party, "discard": discard, "reason": session.options.reason}
    made = session.client.post("stops", body=body)
    if made.get("discard_offered") and session.at_terminal and _wants_discard(made):
        made |= session.client.post("stops", made["id"], "discard") | {"discard_offered": False}
    print_document(made, session.output, lambda: _added_lines(made))


@stop.command()
@click.argument("stop_id", metavar="ID")
@with_session
def discard(session: Session, stop_id: str) -> None:
    """Destroy what calls had stored that were in progress when the stop ended their recording."""
    session.confirm("Destroy what these calls have stored?")
    done = session.client.post("stops", stop_id, "discard")
    print_document(done, session.output, lambda: _discarded_lines(done))


@stop.command("list")
@with_session
def list_stops(session: Session) -> None:
    """List who is never recorded."""
    columns = (
        Column("ID", lambda item: str(item["id"])[:SHORT_ID]),
        Column("WHO", whom),
        Column("SINCE", lambda item: local(item["added_at"], session.zone, TO_THE_MINUTE)),
        Column("BY", lambda item: str(item.get("added_by") or NOTHING)),
        Column("REASON", lambda item: str(item.get("reason") or NOTHING), text=True),
    )
    items = session.client.get("stops")["items"]
    print_items(items, session.output, columns, empty="Nobody is on the stop list.")


@stop.command()
@click.argument("stop_id", metavar="ID")
@with_session
def remove(session: Session, stop_id: str) -> None:
    """Lift a stop: calls of that person may be recorded again."""
    lifted = session.client.delete("stops", stop_id)
    print_document(lifted, session.output, lambda: [f"Stop {lifted['id'][:SHORT_ID]} is lifted."])


def whom(item: Any) -> str:
    """Return whom a stop, a hold or a restriction names."""
    return str(item.get("party") or item.get("number") or NOTHING)


def _wants_discard(made: Json) -> bool:
    count = len(made["live"])
    what = "A call in progress has" if count == 1 else f"{count} calls in progress have"
    return click.confirm(f"{what} stored something before this stop. Destroy it?", err=True)


def _added_lines(made: Json) -> Iterator[str]:
    was = "was in force already" if made.get("known") else "is in force"
    yield f"Stop {made['id'][:SHORT_ID]} {was}."
    for call_id in made["live"]:
        yield f"Call {call_id[:SHORT_ID]} goes on and is recorded no more."
    yield from _discarded_lines(made)
    if made.get("discard_offered"):
        yield f"What it had stored is kept; to destroy it: callrec stop discard {made['id'][:SHORT_ID]}"


def _discarded_lines(done: Json) -> Iterator[str]:
    for call_id in done.get("discarded") or ():
        yield f"What call {call_id[:SHORT_ID]} had stored is destroyed."
    for kept in done.get("kept") or ():
        yield f"Call {kept['call_id'][:SHORT_ID]} is kept: {kept['reason']}"
