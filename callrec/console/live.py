"""`callrec calls`: the calls in progress, and what may be done to their recordings."""

from __future__ import annotations

from typing import Any

import click

from callrec.console.call_views import SHORT_ID, call_columns
from callrec.console.options import Group
from callrec.console.output import print_document, print_items
from callrec.console.session import Session, with_session

_STATES = {
    "recording": "is being recorded",
    "paused": "is paused: nothing of either side is stored",
    "ended": "is recorded no more; what was stored is kept",
    "none": "is not recorded, and nothing of it is kept",
    "not_begun": "is not recorded yet; its recording begins with the answer",
}
PURPOSES = ("card_payment", "bank_details", "security_check", "other")


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def calls(context: click.Context) -> None:
    """List the calls in progress, or pause, resume or stop the recording of one."""
    if context.invoked_subcommand is None:
        _list()


@with_session
def _list(session: Session) -> None:
    document = session.client.get("calls", "live")
    columns = call_columns(session.zone)
    print_items(document["items"], session.output, columns, empty="No call is in progress.")


@calls.command()
@click.argument("call", metavar="ID")
@click.option("--for", "purpose", type=click.Choice(PURPOSES), default=PURPOSES[0], help="Shown with the paused span.")
@with_session
def pause(session: Session, call: str, purpose: str) -> None:
    """Store nothing of either side from now on, until `callrec calls resume`; card numbers may be said then.

    When the command ends the pause is in force. It ends by itself after [limits] longest_pause.
    """
    _steer(session, call, "pause", {"purpose": purpose})


@calls.command()
@click.argument("call", metavar="ID")
@with_session
def resume(session: Session, call: str) -> None:
    """Store again what is said from now on."""
    _steer(session, call, "resume", {})


@calls.command()
@click.argument("call", metavar="ID")
@click.option("--discard", is_flag=True, help="Destroy also what was stored so far; for those who may delete.")
@with_session
def stop(session: Session, call: str, *, discard: bool) -> None:
    """Record nothing more of this call; the call itself goes on."""
    if discard:
        session.confirm("Destroy what is stored of this call? It cannot be brought back.")
    _steer(session, call, "stop", {"discard": discard})


def _steer(session: Session, call: str, verb: str, body: dict[str, Any]) -> None:
    state = session.client.post("calls", call, verb, body={**body, "reason": session.options.reason})
    line = f"{state['call_id'][:SHORT_ID]}  {_STATES.get(state['recording'], state['recording'])}"
    print_document(state, session.output, lambda: [line])
