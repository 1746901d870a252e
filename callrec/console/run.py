"""`callrec run`: the composition root, the only module of the console that knows the recorder."""

from __future__ import annotations

import click

from callrec.console.options import Command
from callrec.console.session import Session, with_session


@click.command(cls=Command)
@with_session
def run(session: Session) -> int:
    """Run the recorder in the foreground, until SIGTERM.

    The first SIGTERM lets live calls run on to the limit; a second one seals them now. SIGHUP reads the configuration
    again.
    """
    settings = session.settings
    from callrec.recorder.service import main  # noqa: PLC0415  half a second that only `run` pays

    return main(settings)
