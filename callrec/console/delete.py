"""`callrec delete`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from callrec.console.call_views import SHORT_ID, call_columns
from callrec.console.options import Command, Output
from callrec.console.output import pretty, print_items, print_table
from callrec.console.session import Session, say, with_session
from callrec.errors import ExitCode, OperatorError

Json = Mapping[str, Any]


@click.command(cls=Command)
@click.argument("calls", metavar="[ID...]", nargs=-1)
@click.option("--number", metavar="NUMBER", help="All calls in which this was the outside party's number.")
@with_session
def delete(session: Session, calls: tuple[str, ...], number: str | None) -> int:
    """Delete calls for good: keys first, then files and personal fields; then try to read them.

    What will go is shown first. It cannot be brought back, not even from a backup.
    """
    if bool(calls) == (number is not None):
        raise OperatorError("either ids or --number NUMBER is expected", exit_code=ExitCode.USAGE)
    asked: Json = {"ids": list(calls)} if calls else {"number": number}
    plan = session.client.post("deletions", "plan", body=asked)
    if not plan["items"]:
        _print({"hash": plan["hash"], "items": [], "verified": True}, session)
        return ExitCode.DONE
    _show(plan, session)
    session.confirm(f"Delete {_count(plan['items'])} for good?")
    body = {"plan": plan["hash"], "reason": session.options.reason}
    result = session.client.post("deletions", body=body)
    _print(result, session)
    if not result["verified"]:
        raise OperatorError("not everything could be verified as gone; callrec status says what keeps it")
    return ExitCode.DONE


def _count(items: list[Json]) -> str:
    return "1 call" if len(items) == 1 else f"{len(items)} calls"


def _show(plan: Json, session: Session) -> None:
    """Show what will go. For programs that is no result, and people who said yes already need not read it twice."""
    if session.output is Output.TABLE:
        print_table(plan["items"], call_columns(session.zone))
    elif not session.options.yes:
        say(pretty({"items": plan["items"]}))


def _print(result: Json, session: Session) -> None:
    if session.output is Output.JSON:
        click.echo(pretty(result))
    elif session.output is Output.TABLE:
        for line in _lines(result):
            click.echo(line)
    else:
        print_items(result["items"], session.output, (), empty="")


def _lines(result: Json) -> Iterator[str]:
    if not result["items"]:
        yield "No such call was found; nothing was deleted."
        return
    for item in result["items"]:
        verdict = "verified: gone" if item["verified"] else "NOT VERIFIED"
        yield f"{item['call_id'][:SHORT_ID]}  {verdict}  ({_stores(item['stores'])})"
    yield f"Deleted {_count(result['items'])}."


def _stores(stores: Mapping[str, str]) -> str:
    """Return what the stores say, those of one word together."""
    said: dict[str, list[str]] = {}
    for store, state in stores.items():
        said.setdefault(state.replace("_", " "), []).append(store)
    return "; ".join(f"{', '.join(names)} {state}" for state, names in said.items())
