"""`callrec run`: the composition root, the only module of the console that knows the recorder and the API."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING

import click

from callrec.console.options import Command
from callrec.console.session import Session, with_session

if TYPE_CHECKING:
    from callrec.api.server import ApiServer
    from callrec.recorder.desk import Desk


@click.command(cls=Command)
@with_session
def run(session: Session) -> int:
    """Run the recorder in the foreground, until SIGTERM.

    The first SIGTERM lets live calls run on to the limit; a second one seals them now. SIGHUP reads the configuration
    again.
    """
    # Half a second that only `run` pays.
    from callrec.recorder.garbage import collect_little_while_starting  # noqa: PLC0415

    collect_little_while_starting()
    from callrec.recorder.service import Service  # noqa: PLC0415
    from callrec.recorder.threads import take_short_turns  # noqa: PLC0415
    from callrec.settings import load  # noqa: PLC0415

    take_short_turns()
    _log_to_stderr()
    settings = session.settings

    def make_server(desk: Desk) -> ApiServer:
        # Another half, paid while the media workers start.
        from callrec.api.app import create_app  # noqa: PLC0415
        from callrec.api.server import ApiServer  # noqa: PLC0415

        return ApiServer(create_app(desk, roles=lambda: desk.settings.roles), settings.api.socket)

    service = Service(settings, reload=lambda: load(session.config, os.environ), make_server=make_server)
    return asyncio.run(service.run())


def _log_to_stderr() -> None:
    """Log to standard error: systemd's journal adds the time itself, a terminal gets one."""
    form = "%(levelname)s %(name)s: %(message)s"
    if not os.environ.get("JOURNAL_STREAM"):
        form = f"%(asctime)s {form}"
    logging.basicConfig(level=os.environ.get("CALLREC_LOG", "INFO").upper(), format=form, stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)
