"""The ledger's copy outside the state folder: met once, then written before the ledger itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from callrec.vault.keyring_errors import LedgerUnavailable
from callrec.vault.ledger_entries import Entry, parse
from callrec.vault.ledger_file import START, Judged, LedgerFile, Verified, sync_folder

log = logging.getLogger("callrec.vault.ledger")


class OutsideCopy:
    """Blocking: the ledger's own thread uses it."""

    def __init__(self, path: Path, key: Ed25519PublicKey) -> None:
        self.file = LedgerFile(path)
        self.forked = False
        """It and the ledger both verify and disagree: neither is changed until somebody has decided."""
        self.problem: str | None = None
        self._key = key
        self._met = False

    def meet(self, local: LedgerFile, known: Verified) -> bytes:
        """Compare the copy with the ledger before anything is written to it; return the lines the ledger lacks.

        Args:
            local: the ledger.
            known: how far it was verified.

        Raises:
            OSError: if the copy cannot be read.
        """
        self.file.path.parent.mkdir(parents=True, exist_ok=True)
        more = b""
        if self.file.same_bytes(local):
            self.file.size = local.size
        elif not self.file.is_beginning_of(local):
            more = self._judge(local, known)
        self._met, self.problem = True, None
        return more

    def _judge(self, local: LedgerFile, known: Verified) -> bytes:
        judged = self.file.judge(self._key, known=known if self.file.starts_with(local) else START)
        if judged.tail:
            put_aside(self.file, judged)
        if self.file.size > local.size and self.file.begins_with(local):
            return self.file.read_from(local.size)
        self.forked = not local.begins_with(self.file)
        return b""

    def append(self, data: bytes, local: LedgerFile, known: Verified, *, must: bool) -> None:
        """Catch up with the ledger and add lines that follow it; durable when this returns.

        Args:
            data: the lines.
            local: the ledger, which does not have them yet.
            known: how far it was verified.
            must: True refuses where the copy cannot be written; otherwise it is caught up later.

        Raises:
            LedgerUnavailable: if it must be written and cannot.
        """
        try:
            if not self._met and self.meet(local, known):
                # It has more than we knew, and the ledger has gone on without it: a person must decide.
                self.forked = True
            if not self.forked:
                self._write(data, local)
                return
        except OSError as error:
            self.failed(error)
            if must:
                message = f"ledger copy {self.file.path}: cannot be written ({error}); erasing waits"
                raise LedgerUnavailable(message) from error
            return
        if must:
            raise LedgerUnavailable(f"ledger {local.path} and {self.file.path} disagree; nothing is erased until then")

    def _write(self, data: bytes, local: LedgerFile) -> None:
        """Catch the copy up and add to it. What it has beyond the ledger was never entered and is cut off."""
        copy = self.file
        copy.size = min(copy.size, local.size)
        if copy.path.exists() and copy.path.stat().st_size >= copy.size:
            copy.append(local.read_from(copy.size) + data if copy.size < local.size else data)
        else:
            copy.path.parent.mkdir(parents=True, exist_ok=True)
            copy.replace((local.read_from(0) if local.size else b"") + data)
        self.problem = None

    def failed(self, error: OSError) -> None:
        """Note why it cannot be used."""
        if self.problem is None:
            log.error("ledger copy %s: %s", self.file.path, error)
        reason = error.strerror or error
        self.problem = f"ledger copy {self.file.path}: cannot be written ({reason}); erasing waits for it"

    def foreign(self, local: LedgerFile) -> Iterator[Entry]:
        """Return the entries that a copy which disagrees has behind the last one both have."""
        mine, theirs = local.lines(), self.file.lines()
        for own in theirs:
            if own != next(mine, None):
                rest = [own, *theirs]
                yield from (entry for line in rest if (entry := parse(line[:-1])) is not None)
                return

    def give_way(self) -> None:
        """Put a copy that disagrees aside, where a person may look at it; the next entry makes a new one.

        Raises:
            OSError: if it cannot be renamed.
        """
        path = self.file.path
        number = len(list(path.parent.glob(f"{path.name}.disagreed-*"))) + 1
        path.rename(path.with_name(f"{path.name}.disagreed-{number}"))
        sync_folder(path.parent)
        self.file.size, self.forked = 0, False


def put_aside(file: LedgerFile, judged: Judged) -> None:
    """Keep what does not verify beside the ledger, where it is never replayed, and cut it off."""
    path = file.path
    number = len(list(path.parent.glob(f"{path.name}.altered-*"))) + 1
    aside = LedgerFile(path.with_name(f"{path.name}.altered-{number}"))
    aside.append(judged.tail)
    sync_folder(path.parent)
    file.append(b"")
    log.error("ledger %s: what follows entry %d does not verify; it is in %s", path, judged.entries, aside.path)


def asides(path: Path) -> list[Path]:
    """Return what was put aside beside a ledger and not accepted by anybody."""
    try:
        found = sorted(path.parent.glob(f"{path.name}.altered-*"))
    except OSError:
        return []
    return [aside for aside in found if not aside.name.endswith(_ACCEPTED)]


def accept_asides(path: Path) -> None:
    """Keep what was put aside as evidence, but no longer as a problem."""
    for aside in asides(path):
        aside.rename(aside.with_name(aside.name + _ACCEPTED))


_ACCEPTED = ".accepted"
