"""`callrec retention`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from callrec.console.call_views import SHORT_ID, TO_THE_MINUTE, local
from callrec.console.dates import read_day
from callrec.console.options import Group, Output
from callrec.console.output import compact, pretty, print_document, printable
from callrec.console.session import Session, with_session
from callrec.errors import CallrecError, ExitCode, OperatorError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

Json = dict[str, Any]

_STARTS = ("call", "relationship_end", "contract_end")


@click.group(cls=Group)
def retention() -> None:
    """See and decide how long calls are kept."""


@retention.command()
@with_session
def show(session: Session) -> None:
    """Show the classes in force, what waits for an approval, and the last run."""
    document = session.client.get("retention")
    print_document(document, session.output, lambda: _show_lines(document, session.zone))


@retention.command()
@click.argument("call", metavar="ID")
@with_session
def explain(session: Session, call: str) -> None:
    """Say in one sentence why a call still exists, and when it goes."""
    document = session.client.get("retention", "calls", call)
    print_document(document, session.output, lambda: [document["reason"]])


@retention.command()
@click.option("--at", metavar="DATE", help="What a run of that day would delete; otherwise today.")
@with_session
def plan(session: Session, at: str | None) -> None:
    """List what a run would delete and why, and the hash with which that is approved.

    It changes nothing. The list is printed as it comes, however long it is.
    """
    day = None if at is None else read_day(at, what="--at", now=datetime.now(UTC), zone=session.zone).isoformat()
    _print_stream(session.client.lines("GET", "retention", "plan", at=day), session.output, _plan_line, _plan_sums)


@retention.command()
@click.option(
    "--class",
    "classes",
    metavar="NAME=KEEP[/FROM]",
    multiple=True,
    required=True,
    help="How a class would be, such as unmatched=1y/call; may be repeated.",
)
@click.option("--at", metavar="DATE", help="As it would be on that day; otherwise today.")
@with_session
def simulate(session: Session, classes: tuple[str, ...], at: str | None) -> None:
    """Show which calls would go on another day if classes were changed; nothing is."""
    day = None if at is None else read_day(at, what="--at", now=datetime.now(UTC), zone=session.zone).isoformat()
    body = {"classes": [_class(text) for text in classes], "at": day}
    lines = session.client.lines("POST", "retention", "simulate", body=body)
    _print_stream(lines, session.output, _move_line, _move_sums)


@retention.command()
@click.argument("hash_", metavar="HASH")
@with_session
def approve(session: Session, hash_: str) -> None:
    """Approve the plan of that hash, by name: the first run needs it, and each one that deletes very much."""
    document = session.client.post("retention", "approve", body={"hash": hash_})
    print_document(document, session.output, lambda: [f"Approved: the next run may delete what plan {hash_} lists."])


@retention.command()
@with_session
def run(session: Session) -> int:
    """Delete what is due now; exit code 5 where somebody has to approve it first.

    The recorder does this itself every night.
    """
    document = session.client.post("retention", "run")
    print_document(document, session.output, lambda: _run_lines(document))
    return ExitCode.FAILED if document["unverified"] else ExitCode.DONE


def _class(text: str) -> Json:
    name, equals, rest = text.partition("=")
    keep, _, start = rest.partition("/")
    if not (name and equals and keep) or (start and start not in _STARTS):
        expected = f"NAME=KEEP or NAME=KEEP/FROM such as unmatched=1y/call; FROM is one of {', '.join(_STARTS)}"
        raise OperatorError(f"--class: found {text!r}, expected {expected}", exit_code=ExitCode.USAGE)
    return {"name": name, "keep": keep, "from": start or "call"}


# Streams: nothing is held but the sums


def _print_stream(lines: Iterable[Json], output: Output, line_of: Any, sums_of: Any) -> None:
    """Print a stream whose last line holds the sums; its items are printed as they come."""
    match output:
        case Output.JSON:
            _print_json(lines)
        case Output.JSONL:
            for line in lines:
                click.echo(compact(line))
        case Output.CSV | Output.TSV:
            _print_separated(lines, "," if output is Output.CSV else "\t")
        case Output.ID:
            for line in lines:
                if "call_id" in line:
                    click.echo(line["call_id"])
        case _:
            for line in lines:
                for text in [line_of(line)] if "call_id" in line else sums_of(line):
                    click.echo(printable(text))


def _print_json(lines: Iterable[Json]) -> None:
    """Print `{"items": […], …sums}`, without holding the items."""
    click.echo('{"items": [', nl=False)
    separator, sums = "\n  ", None
    for line in lines:
        if "call_id" in line:
            click.echo(f"{separator}{compact(line)}", nl=False)
            separator = ",\n  "
        else:
            sums = line
    if sums is None:
        raise CallrecError("the recorder ended its answer before the sums; try again")
    inner = pretty(sums).removeprefix("{").lstrip()
    click.echo(f"\n],\n  {inner}" if inner != "}" else "\n]}")


def _print_separated(lines: Iterable[Json], separator: str) -> None:
    names: list[str] = []
    for line in lines:
        if "call_id" not in line:
            continue
        if not names:
            names = list(line)
            click.echo(separator.join(names))
        click.echo(separator.join("" if line[name] is None else str(line[name]) for name in names))


def _plan_line(item: Json) -> str:
    return f"{item['call_id'][:8]}  {item['action']:<8}  {item['reason']}"


def _plan_sums(sums: Json) -> Iterator[str]:
    yield f"{sums['to_delete']} of {sums['rows']} rows would be deleted."
    if sums["to_delete"]:
        yield f"Approve it with: callrec retention approve {sums['hash']}"
    else:
        yield f"Nothing needs an approval (plan {sums['hash']})."


def _move_line(item: Json) -> str:
    now = "  goes with the next run" if item["goes_now"] else ""
    return f"{item['call_id'][:8]}  {item['before'] or 'open'} -> {item['after'] or 'open'}{now}"


def _move_sums(sums: Json) -> Iterator[str]:
    yield f"Nothing was changed. {sums['moved']} of {sums['rows']} rows would go on another day."
    yield f"{sums['goes_now']} of them would be deleted by a run of {sums['at']}."


def _show_lines(document: Json, zone: ZoneInfo) -> Iterator[str]:
    for row in document["classes"]:
        law = "  demanded by law" if row["obligation"] else ""
        yield f"{row['name']:<18}{row['keep']:<6}from {row['from'].replace('_', ' ')}{law}"
    share, most = document["guard_percent"], document["guard_count"]
    yield f"{'guard:':<18}more than {most} calls and more than {share}% at once need an approval"
    if approval := document["last_approval"]:
        at = local(approval["approved_at"], zone, TO_THE_MINUTE)
        yield f"{'last approval:':<18}{approval['approved_by']}, {at}, plan {approval['hash'][:SHORT_ID]}"
    last = document["last_run"]
    yield f"{'last run:':<18}{'none yet' if last is None else _run_line(last, zone)}"
    if document["waits"]:
        yield f"{'waits:':<18}{document['waits']}"


def _run_line(run: Json, zone: ZoneInfo) -> str:
    at = local(run["ended_at"] or run["begun_at"], zone, TO_THE_MINUTE)
    return f"{at} by {run['actor']}, {run['state']}: {run['deleted']} of {run['rows']} rows deleted"


def _run_lines(run: Json) -> Iterator[str]:
    yield f"Deleted {run['deleted']} of {run['rows']} rows."
    if run["spared"]:
        yield f"Spared {run['spared']}, which something has come to protect since the plan was made."
    if run["unverified"]:
        yield f"NOT VERIFIED: {run['unverified']}; callrec status says what keeps them. The next run completes it."
