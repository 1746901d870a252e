"""`callrec keys`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from callrec.console.export import new_file
from callrec.console.options import Group
from callrec.console.output import print_document
from callrec.console.session import Session, with_session
from callrec.errors import ExitCode, OperatorError

if TYPE_CHECKING:
    from callrec.settings import Settings
    from callrec.vault.keyring import Keyring

KEYRING = "keyring.db"
CATALOGUE = "catalogue.db"
_FOLDER_MODE = 0o700


@click.group(cls=Group)
def keys() -> None:
    """Make and check the keys of the store."""


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


def open_keyring(settings: Settings) -> Keyring:
    """Return the keyring, for reading.

    Raises:
        OperatorError: with exit code 7, if the master key or the keyring is not there.
        IntegrityError: if they do not belong together.
    """
    from callrec.vault.keyring import Keyring  # noqa: PLC0415  ciphers that only these commands need
    from callrec.vault.master_key import MasterKey  # noqa: PLC0415

    master_key = MasterKey.load(settings.keys.master_key_file)
    return Keyring.open(settings.paths.state / KEYRING, master_key, create=False, pool_calls=0)


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
