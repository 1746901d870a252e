"""Codes of keys that act here: the key that completes one is not sent on to the other party."""

from __future__ import annotations


class KeyCodes:
    """Which telephone event (RFC 4733) of a leg completes a code; keys before it have gone on without delay."""

    __slots__ = ("_codes", "_pressed", "_timestamp")

    def __init__(self, codes: tuple[str, ...] = ()) -> None:
        self._codes = tuple(code for code in codes if code)
        self._pressed = ""
        self._timestamp: int | None = None

    def pressed(self, key: str, timestamp: int) -> None:
        """Take a key when its event begins; the RTP timestamp is that of all its packets."""
        keep = max((len(code) for code in self._codes), default=0)
        self._pressed = (self._pressed + key)[-keep:] if keep else ""
        self._timestamp = None
        if any(self._pressed.endswith(code) for code in self._codes):
            self._pressed, self._timestamp = "", timestamp

    def completes(self, timestamp: int) -> bool:
        """Return whether a packet is of the key that completed a code."""
        return timestamp == self._timestamp
