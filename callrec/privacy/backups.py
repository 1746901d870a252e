"""Which copies of keyring and catalogue exist, where, and when the last one from before an erasure is gone.

That a copy was made, or is gone, is in the ledger, which no restore makes older; where it lies is in a file of the
state folder, which holds nothing about anybody. A copy that somebody made of a copy is known to nobody but him.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from callrec.clock import Clock, rfc3339
from callrec.errors import CallrecError, OperatorError
from callrec.identifiers import new_id
from callrec.privacy.backup_job import Order
from callrec.vault.atomic_file import atomic_file
from callrec.vault.backup_set import GROWING, SETS, WINDOW, remove_set, set_id_of
from callrec.vault.ledger import Ledger
from callrec.vault.ledger_entries import Draft

log = logging.getLogger("callrec.privacy.backups")

PLACES = "backups.json"
_GOES_EARLY = timedelta(hours=2)
"""The recorder removes an over-age copy so long before its time, for a look that comes late."""

RunJob = Callable[[Order], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the keyring, with or without the catalogue."""

    copy_id: str
    made_at: datetime
    where: Path | None
    """The backup's folder, None where only the ledger knows of the copy."""

    @property
    def goes_at(self) -> datetime:
        """When it may exist no longer."""
        return self.made_at + WINDOW

    def as_document(self) -> dict[str, Any]:
        """Return it for people and programs."""
        where = str(self.where) if self.where is not None else None
        return {"id": self.copy_id, "made_at": rfc3339(self.made_at), "where": where, "goes_at": rfc3339(self.goes_at)}


@dataclass(frozen=True, slots=True)
class Node:
    """Whose backups they are."""

    node_id: str
    state: Path
    recordings: Path


class Backups:
    """Makes backups and keeps the list of copies."""

    def __init__(self, node: Node, ledger: Ledger, signing_key: bytes, clock: Clock) -> None:
        self._node = node
        self._ledger = ledger
        self._signing_key = signing_key
        self._clock = clock
        self._making = asyncio.Lock()
        """Held while a backup grows, whose set has no name to look for yet."""

    async def create(self, to: Path, run: RunJob, *, keys_only: bool = False) -> dict[str, Any]:
        """Make a backup.

        The copy is in the list before its first byte is written: one that was cut off is not forgotten.

        Args:
            to: the backup's folder.
            run: does the heavy part.
            keys_only: True copies the keyring alone.

        Raises:
            OperatorError: if it cannot be made.
            LedgerUnavailable: if it cannot be entered in the list; then none was made.
        """
        _refuse_own_folders(to, self._node)
        async with self._making:
            return await self._create(to, run, keys_only=keys_only)

    async def _create(self, to: Path, run: RunJob, *, keys_only: bool) -> dict[str, Any]:
        made_at = self._clock.now().replace(microsecond=0)
        set_id = set_id_of(made_at, new_id())
        self._note_place(set_id, to)
        await self._ledger.append([_entry(set_id, "made")], reach_copy=False)
        order = Order(
            str(to),
            str(self._node.state),
            str(self._node.recordings),
            set_id,
            self._node.node_id,
            rfc3339(made_at),
            dict(self._ledger.head.as_document()),
            self._signing_key.hex(),
            keys_only,
        )
        try:
            done = await run(order)
        except CallrecError:
            await self._look()
            raise
        await self._gone([one for one in done["removed"] if one in self._ledger.copies])
        made = done["set"]
        return {
            "id": made["id"],
            "to": str(to),
            "made_at": made["made_at"],
            "expires_at": made["expires_at"],
            "recordings": made["recordings"]["count"],
            "new_recordings": done["new_recordings"],
            "removed": list(done["removed"]),
        }

    def copies(self) -> list[Copy]:
        """Return the copies that exist as far as is known, the oldest first."""
        return copies_of(self._ledger.copies, _places(self._node.state))

    def beyond_use_until(self, erased_at: datetime, zone: ZoneInfo) -> date | None:
        """Return the local date on which the last copy from before an erasure is gone, None if there is none now.

        Until then what was erased is beyond use (LAW-46): it could be brought back by a restore only, and the ledger
        erases it again before anything is served. A copy that should be gone and is not puts the date off to today.
        """
        older = [copy.goes_at for copy in self.copies() if copy.made_at <= erased_at]
        if not older:
            return None
        return max(*older, self._clock.now()).astimezone(zone).date()

    async def look(self) -> None:
        """Remove copies whose time is over, and forget those that somebody has removed. May be repeated.

        Raises:
            LedgerUnavailable: if it cannot be entered; the next look does it.
        """
        if not self._making.locked():
            async with self._making:
                await self._look()

    async def _look(self) -> None:
        now = self._clock.now()
        gone = [copy.copy_id for copy in self.copies() if await asyncio.to_thread(_is_gone, copy, now)]
        await self._gone(gone)

    async def _gone(self, ids: list[str]) -> None:
        if ids:
            await self._ledger.append([_entry(one, "gone") for one in ids], reach_copy=False)
            places = _places(self._node.state)
            self._write_places({one: where for one, where in places.items() if one not in ids})

    def _note_place(self, set_id: str, to: Path) -> None:
        self._write_places({**_places(self._node.state), set_id: str(to)})

    def _write_places(self, places: Mapping[str, str]) -> None:
        path = self._node.state / PLACES
        try:
            with atomic_file(path) as descriptor:
                os.write(descriptor, json.dumps(places, indent=1).encode())
        except OSError as error:
            raise OperatorError(f"{path}: cannot be written ({error.strerror}); free or mend its disk") from None


