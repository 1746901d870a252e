"""What a person must know after a restore, read without keys: the promises that the restored catalogue lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from callrec.catalogue.restoring import missing_promises
from callrec.errors import CallrecError
from callrec.vault.ledger_entries import BEGINNING, Entry, parse
from callrec.vault.ledger_index import LedgerIndex


def lost_promises(catalogue: Path, ledgers: Sequence[Path]) -> Mapping[str, Sequence[str]]:
    """Return the promises that the longest of some ledgers names and a catalogue lacks, by kind.

    Signatures are not checked here: the recorder does that before it serves anybody.

    Raises:
        CallrecError: if the catalogue cannot be read.
    """
    indices = [_index_of(path) for path in ledgers]
    n, index = max(indices, key=lambda found: found[0], default=(0, LedgerIndex()))
    live = {kind: list(ids) for kind, ids in index.live.items() if ids}
    if not n or not live:
        return {}
    engine = create_engine(URL.create("sqlite", database=str(catalogue)))
    try:
        with engine.connect() as connection:
            return missing_promises(connection, live)
    except SQLAlchemyError as error:
        raise CallrecError(f"catalogue {catalogue}: cannot be read ({error})") from error
    finally:
        engine.dispose()


def _index_of(ledger: Path) -> tuple[int, LedgerIndex]:
    """Return how many entries follow each other in a ledger, and what they say."""
    index, newest = LedgerIndex(), Entry(0, "", "", {}, "", BEGINNING, "")
    try:
        with ledger.open("rb") as file:
            for line in file:
                entry = parse(line.rstrip(b"\n"))
                if entry is None or not entry.follows(newest.n, newest.hash):
                    break
                index.add(entry)
                newest = entry
    except OSError:
        return 0, LedgerIndex()
    return newest.n, index
