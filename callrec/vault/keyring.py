"""The keyring: every key of the store, wrapped under the master key; destroying one here erases what it sealed.

Every call has two independent random keys (identity and audio), made durable beforehand in a pool, so that
taking them never waits for a disk. `spare` in the store means "not known to belong to a call": it is cleared lazily,
so after a crash `left_over` names keys that a call may or may not have, and only the catalogue can tell.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from callrec.errors import ExitCode, IntegrityError, OperatorError
from callrec.identifiers import new_id
from callrec.vault import keyring_store, sealing
from callrec.vault.keyring_errors import KeyDestroyed, KeysUnavailable
from callrec.vault.keyring_store import KeyringStore, WrappedKey
from callrec.vault.master_key import MasterKey
from callrec.vault.sealing import KEY_BYTES

log = logging.getLogger("callrec.vault.keyring")

T = TypeVar("T")

SYSTEM_KEYS = ("index", "index_last4", "index_name", "caller_ref", "node", "signing")
POOL_CALLS = 256
_CACHED_KEYS = 4096
CHECK = "check"
"""The value that tells whether a master key is the right one."""
_APPLIED = "ledger"
_CHECK_VALUE = b"callrec keyring check value 0001"
_RETRY_S = 1.0
_OPEN_PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class CallKeys:
    """The two keys of one call, durable in the keyring."""

    identity_key_id: str
    identity_key: bytes
    audio_key_id: str
    audio_key: bytes

    def __repr__(self) -> str:
        return f"CallKeys({self.identity_key_id}, {self.audio_key_id})"


class Keyring:
    """Takes, loads and destroys keys. Safe to call from any thread; the database has a thread of its own."""

    def __init__(self, store: KeyringStore, master_key: MasterKey, pool_calls: int) -> None:
        self._store = store
        self._master_key = master_key
        self._pool_calls = pool_calls
        self._pool: deque[CallKeys] = deque()
        self._taken: deque[str] = deque()
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._doomed: set[str] = set()
        self._destructions = 0
        self._lock = threading.Lock()
        self._refilling = False
        self._retry_at = 0.0
        self._system: dict[str, bytes] = {}
        self._left_over: list[str] = []
        self._why_dry: str | None = None

    @classmethod
    def open(cls, path: Path, master_key: MasterKey, *, create: bool, pool_calls: int = POOL_CALLS) -> Keyring:
        """Open the keyring, check the master key against it and fill the pool.

        Args:
            path: the keyring's file.
            master_key: what wraps its keys.
            create: True makes a keyring where there is none; never do so beside an old catalogue.
            pool_calls: how many calls' keys are kept ready; 0 for programs that only read.

        Raises:
            OperatorError: if there is no keyring and none may be made.
            IntegrityError: if the master key is not the one of this keyring.
            KeysUnavailable: if the file cannot be read. One that cannot be written opens all the same, with an empty
                pool: what is stored stays readable, and `problem` says why no new call has keys.
        """
        if not create and not path.exists():
            raise OperatorError(
                f"keyring {path}: no such file; run `callrec keys init`, or restore the keyring from a backup",
                exit_code=ExitCode.INTEGRITY,
            )
        store = KeyringStore(path)
        keyring = cls(store, master_key, pool_calls)
        try:
            keyring._begin(path, create=create)
        except BaseException:
            store.close()
            raise
        return keyring

    def _begin(self, path: Path, *, create: bool) -> None:
        if create:
            self._wait(self._store.write(self._make_system))
        self._wait(self._store.read(lambda connection: self._read_system(connection, path)))
        if not self._pool_calls:
            return
        self._left_over = self._wait(self._store.read(keyring_store.select_spare))
        self._refill()
        with suppress(KeysUnavailable):  # told by `problem`, and tried again
            self._wait(self._store.write(lambda _: None))

    @staticmethod
    def _wait(future: Future[T]) -> T:
        try:
            return future.result(_OPEN_PATIENCE_S)
        except TimeoutError:
            raise KeysUnavailable("the keyring's disk does not answer") from None

    def _read_system(self, connection: sqlite3.Connection, path: Path) -> None:
        check = keyring_store.read_meta(connection, CHECK) if keyring_store.has_schema(connection) else None
        if check is None:
            # Never new keys over an old store: whatever was sealed under the old ones would be lost unseen.
            raise IntegrityError(f"keyring {path}: holds no keys; restore the keyring from a backup")
        try:
            self._master_key.unwrap(check, key_id=CHECK, purpose=CHECK)
        except IntegrityError:
            raise IntegrityError(
                f"keyring {path}: this master key is not the one that wrapped it; put back the master key of this store"
            ) from None
        for row in keyring_store.select_keys(connection, [f"system/{name}" for name in SYSTEM_KEYS]):
            self._system[row.purpose] = self._unwrap(row)
        if missing := sorted(set(SYSTEM_KEYS) - set(self._system)):
            raise IntegrityError(f"keyring {path}: lacks the keys {', '.join(missing)}; restore it from a backup")

    def _make_system(self, connection: sqlite3.Connection) -> None:
        """Make the keys of a new keyring; leave those of an old one."""
        keyring_store.create_schema(connection)
        if keyring_store.read_meta(connection, CHECK) is not None:
            return
        check = self._master_key.wrap(_CHECK_VALUE, key_id=CHECK, purpose=CHECK)
        keyring_store.write_meta(connection, CHECK, check)
        rows = [self._wrap(f"system/{name}", name, secrets.token_bytes(KEY_BYTES)) for name in SYSTEM_KEYS]
        keyring_store.insert_keys(connection, rows)

    def _wrap(self, key_id: str, purpose: str, key: bytes, *, spare: bool = False) -> WrappedKey:
        return WrappedKey(key_id, purpose, self._master_key.wrap(key, key_id=key_id, purpose=purpose), spare)

    def _unwrap(self, row: WrappedKey) -> bytes:
        return self._master_key.unwrap(row.wrapped, key_id=row.key_id, purpose=row.purpose)

    # The pool

    def take_call_keys(self) -> CallKeys:
        """Return the keys of a new call, durable already; never waits.

        Raises:
            KeysUnavailable: if the pool is dry because the keyring cannot be written fast enough or at all.
        """
        try:
            keys = self._pool.popleft()
        except IndexError:
            self._refill()
            raise KeysUnavailable("no durable key is left in the pool; the keyring's disk is slow or gone") from None
        self._taken.extend((keys.identity_key_id, keys.audio_key_id))
        self._remember({keys.identity_key_id: keys.identity_key, keys.audio_key_id: keys.audio_key}, self._destructions)
        if len(self._pool) <= self._pool_calls // 2:
            self._refill()
        return keys

    def keep_ready(self) -> None:
        """Fill the pool again where it is low; to be called now and then, for a disk that is back tells nobody."""
        if len(self._pool) <= self._pool_calls // 2:
            self._refill()

    @property
    def problem(self) -> str | None:
        """Return why new calls get no keys, None while they do."""
        return self._why_dry if self._pool_calls and not self._pool else None

    @property
    def ready_calls(self) -> int:
        """How many calls' keys lie ready."""
        return len(self._pool)

    def _refill(self) -> None:
        now = time.monotonic()
        with self._lock:
            if self._refilling or now < self._retry_at:
                return
            self._refilling = True
        taken = [self._taken.popleft() for _ in range(len(self._taken))]
        self._store.write(lambda connection: self._make_spares(connection, taken)).add_done_callback(
            lambda future: self._refilled(future, taken)
        )

    def _make_spares(self, connection: sqlite3.Connection, taken: list[str]) -> list[CallKeys]:
        keyring_store.mark_taken(connection, taken)
        fresh = [_new_call_keys() for _ in range(self._pool_calls - len(self._pool))]
        rows = []
        for keys in fresh:
            rows.append(self._wrap(keys.identity_key_id, "identity", keys.identity_key, spare=True))
            rows.append(self._wrap(keys.audio_key_id, "audio", keys.audio_key, spare=True))
        keyring_store.insert_keys(connection, rows)
        return fresh

    def _refilled(self, future: Future[list[CallKeys]], taken: list[str]) -> None:
        if (error := future.exception()) is not None:
            log.warning("no new keys: %s", error)
            self._taken.extend(taken)
            self._retry_at = time.monotonic() + _RETRY_S
            self._why_dry = f"{error}; free or mend its disk, new calls pass unrecorded until then"
        else:
            self._pool.extend(future.result())
            self._why_dry = None
        with self._lock:
            self._refilling = False

    @property
    def left_over(self) -> list[str]:
        """Keys an earlier run made ready, of which only the catalogue and the reserve journal know whose they are."""
        return list(self._left_over)

    async def sweep_unclaimed(self, claimed_ids: Collection[str]) -> int:
        """Destroy the left-over keys that no call has, mark the others as taken; return how many were destroyed."""
        claimed = set(claimed_ids)
        mine = [key_id for key_id in self._left_over if key_id in claimed]
        nobodys = [key_id for key_id in self._left_over if key_id not in claimed]

        def work(connection: sqlite3.Connection) -> None:
            keyring_store.mark_taken(connection, mine)
            keyring_store.delete_keys(connection, nobodys)

        await asyncio.wrap_future(self._store.write(work))
        self._left_over = []
        return len(nobodys)

    async def new_key(self, purpose: str) -> tuple[str, bytes]:
        """Make a key for something that is no call, such as `party` or `request`; durable when this returns.

        Returns its random id and the key.

        Raises:
            KeysUnavailable: if the keyring cannot be written.
        """
        key_id, key = new_id(), secrets.token_bytes(KEY_BYTES)
        destructions = self._destructions
        row = self._wrap(key_id, purpose, key)
        await asyncio.wrap_future(self._store.write(lambda connection: keyring_store.insert_keys(connection, [row])))
        self._remember({key_id: key}, destructions)
        return key_id, key

    # Reading

    def cached(self, key_id: str) -> bytes | None:
        """Return a key that is at hand, without waiting; a destroyed key never is."""
        with self._lock:
            key = self._cache.get(key_id)
            if key is not None:
                self._cache.move_to_end(key_id)
            return key

    def _remember(self, keys: dict[str, bytes], destructions: int) -> None:
        """Keep keys at hand, unless any was destroyed since they were read: one of them may be gone."""
        with self._lock:
            if destructions != self._destructions:
                return
            self._cache.update(keys)
            while len(self._cache) > _CACHED_KEYS:
                self._cache.popitem(last=False)

    async def load(self, key_id: str) -> bytes:
        """Return one key.

        Raises:
            KeyDestroyed: if it is not in the keyring.
            IntegrityError: if its wrapping does not verify.
            KeysUnavailable: if the keyring cannot be read.
        """
        keys = await self.load_many((key_id,))
        if key_id not in keys:
            raise KeyDestroyed(f"key {key_id} is not in the keyring: what it sealed is erased")
        return keys[key_id]

    async def load_many(self, key_ids: Iterable[str]) -> dict[str, bytes]:
        """Return the keys that exist; a destroyed one is left out.

        Raises:
            IntegrityError: if a wrapping does not verify.
            KeysUnavailable: if the keyring cannot be read.
        """
        found: dict[str, bytes] = {}
        wanted: list[str] = []
        for key_id in dict.fromkeys(key_ids):
            key = self.cached(key_id)
            if key is None:
                wanted.append(key_id)
            else:
                found[key_id] = key
        destructions = self._destructions
        if wanted:
            read = await asyncio.wrap_future(self._store.read(lambda connection: self._read(connection, wanted)))
            self._remember(read, destructions)
            found |= read
        return {key_id: key for key_id, key in found.items() if key_id not in self._doomed}

    def _read(self, connection: sqlite3.Connection, key_ids: list[str]) -> dict[str, bytes]:
        return {row.key_id: self._unwrap(row) for row in keyring_store.select_keys(connection, key_ids)}

    async def existing(self, key_ids: Iterable[str]) -> set[str]:
        """Return those of the keys that are still in the keyring's file, past every cache."""
        wanted = list(key_ids)
        rows = await asyncio.wrap_future(self._store.read(lambda c: keyring_store.select_keys(c, wanted)))
        return {row.key_id for row in rows}

    def system_key(self, name: str) -> bytes:
        """Return one of SYSTEM_KEYS; `signing` is the seed of the node's Ed25519 key.

        Raises:
            KeyError: if there is no such name.
        """
        return self._system[name]

    # Destroying

    async def destroy(self, key_ids: Iterable[str]) -> None:
        """Destroy keys in one transaction; durable and read back when this returns. May be repeated.

        Raises:
            KeysUnavailable: if the keyring cannot be written; then none was destroyed.
            IntegrityError: if a key is still there after its deletion.
        """
        ids = [key_id for key_id in dict.fromkeys(key_ids) if not key_id.startswith("system/")]
        with self._lock:
            # No cache, and no load that is under way, hands a doomed key out from now on.
            self._destructions += 1
            self._doomed.update(ids)
            for key_id in ids:
                self._cache.pop(key_id, None)
        try:
            await asyncio.wrap_future(self._store.write(lambda c: keyring_store.delete_keys(c, ids)))
        except KeysUnavailable:
            with self._lock:
                self._doomed.difference_update(ids)
            raise
        if still := await self.existing(ids):
            raise IntegrityError(f"{len(still)} keys are still in the keyring after their deletion")
        with self._lock:
            self._destructions += 1
            self._doomed.difference_update(ids)

    async def applied_entry(self) -> int:
        """Return up to which ledger entry keys are destroyed here; older than the ledger after a restore."""
        value = await asyncio.wrap_future(self._store.read(lambda c: keyring_store.read_meta(c, _APPLIED)))
        return 0 if value is None else int.from_bytes(value, "big")

    async def note_applied(self, entry: int) -> None:
        """Note up to which ledger entry keys are destroyed here."""
        value = entry.to_bytes(8, "big")
        await asyncio.wrap_future(self._store.write(lambda c: keyring_store.write_meta(c, _APPLIED, value)))

    def seal(self, key: bytes, plaintext: bytes, *, table: str, row: str, field: str) -> bytes:
        """Seal for one field of one row; see `sealing.seal`."""
        return sealing.seal(key, plaintext, table=table, row=row, field=field)

    def open_sealed(self, key: bytes, sealed: bytes, *, table: str, row: str, field: str) -> bytes:
        """Open what was sealed; see `sealing.open_sealed`."""
        return sealing.open_sealed(key, sealed, table=table, row=row, field=field)

    def close(self) -> None:
        """Note which keys were taken, and end the thread."""
        taken = list(self._taken)
        if taken:
            self._store.write(lambda connection: keyring_store.mark_taken(connection, taken))
        self._store.close()


def _new_call_keys() -> CallKeys:
    return CallKeys(new_id(), secrets.token_bytes(KEY_BYTES), new_id(), secrets.token_bytes(KEY_BYTES))
