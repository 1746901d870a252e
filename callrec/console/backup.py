"""`callrec backup`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from callrec.console.call_views import TO_THE_MINUTE, local
from callrec.console.options import Group, Output
from callrec.console.output import Column, compact, pretty, print_document, print_items, print_table
from callrec.console.session import Session, say, with_session
from callrec.errors import CallrecError, ExitCode, OperatorError

Json = dict[str, Any]

_FINDINGS = (
    Column("STATE", lambda item: str(item["state"])),
    Column("WHAT", lambda item: str(item["path"])),
    Column("FOUND", lambda item: str(item["found"]), text=True),
)


@click.group(cls=Group)
def backup() -> None:
    """Make, verify and restore backups; the master key is in none of them."""


@backup.command()
@click.option("--to", metavar="DIR", required=True, help="The backup's folder; the recorder's user writes there.")
@with_session
def create(session: Session, to: str) -> None:
    """Make a backup, or bring one up to date, while calls go on.

    Recordings are added to DIR/recordings; catalogue and keyring become a new set of their own, and sets older than
    13 days are removed: what is erased must be gone from every copy in time.
    """
    made = make_backup(session, to, keys_only=False)
    print_document(made, session.output, lambda: _made_lines(made, session))


@backup.command("list")
@with_session
def list_copies(session: Session) -> None:
    """List the copies of catalogue and keyring that are known to exist."""
    columns = (
        Column("ID", lambda item: str(item["id"])),
        Column("MADE", lambda item: local(item["made_at"], session.zone, TO_THE_MINUTE)),
        Column("GOES", lambda item: local(item["goes_at"], session.zone, TO_THE_MINUTE)),
        Column("WHERE", lambda item: str(item["where"] or "unknown"), text=True),
    )
    items = session.client.get("backups")["items"]
    print_items(items, session.output, columns, empty="No copy is known.")


@backup.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@with_session
def verify(session: Session, folder: Path) -> int:
    """Compare every file of a backup with its hash; exit code 7 if anything is missing or damaged.

    Signatures are checked too where the master key is at hand. A set that is too old is told, and is no failure.
    """
    from callrec.clock import SystemClock  # noqa: PLC0415  ciphers and databases that only this needs
    from callrec.vault.backup_verifying import verify_backup  # noqa: PLC0415

    findings = []
    for finding in verify_backup(folder, _public_key(session), SystemClock().now()):
        item = {"path": finding.path, "state": finding.state, "found": finding.found}
        findings.append((finding.bad, item))
        if session.output is Output.JSONL:
            click.echo(compact(item))
    bad = any(is_bad for is_bad, _ in findings)
    _print_findings([item for _, item in findings], bad, session)
    return ExitCode.INTEGRITY if bad else ExitCode.DONE


@backup.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--set", "set_id", default="", metavar="ID", help="Which set, by the beginning of its name; the newest.")
@click.option(
    "--only", type=click.Choice(["database", "recordings"]), help="Restore catalogue and keyring, or the files, alone."
)
@click.option("--force", is_flag=True, help="Replace what is there.")
@with_session
def restore(session: Session, folder: Path, set_id: str, only: str | None, *, force: bool) -> None:
    """Bring a backup back into the configured folders; the recorder must not run.

    What was erased since is erased again when the recorder starts, before anything is shown: the ledger is never
    restored over a newer one. Promises that the ledger names and the backup lacks are listed: enter them again.
    """
    from callrec.console.restoring import restore_backup  # noqa: PLC0415  databases that only this needs

    document = restore_backup(session, folder, set_id=set_id, only=only, force=force)
    print_document(document, session.output, lambda: _restored_lines(document, session))


@backup.command()
@with_session
def accept(session: Session) -> None:
    """Accept the ledger as it is after a loss, and promises that a restored catalogue lacks as lost.

    Only a person can decide that; --reason goes into the audit trail.
    """
    if not session.options.reason.strip():
        message = "--reason is expected: what was looked at, and why it is right"
        raise OperatorError(message, exit_code=ExitCode.USAGE)
    answer = session.client.post("backups", "accept", body={"reason": session.options.reason})
    print_document(answer, session.output, lambda: _accepted_lines(answer))


def make_backup(session: Session, to: str, *, keys_only: bool) -> Json:
    """Let a running recorder make a backup, or make it here where none runs; return what was made."""
    folder = Path(to).absolute()
    answered = False
    try:
        for line in session.client.lines("POST", "backups", to=str(folder), keys_only=keys_only):
            answered = True
            if "set" in line:
                made: Json = line["set"]
                return made
            if session.at_terminal:
                say(f"{line['recordings']} recordings …")
    except OperatorError as error:
        if error.exit_code is not ExitCode.UNREACHABLE or answered:
            raise
    else:
        raise CallrecError("the recorder ended its answer before the backup was made; try again")
    from callrec.console.restoring import backup_without_recorder  # noqa: PLC0415  databases that only this needs

    return backup_without_recorder(session, folder, keys_only=keys_only)


def _public_key(session: Session) -> Any:
    """Return the node's public key where the master key is at hand, None otherwise."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  as above

    from callrec.console.keyring import open_keyring  # noqa: PLC0415  as above

    try:
        keyring = open_keyring(session.settings)
    except CallrecError:
        return None
    seed = keyring.system_key("signing")
    keyring.close()
    return Ed25519PrivateKey.from_private_bytes(seed).public_key()


