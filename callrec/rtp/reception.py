"""How much of a stream arrived: sequence numbers followed over wraps, losses, reordering and restarts."""

from __future__ import annotations

# RFC 3550 A.1: a forward jump below MAX_DROPOUT is loss, a backward one within MAX_MISORDER is a late packet.
MAX_DROPOUT = 3000
MAX_MISORDER = 100


class Reception:
    """Counts one incoming stream.

    The loop that receives packets does the common case itself, where speed counts: `if sequence_number == expected`,
    it sets `expected` to the next one; else it calls `jumped`.
    """

    __slots__ = ("expected", "lost", "received")

    def __init__(self) -> None:
        self.received = 0
        self.lost = 0
        self.expected = -1
        """The next sequence number, or -1 before the first packet."""

    def arrived(self, sequence_number: int) -> None:
        """Count one packet."""
        self.received += 1
        if sequence_number == self.expected:
            self.expected = (sequence_number + 1) & 0xFFFF
        else:
            self.jumped(sequence_number)

    def jumped(self, sequence_number: int) -> bool:
        """Take in a sequence number that was not the expected one; return whether the numbers began anew."""
        ahead = (sequence_number - self.expected) & 0xFFFF
        if self.expected < 0 or MAX_DROPOUT <= ahead < 0x10000 - MAX_MISORDER:
            self.expected = (sequence_number + 1) & 0xFFFF  # the first packet, or a source that started again
            return True
        if ahead < MAX_DROPOUT:
            self.lost += ahead
            self.expected = (sequence_number + 1) & 0xFFFF
        elif self.lost:
            self.lost -= 1  # late, or a copy: no more than a count, as in RFC 3550 6.4.1
        return False
