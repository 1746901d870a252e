"""What the books of promises write to and read from; each store may be missing, and says so in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from callrec.catalogue.catalogue import Catalogue
from callrec.clock import Clock
from callrec.errors import ExitCode, OperatorError
from callrec.privacy.clocks import local_date
from callrec.privacy.erasing import Eraser
from callrec.settings import Settings
from callrec.vault.keyring import Keyring
from callrec.vault.ledger import Ledger


@dataclass(frozen=True, slots=True)
class PromiseStores:
    """The stores of one node, the configuration in force and the clock."""

    catalogue: Catalogue
    clock: Clock
    settings: Callable[[], Settings]
    """The configuration may be reloaded: ask each time."""
    keyring: Keyring | None = None
    ledger: Ledger | None = None
    eraser: Eraser | None = None

    @property
    def keys(self) -> Keyring:
        """The keyring.

        Raises:
            OperatorError: with exit code 7 where there is none: nothing personal may be kept without a key.
        """
        if self.keyring is None:
            raise _missing("the keyring is not open")
        return self.keyring

    @property
    def tombstones(self) -> Ledger:
        """The ledger.

        Raises:
            OperatorError: with exit code 7 where there is none.
        """
        if self.ledger is None:
            raise _missing("the ledger is not open")
        return self.ledger

    @property
    def erasing(self) -> Eraser:
        """What erases calls.

        Raises:
            OperatorError: with exit code 7 where keyring or ledger are missing.
        """
        if self.eraser is None:
            raise _missing("nothing can be erased without keyring and ledger")
        return self.eraser

    @property
    def zone(self) -> ZoneInfo:
        """Where dates are local."""
        return ZoneInfo(self.settings().org.timezone)

    def now(self) -> datetime:
        """Return the wall clock, aware, in UTC."""
        return self.clock.now()

    def today(self) -> date:
        """Return the local date."""
        return local_date(self.now(), self.zone)


def _missing(what: str) -> OperatorError:
    return OperatorError(f"{what}; `callrec status` says why", exit_code=ExitCode.INTEGRITY)