def _print_findings(items: list[Json], bad: bool, session: Session) -> None:  # noqa: FBT001 - a word of its own
    match session.output:
        case Output.JSON:
            click.echo(pretty({"items": items, "next": None, "verified": not bad}))
        case Output.TABLE:
            print_table(items, _FINDINGS)
            click.echo("NOT VERIFIED" if bad else "Verified.")
        case Output.JSONL:
            pass  # printed as they came
        case _:
            print_items(items, session.output, _FINDINGS, empty="")


def _made_lines(made: Json, session: Session) -> Iterator[str]:
    yield f"Backup made: {made['id']} in {made['to']}"
    yield f"{made['recordings']} recordings, {made['new_recordings']} of them new."
    yield f"Copies of this set must be gone by {local(made['expires_at'], session.zone, TO_THE_MINUTE)}."
    if made["removed"]:
        yield f"Old sets removed: {', '.join(made['removed'])}"
    yield "The master key is not in it: keep a copy of that in another place."


_AGAIN = {
    "stop": "lift it again by callrec stop remove",
    "hold": "lift it again by callrec hold release",
    "restriction": "lift it again by callrec restriction release",
    "request": "it was closed: withdraw it, or answer it again",
}


def _restored_lines(document: Json, session: Session) -> Iterator[str]:
    made = local(document["made_at"], session.zone, TO_THE_MINUTE)
    yield f"Restored: set {document['set']} of {made}, {document['recordings']} recordings brought back."
    if document["ledger"] == "from_backup":
        yield "There was no ledger left: what was erased after this backup may be back. Nothing is shown until"
        yield "  callrec backup accept --reason TEXT"
    for kind, ids in document["lost"].items():
        for one in ids:
            yield f"LOST: {kind} {one} was made after this backup; enter it again"
    if document["lost"]:
        yield "Calls pass unrecorded until each is entered again, or callrec backup accept --reason TEXT."
    for kind, ids in document["revived"].items():
        for one in ids:
            yield f"IN FORCE AGAIN: {kind} {one} was lifted after this backup; {_AGAIN[kind]}"
    yield "Start the recorder: it erases again what was erased since, before anything is shown."


def _accepted_lines(answer: Json) -> Iterator[str]:
    if not answer["accepted"]:
        yield "There was nothing to accept."
    for text in answer["accepted"]:
        yield f"Accepted: {text}"
