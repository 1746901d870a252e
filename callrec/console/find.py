"""`callrec find` and `show`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from callrec.console.call_views import call_columns, call_lines
from callrec.console.dates import Side, read_date
from callrec.console.options import Command, Output
from callrec.console.output import compact, print_document, print_items, printable
from callrec.console.session import Session, say, with_session

_PAGE = 200


@click.command(cls=Command)
@click.argument("number", required=False)
@click.option("--since", metavar="DATE", help="Calls from then on: yesterday, last-week, 2026-11-22, 2h.")
@click.option("--until", metavar="DATE", help="Calls up to the end of that day, or before that moment.")
@click.option("--direction", type=click.Choice(["inbound", "outbound", "internal"]), help="Which way, seen from us.")
@click.option("--outcome", metavar="OUTCOME", help="recorded, not_recorded, or a reason such as opt_out.")
@click.option("--limit", type=click.IntRange(min=1), metavar="COUNT", help="At most so many, the newest.")
@with_session
def find(session: Session, number: str | None, limit: int | None, **conditions: Any) -> None:
    """Find calls, newest first; NUMBER in any spelling, and *0123 for what ends with it."""
    query = {"number": number, **conditions, **_span(session, conditions)}
    pages = session.client.pages("calls", limit=limit, page=_PAGE, **query)
    if session.output is Output.JSONL:
        for page in pages:
            for item in page["items"]:
                click.echo(compact(item))
        return
    items, following = [], None
    for page in pages:
        items += page["items"]
        following = page["next"]
    columns = call_columns(session.zone)
    print_items(items, session.output, columns, following=following, empty="No call was found.")
    if following is not None and session.output is Output.TABLE:
        say(f"There are more than {limit}; leave --limit away to see all.")


def _span(session: Session, conditions: dict[str, Any]) -> dict[str, str | None]:
    now = datetime.now(UTC)
    return {
        side.value[2:]: read_date(text, side=side, now=now, zone=session.zone).isoformat()
        for side in Side
        if (text := conditions[side.value[2:]]) is not None
    }


@click.command(cls=Command)
@click.argument("call", metavar="ID")
@with_session
def show(session: Session, call: str) -> None:
    """Show all that is kept about one call."""
    item = session.client.get("calls", call)
    print_document(item, session.output, lambda: (printable(line) for line in call_lines(item, session.zone)))
