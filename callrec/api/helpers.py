"""Helper processes: heavy work never runs in the recorder. One job each; the job comes by a pipe, never as argument."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from typing import Any, cast

from callrec.errors import CallrecError, ExitCode, IntegrityError, OperatorError
from callrec.tasks import Tasks

HELPERS_AT_ONCE = 2
"""Processes; more would take the second core from the media workers."""

ANSWERS_AT_ONCE = 6
"""Rendered recordings in memory at once, those being sent included: an hour of stereo is 115 MB."""

_LONGEST_LINE = 1_048_576
_NOT_FOR_HELPERS = ("CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS")

Tell = Callable[[Mapping[str, Any]], None]


class Helpers:
    """Runs helper processes, a few at once; whoever waits longer than he likes may simply go."""

    def __init__(self) -> None:
        self._processes = asyncio.Semaphore(HELPERS_AT_ONCE)
        self._answers = asyncio.Semaphore(ANSWERS_AT_ONCE)

    @contextlib.asynccontextmanager
    async def answer(self) -> AsyncIterator[int]:
        """Give a place in memory for an answer (a memfd: no name on any disk), freed at the end."""
        async with self._answers:
            descriptor = os.memfd_create("callrec-answer", os.MFD_CLOEXEC)
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    async def run(self, module: str, jobs: AsyncIterable[str], tell: Tell, *, output: int | None = None) -> None:
        """Run one helper to its end; each line it says is given to `tell`. Cancelling ends the process.

        Args:
            module: what is run, as `python -m module`; it makes itself nice.
            jobs: JSON texts for its standard input, one a line.
            tell: takes each JSON object that it prints, in order.
            output: an open file it writes into; the same number is valid in the helper.

        Raises:
            CallrecError: as the helper says, or if it ended without saying how.
        """
        async with self._processes:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", module),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LONGEST_LINE,
                pass_fds=() if output is None else (output,),
                env={name: value for name, value in os.environ.items() if name not in _NOT_FOR_HELPERS},
            )
            _let_calls_go_first(process.pid)
            tasks = Tasks("helper")
            feeding = tasks.start("jobs", _hand_over(process, jobs))
            try:
                await _listen(process, tell)
                await process.wait()
                if feeding.done():
                    feeding.result()  # raises what kept the jobs from coming
            finally:
                await tasks.stop()
                await _end(process)
        if process.returncode != 0:
            raise CallrecError("the helper process ended before its work was done; the recorder's log says why")


def _let_calls_go_first(pid: int) -> None:
    """Give a helper only the processor time that nobody else wants: set-up of calls must not wait for an export.

    Done from here, so that its imports count too. Where the scheduler refuses, the helper is still nice.
    """
    with contextlib.suppress(OSError):
        os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))


async def one(job: str) -> AsyncIterator[str]:
    """Give a single job."""
    yield job


async def _hand_over(process: asyncio.subprocess.Process, jobs: AsyncIterable[str]) -> None:
    pipe = cast("asyncio.StreamWriter", process.stdin)
    try:
        async for job in jobs:
            pipe.write(job.encode() + b"\n")
            await pipe.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass  # it ended early, and says why itself
    except Exception:
        # Half the jobs must not look like all of them.
        process.kill()
        raise
    finally:
        pipe.close()


async def _listen(process: asyncio.subprocess.Process, tell: Tell) -> None:
    pipe = cast("asyncio.StreamReader", process.stdout)
    while line := await pipe.readline():
        said = json.loads(line)
        if said.get("type") == "error":
            raise _error_of(said)
        tell(said)


def _error_of(said: Mapping[str, Any]) -> CallrecError:
    code = ExitCode(said.get("exit_code", ExitCode.FAILED))
    if code is ExitCode.INTEGRITY:
        return IntegrityError(said["message"])
    return OperatorError(said["message"], exit_code=code)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await process.wait()
