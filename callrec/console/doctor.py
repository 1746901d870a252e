"""`callrec doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from callrec.console.options import Command, Output
from callrec.console.output import Column, print_items
from callrec.console.session import Session, with_session
from callrec.errors import CallrecError, ConfigurationError, ExitCode

if TYPE_CHECKING:
    from callrec.console.findings import Finding

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}
_COLUMNS = (
    Column("STATE", lambda item: item["state"]),
    Column("CHECK", lambda item: item["check"]),
    Column("FOUND", lambda item: item["found"]),
    Column("MEND", lambda item: item["mend"] or ""),
)


@click.command(cls=Command)
@with_session
def doctor(session: Session) -> int:
    """Check this machine and the configuration, and say how to mend what is wrong.

    Works with and without a running recorder; exit code 1 if anything failed, 78 if the configuration cannot be used.
    """
    try:
        findings = _examine(session)
    except ConfigurationError as error:
        _show(session, _broken_configuration(session, error))
        raise
    _show(session, findings)
    return ExitCode.FAILED if any(finding.state == "failed" for finding in findings) else ExitCode.DONE


def _examine(session: Session) -> list[Finding]:
    settings = session.settings
    from callrec.console.checks import examine  # noqa: PLC0415  everything that only this command looks at

    return examine(settings, session.config, _status(session))


def _status(session: Session) -> dict[str, object] | None:
    """Return what a running recorder says of itself."""
    try:
        return session.client.get("status")
    except CallrecError:
        return None


def _broken_configuration(session: Session, error: ConfigurationError) -> list[Finding]:
    from callrec.console.findings import Finding  # noqa: PLC0415  see above

    return [Finding("configuration", "failed", str(error), f"callrec --config {session.config} config check")]


def _show(session: Session, findings: list[Finding]) -> None:
    if session.output is not Output.TABLE:
        items = [finding.as_item() for finding in findings]
        print_items(items, session.output, _COLUMNS, empty="")
        return
    for finding in findings:
        state = click.style(f"{finding.state:<8}", fg=_COLOURS[finding.state], bold=finding.state != "ok")
        mend = f"\n{'':9}mend: {finding.mend}" if finding.mend else ""
        click.echo(f"{state} {finding.check}: {finding.found}{mend}")
