"""Runs the helper process that makes a backup: copying and hashing never happen in the recorder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from callrec.errors import CallrecError, ExitCode, OperatorError
from callrec.privacy.backup_job import MODULE, Order

log = logging.getLogger("callrec.backups")

_NOT_FOR_HELPERS = ("CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS")


async def run_job(order: Order, tell: Callable[[int], None] = lambda _: None) -> Mapping[str, Any]:
    """Make a backup in a process of its own; return what it says at its end. Cancelling ends the process.

    Args:
        order: what to back up.
        tell: is told how many recordings are done.

    Raises:
        OperatorError: as the helper says.
        CallrecError: if it ended without saying how.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", MODULE),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,  # the manifest of a set is one line
        env={name: value for name, value in os.environ.items() if name not in _NOT_FOR_HELPERS},
    )
    # Only the time that nobody else wants; where the scheduler refuses, the helper is still nice.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
    try:
        return await _listen(process, order, tell)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()


async def _listen(process: asyncio.subprocess.Process, order: Order, tell: Callable[[int], None]) -> Mapping[str, Any]:
    assert process.stdin is not None, "internal error: a helper without its pipes"
    assert process.stdout is not None, "internal error: a helper without its pipes"
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(order.as_line().encode() + b"\n")
        await process.stdin.drain()
        process.stdin.close()
    while line := await process.stdout.readline():
        said: dict[str, Any] = json.loads(line)
        match said.pop("type"):
            case "progress":
                tell(said["recordings"])
            case "error":
                raise OperatorError(said["message"], exit_code=ExitCode(said["exit_code"]))
            case _:
                return said
    raise CallrecError("the helper process ended before the backup was made; the recorder's log says why")
