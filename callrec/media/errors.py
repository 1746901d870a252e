"""What can go wrong with media before a call has any."""

from __future__ import annotations

from callrec.errors import CallrecError


class CapacityError(CallrecError):
    """No port, descriptor or worker is left for another leg; the call ends up as `capacity` or passes unrecorded."""
