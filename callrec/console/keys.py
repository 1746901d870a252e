"""`callrec keys`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from callrec.console.export import new_file
from callrec.console.keyring import CATALOGUE, KEYRING, open_keyring
from callrec.console.options import Group
from callrec.console.output import print_document
from callrec.console.session import Session, with_session
from callrec.errors import ExitCode, OperatorError

if TYPE_CHECKING:
    from callrec.settings import Settings

_FOLDER_MODE = 0o700


@click.group(cls=Group)
def keys() -> None:
    """Make, check, rotate and back up the keys of the store."""


@keys.command()
@with_session
def init(session: Session) -> None:
    """Make the master key and the keyring of a new store.

    Never over an old store: its recordings would be lost. Keep a copy of the master key apart from the backups of the
    recordings.
    """
    settings = session.settings
    _refuse_old_store(settings)
    made_key = _make_keys(settings)
    document = {
        "master_key_file": str(settings.keys.master_key_file),
        "master_key_made": made_key,
        "keyring": str(settings.paths.state / KEYRING),
    }
    verb = "made" if made_key else "found and used"
    lines = (
        f"Master key {verb}: {document['master_key_file']}",
        f"Keyring made:    {document['keyring']}",
        "Keep a copy of the master key in another place: without it every recording is lost.",
    )
    print_document(document, session.output, lambda: lines)


@keys.command()
@with_session
def check(session: Session) -> None:
    """Check that the master key opens the keyring."""
    keyring = open_keyring(session.settings)
    keyring.close()
    key, path = session.settings.keys.master_key_file, session.settings.paths.state / KEYRING
    document = {"master_key_file": str(key), "keyring": str(path), "opens": True}
    print_document(document, session.output, lambda: [f"{key} opens {path}."])


@keys.command()
@click.option("--to", metavar="FILE", type=click.Path(path_type=Path), help="Where to; otherwise standard output.")
@with_session
def public(session: Session, to: Path | None) -> None:
    """Write the public key that proves this recorder's ledger and certificates (Ed25519, PEM)."""
    keyring = open_keyring(session.settings)
    seed = keyring.system_key("signing")
    keyring.close()
    text = _public_pem(seed)
    if to is None:
        click.echo(text.decode(), nl=False)
        return
    with new_file(to) as file:
        file.write(text)
    to.chmod(0o644)
    print_document({"path": str(to)}, session.output, lambda: [f"Public key written: {to}"])


@keys.command()
@click.option(
    "--key", metavar="FILE", type=click.Path(path_type=Path), help="The master key, where systemd hands it over."
)
@click.option("--forget-old", is_flag=True, help="Remove the old key at once: older backups cannot be read any more.")
@with_session
def rotate(session: Session, key: Path | None, *, forget_old: bool) -> None:
    """Make a new master key and wrap every key of the store under it; the recorder must not run.

    The old key is kept beside the new one, because backups made before need it; remove it when they are gone.
    """
    from callrec.clock import SystemClock  # noqa: PLC0415  see above
    from callrec.console.restoring import held  # noqa: PLC0415
    from callrec.vault.key_rotation import rotate as rotate_key  # noqa: PLC0415

    settings = session.settings
    file, keyring = key or settings.keys.master_key_file, settings.paths.state / KEYRING
    _refuse_missing(keyring)
    session.confirm(f"Wrap every key of {keyring} under a new master key?")
    with held(settings.paths.state):
        kept, count = rotate_key(file, keyring, SystemClock().now())
    if forget_old:
        kept.unlink()
    document = {"master_key_file": str(file), "keys": count, "old_key": None if forget_old else str(kept)}
    old = "The old key is gone; make a backup now." if forget_old else f"Old key kept for older backups: {kept}"
    lines = (
        f"{count} keys are wrapped under the new master key in {file}.",
        old,
        "Keep a copy of the new key in another place: without it every recording is lost.",
    )
    print_document(document, session.output, lambda: lines)


@keys.command()
@click.option("--to", metavar="DIR", required=True, help="The backup's folder; the recorder's user writes there.")
@with_session
def backup(session: Session, to: str) -> None:
    """Copy the keyring alone, without the master key, as a set that must be gone after 14 days."""
    from callrec.console.backup import make_backup  # noqa: PLC0415  see above

    made = make_backup(session, to, keys_only=True)
    lines = (f"Keyring copied: {made['id']} in {made['to']}", f"It must be gone by {made['expires_at']}.")
    print_document(made, session.output, lambda: lines)


def _refuse_missing(keyring: Path) -> None:
    if not keyring.exists():
        message = f"keyring {keyring}: no such file; run `callrec keys init`, or restore the keyring from a backup"
        raise OperatorError(message, exit_code=ExitCode.INTEGRITY)


def _refuse_old_store(settings: Settings) -> None:
    """Refuse where anything encrypted lies that a new key could not open."""
    recordings = settings.paths.recordings
    old = [settings.paths.state / name for name in (KEYRING, CATALOGUE)]
    found = next(
        (path for path in (*old, *recordings.rglob("*.crec"), *recordings.rglob("*.partial")) if path.exists()), None
    )
    if found is None:
        return
    key = settings.keys.master_key_file
    if key.exists():
        message = f"{found} is there already: the store has its keys, and nothing was changed; callrec keys check"
    else:
        message = f"{found} belongs to an older master key: put that key back at {key}, or move the old store away"
    raise OperatorError(message, exit_code=ExitCode.INTEGRITY)


def _make_keys(settings: Settings) -> bool:
    """Make the keyring, and the master key unless it is there; say whether it was made."""
    from callrec.vault.keyring import Keyring  # noqa: PLC0415  see above
    from callrec.vault.master_key import MasterKey  # noqa: PLC0415

    key_path, keyring_path = settings.keys.master_key_file, settings.paths.state / KEYRING
    _make_folders(key_path.parent, settings.paths.state)
    made = not key_path.exists()
    master_key = MasterKey.create(key_path) if made else MasterKey.load(key_path)
    Keyring.open(keyring_path, master_key, create=True, pool_calls=0).close()
    _give_to_owner([key_path, keyring_path] if made else [keyring_path], settings.paths.state)
    return made


def _make_folders(*folders: Path) -> None:
    for folder in folders:
        try:
            folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        except OSError as error:
            message = f"{folder} cannot be made ({error.strerror}); make it, owned by the recorder's user"
            raise OperatorError(message) from None


def _give_to_owner(paths: list[Path], state: Path) -> None:
    """Let root make keys that the recorder's own user, the owner of the state folder, can read."""
    owner = state.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        for path in paths:
            os.chown(path, owner.st_uid, owner.st_gid)


def _public_pem(seed: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  see above
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

    public_key = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
