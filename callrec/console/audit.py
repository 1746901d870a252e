"""`callrec audit`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from callrec.console.call_views import NOTHING, SHORT_ID, WHOLE, local
from callrec.console.options import Group, Output
from callrec.console.output import Column, compact, print_document, print_items
from callrec.console.session import Session, with_session

_PAGE = 500


@click.group(cls=Group)
def audit() -> None:
    """Read who did what, and check that nobody has changed it since."""


@audit.command("list")
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="NUMBER", help="Entries with a higher number.")
@click.option("--actor", metavar="USER", help="What this OS user did.")
@click.option("--action", metavar="WORD", help="Actions that begin with this word, such as request or delete.")
@click.option("--about", metavar="ID", help="What was done to this call or request.")
@with_session
def list_entries(session: Session, after: int, **conditions: str | None) -> None:
    """List what was done, in order. What was said about an erased call is gone with it; that it was done is not."""
    entries = (entry for entry in _entries(session, after) if _fits(entry, conditions))
    if session.output is Output.JSONL:
        for entry in entries:
            click.echo(compact(entry))
        return
    columns = (
        Column("NUMBER", lambda item: str(item["number"]), right=True),
        Column("AT", lambda item: local(item["at"], session.zone, WHOLE)),
        Column("WHO", lambda item: str(item["actor"])),
        Column("ACTION", lambda item: str(item["action"])),
        Column("ABOUT", lambda item: str(item["subject"] or NOTHING)[:SHORT_ID]),
        Column("DETAIL", lambda item: NOTHING if item["detail"] is None else compact(item["detail"]), text=True),
    )
    print_items(list(entries), session.output, columns, empty="There is no such entry.")


@audit.command()
@with_session
def verify(session: Session) -> None:
    """Check every entry against the one before; exit code 7 at the first that was altered."""
    document = session.client.post("audit", "verify")
    print_document(document, session.output, lambda: [f"The audit trail is whole: {document['entries']} entries."])


def _entries(session: Session, after: int) -> Iterator[dict[str, Any]]:
    following: int | None = after
    while following is not None:
        page = session.client.get("audit", after=following, limit=_PAGE)
        yield from page["items"]
        following = page["next"]


def _fits(entry: dict[str, Any], conditions: dict[str, str | None]) -> bool:
    actor, action, about = conditions["actor"], conditions["action"], conditions["about"]
    return (
        (actor is None or entry["actor"] == actor)
        and (action is None or str(entry["action"]).startswith(action))
        and (about is None or str(entry["subject"] or "").startswith(about))
    )
