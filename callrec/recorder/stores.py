"""The stores a call is kept in: keyring, catalogue, reserve journal, ledger; each may be missing, and calls go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callrec.catalogue.catalogue import Catalogue, Options
from callrec.catalogue.errors import StorageUnavailable
from callrec.catalogue.sealer import NoKeys, Sealer
from callrec.catalogue.values import CallEnd, Event, Item, NewCall, NumbersMode
from callrec.clock import Clock
from callrec.errors import CallrecError
from callrec.recorder.health import Code, Health
from callrec.recorder.new_rows import new_row
from callrec.recorder.rows import Row
from callrec.settings import Settings
from callrec.vault.keyring import CallKeys, Keyring
from callrec.vault.keyring_errors import KeysUnavailable, LedgerUnavailable
from callrec.vault.ledger import Ledger
from callrec.vault.master_key import MasterKey

if TYPE_CHECKING:
    from callrec.recorder.live_call import LiveCall

log = logging.getLogger("callrec.stores")

KEYRING, CATALOGUE, LEDGER, JOURNAL = "keyring.db", "catalogue.db", "ledger", "reserve.journal"


class Stores:
    """What is written about calls, and what opens it. Made by `open_stores`."""

    def __init__(
        self, settings: Settings, catalogue: Catalogue, keyring: Keyring | None, ledger: Ledger | None
    ) -> None:
        self._settings = settings
        self.catalogue = catalogue
        self.keyring = keyring
        self.ledger = ledger

    def take_call_keys(self) -> CallKeys | None:
        """Return the two keys of a new call, or None where there are none: the call is not recorded then."""
        if self.keyring is None:
            return None
        try:
            return self.keyring.take_call_keys()
        except KeysUnavailable as error:
            log.warning("no keys for a new call: %s", error)
            return None

    def new_row(self, call: LiveCall) -> Row:
        """Return the row that a call begins with."""
        recordable = call.notice is not None and call.keys is not None
        return Row(self.catalogue, self, new_row(call, recordable=recordable), call.tasks)

    async def keep_open(self, new: NewCall) -> None:
        """Keep a call that begins while the catalogue cannot."""

    async def keep_end(self, new: NewCall, end: CallEnd) -> None:
        """Keep how a call ended while the catalogue cannot."""

    async def tell(self, event: Event) -> None:
        """Tell an event that is about no call; without a catalogue it is only in the log."""
        try:
            await self.catalogue.tell([event])
        except StorageUnavailable as error:
            log.warning("%s/%s could not be told: %s", event.noun, event.verb, error)

    async def look(self, health: Health) -> None:
        """Turn what is wrong with the stores into problems."""
        problem = self.catalogue.problem
        health.set(Code.STORAGE_UNAVAILABLE, problem.text if problem else None, about="catalogue")
        if self.ledger is not None:
            health.set(Code.LEDGER, "; ".join(self.ledger.problems) or None)

    async def put_right(self) -> None:
        """Finish what a crash left undone."""

    async def discard_audio(self, call: LiveCall) -> None:
        """Destroy the audio key of a live call, and tell."""

    async def close(self) -> None:
        """Close every store, the last opened first."""
        await self.catalogue.close()
        if self.keyring is not None:
            self.keyring.close()


async def open_stores(settings: Settings, clock: Clock, health: Health) -> Stores:
    """Open what can be opened; what cannot is a problem in `status`, and calls pass unrecorded."""
    state = settings.paths.state
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    keyring = await asyncio.to_thread(_open_keyring, settings, health)
    ledger = await asyncio.to_thread(_open_ledger, settings, keyring, clock, health) if keyring else None
    options = Options(node=settings.node.id, numbers=NumbersMode(settings.event_numbers.value), clock=clock)
    catalogue = await Catalogue.open(state / CATALOGUE, keyring or NoKeys(), options)
    return Stores(settings, catalogue, keyring, ledger)


def _open_keyring(settings: Settings, health: Health) -> Keyring | None:
    try:
        master_key = MasterKey.load(settings.keys.master_key_file)
        return Keyring.open(settings.paths.state / KEYRING, master_key, create=False)
    except (CallrecError, OSError) as error:
        health.raise_problem(Code.KEYS_UNAVAILABLE, str(error))
        return None


def _open_ledger(settings: Settings, keyring: Keyring, clock: Clock, health: Health) -> Ledger | None:
    copy = settings.privacy.ledger_copy
    try:
        return Ledger.open(settings.paths.state / LEDGER, copy, keyring.system_key("signing"), clock)
    except (LedgerUnavailable, CallrecError) as error:
        health.raise_problem(Code.LEDGER, str(error))
        return None
