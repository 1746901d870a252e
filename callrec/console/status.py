"""`callrec status`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import click

from callrec.console.call_views import TO_THE_MINUTE, local
from callrec.console.options import Command
from callrec.console.output import print_document
from callrec.console.session import Session, with_session
from callrec.errors import ExitCode


@click.command(cls=Command)
@with_session
def status(session: Session) -> int:
    """Show how the recorder is; exit code 1 while there is a problem."""
    document = session.client.get("status")
    print_document(document, session.output, lambda: _lines(document, session.zone))
    return ExitCode.FAILED if document.get("problems") else ExitCode.DONE


def _lines(document: Mapping[str, Any], zone: ZoneInfo) -> Iterator[str]:
    state = "recording" if document.get("recording") else click.style("NOT RECORDING", fg="red", bold=True)
    yield f"callrec {document.get('version')}, process {document.get('pid')}: {state}"
    yield f"{'calls in progress:':<22}{document.get('active_calls')}"
    for worker in document.get("workers") or ():
        yield f"{'media worker:':<22}process {worker.get('pid')}, {_count(worker.get('calls'), 'call')}"
    yield f"{'broker:':<22}{document.get('broker')}, {_count(document.get('outbox'), 'event')} waiting"
    requests = document.get("requests") or {}
    if requests.get("open"):
        due = local(requests.get("next_due"), zone, TO_THE_MINUTE)
        counts = f"{requests.get('open')} open, {requests.get('overdue')} overdue"
        yield f"{'deletion requests:':<22}{counts}, next due {due}"
    if silence := (document.get("relationships") or {}).get("text"):
        yield f"{'relationships:':<22}{silence}"
    if reviews := document.get("reviews") or ():
        first = f"by {reviews[0]['review_on']} ({reviews[0]['level']})"
        yield f"{'reviews due:':<22}{_count(len(reviews), 'hold or restriction')}, the first {first}"
    for problem in document.get("problems") or ():
        code = click.style(problem["code"], fg="red", bold=True)
        yield f"{'problem:':<22}{code} since {local(problem.get('since'), zone)}: {problem.get('text')}"


def _count(number: object, thing: str) -> str:
    plural = thing.replace(" or ", "s or ") + "s"
    return f"{number} {thing}" if number == 1 else f"{number} {plural}"
