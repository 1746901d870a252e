"""`callrec request check`: how urgent the open requests are, with or without a running recorder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from callrec.console.call_views import NOTHING, SHORT_ID
from callrec.console.options import CheckCommand, Output
from callrec.console.output import Column, print_document, print_table
from callrec.console.request_views import words
from callrec.console.session import Session, with_session
from callrec.errors import CallrecError, ExitCode, OperatorError

Json = Mapping[str, Any]

_OK, _WARNING, _CRITICAL, _UNKNOWN = 0, 1, 2, 3
"""What monitoring plugins end with."""
_URGENT = frozenset({"critical", "breach"})


@click.command(cls=CheckCommand)
@with_session
def check(session: Session) -> int:
    """Say how urgent the open requests are; exit code 1 where one is.

    Works without a running recorder: then the catalogue is read as it lies, and no key is needed. With -o nagios it
    is one line, and the exit codes are those of monitoring plugins: 0 well, 1 warning, 2 critical, 3 unknown.
    """
    if session.output is Output.NAGIOS:
        return _nagios(session)
    document = _document(session)
    if session.output is Output.TABLE:
        _print(document)
    else:
        print_document(document, session.output, list)
    return ExitCode.FAILED if _is_due(document) else ExitCode.DONE


def _document(session: Session) -> Json:
    """Ask the recorder; where none answers, or this user has no role there, read what lies on the disk."""
    try:
        return session.client.get("requests", "check")
    except OperatorError as error:
        if error.exit_code not in {ExitCode.UNREACHABLE, ExitCode.NOT_ALLOWED}:
            raise
    from callrec.privacy.request_check import check_stored  # noqa: PLC0415  databases that only this needs

    return check_stored(session.settings)


def _is_due(document: Json) -> bool:
    return bool(document["overdue"] or document["level"])


def _print(document: Json) -> None:
    items: Sequence[Json] = document["items"]
    if not items:
        click.echo("No request is open.")
        return
    columns = (
        Column("ID", lambda item: str(item["id"])[:SHORT_ID]),
        Column("STATE", lambda item: words(item["state"])),
        Column("PROMISED", lambda item: str(item["promise_due_local_date"])),
        Column("BY LAW", lambda item: str(item["statutory_due_local_date"])),
        Column("URGENT", _urgency),
        Column("WAITS FOR", lambda item: words(item.get("waits_for"))),
    )
    print_table(items, columns)
    click.echo(_summary(document))


def _urgency(item: Json) -> str:
    said = [f"{clock} {level}" for clock, level in item["levels"].items()]
    said += [f"{clock} OVERDUE" for clock in item["overdue"] if f"{clock} breach" not in said]
    return ", ".join(said) or NOTHING


def _summary(document: Json) -> str:
    following = f", next due {document['next_due']}" if document["next_due"] else ""
    return f"{document['open']} open, {document['overdue']} overdue{following}"


def _nagios(session: Session) -> int:
    try:
        document = _document(session)
    except CallrecError as error:
        click.echo(f"CALLREC REQUESTS UNKNOWN - {' '.join(str(error).split())}")
        return _UNKNOWN
    level = document["level"]
    urgent = document["overdue"] or level in _URGENT
    state, code = ("CRITICAL", _CRITICAL) if urgent else ("WARNING", _WARNING) if level else ("OK", _OK)
    details = "; ".join(_due_lines(document))
    figures = f"open={document['open']} overdue={document['overdue']}"
    click.echo(f"CALLREC REQUESTS {state} - {_summary(document)}{f' ({details})' if details else ''} | {figures}")
    return code


def _due_lines(document: Json) -> Iterator[str]:
    for item in document["items"]:
        if item["levels"] or item["overdue"]:
            yield f"{item['id'][:SHORT_ID]} {_urgency(item)}"
