"""What has to be known about the peer a call came from before its headers mean anything (CLI-1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class PeerProfile:
    """Trust, side and writing habits of a peer; the default believes nothing."""

    trusted: bool = False
    role: Literal["trunk", "pbx"] = "trunk"
    number_format: Literal["auto", "nsn"] = "auto"
    """`nsn`: it writes UK numbers without the leading 0 (CLI-5)."""
    keypad_words: bool = False
    """It turns ANONYMOUS and the like into keypad digits (CLI-11)."""
    outside_prefix: str = ""
    country: str = "GB"
    """Where the trunk hands calls over; +44 callers on another country's trunk are flagged."""

    @property
    def is_pbx(self) -> bool:
        """Whether short numbers from here are our own extensions."""
        return self.role == "pbx"
