"""`callrec export`."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click

from callrec.console.call_views import SHORT_ID
from callrec.console.fetch import Fetched, fetch
from callrec.console.options import Command
from callrec.console.output import Column, print_items
from callrec.console.progress import progress_bar
from callrec.console.session import Session, say, with_session
from callrec.errors import CallrecError, ExitCode, OperatorError

FORMATS = ("wav", "flac", "mp3", "opus", "pcapng")

_COLUMNS = (
    Column("ID", lambda item: item["call_id"], brief=lambda item: str(item["call_id"])[:SHORT_ID]),
    Column("FILE", lambda item: item["path"], text=True),
    Column("BYTES", lambda item: str(item["bytes"]), right=True),
)


@click.command(cls=Command)
@click.argument("calls", metavar="ID...", nargs=-1, required=True)
@click.option(
    "--format", "audio_format", type=click.Choice(FORMATS), default="wav", show_default=True, help="Of what kind."
)
@click.option(
    "--to", metavar="PLACE", default=".", show_default=True, help="A file, a folder, or - for standard output."
)
@with_session
def export(session: Session, calls: tuple[str, ...], audio_format: str, to: str) -> int:
    """Write recordings as files; what is exported is no longer protected by callrec."""
    if to == "-":
        _export_to_stdout(session, calls, audio_format)
        return ExitCode.DONE
    target = _target(to, len(calls))
    written: list[dict[str, Any]] = []
    code = ExitCode.DONE
    for call in calls:
        try:
            written.append(_export_one(session, call, audio_format, target))
        except CallrecError as error:
            if len(calls) == 1:
                raise
            say(f"callrec: {call}: {error}")
            code = code or _code_of(error)
    print_items(written, session.output, _COLUMNS, empty="Nothing was written.")
    return code


def _code_of(error: CallrecError) -> ExitCode:
    if isinstance(error, OperatorError):
        return error.exit_code
    return ExitCode.INTEGRITY


def _export_one(session: Session, call: str, audio_format: str, target: Path) -> dict[str, Any]:
    with fetch(session.client, call, audio_format, session.options.reason) as fetched:
        path = target / f"{Path(fetched.call_id).name}.{audio_format}" if target.is_dir() else target
        with new_file(path) as file:
            _copy(fetched, file)
    _warn(fetched)
    return {"call_id": fetched.call_id, "path": str(path), "bytes": fetched.size}


def _export_to_stdout(session: Session, calls: tuple[str, ...], audio_format: str) -> None:
    if len(calls) != 1:
        raise OperatorError("--to -: found several ids, expected one; name a folder", exit_code=ExitCode.USAGE)
    if sys.stdout.isatty():
        message = "--to -: standard output is a terminal, which shows no sound; send it to a program or a file"
        raise OperatorError(message, exit_code=ExitCode.USAGE)
    with fetch(session.client, calls[0], audio_format, session.options.reason) as fetched:
        _copy(fetched, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    _warn(fetched)


def _copy(fetched: Fetched, file: BinaryIO) -> None:
    done = 0
    with progress_bar(f"writing {fetched.call_id[:8]}") as advance:
        for piece in fetched.pieces:
            file.write(piece)
            done += len(piece)
            advance(done / fetched.size)


def _warn(fetched: Fetched) -> None:
    for warning in fetched.warnings:
        say(f"callrec: {fetched.call_id[:8]}: {warning}")


def _target(to: str, count: int) -> Path:
    path = Path(to)
    if path.is_dir():
        return path
    if to.endswith("/") or count > 1:
        if path.exists():
            message = f"--to: found the file {to}, expected a folder for {count} recordings"
            raise OperatorError(message, exit_code=ExitCode.USAGE)
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise _unwritable(path, error) from None
    return path


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file, for this user only, that takes its name when the block has ended well, and else leaves no trace.

    Raises:
        OperatorError: if it cannot be written.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            aside.rename(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> OperatorError:
    return OperatorError(f"{path} cannot be written ({error.strerror}); name another place with --to")
