"""`callrec status`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import click

from callrec.console.call_views import SHORT_ID, local
from callrec.console.options import Command
from callrec.console.output import print_document
from callrec.console.session import Session, with_session
from callrec.errors import ExitCode


@click.command(cls=Command)
@with_session
def status(session: Session) -> int:
    """Show how the recorder is; exit code 1 while there is a problem, or a deletion request is overdue."""
    document = session.client.get("status")
    print_document(document, session.output, lambda: _lines(document, session.zone))
    # LAW-76: what is overdue is repeated until it is dealt with.
    overdue = (document.get("requests") or {}).get("overdue")
    return ExitCode.FAILED if document.get("problems") or overdue else ExitCode.DONE


def _lines(document: Mapping[str, Any], zone: ZoneInfo) -> Iterator[str]:
    state = "recording" if document.get("recording") else click.style("NOT RECORDING", fg="red", bold=True)
    yield f"callrec {document.get('version')}, process {document.get('pid')}: {state}"
    yield f"{'calls in progress:':<22}{document.get('active_calls')}"
    if unheard := document.get("one_way_audio"):
        yield f"{'one-way audio:':<22}{_count(unheard, 'call')}; see callrec calls"
    for worker in document.get("workers") or ():
        yield f"{'media worker:':<22}process {worker.get('pid')}, {_count(worker.get('calls'), 'call')}"
    yield f"{'broker:':<22}{document.get('broker')}, {_count(document.get('outbox'), 'event')} waiting"
    yield from _promises(document)
    if silence := (document.get("relationships") or {}).get("text"):
        yield f"{'relationships:':<22}{silence}"
    if reviews := document.get("reviews") or ():
        first = f"by {reviews[0]['review_on']} ({reviews[0]['level']})"
        yield f"{'reviews due:':<22}{_count(len(reviews), 'hold or restriction')}, the first {first}"
    for problem in document.get("problems") or ():
        code = click.style(problem["code"], fg="red", bold=True)
        yield f"{'problem:':<22}{code} since {local(problem.get('since'), zone)}: {problem.get('text')}"


def _promises(document: Mapping[str, Any]) -> Iterator[str]:
    """Return how deletion requests stand, and which promises a restore has lost."""
    requests = document.get("requests") or {}
    if requests.get("open") or requests.get("overdue"):
        counts = f"{requests['open']} open, {requests['overdue']} overdue"
        yield f"{'deletion requests:':<22}{counts}, next due {requests['next_due']}"
    for kind, ids in (document.get("lost") or {}).items():
        yield f"{'lost by a restore:':<22}{kind} {', '.join(one[:SHORT_ID] for one in ids)}"


def _count(number: object, thing: str) -> str:
    plural = thing.replace(" or ", "s or ") + "s"
    return f"{number} {thing}" if number == 1 else f"{number} {plural}"
