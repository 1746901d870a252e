"""`callrec hold` and `callrec restriction`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from callrec.console.call_views import NOTHING, SHORT_ID
from callrec.console.dates import read_day
from callrec.console.options import Group
from callrec.console.output import Column, print_document, print_items
from callrec.console.session import Session, with_session
from callrec.console.stop import whom
from callrec.errors import ExitCode, OperatorError

Json = dict[str, Any]


@click.group(cls=Group)
def hold() -> None:
    """Keep calls from every erasure: for a legal claim, or until a request for access is answered."""


@click.group(cls=Group)
def restriction() -> None:
    """Keep calls unused at a person's wish: not played, not exported, not erased."""


@hold.command("add")
@click.argument("calls", metavar="[ID...]", nargs=-1)
@click.option("--number", metavar="NUMBER", help="All calls with this outside party, and those to come.")
@click.option("--party", metavar="REF", help="All calls of a relationship, and those to come.")
@click.option("--review", metavar="DATE", required=True, help="When it is looked at again; within six months.")
@click.option("--access", is_flag=True, help="Until a person's request for a copy is answered, not for a legal claim.")
@with_session
def add_hold(session: Session, calls: tuple[str, ...], *, access: bool, **said: str | None) -> None:
    """Keep calls from retention, deletion and erasure, until somebody releases them.

    --reason is needed. Under four eyes somebody else has to release it.
    """
    body = _body(session, calls, said) | {"kind": "sar_hold" if access else "legal_hold"}
    _print_made(session.client.post("holds", body=body), "Hold", session)


@hold.command("list")
@with_session
def list_holds(session: Session) -> None:
    """List the holds in force, and when each is looked at again."""
    _print_list(session.client.get("holds")["items"], "There is no hold.", session)


@hold.command("release")
@click.argument("hold_id", metavar="ID")
@with_session
def release_hold(session: Session, hold_id: str) -> None:
    """Release a hold: retention counts again, and erasures that waited for it go on by themselves."""
    _release(session, "holds", hold_id, "Hold")


@restriction.command("add")
@click.argument("calls", metavar="[ID...]", nargs=-1)
@click.option("--number", metavar="NUMBER", help="All calls with this outside party, and those to come.")
@click.option("--party", metavar="REF", help="All calls of a relationship, and those to come.")
@click.option("--review", metavar="DATE", required=True, help="When it is looked at again; within six months.")
@with_session
def add_restriction(session: Session, calls: tuple[str, ...], **said: str | None) -> None:
    """Keep calls from being played, exported or erased; --reason is needed."""
    _print_made(session.client.post("restrictions", body=_body(session, calls, said)), "Restriction", session)


@restriction.command("list")
@with_session
def list_restrictions(session: Session) -> None:
    """List the restrictions in force, and when each is looked at again."""
    _print_list(session.client.get("restrictions")["items"], "There is no restriction.", session)


@restriction.command("release")
@click.argument("restriction_id", metavar="ID")
@with_session
def release_restriction(session: Session, restriction_id: str) -> None:
    """Release a restriction; the person has to be told before."""
    _release(session, "restrictions", restriction_id, "Restriction")


def _body(session: Session, calls: tuple[str, ...], said: dict[str, str | None]) -> Json:
    if sum((bool(calls), said["number"] is not None, said["party"] is not None)) != 1:
        message = "either ids, or --number NUMBER, or --party REF is expected"
        raise OperatorError(message, exit_code=ExitCode.USAGE)
    if not session.options.reason.strip():
        raise OperatorError("--reason is expected: why these calls are kept", exit_code=ExitCode.USAGE)
    review = read_day(said["review"] or "", what="--review", now=datetime.now(UTC), zone=session.zone)
    return {
        "ids": list(calls),
        "number": said["number"],
        "party": said["party"],
        "reason": session.options.reason,
        "review": review.isoformat(),
    }


def _release(session: Session, path: str, protection_id: str, word: str) -> None:
    released = session.client.post(path, protection_id, "release", body={"reason": session.options.reason})
    print_document(released, session.output, lambda: [f"{word} {released['id'][:SHORT_ID]} is released."])


def _print_made(made: Json, word: str, session: Session) -> None:
    count = len(made["calls"])
    calls = "1 call" if count == 1 else f"{count} calls"
    print_document(made, session.output, lambda: [f"{word} {made['id'][:SHORT_ID]} is on {calls}."])


def _print_list(items: list[Json], empty: str, session: Session) -> None:
    columns = (
        Column("ID", lambda item: str(item["id"])[:SHORT_ID]),
        Column("KIND", lambda item: str(item["kind"]).replace("_", " "), spare=True),
        Column("WHO", whom),
        Column("CALLS", lambda item: str(_count(item["calls"])), right=True),
        Column("REVIEW", lambda item: str(item["review_on"])),
        Column("BY", lambda item: str(item.get("placed_by") or NOTHING)),
        Column("REASON", lambda item: str(item.get("reason") or NOTHING), text=True),
    )
    print_items(items, session.output, columns, empty=empty)


def _count(calls: Any) -> int:
    return len(calls) if isinstance(calls, list) else int(calls)
