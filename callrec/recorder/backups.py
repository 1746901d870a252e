"""Backups while the recorder runs: made by a helper process, aged out by a look an hour, and what a restore left."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from callrec.errors import CallrecError, ExitCode, OperatorError
from callrec.privacy.backups import Backups
from callrec.recorder.backup_process import run_job
from callrec.recorder.rounds import keep_on
from callrec.recorder.stores import Stores

log = logging.getLogger("callrec.backups")

_LOOK_EVERY_S = 3600.0

Audit = Callable[[str, str, Mapping[str, Any]], Awaitable[None]]
Tell = Callable[[int], None]


class BackupDesk:
    """What people ask about backups."""

    def __init__(self, stores: Stores, audit: Audit) -> None:
        self._stores = stores
        self._audit = audit

    @property
    def _backups(self) -> Backups:
        if self._stores.backups is None:
            message = "without keyring and ledger there is nothing to back up; `callrec status` says why"
            raise OperatorError(message, exit_code=ExitCode.INTEGRITY)
        return self._stores.backups

    async def create(self, to: str, *, keys_only: bool, actor: str, tell: Tell = lambda _: None) -> dict[str, Any]:
        """Make a backup into a folder; return what was made.

        Args:
            to: the folder, an absolute path as the recorder sees it.
            keys_only: True copies the keyring alone.
            actor: who asks.
            tell: is told how many recordings are done, now and then.

        Raises:
            OperatorError: 2 for a path that is not absolute, 75 while another backup is made there, 1 if it failed.
        """
        folder = Path(to)
        if not folder.is_absolute():
            raise OperatorError(f"to: found {to!r}, expected an absolute path", exit_code=ExitCode.USAGE)
        made = await self._backups.create(folder, partial(run_job, tell=tell), keys_only=keys_only)
        await self._audit(actor, "backup.create", {"set": made["id"], "keys_only": keys_only})
        return made

    async def copies(self) -> list[dict[str, Any]]:
        """Return the copies of keyring and catalogue that are known to exist, the oldest first."""
        await self._backups.look()
        return [copy.as_document() for copy in self._backups.copies()]

    async def accept(self, *, reason: str, actor: str) -> list[str]:
        """Accept, on a person's word, what a restore or an altered ledger left in doubt; return what was accepted.

        Raises:
            OperatorError: 2 without a reason, 7 without a ledger.
        """
        if not reason.strip():
            message = "a reason is expected: what was looked at, and why it is right; callrec backup accept --reason"
            raise OperatorError(message, exit_code=ExitCode.USAGE)
        guard = self._stores.guard
        if guard is None:
            raise OperatorError("the stores are not open; `callrec status` says why", exit_code=ExitCode.INTEGRITY)
        accepted = await guard.accept(actor)
        await self._audit(actor, "backup.accept", {"accepted": accepted, "reason": reason})
        # What a copy of the ledger named is erased again, and what was kept back by the doubt is done.
        self._stores.complete_later()
        return accepted

    async def run(self) -> None:
        """Remove copies whose time is over, for ever."""
        await keep_on(self._look, _LOOK_EVERY_S, "old backups")

    async def _look(self) -> None:
        if self._stores.backups is not None:
            try:
                await self._stores.backups.look()
            except (CallrecError, OSError) as error:
                log.warning("old backups could not be looked at: %s", error)
