"""The recording commands of a worker: which legs are kept, on which tape, and what the writer reports."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from callrec.media.channel import Message
from callrec.media.leg import FIRST_WINDOW, Leg
from callrec.media.relay import Relay, Tell
from callrec.media.tape import BLOCKED_AFTER_US, GAP_INTERRUPTED, SIDES, Tape
from callrec.media.writer import (
    Ending,
    Job,
    KeysHeard,
    Listening,
    Track,
    TrackDiscarded,
    TrackFailed,
    TrackSealed,
    WriterThread,
)
from callrec.vault.part_writer import PartSpec
from callrec.vault.recording_format import OUTSIDE, CodecEntry

HEARD_EVERY_US = 100_000
_BLOCKED_LOOK_US = 200_000


class Taping:
    """All recordings of a worker, by call number."""

    def __init__(self, writer: WriterThread, relay: Relay, tell: Tell) -> None:
        self._writer = writer
        self._relay = relay
        self._tell = tell
        self._tapes: dict[int, Tape] = {}
        self._sides: dict[int, dict[int, str]] = {}
        """Call number -> leg number -> `outside` or `ours`."""
        self._legs: dict[int, Leg] = {}
        self._ending: dict[int, Tape] = {}
        self._ears: dict[int, list[bytes]] = {}
        """Leg number -> its voice of late, while it is listened to for keys."""
        self._heard_at = 0
        self._blocked_since: int | None = None
        self._looked_at = 0
        self.commands: dict[str, Callable[[Message, list[int]], None]] = {
            "record": self._record,
            "hold": self._hold,
            "pause": self._pause,
            "seal": self._seal,
            "discard": self._discard,
            "replace": self._replace,
        }

    @property
    def busy(self) -> bool:
        """Return whether recordings run or are being ended."""
        return bool(self._tapes or self._ending)

    def leg_opened(self, leg: Leg) -> None:
        """Take note of a leg; it may belong to a recording."""
        self._legs[leg.number] = leg
        self._attach(leg)

    def leg_closed(self, leg: Leg) -> None:
        """Take note that a leg has no more to say."""
        self.stop_listening(leg)
        self._legs.pop(leg.number, None)
        leg.store = None

    def listen(self, leg: Leg) -> None:
        """Hear the keys that a party without telephone-event presses while a notice plays to it (NOT-16)."""
        if leg.remote is not None and leg.remote.keys_in_voice:
            self._ears[leg.number] = []
            self._attach(leg)

    def stop_listening(self, leg: Leg) -> None:
        """Listen to a leg no more; what it said is forgotten."""
        if self._ears.pop(leg.number, None) is not None:
            self._writer.hand_over([Listening(leg.number, b"", over=True)])
            self._attach(leg)

    def remote_changed(self, leg: Leg) -> None:
        """Mark the codecs of a leg whose far end changed."""
        side = self._sides.get(leg.call, {}).get(leg.number)
        if side is not None and leg.call in self._tapes:
            self._mark_codecs(self._tapes[leg.call], leg, side)

    def cut(self, now_us: int) -> None:
        """Hand over every batch that is due, and watch how far the disk is behind."""
        jobs: list[Job] = []
        for tape in self._due(now_us):
            storing = tape.storing
            jobs += tape.due(now_us)
            if tape.storing != storing:
                self._attach_all(tape)
        if self._ears and now_us - self._heard_at >= HEARD_EVERY_US:
            self._heard_at = now_us
            jobs += self._voices()
        if jobs:
            self._writer.hand_over(jobs)
        if now_us - self._looked_at >= _BLOCKED_LOOK_US:
            self._looked_at = now_us
            self._watch_storage(now_us)

    def _voices(self) -> list[Job]:
        """Return what has been said by the legs that are listened to."""
        jobs: list[Job] = []
        for number, chunks in self._ears.items():
            if chunks:
                jobs.append(Listening(number, b"".join(chunks)))
                chunks.clear()
        return jobs

    def _due(self, now_us: int) -> list[Tape]:
        """Return the tapes to look at now, the longest due first, half as many again as come due on average.

        Without this bound one late look would bring all tapes into step, and from then on they would all be cut at
        once: the writer would keep the interpreter from the loop for many milliseconds, again and again.
        """
        due = [tape for tape in self._tapes.values() if now_us >= tape.look_at_us]
        share = 8 + len(self._tapes) // 12  # looks come every 20 ms, cuts every 380
        if len(due) > share:
            due.sort(key=lambda tape: tape.look_at_us)
            del due[share:]
        return due

    def flush(self) -> None:
        """Hand over everything that was gathered; nothing is sealed."""
        jobs = [job for tape in self._tapes.values() for job in tape.flush()]
        self._writer.hand_over(jobs)

    def kept(self, remainder: int, slices: int) -> list[list[int]]:
        """Return, for a share of the calls, up to where each recording's part is written, in milliseconds."""
        return [
            [call, tape.track.kept_us // 1000]
            for call, tape in self._tapes.items()
            if call % slices == remainder
        ]  # fmt: skip

    def report(self) -> None:
        """Tell what the writer has reported."""
        reports = self._writer.reports
        while reports:
            report = reports.popleft()
            if isinstance(report, KeysHeard):
                self._tell_keys(report)
                continue
            call = report.track.call
            tape = self._ending.pop(call, None)
            match report:
                case TrackSealed(_, part):
                    self._tell(_sealed(call, part, tape))
                case TrackDiscarded(_, removed):
                    self._tell({"t": "discarded", "call": call, "removed": removed})
                case TrackFailed(track, reason):
                    self._stop(call)
                    self._tell({"t": "failed", "call": call, "part": track.spec.part, "reason": reason})

    def _tell_keys(self, heard: KeysHeard) -> None:
        """Tell keys as if they had come by RFC 4733, while the notice still plays."""
        if heard.leg in self._ears:
            for key in heard.keys:
                self._tell({"t": "digit", "leg": heard.leg, "digit": key})

    # --- commands ------------------------------------------------------------------------------------------------

    def _record(self, message: Message, _descriptors: list[int]) -> None:
        call = message["call"]
        track = Track(call, PartSpec.from_wire(message["spec"]), message["started_unix_ns"])
        tape = Tape(track, message["started_mono_ns"] // 1000, self._tell_gap)
        self._tapes[call] = tape
        self._sides[call] = {message[side]: side for side in SIDES if message[side] is not None}
        for number, side in self._sides[call].items():
            if (leg := self._legs.get(number)) is not None:
                self._mark_codecs(tape, leg, side)
                leg.measure(FIRST_WINDOW)  # the kernel's times, for a recording is placed by its first two seconds
        tape.hold(on=message["held"])
        tape.pause(on=message["paused"])
        self._attach_all(tape)
        if message["resume"]:
            self._take_over(tape, message["keep_from_mono_ns"])
        if tape.paused:
            self._tell({"t": "paused", "call": call, "on": True})

    def _take_over(self, tape: Tape, keep_from_ns: int) -> None:
        """Keep what waited while there was no worker; what is missing before it is the gap.

        What came before `keep_from_ns` came while the recording was paused.
        """
        now_ns = time.monotonic_ns()
        legs = [self._legs[number] for number in self._sides[tape.call] if number in self._legs]
        firsts = [self._relay.take_backlog(leg, now_ns, keep_from_ns) for leg in legs]
        came = [first for first in firsts if first is not None]
        until_us = max(0, min(came, default=now_ns // 1000) - tape.started_us)
        tape.gap_at_start(until_us)
        self._tell_gap(tape, GAP_INTERRUPTED, (0, until_us), final=True)

    def _hold(self, message: Message, _descriptors: list[int]) -> None:
        if (tape := self._tapes.get(message["call"])) is not None:
            tape.hold(on=message["on"])
            self._attach_all(tape)

    def _pause(self, message: Message, _descriptors: list[int]) -> None:
        tape = self._tapes.get(message["call"])
        if tape is None:
            return
        if not message["on"]:
            self._let_go_of_backlog(tape)
        tape.pause(on=message["on"])
        self._attach_all(tape)
        self._tell({"t": "paused", "call": tape.call, "on": tape.paused})

    def _let_go_of_backlog(self, tape: Tape) -> None:
        """Relay what waits in the sockets and keep none of it: it came while the recording was paused (LAW-73)."""
        now_ns = time.monotonic_ns()
        for number in self._sides[tape.call]:
            if (leg := self._legs.get(number)) is not None:
                leg.store = None
                self._relay.take_backlog(leg, now_ns)

    def _seal(self, message: Message, _descriptors: list[int]) -> None:
        call = message["call"]
        tape = self._stop(call)
        if tape is None:
            return
        self._ending[call] = tape
        self._writer.hand_over(tape.seal(message["reason"]))

    def _discard(self, message: Message, _descriptors: list[int]) -> None:
        call = message["call"]
        tape = self._stop(call) or self._ending.get(call)
        if tape is None:
            tape = Tape(Track(call, PartSpec.from_wire(message["spec"]), 0), 0, self._tell_gap)
        self._ending[call] = tape
        tape.chunks.clear()
        self._writer.hand_over([Ending(tape.track, "discard", tuple(message["paths"]))])

    def _replace(self, message: Message, _descriptors: list[int]) -> None:
        """Let another leg take a side of a recording: a party was put through to somebody else."""
        tape, sides = self._tapes.get(message["call"]), self._sides.get(message["call"], {})
        side = sides.pop(message["old"], None)
        if tape is None or side is None:
            return
        sides[message["new"]] = side
        if (old := self._legs.get(message["old"])) is not None:
            old.store = None
        if (leg := self._legs.get(message["new"])) is not None:
            self._mark_codecs(tape, leg, side)
            self._attach(leg)

    def _stop(self, call: int) -> Tape | None:
        """Keep nothing more of a call."""
        tape = self._tapes.pop(call, None)
        for number in self._sides.pop(call, {}):
            if (leg := self._legs.get(number)) is not None:
                leg.store = None
        return tape

    def _attach_all(self, tape: Tape) -> None:
        for number in self._sides[tape.call]:
            if (leg := self._legs.get(number)) is not None:
                self._attach(leg)

    def _attach(self, leg: Leg) -> None:
        """Let a leg's packets onto its call's tape, or keep them off it."""
        tape = self._tapes.get(leg.call)
        side = self._sides.get(leg.call, {}).get(leg.number)
        if tape is None or side is None or not tape.storing:
            ear = self._ears.get(leg.number)
            leg.store = None if ear is None else ear.append
            leg.started_us, leg.direction = 0, leg.direction or OUTSIDE
            return
        leg.direction = SIDES[side]
        leg.started_us = tape.started_us
        leg.store = tape.chunks.append

    def _mark_codecs(self, tape: Tape, leg: Leg, side: str) -> None:
        remote = leg.remote
        if remote is None:
            return
        entries = [CodecEntry(remote.payload_type, remote.codec, remote.clock_rate)]
        entries += [CodecEntry(number, "CN", 8000) for number in (13, 19) if number != remote.payload_type]
        others = tape.track.tones_from - {SIDES[side]}
        tape.track.tones_from = others | ({SIDES[side]} if remote.keys_in_voice else frozenset())
        tape.codecs(SIDES[side], entries)

    def _watch_storage(self, now_us: int) -> None:
        """Tell once when the disk is two seconds behind or refuses, and once when it has caught up."""
        tapes = [*self._tapes.values(), *self._ending.values()]
        behind = max((tape.blocked_us for tape in tapes), default=0)
        if self._blocked_since is None and behind > BLOCKED_AFTER_US:
            self._blocked_since = now_us - behind
            why = next((tape.track.failing for tape in tapes if tape.track.failing), "writes do not come back")
            self._tell({"t": "write_blocked", "detail": why, "behind_ms": behind // 1000})
        elif self._blocked_since is not None and behind < BLOCKED_AFTER_US // 2:
            blocked_ms = (now_us - self._blocked_since) // 1000
            self._blocked_since = None
            self._tell({"t": "write_unblocked", "blocked_ms": blocked_ms})

    def _tell_gap(self, tape: Tape, reason: str, span: tuple[int, int], *, final: bool) -> None:
        start_us, end_us = span
        message = {"t": "gap", "call": tape.call, "start_us": start_us, "end_us": end_us, "reason": reason}
        self._tell({**message, "final": final})


def _sealed(call: int, part: Any, tape: Tape | None) -> Message:
    return {
        "t": "sealed",
        "call": call,
        "part": part.part,
        "path": str(part.path),
        "segments": part.segments,
        "bytes": part.size,
        "packets": tape.packets if tape is not None else 0,
    }
