"""`callrec integrate`."""

from __future__ import annotations

import click

from callrec.console.options import Command, Output
from callrec.console.output import print_document
from callrec.console.session import Session, with_session

SYSTEMS = ("asterisk", "freepbx", "freeswitch", "kamailio")


@click.command(cls=Command)
@click.argument("system", type=click.Choice(SYSTEMS))
@click.option("--pbx", metavar="NAME", help="The [[peer]] that is the PBX; needed where there are several.")
@click.option("--trunk", metavar="NAME", help="The [[peer]] that is the trunk; needed where there are several.")
@click.option("--edge", metavar="HOST:PORT", help="Kamailio's own address; by default this machine's, port 5060.")
@with_session
def integrate(session: Session, system: str, pbx: str | None, trunk: str | None, edge: str | None) -> None:
    """Print what a PBX or proxy needs to send calls through this recorder, for the addresses of this machine.

    Nothing is changed. Each text also says how calls go around a recorder that does not answer.
    """
    from callrec.console.integration import integration  # noqa: PLC0415  only this command needs the templates

    text = integration(session.settings, system, pbx=pbx, trunk=trunk, edge=edge)
    if session.output is Output.TABLE:
        click.echo(text, nl=False)
        return
    print_document({"system": system, "text": text}, session.output, lambda: [text])
