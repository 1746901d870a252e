"""A recorder that keeps its calls in memory and its recordings in real part files, for tests of the API and command."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from callrec.catalogue.values import FindQuery, Page
from callrec.clock import rfc3339
from callrec.errors import ExitCode, IntegrityError, OperatorError
from callrec.vault.part_writer import PartSource, PartWriter
from callrec.vault.recording_format import OURS, OUTSIDE, CodecEntry, Mark, codec_map_body, encode_mark, encode_packet
from callrec.vault.trace_files import Trace
from tests.api.fake_promises import FakePromises

STARTED = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
STARTED_NS = int(STARTED.timestamp()) * 1_000_000_000


@dataclass(frozen=True, slots=True)
class FakePart:
    path: Path
    segments: int | None
    cut: bool


@dataclass(frozen=True, slots=True)
class FakeRecording:
    call_id: str
    recording_id: str
    parts: Sequence[FakePart]
    audio_key: bytes
    started_at: datetime | None = STARTED


@dataclass(frozen=True, slots=True)
class FakePlan:
    hash: str
    items: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class FakeErasure:
    call_id: str
    stores: Mapping[str, str]
    verified: bool


def item_of(number: int, **changes: Any) -> dict[str, Any]:
    """Return a call of 3 seconds as contract.md describes it."""
    return {
        "call_id": f"{number:08x}-0000-4000-8000-000000000000",
        "recording_id": f"{number:08x}-1111-4000-8000-000000000000",
        "call_reference": f"CALL{number:03}",
        "sequence": number,
        "in_progress": False,
        "outcome": "recorded",
        "outcome_reason": "complete",
        "cut": False,
        "direction": "inbound",
        "started_at": f"2026-11-22T10:{number % 60:02}:00.000Z",
        "duration_seconds": 3.0,
        "network_number": "+442079460123",
        "presentation_number": "+442079460123",
        "presentation_other": None,
        "called_number": "+442079460999",
        "diverting_number": None,
        "display_name": "Ann Example",
        "withheld": False,
        "notice": {"id": "n", "version": 1, "completed": True, "heard_ms": 9000, "grade": "B", "interrupted_by": None},
        "segments": [{"start_ms": 0, "end_ms": 3000, "state": "recorded", "reason": None}],
        "legs": [],
        "holds": [],
        **changes,
    }


def event_of(sequence: int, **data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"event-{sequence}",
        "source": "callrec/rec1",
        "type": "com.callrec.call.ended.v1",
        "time": "2026-11-22T10:00:00.000Z",
        "subject": "00000001-0000-4000-8000-000000000000",
        "sequence": f"{sequence:020}",
        "data": {"outcome_reason": "complete", **data},
    }


@dataclass
class FakeBackups:
    """Implements `callrec.api.ports.Backups`; nothing is written anywhere."""

    made: list[str] = field(default_factory=list)
    accepted: list[tuple[str, str]] = field(default_factory=list)

    async def create(self, to: str, *, keys_only: bool, actor: str, tell: Callable[[int], None]) -> Mapping[str, Any]:
        if not to.startswith("/"):
            raise OperatorError("expected an absolute path", exit_code=ExitCode.USAGE)
        tell(1000)
        self.made.append(to)
        return {"id": "2026-11-25T100000Z-0123abcd", "to": to, "keys_only": keys_only, "actor": actor}

    async def copies(self) -> Sequence[Mapping[str, Any]]:
        return [{"id": "2026-11-25T100000Z-0123abcd", "where": to} for to in self.made]

    async def accept(self, *, reason: str, actor: str) -> Sequence[str]:
        self.accepted.append((actor, reason))
        return ["lost: stop 1"]


@dataclass(frozen=True, slots=True)
class FakeLiveState:
    call_id: str
    recording: str

    def document(self) -> Mapping[str, Any]:
        return {"call_id": self.call_id, "recording": self.recording}


@dataclass
class FakeLive:
    """Implements `callrec.api.ports.LiveControl` for one live call that is recorded."""

    call_id: str = "0000002a-0000-4000-8000-000000000000"
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def _of(self, call: str, *asked: str) -> FakeLiveState:
        if not self.call_id.startswith(call):
            raise OperatorError(f"call {call} has ended", exit_code=ExitCode.NOT_FOUND)
        self.asked.append(asked)
        return FakeLiveState(self.call_id, {"pause": "paused", "resume": "recording"}.get(asked[0], "ended"))

    async def pause(self, call: str, *, purpose: str, reason: str, actor: str) -> FakeLiveState:
        return self._of(call, "pause", purpose, reason, actor)

    async def resume(self, call: str, *, reason: str, actor: str) -> FakeLiveState:
        return self._of(call, "resume", reason, actor)

    async def stop(self, call: str, *, discard: bool, reason: str, actor: str) -> FakeLiveState:
        return self._of(call, "discard" if discard else "stop", reason, actor)


@dataclass(frozen=True, slots=True)
class FakeTraced:
    item: Mapping[str, Any]
    trace: Trace


@dataclass
class FakeTraces:
    """Implements `callrec.api.ports.Traces` for one call."""

    found: FakeTraced | None = None

    async def read(self, call: str) -> FakeTraced:
        if self.found is None:
            raise OperatorError(f"call {call} has no trace", exit_code=ExitCode.NOT_FOUND)
        return self.found


@dataclass
class FakeRecorder:
    """Implements `callrec.api.ports.Recorder`."""

    directory: Path
    items: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)
    audited: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    searches: list[FindQuery] = field(default_factory=list)
    stored: dict[str, FakeRecording] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    live: FakeLive = field(default_factory=FakeLive)
    traces: FakeTraces = field(default_factory=FakeTraces)
    erasing_works: bool = True
    notices_reloaded: int = 0
    strays: list[Path] = field(default_factory=list)
    crash: bool = False
    backups: FakeBackups = field(default_factory=FakeBackups)
    promises: FakePromises = field(default_factory=FakePromises)
    chain_broken: bool = False
    requests: Mapping[str, Any] = field(default_factory=dict)
    reviews: list[dict[str, str]] = field(default_factory=list)
    _planned: dict[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    _told: asyncio.Event = field(default_factory=asyncio.Event)

    def status(self) -> Mapping[str, Any]:
        if self.crash:
            raise RuntimeError(item_of(1)["network_number"])
        return {
            "pid": os.getpid(),
            "version": "0",
            "recording": not self.problems,
            "problems": self.problems,
            "active_calls": len(self.live_calls()),
            "workers": [{"pid": 1, "calls": 0}],
            "outbox": 0,
            "broker": "off",
            "requests": self.requests,
            "reviews": self.reviews,
        }

    def live_calls(self) -> Sequence[Mapping[str, Any]]:
        return [item for item in self.items if item["in_progress"]]

    async def find(self, query: FindQuery) -> Page:
        self.searches.append(query)
        found = [item for item in reversed(self.items) if self._matches(item, query)]
        start = int(query.cursor or 0)
        following = start + query.limit
        return Page(found[start:following], str(following) if following < len(found) else None)

    def _matches(self, item: Mapping[str, Any], query: FindQuery) -> bool:
        if query.number is None:
            return True
        numbers = [str(item[name]) for name in ("network_number", "called_number")]
        if query.number.startswith("*"):
            return any(number.endswith(query.number[1:]) for number in numbers)
        return query.number in numbers

    async def get(self, prefix: str) -> Mapping[str, Any]:
        found = [item for item in self.items if item["call_id"].startswith(prefix) or item["call_reference"] == prefix]
        if not found:
            raise OperatorError(f"no call {prefix}", exit_code=ExitCode.NOT_FOUND)
        if len(found) > 1:
            raise OperatorError(f"{prefix} is the beginning of several ids", exit_code=ExitCode.USAGE)
        return found[0]

    async def recording(self, prefix: str, *, despite_restriction: bool = False) -> FakeRecording:
        item = await self.get(prefix)
        if any(hold["kind"] == "restricted" for hold in item["holds"]) and not despite_restriction:
            raise OperatorError(f"call {prefix} is restricted", exit_code=ExitCode.REFUSED)
        if item["call_id"] not in self.stored:
            raise OperatorError(f"call {prefix} has no audio", exit_code=ExitCode.NOT_FOUND)
        return self.stored[item["call_id"]]

    async def recordings(self) -> AsyncIterator[FakeRecording]:
        for recording in self.stored.values():
            yield recording

    async def stray_files(self) -> Sequence[Path]:
        return self.strays

    async def plan_deletion(self, prefixes: Sequence[str], number: str | None) -> FakePlan:
        if number is not None:
            chosen = [item for item in self.items if item["network_number"] == number]
        else:
            chosen = [dict(await self.get(prefix)) for prefix in prefixes]
        plan = FakePlan(f"hash-{len(self._planned)}", chosen)
        self._planned[plan.hash] = chosen
        return plan

    async def delete(self, plan_hash: str, *, reason: str, actor: str) -> Sequence[FakeErasure]:
        if plan_hash not in self._planned:
            raise OperatorError("the plan is no longer true; make it again", exit_code=ExitCode.BUSY)
        self.reasons.append(f"{actor}: {reason}")
        gone = [item["call_id"] for item in self._planned.pop(plan_hash)]
        self.items = [item for item in self.items if item["call_id"] not in gone]
        stores = {"keyring": "destroyed", "recordings": "removed"}
        return [FakeErasure(call_id, stores, self.erasing_works) for call_id in gone]

    async def events_after(self, sequence: int, limit: int) -> Sequence[Mapping[str, Any]]:
        return [event for event in self.events if int(event["sequence"]) > sequence][:limit]

    async def wait_for_events(self, after: int) -> None:
        while not await self.events_after(after, 1):
            self._told.clear()
            await self._told.wait()

    def tell(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self._told.set()

    async def audit(self, actor: str, action: str, detail: Mapping[str, Any]) -> None:
        self.audited.append((actor, action, detail))

    async def audit_entries(self, after: int, limit: int) -> Sequence[Mapping[str, Any]]:
        entries = [
            {
                "number": number,
                "at": rfc3339(STARTED),
                "actor": actor,
                "action": action,
                "subject": None,
                "detail": said,
            }
            for number, (actor, action, said) in enumerate(self.audited, 1)
        ]
        return entries[after : after + limit]

    async def verify_audit(self) -> int:
        if self.chain_broken:
            raise IntegrityError("audit entry 2: found a break in the chain, expected an unaltered entry")
        return len(self.audited)

    def reload_notices(self) -> None:
        self.notices_reloaded += 1

    def add_recording(self, item: Mapping[str, Any], *, seconds: float = 3.0, sealed: bool = True) -> FakeRecording:
        """Store a real recording of a call: the outside party at one constant level, our side silent."""
        key = os.urandom(32)
        part = write_part(self.directory, item["recording_id"], key, seconds=seconds, sealed=sealed)
        recording = FakeRecording(item["call_id"], item["recording_id"], [part], key)
        self.stored[item["call_id"]] = recording
        return recording


def write_part(directory: Path, recording_id: str, key: bytes, *, seconds: float, sealed: bool = True) -> FakePart:
    """Write a part of A-law packets in both directions, one segment for each half second."""
    spec = PartSource(recording_id, key, directory, os.urandom).next_part(STARTED)
    spec.path.parent.mkdir(parents=True, exist_ok=True)
    writer = PartWriter(spec, STARTED_NS)
    codecs = codec_map_body(OUTSIDE, [CodecEntry(8, "PCMA", 8000)])
    writer.append(
        encode_mark(Mark.CODECS, 0, codecs)
        + encode_mark(Mark.CODECS, 0, codec_map_body(OURS, [CodecEntry(8, "PCMA", 8000)]))
    )
    packets = int(seconds * 50)
    for first in range(0, packets, 25):
        numbers = range(first, min(first + 25, packets))
        writer.append(b"".join(_packets_at(number) for number in numbers))
    if sealed:
        end = writer.seal(encode_mark(Mark.END, packets * 20_000))
        return FakePart(end.path, writer.segments, cut=False)
    writer.close()
    return FakePart(spec.path, writer.segments, cut=True)


def _packets_at(number: int) -> bytes:
    loud, silent = bytes([0x2A, 0xAA]) * 80, bytes([0xD5]) * 160
    records = b""
    for direction, payload, ssrc in ((OUTSIDE, loud, 1), (OURS, silent, 2)):
        header = (
            bytes([0x80, 8]) + number.to_bytes(2, "big") + (number * 160).to_bytes(4, "big") + ssrc.to_bytes(4, "big")
        )
        records += encode_packet(direction, number * 20_000, header + payload)
    return records
