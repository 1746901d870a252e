"""Digits as RFC 4733 sends them: one key press is many packets, and each packet may be lost."""

from __future__ import annotations

DIGITS = "0123456789*#ABCD"
"""Events 0 to 15 (RFC 4733 3.2); 16 (flash) and beyond are no keys."""

_EVENT_LENGTH = 4
_END = 0x80
_LONGEST_SEGMENT = 0xFFFF
_RECENT_TICKS = 80_000  # ten seconds at 8 kHz: an older timestamp within it is a packet that came late


class DigitReceiver:
    """Turns the event packets of one leg into key presses.

    A digit is told at the first packet of a new event, not at its end: an opt-out must work at once, and the end may
    be lost. One press is one timestamp, so the three end packets and every repetition count once (NOT-17).
    """

    __slots__ = ("_duration", "_ended", "_event", "_ssrc", "_timestamp")

    def __init__(self) -> None:
        self._ssrc = -1
        self._timestamp = -1
        self._event = -1
        self._duration = 0
        self._ended = True

    def receive(self, payload: bytes, timestamp: int, ssrc: int, *, marker: bool = False) -> str | None:
        """Return the key that this packet is the first to tell of, if it is one.

        `payload` may hold several events (RFC 2833 redundancy); the first is the current one.
        """
        if len(payload) < _EVENT_LENGTH:
            return None
        event, ended = payload[0], bool(payload[1] & _END)
        duration = payload[2] << 8 | payload[3]
        if ssrc == self._ssrc and self._timestamp >= 0:
            behind = (self._timestamp - timestamp) & 0xFFFFFFFF
            if behind == 0:
                self._duration, self._ended = max(self._duration, duration), self._ended or ended
                return None
            if behind <= _RECENT_TICKS:
                return None
            if self._continues(event, timestamp, marker=marker):
                self._timestamp, self._duration, self._ended = timestamp, duration, ended
                return None
        self._ssrc, self._timestamp, self._event = ssrc, timestamp, event
        self._duration, self._ended = duration, ended
        return DIGITS[event] if event < len(DIGITS) else None

    def _continues(self, event: int, timestamp: int, *, marker: bool) -> bool:
        """Tell whether a new timestamp is the next segment of a key still held (RFC 4733 2.5.1.3)."""
        ahead = (timestamp - self._timestamp) & 0xFFFFFFFF
        return not marker and not self._ended and event == self._event and ahead in (_LONGEST_SEGMENT, self._duration)
