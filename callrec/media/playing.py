"""Prompts, notices and tones: one timer wheel with absolute deadlines for all of a worker's legs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from callrec.media.leg import Leg
from callrec.media.sound import sound_of
from callrec.rtp.header import FIXED_HEADER

SLOT_NS = 2_000_000
_SLOTS = 1024
STALL_NS = 200_000_000
"""A wheel this late has let the listener hear silence: no notice is complete after it."""
WAIT_FOR_MEDIA_NS = 500_000_000
RTCP_LOSS_LIMIT = 0.20
"""NOT-14: more of the span lost, by the far end's own report, is no notice."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be played, as it came over the control socket."""

    play_id: str
    kind: str
    audio: bytes
    """In the codec of the leg, as `sound_of` takes it."""
    loop: bool
    lead_in_ms: int
    maximum_ms: int | None


class Playing:
    """One play on one leg; its counters are the evidence of NOT-13."""

    __slots__ = (
        "codec", "direction", "due_ns", "expected_ms", "first_sequence", "last_sequence", "leg", "limit", "loop",
        "order", "position", "refused_before", "sent_packets", "sound", "started_at", "step_ns", "waiting",
    )  # fmt: skip

    def __init__(self, leg: Leg, order: Order) -> None:
        assert leg.remote is not None, "internal error: a play on a leg without a far end"
        remote = leg.remote
        self.leg = leg
        self.order = order
        self.codec = remote.codec
        self.direction = remote.direction
        self.sound = sound_of(remote.codec, order.audio, remote.packet_time_ms, order.lead_in_ms)
        self.step_ns = self.sound.packet_ms * 1_000_000
        self.expected_ms = self.sound.spoken_ms
        self.limit = order.maximum_ms
        self.loop = order.loop
        self.position = 0
        self.due_ns = 0
        self.waiting = True
        self.sent_packets = 0
        self.first_sequence: int | None = None
        self.last_sequence: int | None = None
        self.started_at = 0.0
        self.refused_before = leg.refused

    def begin(self, now_ns: int) -> None:
        """Start the clock of this play."""
        self.waiting = False
        self.due_ns = now_ns
        self.refused_before = self.leg.refused
        self.leg.waiting = False
        self.leg.control.loss = None
        self.leg.outgoing.source_ssrc = -1  # a new spurt: the marker, and a timestamp of now

    def send_frame(self, now_ns: int) -> bool:
        """Send the frame that is due; return False once there is none left."""
        sound = self.sound
        if self.position >= len(sound.payloads):
            if not self.loop:
                return False
            self.position = sound.lead_in
        if self.limit is not None and self.sent_packets * sound.packet_ms >= self.limit:
            return False
        leg, remote = self.leg, self.leg.remote
        assert remote is not None, "internal error: a play on a leg without a far end"
        sequence, timestamp, fresh = leg.outgoing.next_numbers(sound.ticks, now_ns)
        second = remote.payload_type | (0x80 if fresh else 0)
        header = FIXED_HEADER.pack(0x80, second, sequence, timestamp, leg.outgoing.ssrc)
        taken = leg.send(header + sound.payloads[self.position])
        self.position += 1
        if taken:
            self._count(sequence)
        return True

    def _count(self, sequence: int) -> None:
        if self.first_sequence is None:
            self.first_sequence, self.started_at = sequence, time.time()
        self.last_sequence = sequence
        self.sent_packets += 1

    def evidence(self, interrupted_by: str | None) -> dict[str, Any]:
        """Return what was sent and whether the party can have heard it all (NOT-13, NOT-14)."""
        self.leg.drain_errors()
        refused = self.leg.refused - self.refused_before
        sent_ms = max(0, self.sent_packets * self.sound.packet_ms - self.order.lead_in_ms)
        control = self.leg.control
        loss = control.loss
        if interrupted_by is None and refused:
            interrupted_by = "refused"
        if interrupted_by is None and loss is not None and loss >= RTCP_LOSS_LIMIT:
            interrupted_by = "rtcp_loss"
        if interrupted_by is None and not self.loop and sent_ms < self.expected_ms - self.step_ns // 1_000_000:
            interrupted_by = "error"
        now = time.time()
        return {
            "t": "played",
            "leg": self.leg.number,
            "play_id": self.order.play_id,
            "kind": self.order.kind,
            "completed": interrupted_by is None and not self.loop,
            "interrupted_by": interrupted_by,
            "codec": self.codec,
            "expected_ms": self.expected_ms,
            "sent_ms": min(sent_ms, self.expected_ms) if not self.loop else sent_ms,
            "packets_sent": max(0, self.sent_packets - refused),
            "packets_refused": refused,
            "first_sequence": self.first_sequence,
            "last_sequence": self.last_sequence,
            "started_at": self.started_at or now,
            "ended_at": now,
            "far_direction": self.direction,
            "rtcp_loss_fraction": loss,
            "rtcp_highest_sequence": control.reached,
            "confirmed": interrupted_by is None and control.covers(self.last_sequence),
        }


class Wheel:
    """All plays of a worker by the 2 ms slot in which each is due."""

    def __init__(self, now_ns: int, ended: Callable[[Playing, str | None], None]) -> None:
        self._slots: list[list[Playing]] = [[] for _ in range(_SLOTS)]
        self._cursor = now_ns // SLOT_NS
        """The slot to look at next."""
        self._ended = ended
        self._active: set[Playing] = set()

    def __len__(self) -> int:
        return len(self._active)

    def add(self, playing: Playing, due_ns: int) -> None:
        """Look at a play when `due_ns` has come, at most two seconds from now."""
        playing.due_ns = due_ns
        self._active.add(playing)
        self._place(playing)

    def remove(self, playing: Playing) -> None:
        """Forget a play."""
        self._active.discard(playing)

    def advance(self, now_ns: int) -> None:
        """Send every frame that is due by now."""
        target = now_ns // SLOT_NS
        if not self._active:
            self._cursor = target
            return
        self._cursor = max(self._cursor, target - _SLOTS + 1)  # after a stall of seconds each slot is looked at once
        while self._cursor <= target:
            index = self._cursor % _SLOTS
            slot, self._slots[index] = self._slots[index], []
            self._cursor += 1
            for playing in slot:
                # One that was begun early, stopped or moved since leaves its old place behind.
                if playing in self._active and playing.due_ns <= now_ns + SLOT_NS:
                    self._look_at(playing, now_ns)

    def _place(self, playing: Playing) -> None:
        slot = max(playing.due_ns // SLOT_NS, self._cursor)
        self._slots[slot % _SLOTS].append(playing)

    def _look_at(self, playing: Playing, now_ns: int) -> None:
        if playing.waiting:
            playing.begin(now_ns)
        if now_ns - playing.due_ns > STALL_NS:
            if not playing.loop:
                self._ended(playing, "stall")
                return
            playing.due_ns = now_ns  # a tone goes on from here
        if not playing.send_frame(now_ns):
            self._ended(playing, None)
            return
        playing.due_ns += playing.step_ns
        self._place(playing)
