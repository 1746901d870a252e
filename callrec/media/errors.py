"""What can go wrong with media before a call has any."""

from __future__ import annotations

from callrec.errors import CallrecError


class CapacityError(CallrecError):
    """There is no media for another leg; where it is no `ShortageError`, calls pass without it until it is mended."""


class ShortageError(CapacityError):
    """Ports or descriptors run short: calls that need some are refused until others have ended."""
