"""The `callrec` command: names of commands, and how errors end a run. Everything else is imported when it is called."""

from __future__ import annotations

import os
import sys

import click

from callrec import __version__
from callrec.console.options import Group, Lazy
from callrec.errors import CallrecError, ExitCode, IntegrityError, OperatorError

COMMANDS = {
    "run": Lazy("run:run", "Run the recorder in the foreground."),
    "status": Lazy("status:status", "Show how the recorder is; exit code 1 while there is a problem."),
    "doctor": Lazy("doctor:doctor", "Check this machine and the configuration, and say how to mend what is wrong."),
    "calls": Lazy("live:calls", "List the calls in progress, or pause, resume or stop the recording of one."),
    "find": Lazy("find:find", "Find calls by number, time, direction and outcome."),
    "show": Lazy("find:show", "Show all that is kept about one call."),
    "trace": Lazy("trace:trace", "Show the SIP messages of a call on both legs, and what became of its media."),
    "play": Lazy("play:play", "Play a recording, and show both levels over time."),
    "export": Lazy("export:export", "Write recordings as WAV, FLAC, MP3, Opus or pcapng."),
    "delete": Lazy("delete:delete", "Delete calls for good, after showing what will go."),
    "relationship": Lazy("relationship:relationship", "Say who the outside parties are, and how long they are ours."),
    "retention": Lazy("retention:retention", "See and decide how long calls are kept."),
    "request": Lazy("request:request", "Keep track of requests for deletion, and carry them out."),
    "stop": Lazy("stop:stop", "Never record somebody again, at their wish."),
    "hold": Lazy("hold:hold", "Keep calls from every erasure, for a legal claim or a request for access."),
    "restriction": Lazy("hold:restriction", "Keep calls unused at a person's wish."),
    "audit": Lazy("audit:audit", "Read who did what, and check that nobody has changed it since."),
    "integrate": Lazy("integrate:integrate", "Print what a PBX or proxy needs to send calls through this recorder."),
    "setup": Lazy("setup:setup", "Ask what a privacy notice leaves open, and write it into the configuration."),
    "keys": Lazy("keys:keys", "Make, check, rotate and back up the keys of the store."),
    "notice": Lazy("notices:notice", "List recording notices and take new ones in."),
    "config": Lazy("config:config", "Check and show the configuration."),
    "events": Lazy("events:events", "Read the events that the recorder has told."),
    "backup": Lazy("backup:backup", "Make, verify and restore backups."),
    "store": Lazy("store:store", "Verify that every recording is whole and readable."),
}

_INTERRUPTED = 130
"""What a shell gives a program ended by Ctrl-C."""


@click.group(cls=Group, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="callrec %(version)s")
def callrec() -> None:
    """Record telephone calls, and find, play, export and delete what was recorded.

    An ID is a call id, a recording id, a call reference, or a unique beginning of an id. Times are those of [org]
    timezone; in JSON they are UTC.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command and end the process with the exit code of contract.md."""
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        result = callrec.main(arguments, prog_name="callrec", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return ExitCode.USAGE
    except click.ClickException as error:
        return _told(error.format_message(), ExitCode.FAILED)
    except CallrecError as error:
        return _told(str(error), code_of(error))
    except (click.Abort, KeyboardInterrupt):
        return _told("interrupted", _INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not complain of it when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    return int(result) if isinstance(result, int) else ExitCode.DONE


def code_of(error: CallrecError) -> ExitCode:
    """Return the exit code of an error."""
    if isinstance(error, OperatorError):
        return error.exit_code
    return ExitCode.INTEGRITY if isinstance(error, IntegrityError) else ExitCode.FAILED


def _told(message: str, code: int) -> int:
    click.echo(f"callrec: {message}", err=True)
    return code
