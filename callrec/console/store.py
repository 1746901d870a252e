"""`callrec store`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import click

from callrec.console.call_views import SHORT_ID
from callrec.console.options import Group, Output
from callrec.console.output import Column, compact, pretty, print_items, print_table
from callrec.console.session import Session, with_session
from callrec.errors import CallrecError, ExitCode, OperatorError

Json = dict[str, Any]

_BAD = frozenset({"missing", "damaged"})
_COLUMNS = (
    Column("STATE", lambda item: str(item["state"])),
    Column(
        "RECORDING",
        lambda item: str(item.get("recording_id") or "-"),
        brief=lambda item: str(item.get("recording_id") or "-")[:SHORT_ID],
    ),
    Column(
        "CALL",
        lambda item: str(item.get("call_id") or "-"),
        brief=lambda item: str(item.get("call_id") or "-")[:SHORT_ID],
    ),
    Column(
        "FOUND", lambda item: f"{item['path']}: {item['found']}" if item.get("path") else str(item["found"]), text=True
    ),
)


@click.group(cls=Group)
def store() -> None:
    """Verify that every recording is whole and readable."""


@store.command()
@with_session
def verify(session: Session) -> int:
    """Decrypt every recording to its end; exit code 7 if one is missing or damaged.

    Through the recorder if it runs, else directly. A recording that was cut by a power failure is authentic up to
    where it ends; files that belong to no recording are listed. Neither is a failure.
    """
    lines = []
    for line in _lines(session):
        lines.append({name: value for name, value in line.items() if name != "type"})
        if session.output is Output.JSONL:
            click.echo(compact(lines[-1]))
    _print(lines, session)
    return ExitCode.INTEGRITY if any(line["state"] in _BAD for line in lines) else ExitCode.DONE


def _lines(session: Session) -> Iterator[Json]:
    """Give the lines of a running recorder, or those read directly where none runs."""
    answered = False
    try:
        for line in session.client.lines("POST", "store", "verify"):
            answered = True
            if line.get("done"):
                return
            yield line
    except OperatorError as error:
        if error.exit_code is not ExitCode.UNREACHABLE or answered:
            raise
    else:
        raise CallrecError("the recorder ended its answer before the store was verified; try again")
    from callrec.console.store_walk import verify_store  # noqa: PLC0415  stores that only this needs

    yield from verify_store(session.settings)


def _print(lines: list[Json], session: Session) -> None:
    counts = Counter(line["state"] for line in lines)
    verified = not _BAD & set(counts)
    match session.output:
        case Output.JSON:
            click.echo(pretty({"items": lines, "next": None, "counts": counts, "verified": verified}))
        case Output.TABLE:
            if notable := [line for line in lines if line["state"] != "whole"]:
                print_table(notable, _COLUMNS)
            told = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "nothing stored"
            click.echo(f"{'Verified' if verified else 'NOT VERIFIED'}: {told}.")
        case Output.JSONL:
            pass  # printed as they came
        case _:
            print_items(lines, session.output, _COLUMNS, empty="")
