"""`callrec relationship`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from callrec.console.dates import read_day
from callrec.console.options import Group
from callrec.console.output import print_document, printable
from callrec.console.session import Session, with_session
from callrec.errors import ExitCode, OperatorError

Json = dict[str, Any]

KINDS = ("customer", "enquirer", "applicant", "employee", "unmatched")
_CONTRACT = re.compile(r"(?P<ref>.+?):(?P<start>[^:]+)(?::(?P<end>[^:]+))?")


@click.group(cls=Group)
def relationship() -> None:
    """Say who the outside parties are, and how long they are ours."""


@relationship.command("set")
@click.argument("ref")
@click.option("--name", metavar="TEXT", help="Name of the person or firm.")
@click.option("--number", "numbers", metavar="NUMBER", multiple=True, help="A telephone number; may be repeated.")
@click.option("--kind", type=click.Choice(KINDS), help="What it is to us; a new one is a customer.")
@click.option("--from", "since", metavar="DATE", help="When the relationship began.")
@click.option("--contract", "contracts", metavar="REF:START[:END]", multiple=True, help="A contract; may be repeated.")
@with_session
def set_(session: Session, ref: str, since: str | None, contracts: tuple[str, ...], **said: Any) -> None:
    """Say what is known of a party, new or old; what is not named stays as it is.

    REF is what you call it, such as its customer number. A number that another party held is its own from --from on,
    or from today. Its calls are tied to it, older ones too.
    """
    body = {
        "name": said["name"],
        "numbers": list(said["numbers"]),
        "kind": said["kind"],
        "since": None if since is None else _day(session, since, "--from"),
        "contracts": [_contract(session, text) for text in contracts],
    }
    _print(session.client.put("relationships", ref, body=body), session)


@relationship.command()
@click.argument("ref")
@with_session
def show(session: Session, ref: str) -> None:
    """Show what is known of a party: names, numbers and since when, contracts, and how many calls are its."""
    _print(session.client.get("relationships", ref), session)


@relationship.command()
@click.argument("ref")
@click.option("--date", "on", metavar="DATE", required=True, help="The day on which it ended.")
@with_session
def end(session: Session, ref: str, on: str) -> None:
    """Say that a relationship ended: recordings that were kept for its sake go as their class says."""
    body = {"on": _day(session, on, "--date")}
    _print(session.client.post("relationships", ref, "end", body=body), session)


@relationship.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--map", "mapping", metavar="FILE", type=click.Path(path_type=Path), required=True, help="Which column says what."
)
@click.option("--dry-run", is_flag=True, help="Change nothing; print what would change, and which calls would move.")
@with_session
def import_file(session: Session, file: Path, mapping: Path, *, dry_run: bool) -> None:
    """Take a CSV file of parties over: all of it, or nothing where any line is wrong.

    The mapping file is TOML; docs/relationship-import.md describes it.
    """
    body = {"csv": _text_of(file), "map": _text_of(mapping), "dry_run": dry_run}
    result = session.client.post("relationships", "import", body=body)
    print_document(result, session.output, lambda: _import_lines(result))


def _day(session: Session, text: str, what: str) -> str:
    return read_day(text, what=what, now=datetime.now(UTC), zone=session.zone).isoformat()


def _contract(session: Session, text: str) -> Json:
    found = _CONTRACT.fullmatch(text)
    if found is None:
        message = f"--contract: found {text!r}, expected REF:START or REF:START:END, such as C-17:2026-01-01"
        raise OperatorError(message, exit_code=ExitCode.USAGE)
    start, end = found["start"], found["end"]
    return {
        "ref": found["ref"],
        "starts_on": _day(session, start, "--contract"),
        "ends_on": None if end is None else _day(session, end, "--contract"),
    }


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        found = error.strerror
    except UnicodeDecodeError:
        found = "bytes that are no UTF-8"
    raise OperatorError(f"{path}: found {found}, expected a file of UTF-8 text", exit_code=ExitCode.USAGE)


def _print(document: Json, session: Session) -> None:
    print_document(document, session.output, lambda: (printable(line) for line in _lines(document)))


def _lines(party: Json) -> Iterator[str]:
    yield f"{party['relationship_id']}  {party['name'] or '(no name)'}"
    yield f"{'kind:':<12}{party['kind']}"
    if party["since"] or party["ended_on"]:
        yield f"{'since:':<12}{party['since'] or 'unknown'}{_until(party['ended_on'], ', ended ')}"
    if party.get("confirmed_on"):
        yield f"{'confirmed:':<12}{party['confirmed_on']}"
    for number in party["numbers"]:
        yield f"{'number:':<12}{number['number']}{_until(number['since'], ' from ')}{_until(number['until'], ' to ')}"
    for contract in party["contracts"]:
        days = f"{_until(contract['starts_on'], ' from ')}{_until(contract['ends_on'], ' to ')}"
        yield f"{'contract:':<12}{contract['ref']}{days}"
    yield f"{'calls:':<12}{party['calls']}"


def _until(day: str | None, words: str) -> str:
    return "" if day is None else f"{words}{day}"


def _import_lines(result: Json) -> Iterator[str]:
    for move in result["moves"]:
        now = "  goes with the next retention run" if move["goes_now"] else ""
        yield f"{move['call_id'][:8]}  {move['before'] or 'open'} -> {move['after'] or 'open'}{now}"
    left = result.get("moves_left_out")
    if left:
        yield f"and {left} more"
    counts = ", ".join(f"{result[name]} {name}" for name in ("created", "changed", "unchanged"))
    done = "Nothing was changed; it would be" if result["dry_run"] else "Imported"
    moved = len(result["moves"]) + (left or 0)
    yield f"{done}: {counts} of {result['rows']} rows; dates of deletion that move: {moved}"
