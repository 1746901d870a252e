"""Turns what workers say into events: numbers into names, parts into recordings."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from callrec.media.channel import Message
from callrec.media.commands import Play
from callrec.media.events import (
    Confirmed,
    Digit,
    Discarded,
    Gap,
    Latched,
    LegClosed,
    LegQuality,
    LegStats,
    MediaEvent,
    Part,
    Played,
    RecordingFailed,
    RecordingPaused,
    Sealed,
    StatsReport,
    StorageBlocked,
    StorageRecovered,
)
from callrec.media.state import CallState, LegState, RecordingState
from callrec.sip.events import Address

log = logging.getLogger("callrec.media")

_CLOSED_LEGS = 10_000  # names of closed legs kept until the worker has said its last of them


class Reports:
    """Knows calls and legs by the numbers they have on the control socket."""

    def __init__(self, tell: Callable[[MediaEvent], None], ended: Callable[[CallState], None]) -> None:
        self._tell = tell
        self._ended = ended
        self._legs: dict[int, LegState] = {}
        self._calls: dict[int, CallState] = {}
        self._takers: dict[str, Callable[[int, Message], None]] = {
            "latched": self._latched,
            "digit": self._digit,
            "played": self._played,
            "confirmed": self._confirmed,
            "gap": self._gap,
            "paused": self._paused,
            "sealed": self._sealed,
            "discarded": self._discarded,
            "failed": self._failed,
            "stats": self._stats,
            "quality": self._quality,
            "closed": self._closed,
            "write_blocked": self._blocked,
            "write_unblocked": self._unblocked,
            "error": self._error,
        }

    def add_leg(self, leg: LegState) -> None:
        """Know a leg until its worker has closed it."""
        self._legs[leg.number] = leg
        if len(self._legs) > _CLOSED_LEGS:  # legs whose worker was lost while they were being closed
            self._legs = {number: each for number, each in self._legs.items() if each.name in each.call.legs}

    def add_call(self, call: CallState) -> None:
        """Know a call until it is forgotten."""
        self._calls[call.number] = call

    def forget_call(self, call: CallState) -> None:
        """Know a call no more."""
        self._calls.pop(call.number, None)

    def take(self, pid: int, message: Message) -> None:
        """Turn one message into events."""
        taker = self._takers.get(message["t"])
        if taker is not None:
            taker(pid, message)

    def abandoned(self, recording: RecordingState) -> Part:
        """Return the part that a lost worker was writing; sealed only if it had got so far."""
        spec = recording.spec
        return Part(spec.part, str(spec.path), sealed=False, segments=0, bytes=0)

    def ended(self, call: CallState, recording: RecordingState) -> None:
        """Tell the end of a recording whose last part no worker can seal any more."""
        self._tell(
            Sealed(call.name, recording.source.recording_id, tuple(recording.parts), _duration_ms(recording), 0)
        )  # fmt: skip
        self._ended(call)

    def given_up(self, call: CallState, recording: RecordingState, now_mono_ns: int) -> None:
        """Tell the end of a recording that no worker is there to end; what should be removed is still there."""
        recording.parts.append(self.abandoned(recording))
        recording.ended_mono_ns = recording.ended_mono_ns or now_mono_ns
        if recording.ending != "discard":
            self.ended(call, recording)
            return
        reason = "discard: no media worker can be started"
        self._tell(RecordingFailed(call.name, recording.source.recording_id, reason, tuple(recording.parts)))
        self._ended(call)

    def _latched(self, _pid: int, message: Message) -> None:
        if (leg := self._legs.get(message["leg"])) is not None:
            source = Address(message["host"], message["port"])
            self._tell(Latched(leg.call.name, leg.name, source, message["how"]))

    def _digit(self, _pid: int, message: Message) -> None:
        if (leg := self._legs.get(message["leg"])) is not None:
            self._tell(Digit(leg.call.name, leg.name, message["digit"]))

    def _played(self, _pid: int, message: Message) -> None:
        leg = self._legs.get(message["leg"])
        if leg is None:
            return
        if leg.play is not None and leg.play.play_id == message["play_id"]:
            leg.play = None
        values = {key: value for key, value in message.items() if key not in ("t", "leg")}
        self._tell(Played(call_id=leg.call.name, leg=leg.name, **values))

    def _confirmed(self, _pid: int, message: Message) -> None:
        if (leg := self._legs.get(message["leg"])) is not None:
            loss, highest = message["loss"], message["highest_sequence"]
            self._tell(Confirmed(leg.call.name, leg.name, message["play_id"], loss, highest))

    def _gap(self, _pid: int, message: Message) -> None:
        call = self._calls.get(message["call"])
        if call is None or call.recording is None:
            return
        offset = call.recording.part_offset_ms
        start, end = offset + message["start_us"] // 1000, offset + message["end_us"] // 1000
        self._tell(Gap(call.name, start, end, message["reason"], message["final"]))

    def _paused(self, _pid: int, message: Message) -> None:
        call = self._calls.get(message["call"])
        if call is not None and call.recording is not None and call.recording.paused is message["on"]:
            self._tell(RecordingPaused(call.name, message["on"]))

    def _sealed(self, _pid: int, message: Message) -> None:
        call = self._calls.get(message["call"])
        if call is None or call.recording is None or call.recording.ending == "discard":
            return
        recording = call.recording
        part = Part(message["part"], message["path"], sealed=True, segments=message["segments"], bytes=message["bytes"])
        parts = (*recording.parts, part)
        duration = _duration_ms(recording)
        self._tell(Sealed(call.name, recording.source.recording_id, parts, duration, message["packets"]))
        self._ended(call)

    def _discarded(self, _pid: int, message: Message) -> None:
        call = self._calls.get(message["call"])
        if call is not None and call.recording is not None:
            self._tell(Discarded(call.name, call.recording.source.recording_id, message["removed"]))
            self._ended(call)

    def _failed(self, _pid: int, message: Message) -> None:
        call = self._calls.get(message["call"])
        if call is None or call.recording is None:
            return
        recording = call.recording
        parts = list(recording.parts)
        if Path(recording.spec.path).name:
            parts.append(self.abandoned(recording))
        self._tell(RecordingFailed(call.name, recording.source.recording_id, message["reason"], tuple(parts)))
        self._ended(call)

    def _stats(self, pid: int, message: Message) -> None:
        rows = []
        for number, received, lost, sent, refused, dropped, silent_ms, sequence, timestamp, last_at in message["legs"]:
            leg = self._legs.get(number)
            if leg is None:
                continue
            if last_at >= 0:
                leg.sequence, leg.timestamp, leg.last_at = sequence, timestamp, last_at
            rows.append(LegStats(leg.call.name, leg.name, received, lost, sent, refused, dropped, silent_ms))
        for number, kept_ms in message["kept"]:
            call = self._calls.get(number)
            if call is not None and call.recording is not None:
                call.recording.kept_ms = kept_ms
        if rows:
            self._tell(StatsReport(pid, tuple(rows)))

    def _quality(self, _pid: int, message: Message) -> None:
        if (leg := self._legs.get(message["leg"])) is not None:
            values = {key: value for key, value in message.items() if key not in ("t", "leg")}
            self._tell(LegQuality(leg.call.name, leg.name, **values))

    def _closed(self, _pid: int, message: Message) -> None:
        if (leg := self._legs.pop(message["leg"], None)) is not None:
            self._tell(LegClosed(leg.call.name, leg.name))

    def _blocked(self, pid: int, message: Message) -> None:
        self._tell(StorageBlocked(pid, message["detail"]))

    def _unblocked(self, pid: int, message: Message) -> None:
        self._tell(StorageRecovered(pid, message["blocked_ms"]))

    def _error(self, pid: int, message: Message) -> None:
        log.error("media worker %d: %s", pid, message["detail"])


def _duration_ms(recording: RecordingState) -> int:
    return (recording.ended_mono_ns - recording.started_mono_ns) // 1_000_000


def played_nothing(leg: LegState, play: Play, why: str, now: float) -> Played:
    """Return the evidence of a play of which nothing is known to have been heard."""
    return Played(
        call_id=leg.call.name,
        leg=leg.name,
        play_id=play.play_id,
        kind=play.kind.value,
        completed=False,
        interrupted_by=why,
        codec=leg.remote.codec_name if leg.remote is not None else "",
        expected_ms=0,
        sent_ms=0,
        packets_sent=0,
        packets_refused=0,
        first_sequence=None,
        last_sequence=None,
        started_at=now,
        ended_at=now,
        far_direction="sendrecv",
    )
