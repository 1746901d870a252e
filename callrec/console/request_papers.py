"""`callrec request letter` and `callrec request certificate`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from callrec.console.options import Command, Output
from callrec.console.output import pretty, print_document
from callrec.console.session import Session, say, with_session
from callrec.errors import ExitCode, IntegrityError, OperatorError

KINDS = ("acknowledgement", "completion", "refusal", "extension")
_MODE = 0o600
_STANDARD_OUTPUT = Path("-")


@click.command(cls=Command)
@click.argument("request_id", metavar="ID")
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--to", metavar="FILE", type=click.Path(path_type=Path), help="Where to; otherwise standard output.")
@with_session
def letter(session: Session, request_id: str, kind: str, to: Path | None) -> None:
    """Write a letter to the person, as text: it cites the law in force and names no telephone number."""
    document = session.client.get("requests", request_id, "letters", kind)
    if to is not None and to != _STANDARD_OUTPUT:
        _write(to, document["text"])
        say(f"Letter written: {to}")
        return
    print_document(document, session.output, lambda: [document["text"].rstrip("\n")])


@click.command(cls=Command)
@click.argument("request_id", metavar="[ID]", required=False)
@click.option("--to", metavar="FILE", type=click.Path(path_type=Path), help="Where to; otherwise standard output.")
@click.option("--verify", "verified", metavar="FILE", type=click.Path(path_type=Path), help="A certificate to verify.")
@click.option(
    "--public-key", metavar="FILE", type=click.Path(path_type=Path), help="The recorder's, from callrec keys public."
)
@with_session
def certificate(
    session: Session, request_id: str | None, to: Path | None, verified: Path | None, public_key: Path | None
) -> None:
    """Write the certificate of what was erased, or verify one without a recorder.

    It names nobody. Anybody who has the recorder's public key can verify it: exit code 7 if a word was changed. A key
    inside a certificate is never trusted.
    """
    if verified is not None:
        if request_id is not None or public_key is None:
            raise OperatorError("--verify FILE needs --public-key FILE, and no ID", exit_code=ExitCode.USAGE)
        _verify(session, verified, public_key)
        return
    if request_id is None:
        message = "either an ID, or --verify FILE --public-key FILE is expected"
        raise OperatorError(message, exit_code=ExitCode.USAGE)
    document = session.client.get("requests", request_id, "certificate")
    if to is None or to == _STANDARD_OUTPUT:
        click.echo(pretty(document))
        return
    _write(to, f"{pretty(document)}\n")
    if session.output is not Output.TABLE:
        print_document({"path": str(to)}, session.output, list)
        return
    say(f"Certificate written: {to}; callrec keys public gives the key with which anybody verifies it")


def _verify(session: Session, path: Path, public_key: Path) -> None:
    from callrec.privacy.certificates import verify_certificate  # noqa: PLC0415  ciphers that only this needs

    try:
        document: dict[str, Any] = json.loads(_read(path))
    except ValueError:
        raise IntegrityError(f"{path}: found no JSON, expected a certificate") from None
    verify_certificate(document, _read(public_key))
    found = {"path": str(path), "verified": True}
    print_document(found, session.output, lambda: [f"{path}: the certificate is genuine, and not a word was changed."])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"{path}: found {error.strerror}, expected a file that can be read"
        raise OperatorError(message, exit_code=ExitCode.USAGE) from None


def _write(path: Path, text: str) -> None:
    from callrec.vault.atomic_file import atomic_file  # noqa: PLC0415  only where something is written

    try:
        with atomic_file(path, mode=_MODE) as fd, os.fdopen(os.dup(fd), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OperatorError(f"{path}: cannot be written ({error.strerror})") from None
