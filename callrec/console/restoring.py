"""Backups where no recorder runs: made and restored under the lock of the state folder."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callrec.catalogue.state_lock import StateLock
from callrec.clock import SystemClock
from callrec.console.keyring import CATALOGUE, open_keyring
from callrec.console.store_walk import LOCK
from callrec.errors import OperatorError
from callrec.privacy.backup_job import Order as MakeOrder
from callrec.privacy.backup_job import make
from callrec.privacy.backups import Backups, Node
from callrec.privacy.restoring import Differences, differences
from callrec.vault.backup_restoring import Order, Part, restore
from callrec.vault.ledger import Ledger

if TYPE_CHECKING:
    from callrec.console.session import Session
    from callrec.settings import Settings

LEDGER = "ledger"


def backup_without_recorder(session: Session, folder: Path, *, keys_only: bool) -> dict[str, Any]:
    """Make a backup of a store that nobody uses; return what was made.

    Raises:
        OperatorError: 75 if a recorder uses it, 1 if the backup cannot be made.
    """
    settings = session.settings
    keyring = open_keyring(settings)
    signing_key = keyring.system_key("signing")
    keyring.close()
    with held(settings.paths.state):
        return asyncio.run(_make(settings, signing_key, folder, keys_only=keys_only))


async def _make(settings: Settings, signing_key: bytes, folder: Path, *, keys_only: bool) -> dict[str, Any]:
    clock, state = _clock(settings), settings.paths.state
    ledger = Ledger.open(state / LEDGER, settings.privacy.ledger_copy, signing_key, clock, fresh=False)
    try:
        node = Node(settings.node.id, state, settings.paths.recordings)
        return await Backups(node, ledger, signing_key, clock).create(folder, _run, keys_only=keys_only)
    finally:
        ledger.close()
        _give_to_owner(state)


async def _run(order: MakeOrder) -> Mapping[str, Any]:
    return await asyncio.to_thread(make, order, lambda _: None)


def restore_backup(session: Session, folder: Path, *, set_id: str, only: str | None, force: bool) -> dict[str, Any]:
    """Restore a backup into the configured folders; return what was restored, what is lost, and what came back.

    Raises:
        OperatorError: 75 if a recorder runs, 5 if something is there, 3 if there is no such set.
        IntegrityError: if the set is not whole.
    """
    settings = session.settings
    state, copy = settings.paths.state, settings.privacy.ledger_copy
    order = Order(folder, state, settings.paths.recordings, copy, Part(only or Part.ALL), set_id, force, _user())
    _make_folders(state, settings.paths.recordings)
    with held(state):
        try:
            restored = restore(order, _clock(settings).now())
        except OSError as error:
            message = (
                f"{error.filename or state}: cannot be read or written ({error.strerror}); mend it and repeat this"
            )
            raise OperatorError(message) from error
        catalogue = state / CATALOGUE
        found = differences(catalogue, [state / LEDGER, copy]) if catalogue.exists() else Differences()
    return {
        "set": restored.set_id,
        "made_at": restored.made_at.isoformat().replace("+00:00", "Z"),
        "recordings": restored.recordings,
        "ledger": restored.ledger,
        "lost": dict(found.lost),
        "revived": dict(found.revived),
    }


@contextmanager
def held(state: Path) -> Iterator[None]:
    """Hold the lock of a state folder, so that no recorder starts meanwhile.

    Raises:
        OperatorError: 75 while a recorder runs.
    """
    lock = StateLock.acquire(state / LOCK)
    try:
        yield
    finally:
        _give_to_owner(state)
        lock.release()


def _user() -> str:
    """Return the account of who types; its number where it has no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _clock(settings: Settings) -> SystemClock:
    return SystemClock.of_environment(test_node=settings.node.test)


def _make_folders(*folders: Path) -> None:
    for folder in folders:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            message = f"{folder} cannot be made ({error.strerror}); make it, owned by the recorder's user"
            raise OperatorError(message) from None


def _give_to_owner(state: Path) -> None:
    """Let root leave nothing in the state folder that the recorder's own user cannot read."""
    owner = state.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        for path in state.iterdir():
            shutil.chown(path, owner.st_uid, owner.st_gid)
