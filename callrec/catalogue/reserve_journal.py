"""Where calls go while the catalogue cannot be written: a preallocated file, so that a full disk takes it too.

The file begins with `callrec reserve 1` and a line feed. Records follow: length and CRC-32 of the payload (32 bits
each, network order), then the payload as JSON, sealed under the call's own identity key (durable in the keyring
beforehand). Zeros end the file. Without a usable key a record holds no number and no name.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from callrec.catalogue import reserve_entries
from callrec.catalogue.errors import CallKnown, StorageUnavailable
from callrec.catalogue.items import pack
from callrec.catalogue.live import IDENTITY_NOT_KEPT
from callrec.catalogue.reserve_entries import ReservedCall
from callrec.catalogue.sealer import Sealer
from callrec.catalogue.values import CallEnd, Event, NewCall
from callrec.errors import CallrecError, IntegrityError

log = logging.getLogger("callrec.catalogue.reserve")

T = TypeVar("T")

MAGIC = b"callrec reserve 1\n"
SIZE = 8 << 20
_HEADER = struct.Struct("!II")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class _Record:
    call_id: str
    key_id: str | None
    body: bytes


class EntersCalls(Protocol):
    """What entering reserved calls asks of the catalogue."""

    async def state_of(self, call_id: str) -> str | None:
        """Return `in_progress`, `ended` or `erased`, None where the call is unknown."""
        ...

    async def open_call(self, new: NewCall, events: tuple[Event, ...]) -> int:
        """Store a new call."""
        ...

    async def end_call(self, call_id: str, end: CallEnd, events: tuple[Event, ...]) -> None:
        """Store how a call ended."""
        ...


class ReserveJournal:
    """Keeps calls for later; one write and one sync each, in a thread of its own."""

    def __init__(self, path: Path, sealer: Sealer, *, size: int = SIZE) -> None:
        """Open or preallocate the journal.

        Raises:
            StorageUnavailable: if it cannot be made.
        """
        self._path = path
        self._sealer = sealer
        self._thread = ThreadPoolExecutor(1, "reserve")
        self._lock = threading.Lock()
        try:
            self._descriptor = _open(path, size)
        except OSError as error:
            raise StorageUnavailable(f"reserve journal {path}: cannot be made ({error.strerror})") from error
        self._capacity = os.fstat(self._descriptor).st_size
        self._end = len(MAGIC) + sum(_HEADER.size + len(payload) for payload in self._payloads())

    @property
    def used(self) -> int:
        """Return how many bytes wait to be entered."""
        return self._end - len(MAGIC)

    async def keep_open(self, new: NewCall) -> None:
        """Keep a call that begins; durable when this returns. Raises StorageUnavailable."""
        await self._keep(ReservedCall(new))

    async def keep_end(self, new: NewCall, end: CallEnd, events: Sequence[Event] = ()) -> None:
        """Keep a call that ended, and what is to be told of it; durable when this returns. Raises StorageUnavailable.

        Without events its end is told, and nothing else.
        """
        await self._keep(ReservedCall(new, end, tuple(events)))

    async def _keep(self, call: ReservedCall) -> None:
        key = await self._key(call.new.identity_key_id)
        if key is None:
            flags = tuple(dict.fromkeys((*call.new.flags, IDENTITY_NOT_KEPT)))
            call = reserve_entries.without_identity(replace(call, new=replace(call.new, flags=flags)))
        new, body = call.new, reserve_entries.encode(call)
        if key is not None:
            body = self._sealer.seal(key, body, table="reserve", row=new.call_id, field="body")
        payload = pack(
            {"call_id": new.call_id, "key_id": new.identity_key_id, "body": base64.b64encode(body).decode("ascii")}
        )
        await self._in_thread(lambda: self._append(payload))

    async def _key(self, key_id: str | None) -> bytes | None:
        if key_id is None:
            return None
        if (key := self._sealer.cached(key_id)) is not None:
            return key
        try:
            return (await self._sealer.load_many((key_id,))).get(key_id)
        except CallrecError as error:
            log.warning("no key for a reserved call: %s", error)
            return None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except OSError as error:
            raise StorageUnavailable(f"reserve journal {self._path}: cannot be used ({error.strerror})") from error

    def _append(self, payload: bytes) -> None:
        with self._lock:
            record = _HEADER.pack(len(payload), zlib.crc32(payload)) + payload
            if self._end + len(record) > self._capacity:
                raise StorageUnavailable(f"reserve journal {self._path}: is full with {self.used} bytes")
            os.pwrite(self._descriptor, record, self._end)
            os.fdatasync(self._descriptor)
            self._end += len(record)

    async def claimed_keys(self) -> set[str]:
        """Return the keys of the calls that wait, so that no sweep destroys them."""
        payloads = await self._in_thread(lambda: list(self._payloads()))
        return {
            key
            for record in map(_record, payloads)
            if record is not None and record.key_id is not None
            for key in await self._keys_of(record)
        }

    async def _keys_of(self, record: _Record) -> set[str]:
        opened = await self._open_record(record)
        keys = {record.key_id, opened.new.audio_key_id if opened else None}
        return {key for key in keys if key is not None}

    async def replay(self, catalogue: EntersCalls) -> int:
        """Enter every waiting call into the catalogue, each exactly once; return how many entries there were.

        May be repeated, also after a crash in the middle: what is entered already is left alone.

        Raises:
            CallrecError: if catalogue or keyring cannot be used yet; what waits goes on waiting.
        """
        upto = self._end
        payloads = await self._in_thread(lambda: list(self._payloads()))
        locked = 0
        for record in map(_record, payloads):
            if record is not None and record.key_id is not None and self._sealer.system_key("node") is None:
                # Today there are no keys; the call waits for the start that has them again.
                locked += 1
                continue
            opened = None if record is None else await self._open_record(record)
            if opened is not None:
                await _enter(catalogue, opened)
        if payloads and not locked:
            await self._in_thread(lambda: self._clear(upto))
        return len(payloads) - locked

    async def _open_record(self, record: _Record) -> ReservedCall | None:
        body = record.body
        if record.key_id is not None:
            key = (await self._sealer.load_many((record.key_id,))).get(record.key_id)
            if key is None:
                log.error("reserved call %s: its key is gone, it is not entered", record.call_id)
                return None
            try:
                body = self._sealer.open_sealed(key, body, table="reserve", row=record.call_id, field="body")
            except IntegrityError as error:
                log.error("reserved call is not entered: %s", error)  # noqa: TRY400 - no trace wanted
                return None
        return reserve_entries.decode(body)

    def _payloads(self) -> Iterator[bytes]:
        """Yield whole records in order; a torn one, which nobody was told is kept, ends them."""
        offset = len(MAGIC)
        while True:
            header = os.pread(self._descriptor, _HEADER.size, offset)
            length, checksum = _HEADER.unpack(header) if len(header) == _HEADER.size else (0, 0)
            payload = os.pread(self._descriptor, length, offset + _HEADER.size)
            if length == 0 or len(payload) < length or zlib.crc32(payload) != checksum:
                return
            yield payload
            offset += _HEADER.size + length

    def _clear(self, upto: int) -> None:
        """Overwrite what was entered, unless more has come meanwhile: that is entered the next time."""
        with self._lock:
            if self._end != upto:
                return
            # The first header last: until then a crash leaves every record to be found again, and to be skipped.
            start = len(MAGIC) + _HEADER.size
            for offset in range(start, upto, _CHUNK):
                os.pwrite(self._descriptor, bytes(min(_CHUNK, upto - offset)), offset)
            os.pwrite(self._descriptor, bytes(_HEADER.size), len(MAGIC))
            os.fdatasync(self._descriptor)
            self._end = len(MAGIC)

    def close(self) -> None:
        """Close the file; may be repeated."""
        self._thread.shutdown(wait=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _record(payload: bytes) -> _Record | None:
    try:
        document: dict[str, Any] = json.loads(payload)
        return _Record(document["call_id"], document["key_id"], base64.b64decode(document["body"], validate=True))
    except (ValueError, KeyError, binascii.Error):
        log.error("reserve journal: found a record that is none of ours; it is left out")  # noqa: TRY400
        return None


async def _enter(catalogue: EntersCalls, call: ReservedCall) -> None:
    call_id = call.new.call_id
    state = await catalogue.state_of(call_id)
    if state is None:
        with suppress(CallKnown):  # a late attempt of the call's own became durable meanwhile
            await catalogue.open_call(call.new, (Event("call", "started", call_id),))
        state = "in_progress"
    if call.end is not None and state == "in_progress":
        await catalogue.end_call(call_id, call.end, call.events or (Event("call", "ended", call_id),))


def _open(path: Path, size: int) -> int:
    fresh = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(descriptor).st_size < size:
            os.posix_fallocate(descriptor, 0, size)
        if os.pread(descriptor, len(MAGIC), 0) != MAGIC:
            os.pwrite(descriptor, MAGIC, 0)
        os.fsync(descriptor)
        if fresh:
            _sync_folder(path.parent)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
