"""`callrec request`: the steps of a deletion request. What is written about one stands in `request_papers`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from callrec.console.dates import Side, read_date, read_day, read_moment
from callrec.console.options import Group, Lazy
from callrec.console.output import print_document, print_items, printable
from callrec.console.request_views import request_columns, request_lines, step_lines
from callrec.console.session import Session, with_session
from callrec.errors import ExitCode, OperatorError

Json = dict[str, Any]

CHANNELS = ("email", "post", "telephone", "web", "in_person")
METHODS = ("account", "call_back", "knowledge")
GROUNDS = (
    "identity_failed",
    "not_found",
    "legal_obligation",
    "legal_claims",
    "manifestly_unfounded_or_excessive",
    "third_party_rights",
)
PAPERS = {
    "letter": Lazy("request_papers:letter", "Write a letter to the person, as text."),
    "certificate": Lazy("request_papers:certificate", "Write the certificate of what was erased, or verify one."),
    "check": Lazy("request_check:check", "Say how urgent the open requests are; exit code 1 where one is."),
}


@click.group(cls=Group, lazy=PAPERS)
def request() -> None:
    """Keep track of requests for deletion, and carry them out.

    Promised are 28 days from receipt; the law gives a month. A request goes from new to verify (who asks?), approve
    (may it go?), execute, and is completed when everything was read back in vain.
    """


@request.command()
@click.option("--number", metavar="NUMBER", help="A telephone number of the person; all numbers of its relationship.")
@click.option("--name", metavar="TEXT", help="Name of the person or firm, as it is known.")
@click.option("--call", "calls", metavar="ID", multiple=True, help="A call, by id or reference; may be repeated.")
@click.option("--since", metavar="DATE", help="A caller who withheld: calls from then on, with --until and --called.")
@click.option("--until", metavar="DATE", help="Calls up to the end of that day, or before that moment.")
@click.option("--called", metavar="NUMBER", help="Which number of ours was called.")
@click.option("--channel", type=click.Choice(CHANNELS), default="email", show_default=True, help="How it came.")
@click.option("--received", metavar="DATE", help="When it came; otherwise now.")
@with_session
def new(session: Session, calls: tuple[str, ...], received: str | None, **said: Any) -> None:
    """Take a request in: both clocks run from the day on which it was received."""
    now = datetime.now(UTC)
    moment = None if received is None else read_moment(received, what="--received", now=now, zone=session.zone)
    body = {
        "number": said["number"],
        "name": said["name"],
        "calls": list(calls),
        "window": _window(session, said, now),
        "channel": said["channel"],
        "received_at": None if moment is None else moment.isoformat(),
    }
    if not (body["number"] or body["name"] or calls or body["window"]):
        message = "--number, --name, --call, or --since with --until and --called is expected"
        raise OperatorError(message, exit_code=ExitCode.USAGE)
    _print(session.client.post("requests", body=body), session)


@request.command("list")
@click.option("--open", "open_only", is_flag=True, help="Those that are not over.")
@with_session
def list_requests(session: Session, *, open_only: bool) -> None:
    """List the requests, the most urgent first."""
    items = session.client.get("requests", open=open_only)["items"]
    print_items(items, session.output, request_columns(session.zone), empty="There is no request.")


@request.command()
@click.argument("request_id", metavar="ID")
@with_session
def show(session: Session, request_id: str) -> None:
    """Show all that is known of a request: where it stands, both clocks, stores, calls erased and kept, and why."""
    document = session.client.get("requests", request_id)
    lines = request_lines(document, session.zone)
    print_document(document, session.output, lambda: (printable(line) for line in lines))


@request.command()
@click.argument("request_id", metavar="ID")
@click.option("--method", type=click.Choice(METHODS), required=True, help="How it was found out who asks.")
@click.option("--evidence", metavar="DATE", help="When the evidence arrived, if it was asked for; otherwise now.")
@click.option("--failed", is_flag=True, help="It could not be found out; the request waits for better evidence.")
@with_session
def verify(session: Session, request_id: str, method: str, evidence: str | None, *, failed: bool) -> None:
    """Note who asks: by customer account, by calling back the number on file, or by what only that person knows.

    The number somebody calls from is no proof. Keep no copy of an identity document.
    """
    now = datetime.now(UTC)
    moment = None if evidence is None else read_moment(evidence, what="--evidence", now=now, zone=session.zone)
    body = {"method": method, "evidence_at": None if moment is None else moment.isoformat(), "failed": failed}
    _print(session.client.post("requests", request_id, "verify", body=body), session)


@request.command()
@click.argument("request_id", metavar="ID")
@with_session
def approve(session: Session, request_id: str) -> None:
    """Authorise a request: what goes and what stays is saved, and nothing else will be erased.

    Under four eyes not by the person who verified; exit code 5.
    """
    _print(session.client.post("requests", request_id, "approve"), session)


@request.command()
@click.argument("request_id", metavar="ID")
@with_session
def execute(session: Session, request_id: str) -> None:
    """Erase what was approved, in every store, and try to read it afterwards.

    Exit code 5 if a call of the plan has changed since (a hold, a party, a restriction): then approve again.
    """
    session.confirm(f"Erase what request {request_id} names, for good?")
    _print(session.client.post("requests", request_id, "execute"), session)


@request.command()
@click.argument("request_id", metavar="ID")
@click.argument("store")
@with_session
def tick(session: Session, request_id: str, store: str) -> None:
    """Confirm that a store outside callrec has erased, too; [privacy] outside_stores names them."""
    _print(session.client.post("requests", request_id, "tick", body={"store": store}), session)


@request.command()
@click.argument("request_id", metavar="ID")
@click.option("--ground", metavar="GROUND", required=True, help=f"Why the law allows it: {', '.join(GROUNDS)}.")
@with_session
def refuse(session: Session, request_id: str, ground: str) -> None:
    """Refuse a request on a ground of the law; --reason goes into the letter."""
    body = {"ground": ground, "reason": session.options.reason}
    _print(session.client.post("requests", request_id, "refuse", body=body), session)


@request.command()
@click.argument("request_id", metavar="ID")
@click.option("--notice", metavar="DATE", help="When the person was told, within the first month; otherwise today.")
@with_session
def extend(session: Session, request_id: str, notice: str | None) -> None:
    """Take two further months for the statutory answer; --reason is needed. The promise of 28 days does not move."""
    if not session.options.reason.strip():
        raise OperatorError("--reason is expected: why two further months are needed", exit_code=ExitCode.USAGE)
    day = read_day(notice or "today", what="--notice", now=datetime.now(UTC), zone=session.zone)
    body = {"notice_date": day.isoformat(), "reasons": session.options.reason}
    _print(session.client.post("requests", request_id, "extend", body=body), session)


@request.command()
@click.argument("request_id", metavar="ID")
@with_session
def withdraw(session: Session, request_id: str) -> None:
    """Note that the person wishes it no more."""
    body = {"reason": session.options.reason}
    _print(session.client.post("requests", request_id, "withdraw", body=body), session)


def _window(session: Session, said: Json, now: datetime) -> Json | None:
    given = [name for name in ("since", "until", "called") if said[name] is not None]
    if not given:
        return None
    if len(given) < 3:
        message = "--since, --until and --called belong together: when a withheld caller called, and which number"
        raise OperatorError(message, exit_code=ExitCode.USAGE)
    since, until = (
        read_date(said[side.value[2:]], side=side, now=now, zone=session.zone).isoformat()
        for side in (Side.SINCE, Side.UNTIL)
    )
    return {"since": since, "until": until, "called": said["called"]}


def _print(document: Json, session: Session) -> None:
    print_document(document, session.output, lambda: (printable(line) for line in step_lines(document)))
