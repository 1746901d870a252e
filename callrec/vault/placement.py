"""Where the samples of a packet lie: by RTP timestamp from the least-delayed arrival (section 11 of the format)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

RATE = 8000
"""Samples a second where a recording holds telephone band alone (G.711)."""
MEMORY = 512
_MEMORY_MASK = (1 << MEMORY) - 1


@dataclass(frozen=True, slots=True)
class Limits:
    """The lengths of section 11 in samples at the rate of a rendering."""

    measure: int
    """2 s: a run's first arrivals among which the least delay is its anchor."""
    window: int
    """5 s in which the least delay is taken again."""
    slack: int
    """10 ms: the least delay may move by this much unseen, and an anchor moves by at most this much at once."""
    jump: int
    """2 s: more than a run's timestamp may move unexplained."""
    leap: int
    """200 ms: how far a timestamp may disagree with its arrival where a sender may have begun anew."""
    long_break: int
    """5 s: after so long without a packet sequence numbers may have wrapped unseen and say nothing."""

    @classmethod
    def at(cls, rate: int) -> Limits:
        """Return the limits at a rate in samples a second."""
        return cls(2 * rate, 5 * rate, rate // 100, 2 * rate, rate // 5, 5 * rate)


class Incoming(NamedTuple):
    """A packet as the placer sees it."""

    arrival: int
    """Samples from the start of the recording."""
    sequence: int
    timestamp: int
    """In ticks of the codec's RTP clock."""
    ssrc: int
    marker: bool
    payload: bytes
    coding: int
    """How the payload is decoded; the placer only passes it on."""
    tick: int = 1
    """Samples of the rendering in a tick of the RTP clock."""


Place = Callable[[int, bytes, int], None]
"""Takes position in samples, payload and coding."""


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A place where the anchor moved, so that samples were inserted (positive) or removed (negative)."""

    position: int
    """Samples from the start of the recording."""
    samples: int


@dataclass(slots=True)
class Counters:
    """What was found in one direction."""

    packets: int = 0
    lost: int = 0
    duplicates: int = 0
    reordered: int = 0
    strays: int = 0
    """Packets of another sequence that nothing continued; not used."""
    late: int = 0
    """Packets whose place had passed when they came; not used."""


@dataclass(slots=True)
class _Run:
    """Packets of one SSRC whose timestamps go on."""

    ssrc: int
    sequence: int
    timestamp: int
    arrival: int
    tick: int = 1
    unwrapped: int = 0
    """The highest timestamp so far, in samples from the run's first packet on, never wrapped."""
    seen: int = 1
    """Bit n: the n-th sequence number before the highest has been seen."""
    least: int | None = None
    """The least delay that the anchor stands for; None until it was measured."""
    anchor: int = 0
    measuring: list[tuple[int, Incoming]] | None = field(default_factory=list)
    window_start: int = 0
    window_least: int | None = None


class Placer:
    """Places the packets of one direction, in the order of their arrival."""

    def __init__(self, place: Place, rate: int = RATE) -> None:
        self.counters = Counters()
        self.adjustments: list[Adjustment] = []
        self._place = place
        self._limits = Limits.at(rate)
        self._run: _Run | None = None
        self._suspect: Incoming | None = None
        self._broken = False

    def take(self, packet: Incoming) -> None:
        """Take in a packet; it, or packets held before it, are placed now or later."""
        self.counters.packets += 1
        run = self._run
        if run is None:
            self._begin(packet)
        elif self._continues(run, packet):
            if self._suspect is not None:
                self._drop_suspect()
            self._go_on(run, packet)
        else:
            self._doubt(packet)

    def break_here(self) -> None:
        """Take in that packets before and after this instant need not hang together: a hold, pause or gap ended."""
        self._broken = True

    def finish(self) -> None:
        """Place whatever is still held."""
        if self._suspect is not None:
            self._begin(self._suspect)
        self._settle()

    def _continues(self, known: _Run | Incoming, packet: Incoming) -> bool:
        """Return whether a packet may follow another of the same run."""
        if packet.ssrc != known.ssrc or packet.tick != known.tick:
            return False
        timestamp_delta = _signed(packet.timestamp - known.timestamp, 32) * packet.tick
        arrival_delta = packet.arrival - known.arrival
        jump = self._limits.jump
        if abs(timestamp_delta) > jump and abs(timestamp_delta - arrival_delta) > jump:
            return False
        if arrival_delta > self._limits.long_break:
            return timestamp_delta > 0
        sequence_delta = _signed(packet.sequence - known.sequence, 16)
        if sequence_delta == 0:
            return timestamp_delta == 0
        return (sequence_delta > 0) == (timestamp_delta > 0) or timestamp_delta == 0

    def _doubt(self, packet: Incoming) -> None:
        """Hold a packet that continues nothing, until the next one shows whether it begins something."""
        suspect = self._suspect
        if suspect is not None and self._continues(suspect, packet):
            self._begin(suspect)
            run = self._run
            if run is not None:
                self._go_on(run, packet)
            return
        if suspect is not None:
            self._drop_suspect()
        self._suspect = packet

    def _drop_suspect(self) -> None:
        self.counters.strays += 1
        self._suspect = None

    def _begin(self, packet: Incoming) -> None:
        self._settle()
        self._suspect = None
        self._broken = False
        self._run = _Run(packet.ssrc, packet.sequence, packet.timestamp, packet.arrival, packet.tick)
        self._hold(self._run, 0, packet)

    def _go_on(self, run: _Run, packet: Incoming) -> None:
        sequence_delta = _signed(packet.sequence - run.sequence, 16)
        timestamp_delta = _signed(packet.timestamp - run.timestamp, 32) * run.tick
        arrival_delta = packet.arrival - run.arrival
        unwrapped = run.unwrapped + timestamp_delta
        if sequence_delta > 0 or arrival_delta > self._limits.long_break:
            self._advance(run, packet, unwrapped, sequence_delta)
        elif not self._is_new(run, -sequence_delta):
            return
        if run.measuring is not None:
            self._hold(run, unwrapped, packet)
            return
        leaps = packet.marker or (sequence_delta == 1 and timestamp_delta - arrival_delta > self._limits.leap)
        moved = abs(packet.arrival - unwrapped - (run.least or 0))
        if self._broken or moved > self._limits.jump or (leaps and moved > self._limits.leap):
            self._broken = False
            run.measuring = []
            self._hold(run, unwrapped, packet)
            return
        self._watch(run, unwrapped, packet.arrival)
        self._place(unwrapped + run.anchor, packet.payload, packet.coding)

    def _advance(self, run: _Run, packet: Incoming, unwrapped: int, sequence_delta: int) -> None:
        if sequence_delta > 0 and not self._broken:
            self.counters.lost += sequence_delta - 1
            run.seen = (run.seen << min(sequence_delta, MEMORY) | 1) & _MEMORY_MASK
        else:
            run.seen = 1
        run.sequence, run.timestamp, run.arrival = packet.sequence, packet.timestamp, packet.arrival
        run.unwrapped = unwrapped

    def _is_new(self, run: _Run, behind: int) -> bool:
        """Return whether a sequence number that lies behind the highest has not been seen; note it."""
        if behind >= MEMORY or run.seen >> behind & 1:
            self.counters.duplicates += 1
            return False
        run.seen |= 1 << behind
        self.counters.reordered += 1
        self.counters.lost = max(0, self.counters.lost - 1)
        return True

    def _hold(self, run: _Run, unwrapped: int, packet: Incoming) -> None:
        """Keep a packet until the least delay has been measured."""
        held = run.measuring if run.measuring is not None else []
        held.append((unwrapped, packet))
        run.measuring = held
        if packet.arrival - held[0][1].arrival >= self._limits.measure:
            self._settle()

    def _settle(self) -> None:
        """Set the anchor from the packets held, and place them."""
        run = self._run
        if run is None or not run.measuring:
            return
        held, run.measuring = run.measuring, None
        least = min(packet.arrival - unwrapped for unwrapped, packet in held)
        if run.least is None or abs(least - run.least) > self._limits.slack:
            first = min(unwrapped for unwrapped, _ in held)
            # What came first must not lie before the start; no sender can push it further than a jump.
            anchor = least + min(max(0, -(first + least)), self._limits.jump)
            if run.least is not None:
                self.adjustments.append(Adjustment(first + anchor, anchor - run.anchor))
            run.least, run.anchor = least, anchor
        run.window_start, run.window_least = held[0][1].arrival, least
        for unwrapped, packet in held:
            self._place(unwrapped + run.anchor, packet.payload, packet.coding)

    def _watch(self, run: _Run, unwrapped: int, arrival: int) -> None:
        """Follow the least delay window by window; where it has moved, move the anchor by at most 10 ms."""
        delay, slack = arrival - unwrapped, self._limits.slack
        if arrival - run.window_start < self._limits.window:
            if run.window_least is None or delay < run.window_least:
                run.window_least = delay
            return
        if run.window_least is not None and run.least is not None:
            moved = run.window_least - run.least
            if abs(moved) > slack:
                step = max(-slack, min(slack, moved))
                run.least += step
                run.anchor += step
                self.adjustments.append(Adjustment(unwrapped + run.anchor, step))
        run.window_start, run.window_least = arrival, delay


def _signed(value: int, bits: int) -> int:
    """Return a difference of counters that wrap as the shorter way round."""
    half = 1 << (bits - 1)
    return ((value + half) & ((1 << bits) - 1)) - half
