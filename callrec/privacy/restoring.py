"""What a person must know after a restore, read without keys: how the restored catalogue and the ledger differ.

It may lack promises that were made after the backup, and keep others that were lifted after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from callrec.catalogue.restoring import missing_promises, promises_in_force
from callrec.errors import CallrecError
from callrec.vault.ledger_entries import BEGINNING, PROMISES, Entry, parse
from callrec.vault.ledger_index import LedgerIndex


@dataclass(frozen=True, slots=True)
class Differences:
    """Promises by kind, by their random ids."""

    lost: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Made after the backup: nobody keeps them any more."""
    revived: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Lifted after the backup: they are kept again, until somebody lifts them again."""


def differences(catalogue: Path, ledgers: Sequence[Path]) -> Differences:
    """Return in what a catalogue differs from the longest of some ledgers.

    Signatures are not checked here: the recorder does that before it serves anybody.

    Raises:
        CallrecError: if the catalogue cannot be read.
    """
    ledger = max(map(_read, ledgers), key=lambda found: found.n, default=_Ledger())
    if not ledger.n:
        return Differences()
    live = {kind: list(ids) for kind, ids in ledger.index.live.items() if ids}
    engine = create_engine(URL.create("sqlite", database=str(catalogue)))
    try:
        with engine.connect() as connection:
            return Differences(
                missing_promises(connection, live), revived(promises_in_force(connection), ledger.lifted)
            )
    except SQLAlchemyError as error:
        raise CallrecError(f"catalogue {catalogue}: cannot be read ({error})") from error
    finally:
        engine.dispose()


def revived(in_force: Mapping[str, Sequence[str]], lifted: Collection[str]) -> dict[str, list[str]]:
    """Return those of the promises in force that the ledger knows as lifted, by kind."""
    both = {kind: [one for one in ids if one in lifted] for kind, ids in in_force.items()}
    return {kind: ids for kind, ids in both.items() if ids}


@dataclass(slots=True)
class _Ledger:
    n: int = 0
    index: LedgerIndex = field(default_factory=LedgerIndex)
    lifted: set[str] = field(default_factory=set)


def _read(path: Path) -> _Ledger:
    """Return how many entries follow each other in a ledger, and what they say."""
    ledger = _Ledger()
    try:
        for entry in _entries(path):
            ledger.n = entry.n
            ledger.index.add(entry)
            if entry.kind in PROMISES and entry.body["what"] == "lifted":
                ledger.lifted.add(entry.body["id"])
    except OSError:
        return _Ledger()
    return ledger


def _entries(path: Path) -> Iterator[Entry]:
    newest = Entry(0, "", "", {}, "", BEGINNING, "")
    with path.open("rb") as file:
        for line in file:
            entry = parse(line.rstrip(b"\n"))
            if entry is None or not entry.follows(newest.n, newest.hash):
                return
            yield entry
            newest = entry
