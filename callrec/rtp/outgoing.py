"""One outgoing stream for each leg: whatever feeds it (prompt, tone, the other leg), its numbers run on."""

from __future__ import annotations

from collections.abc import Callable

_MASK32 = 0xFFFFFFFF

# A source whose timestamp leaves this window around its last one (2 s back, 4 s on, at 8 kHz) is anchored anew on
# the clock: what it means by the jump is unknown, and a jump of 2**31 would silence many receivers.
BACK_TICKS = 16_000
WINDOW_TICKS = 48_000


class OutgoingStream:
    """Sequence numbers, timestamps and SSRC of what one leg is sent.

    Relaying adds `sequence_offset` and `timestamp_offset` to what a source sent. `follow` sets them so that the
    stream runs on where it was; the relay calls it for a new SSRC or a timestamp outside the window, and keeps
    `last_sequence`, `last_timestamp` and `last_at` itself.
    """

    __slots__ = (
        "clock_rate",
        "last_at",
        "last_sequence",
        "last_timestamp",
        "sequence_offset",
        "source_ssrc",
        "source_timestamp",
        "ssrc",
        "timestamp_offset",
    )

    def __init__(self, ssrc: int, first_sequence: int, first_timestamp: int, *, clock_rate: int = 8000) -> None:
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        self.last_sequence = (first_sequence - 1) & 0xFFFF
        self.last_timestamp = first_timestamp
        self.last_at = -1
        """When something was last sent, in nanoseconds of the monotonic clock, or -1."""
        self.source_ssrc = -1
        self.source_timestamp = 0
        self.sequence_offset = 0
        self.timestamp_offset = 0

    @classmethod
    def random(cls, random: Callable[[int], bytes], *, clock_rate: int = 8000) -> OutgoingStream:
        """Return a stream that starts at random numbers (RFC 3550 5.1)."""
        numbers = random(10)
        return cls(
            int.from_bytes(numbers[:4], "big"),
            int.from_bytes(numbers[4:6], "big"),
            int.from_bytes(numbers[6:], "big"),
            clock_rate=clock_rate,
        )

    def next_numbers(self, ticks: int, now_ns: int) -> tuple[int, int, bool]:
        """Return sequence number, timestamp and marker of our own next frame, `ticks` long.

        After a pause the timestamp moves on with the clock and the marker tells of the new spurt.
        """
        fresh = self.source_ssrc != self.ssrc
        if fresh:
            self.source_ssrc = self.ssrc
            self.last_timestamp = self._timestamp_now(now_ns)
        else:
            self.last_timestamp = (self.last_timestamp + ticks) & _MASK32
        self.last_sequence = (self.last_sequence + 1) & 0xFFFF
        self.last_at = now_ns
        return self.last_sequence, self.last_timestamp, fresh

    def follow(self, sequence_number: int, timestamp: int, ssrc: int, now_ns: int) -> bool:
        """Anchor a source's numbers to this stream; return whether the source is a new one (which sets the marker)."""
        fresh = ssrc != self.source_ssrc
        if fresh:
            self.source_ssrc = ssrc
            self.sequence_offset = (self.last_sequence + 1 - sequence_number) & 0xFFFF
        self.timestamp_offset = (self._timestamp_now(now_ns) - timestamp) & _MASK32
        self.source_timestamp = timestamp
        return fresh

    def timestamp_at(self, now_ns: int) -> int:
        """Return the RTP timestamp of a moment after the last packet, for a sender report (RFC 3550 6.4.1)."""
        if self.last_at < 0:
            return self.last_timestamp
        return (self.last_timestamp + (now_ns - self.last_at) * self.clock_rate // 1_000_000_000) & _MASK32

    def resume_from(self, last_sequence: int, last_timestamp: int, last_at: int) -> None:
        """Take over where another process left the same stream."""
        self.last_sequence = last_sequence
        self.last_timestamp = last_timestamp
        self.last_at = last_at

    def _timestamp_now(self, now_ns: int) -> int:
        """Return the timestamp of this moment, at least one tick of 10 ms after the last."""
        if self.last_at < 0:
            return self.last_timestamp
        elapsed = (now_ns - self.last_at) * self.clock_rate // 1_000_000_000
        return (self.last_timestamp + max(elapsed, self.clock_rate // 100)) & _MASK32
