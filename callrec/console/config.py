"""`callrec config`."""

from __future__ import annotations

import click

from callrec.console.options import Group, Output
from callrec.console.output import Column, print_document, print_items
from callrec.console.session import Session, with_session

_COLUMNS = (
    Column("KEY", lambda item: item["key"]),
    Column("VALUE", lambda item: item["value"], text=True),
    Column("FROM", lambda item: item["origin"], brief=lambda item: str(item["origin"]).rpartition("/")[2]),
)


@click.group(cls=Group)
def config() -> None:
    """Check and show the configuration."""


@config.command()
@with_session
def check(session: Session) -> None:
    """Say whether the configuration can be used; exit code 78 and the line of the first fault if not."""
    settings = session.settings
    document = {
        "path": str(session.config.absolute()),
        "valid": True,
        "peers": len(settings.peer),
        "routes": len(settings.route),
        "capture_rules": len(settings.capture_rule),
    }
    names = ("peers", "routes", "capture_rules")
    counts = ", ".join(f"{name.replace('_', ' ')}: {document[name]}" for name in names)
    print_document(document, session.output, lambda: [f"{document['path']} is valid ({counts})."])


@config.command()
@with_session
def show(session: Session) -> None:
    """Show every setting with its value and where that came from; secrets are masked."""
    from callrec.settings import explain  # noqa: PLC0415  with the settings, see Session.settings

    items = [{"key": one.key, "value": one.value, "origin": one.origin} for one in explain(session.settings)]
    if session.output is Output.ID:
        for item in items:
            click.echo(item["key"])
        return
    print_items(items, session.output, _COLUMNS, empty="Nothing is set.")