def copies_of(made: Mapping[str, str], places: Mapping[str, str]) -> list[Copy]:
    """Return the copies that the ledger names, with their places, the oldest first."""
    copies = [
        Copy(copy_id, datetime.fromisoformat(at), Path(places[copy_id]) if copy_id in places else None)
        for copy_id, at in made.items()
    ]
    return sorted(copies, key=lambda copy: copy.made_at)


def known_copies(state: Path) -> list[Copy]:
    """Return the copies that a state folder knows of, without keys and whether or not a recorder runs.

    Raises:
        OSError: if the ledger cannot be read.
    """
    made: dict[str, str] = {}
    with (state / "ledger").open("rb") as ledger:
        for line in ledger:
            if b'"kind":"copy"' in line:
                entry = json.loads(line)
                body = entry["body"]
                made.pop(body["id"], None)
                if body["what"] == "made":
                    made[body["id"]] = entry["at"]
    return copies_of(made, _places(state))


def _entry(set_id: str, what: str) -> Draft:
    return Draft("copy", {"id": set_id, "what": what})


def _places(state: Path) -> dict[str, str]:
    try:
        places = json.loads((state / PLACES).read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(one): str(where) for one, where in places.items()} if isinstance(places, dict) else {}


def _is_gone(copy: Copy, now: datetime) -> bool:
    """Remove a copy whose time is over or that was cut off; say whether nothing is left of it.

    A place out of reach proves nothing.
    """
    if copy.where is None or not copy.where.is_dir():
        return False
    whole, growing = (copy.where / SETS / (prefix + copy.copy_id) for prefix in ("", GROWING))
    over = now >= copy.goes_at - _GOES_EARLY
    try:
        for folder in (growing, *([whole] if over else [])):
            if folder.is_dir():
                remove_set(folder)
    except OSError as error:
        log.warning("backup set %s: cannot be removed (%s); remove it by hand", copy.copy_id, error.strerror)
        return False
    return not whole.is_dir()


def _refuse_own_folders(to: Path, node: Node) -> None:
    """Refuse a backup inside what it backs up, or beside the outside ledger's own files."""
    for own in (node.state, node.recordings):
        if to.resolve().is_relative_to(own.resolve()):
            raise OperatorError(f"{to}: lies in {own}, which is what is backed up; name a folder elsewhere")
    if node.state.resolve().is_relative_to(to.resolve()):
        raise OperatorError(f"{to}: holds the state folder itself; name a folder elsewhere")
