"""Interarrival jitter (RFC 3550 6.4.1, A.8): how unevenly packets arrive for the time they stand for."""

from __future__ import annotations

_LARGEST_S = 2.0
"""A larger difference is a source that jumped (RTP-2) or a clock that was set, and says nothing of the network."""


class Jitter:
    """The estimate of one stream, over windows of packets that follow each other.

    RFC 3550 asks for every packet. A window now and then estimates the same: the average of 16 differences is what
    one report tells. So packets outside a window cost nothing, and those in it have the kernel's arrival time, which
    does not rise with our own load.
    """

    __slots__ = ("_anchored", "_arrived_ns", "_sum", "_timestamp", "_values", "largest", "ticks")

    def __init__(self) -> None:
        self.ticks = 0.0
        """In RTP timestamp units, as of the last packet measured."""
        self.largest = 0.0
        self._sum = 0.0
        self._values = 0
        self._anchored = False
        self._arrived_ns = 0
        self._timestamp = 0

    @property
    def measured(self) -> int:
        """Return how many differences the estimate is made of."""
        return self._values

    @property
    def mean(self) -> float:
        """Return the mean of the estimate, in RTP timestamp units."""
        return self._sum / self._values if self._values else 0.0

    def begin(self) -> None:
        """Begin a window: the next packet does not follow the last one measured."""
        self._anchored = False

    def take(self, arrived_ns: int, timestamp: int, clock_rate: int) -> None:
        """Take in one packet by its arrival, in nanoseconds of any clock that runs on, and its RTP timestamp."""
        if self._anchored:
            told = (timestamp - self._timestamp + 0x80000000 & 0xFFFFFFFF) - 0x80000000
            difference = abs((arrived_ns - self._arrived_ns) * clock_rate / 1e9 - told)
            if difference <= _LARGEST_S * clock_rate:
                self._add(difference)
        self._anchored = True
        self._arrived_ns, self._timestamp = arrived_ns, timestamp

    def _add(self, difference: float) -> None:
        self.ticks += (difference - self.ticks) / 16
        self.largest = max(self.largest, self.ticks)
        self._sum += self.ticks
        self._values += 1
