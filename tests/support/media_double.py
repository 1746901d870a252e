"""The media service without media: it notes what is asked of it, and tells what a test wants it to tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from callrec.clock import Clock
from callrec.media import (
    CapacityError,
    Digit,
    DigitPolicy,
    Discarded,
    LegClosed,
    LegStats,
    MediaEvent,
    MediaLost,
    Part,
    Play,
    Played,
    RecordingFailed,
    RecordingPaused,
    RemoteMedia,
    Sealed,
    ShortageError,
    StatsReport,
)
from callrec.sip.events import Address

NOTICE_S = 5.0


@dataclass
class FakeLeg:
    call_id: str
    address: Address
    remote: RemoteMedia | None = None
    play: Play | None = None
    peer: str | None = None
    digits: DigitPolicy = DigitPolicy.CONSUME
    codes: tuple[str, ...] = ()
    packets: int = 0
    silent_since: float = 0.0


@dataclass
class FakeRecording:
    recording_id: str
    started: float
    held: bool = False
    paused: bool = False
    ending: str = ""
    spans: list[tuple[float, bool]] = field(default_factory=list)
    replaced: list[tuple[str, str]] = field(default_factory=list)


class MediaDouble:
    """Has the methods of `MediaService`; misuse of them fails the test as it would fail there."""

    def __init__(self, tell: Callable[[MediaEvent], None], clock: Clock) -> None:
        self._tell = tell
        self._clock = clock
        self.legs: dict[str, FakeLeg] = {}
        self.recordings: dict[str, FakeRecording] = {}
        self.asked: list[tuple[Any, ...]] = []
        self.broken = False
        """No worker runs."""
        self.full = False
        """Every port is in use."""
        self.opening_s = 0.0
        self.seal_s: float | None = 0.05
        self.notice_completes = True
        self._port = 10_000

    def _later(self, seconds: float, event: MediaEvent) -> None:
        asyncio.get_running_loop().call_later(seconds, self._tell, event)

    def _now(self) -> float:
        return self._clock.monotonic()

    async def open_leg(self, call_id: str, leg: str, bind: str) -> Address:
        if leg in self.legs:
            raise RuntimeError("a leg is opened twice")
        if self.opening_s:
            await asyncio.sleep(self.opening_s)
        self._require_room()
        self._port += 2
        address = Address(bind, self._port)
        self.legs[leg] = FakeLeg(call_id, address, silent_since=self._now())
        return address

    def shortage(self) -> CapacityError | None:
        try:
            self._require_room()
        except CapacityError as error:
            return error
        return None

    def _require_room(self) -> None:
        if self.broken:
            raise CapacityError("no media worker")
        if self.full:
            raise ShortageError("found no free RTP port")

    def set_remote(self, leg: str, remote: RemoteMedia) -> None:
        self.asked.append(("remote", leg, remote))
        if leg in self.legs:
            self.legs[leg].remote = remote

    def set_digits(self, leg: str, policy: DigitPolicy, codes: tuple[str, ...] = ()) -> None:
        if leg in self.legs:
            self.legs[leg].digits, self.legs[leg].codes = policy, codes

    def link(self, a: str, b: str) -> None:
        self.asked.append(("link", a, b))
        if a in self.legs and b in self.legs:
            self.legs[a].peer, self.legs[b].peer = b, a

    def unlink(self, a: str, b: str) -> None:
        self.legs[a].peer = self.legs[b].peer = None

    def close_leg(self, leg: str) -> None:
        found = self.legs.get(leg)
        if found is None:
            return
        if found.play is not None:
            self.stop_play(leg, why="closed")
        del self.legs[leg]
        stats = LegStats(found.call_id, leg, found.packets, 0, 0, 0, 0, 0)
        self._later(0.005, StatsReport(1, (stats,)))
        self._later(0.005, LegClosed(found.call_id, leg))

    def close_call(self, call_id: str) -> None:
        if call_id in self.recordings:
            self.seal(call_id)
        for name in [name for name, leg in self.legs.items() if leg.call_id == call_id]:
            self.close_leg(name)

    # What is heard

    def play(self, leg: str, play: Play) -> None:
        self.asked.append(("play", leg, play))
        found = self.legs.get(leg)
        if found is None:
            return
        if found.remote is None:
            self._later(0.0, self._played(leg, found, play, completed=False, why="no_address"))
            return
        assert found.remote.codec_name.upper() in play.sources, f"nothing to play in {found.remote.codec_name}"
        found.play = play
        if play.loop and play.maximum_ms is None:
            return
        seconds = play.maximum_ms / 1000 if play.maximum_ms else NOTICE_S
        asyncio.get_running_loop().call_later(seconds, self._play_ends, leg, play)

    def _play_ends(self, leg: str, play: Play) -> None:
        found = self.legs.get(leg)
        if found is not None and found.play is play:
            found.play = None
            self._tell(self._played(leg, found, play, completed=self.notice_completes, why=None))

    def stop_play(self, leg: str, play_id: str | None = None, *, why: str = "stopped") -> None:
        found = self.legs.get(leg)
        if found is None or found.play is None or play_id not in (None, found.play.play_id):
            return
        play, found.play = found.play, None
        self._later(0.002, self._played(leg, found, play, completed=False, why=why))

    def _played(self, leg: str, found: FakeLeg, play: Play, *, completed: bool, why: str | None) -> Played:
        codec = found.remote.codec_name if found.remote is not None else ""
        return Played(
            found.call_id, leg, play.play_id, play.kind.value, completed, why, codec,
            expected_ms=5000, sent_ms=5000 if completed else 100, packets_sent=250, packets_refused=0,
            first_sequence=1, last_sequence=250, started_at=1.0, ended_at=6.0, far_direction="sendrecv",
        )  # fmt: skip

    # What is stored

    def record(self, call_id: str, *, outside: str, ours: str, parts: Any, paused: bool = False) -> datetime | None:
        if not any(leg.call_id == call_id for leg in self.legs.values()):
            return None
        if call_id in self.recordings:
            raise RuntimeError("a call is recorded twice")
        assert {outside, ours} <= self.legs.keys()
        self.recordings[call_id] = FakeRecording(parts.recording_id, self._now(), paused=paused)
        self.asked.append(("record", call_id))
        return self._clock.now()

    def hold(self, call_id: str, *, on: bool) -> None:
        self.asked.append(("hold", call_id, on))
        if (recording := self.recordings.get(call_id)) is not None and not recording.ending:
            recording.held = on
            recording.spans.append((self._now(), on))

    def pause(self, call_id: str, *, on: bool) -> None:
        self.asked.append(("pause", call_id, on))
        if (recording := self.recordings.get(call_id)) is not None and not recording.ending:
            recording.paused = on
            self._later(0.01, RecordingPaused(call_id, on))

    def replace_recorded(self, call_id: str, old: str, new: str) -> None:
        assert {old, new} <= self.legs.keys(), "both legs are open"
        self.asked.append(("replace", old, new))
        if call_id in self.recordings and not self.recordings[call_id].ending:
            self.recordings[call_id].replaced.append((old, new))

    def seal(self, call_id: str, reason: str = "") -> bool:
        recording = self.recordings.get(call_id)
        if recording is None or recording.ending:
            return False
        recording.ending = "seal"
        duration = round((self._now() - recording.started) * 1000)
        path = f"/nowhere/{recording.recording_id}.1.crec"
        part = Part(1, path, sealed=True, segments=3, bytes=100)
        if self.seal_s is not None:
            self._ends_in(self.seal_s, call_id, Sealed(call_id, recording.recording_id, (part,), duration, 10))
        return True

    def discard(self, call_id: str) -> bool:
        recording = self.recordings.get(call_id)
        if recording is None:
            return False
        recording.ending = "discard"
        self._ends_in(0.02, call_id, Discarded(call_id, recording.recording_id, 1))
        return True

    def _ends_in(self, seconds: float, call_id: str, event: MediaEvent) -> None:
        def end() -> None:
            if self.recordings.pop(call_id, None) is not None:
                self._tell(event)

        asyncio.get_running_loop().call_later(seconds, end)

    # What a test lets happen

    def press(self, leg: str, digits: str) -> None:
        """Let a party press keys."""
        found = self.legs.get(leg)
        for digit in digits if found is not None else "":
            self._tell(Digit(found.call_id, leg, digit))

    def tell_stats(self, silent_s: dict[str, float] | None = None) -> None:
        """Let the worker tell its counters, as it does each second."""
        rows = []
        for name, leg in self.legs.items():
            silent = (silent_s or {}).get(name, self._now() - leg.silent_since)
            rows.append(LegStats(leg.call_id, name, leg.packets, 0, 0, 0, 0, round(silent * 1000)))
        if rows:
            self._tell(StatsReport(1, tuple(rows)))

    def fail_recording(self, call_id: str, *, segments: int) -> None:
        """Let the disk refuse a recording for good."""
        recording = self.recordings.pop(call_id, None)
        if recording is None:
            return
        path = f"/nowhere/{recording.recording_id}.1.partial"
        parts = (Part(1, path, sealed=False, segments=segments, bytes=9),) if segments else ()
        self._tell(RecordingFailed(call_id, recording.recording_id, "disk", parts))

    def lose(self, call_id: str) -> None:
        """Let no worker be there for a call any more."""
        self.recordings.pop(call_id, None)
        self._tell(MediaLost(call_id, "no media worker"))

    async def preload(self, sources: Any) -> None:
        """Nothing to read."""

    def workers(self) -> tuple[Any, ...]:
        return ()
