"""How much of a stream arrived: sequence numbers followed over wraps, losses, reordering, restarts and new sources."""

from __future__ import annotations

# RFC 3550 A.1: a forward jump below MAX_DROPOUT is loss, a backward one within MAX_MISORDER is a late packet.
MAX_DROPOUT = 3000
MAX_MISORDER = 100


class Reception:
    """Counts one incoming stream.

    The loop that receives packets does the common case itself, where speed counts: `if sequence_number == expected`,
    it sets `expected` to the next one; else it calls `jumped`. How often the numbers wrapped is worked out once a
    second (`wrapped`), never for a packet.
    """

    __slots__ = ("_cycles", "_lost_before", "_received_before", "_seen", "expected", "lost", "received", "ssrc")

    def __init__(self) -> None:
        self.received = 0
        self.lost = 0
        self.expected = -1
        """The next sequence number, or -1 before the first packet."""
        self.ssrc = -1
        """Whose numbers these are, as far as known; -1 before the first packet."""
        self._cycles = 0
        self._seen = -1
        self._received_before = 0
        self._lost_before = 0

    def arrived(self, sequence_number: int, ssrc: int = -1) -> None:
        """Count one packet."""
        self.received += 1
        if sequence_number == self.expected:
            self.expected = (sequence_number + 1) & 0xFFFF
        else:
            self.jumped(sequence_number, ssrc)

    def jumped(self, sequence_number: int, ssrc: int = -1) -> bool:
        """Take in a sequence number that was not the expected one; return whether the numbers began anew."""
        if ssrc not in (-1, self.ssrc):
            self.source(ssrc)
            self._begin(sequence_number)
            return True
        ahead = (sequence_number - self.expected) & 0xFFFF
        if self.expected < 0 or MAX_DROPOUT <= ahead < 0x10000 - MAX_MISORDER:
            self._begin(sequence_number)  # the first packet, or a source that started again
            return True
        if ahead < MAX_DROPOUT:
            self.lost += ahead
            self.expected = (sequence_number + 1) & 0xFFFF
        elif self.lost > self._lost_before:
            self.lost -= 1  # late, or a copy: no more than a count, as in RFC 3550 6.4.1
        return False

    def source(self, ssrc: int) -> None:
        """Count for another source from now on (RFC 3550 8): a new one on the same leg (RTP-2)."""
        self.ssrc = ssrc
        self._received_before, self._lost_before = max(0, self.received - 1), self.lost
        self._cycles, self._seen = 0, -1

    def _begin(self, sequence_number: int) -> None:
        self.expected = (sequence_number + 1) & 0xFFFF
        self._cycles, self._seen = 0, -1

    def wrapped(self) -> None:
        """Follow the wraps of the sequence number; called at least once in 30,000 packets."""
        if self.expected < 0:
            return
        highest = (self.expected - 1) & 0xFFFF
        if self._seen >= 0 and highest < self._seen and self._seen - highest > 0x8000:
            self._cycles = (self._cycles + 1) & 0xFFFF
        self._seen = highest

    @property
    def highest_sequence(self) -> int:
        """Return the highest sequence number with its wraps, 32 bits."""
        self.wrapped()
        return self._cycles << 16 | max(0, self._seen)

    @property
    def of_source(self) -> tuple[int, int]:
        """Return how many packets of the present source were received and lost."""
        return self.received - self._received_before, self.lost - self._lost_before
