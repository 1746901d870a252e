"""What media reads of the settings: a shape, so that no settings have to be imported to test it."""

from __future__ import annotations

from typing import Protocol


class RtpSettings(Protocol):
    """The `[rtp]` section."""

    @property
    def ports(self) -> range:
        """All ports of the range."""

    @property
    def workers(self) -> int:
        """How many media workers there are."""


class MediaSettings(Protocol):
    """What media reads of the settings."""

    @property
    def rtp(self) -> RtpSettings:
        """The `[rtp]` section."""
