"""The stores a call is kept in: keyring, catalogue, reserve journal, ledger; each may be missing, and calls go on."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from callrec.catalogue import Catalogue, NumbersMode, Options, ReserveJournal
from callrec.catalogue.errors import StorageUnavailable
from callrec.catalogue.sealer import NoKeys, Sealer
from callrec.clock import Clock
from callrec.errors import CallrecError, IntegrityError, OperatorError
from callrec.privacy import Eraser
from callrec.recorder.health import Code, Health
from callrec.recorder.new_rows import new_row
from callrec.recorder.rows import Row
from callrec.settings import Settings
from callrec.vault.keyring import CallKeys, Keyring
from callrec.vault.keyring_errors import KeysUnavailable
from callrec.vault.ledger import Ledger
from callrec.vault.master_key import MasterKey

if TYPE_CHECKING:
    from callrec.recorder.live_call import LiveCall

log = logging.getLogger("callrec.stores")

KEYRING, CATALOGUE, LEDGER, JOURNAL = "keyring.db", "catalogue.db", "ledger", "reserve.journal"


class Stores:
    """What is written about calls, and what opens it. Made by `open_stores`."""

    def __init__(
        self, catalogue: Catalogue, keyring: Keyring | None, ledger: Ledger | None, journal: ReserveJournal | None
    ) -> None:
        self.catalogue = catalogue
        self.keyring = keyring
        self.ledger = ledger
        self.journal = journal
        self.eraser: Eraser | None = None
