"""`callrec events`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import click

from callrec.console.call_views import local
from callrec.console.options import Group, Output
from callrec.console.output import compact, printable
from callrec.console.session import Session, with_session

Json = dict[str, Any]


@click.group(cls=Group)
def events() -> None:
    """Read the events that the recorder has told."""


@events.command()
@click.option(
    "--after", type=click.IntRange(min=0), default=0, show_default=True, metavar="SEQUENCE", help="Later ones."
)
@click.option("--follow", "-f", is_flag=True, help="Go on as events come, until Ctrl-C.")
@with_session
def tail(session: Session, after: int, follow: bool) -> None:  # noqa: FBT001  click gives it by name
    """Print the stored events in order, one a line; with -o json or jsonl the documents as published."""
    for document in _followed(session, after) if follow else _stored(session, after):
        click.echo(_line(document, session.output, session.zone))


def _stored(session: Session, after: int) -> Iterator[Json]:
    following: int | None = after
    while following is not None:
        page = session.client.get("events", after=following)
        yield from page["items"]
        following = page["next"]


def _followed(session: Session, after: int) -> Iterator[Json]:
    return session.client.lines("GET", "events", "stream", after=after)


def _line(document: Json, output: Output, zone: ZoneInfo) -> str:
    match output:
        case Output.TABLE:
            return _readable(document, zone)
        case Output.ID:
            return str(document["id"])
        case Output.CSV | Output.TSV:
            separator = "," if output is Output.CSV else "\t"
            return separator.join((document["sequence"], document["time"], document["type"], _subject(document)))
        case _:
            return compact(document)


def _readable(document: Json, zone: ZoneInfo) -> str:
    data = document.get("data") or {}
    reason = data.get("outcome_reason") or data.get("reason") or data.get("code") or ""
    kind = str(document["type"]).removeprefix("com.callrec.").removesuffix(".v1").replace(".", "/")
    text = (
        f"{int(document['sequence']):>6}  {local(document.get('time'), zone)}  {kind:<20}  {_subject(document)[:8]:<8}"
    )
    return printable(f"{text}  {reason}").rstrip()


def _subject(document: Json) -> str:
    return str(document.get("subject") or "")
