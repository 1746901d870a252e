"""Which codecs the destinations of a route refused lately, so that only the first caller is asked to change."""

from __future__ import annotations

_FORGOTTEN_AFTER_S = 3600.0
"""A PBX that has learnt a codec meanwhile is offered it again."""


class CodecMemory:
    """Codecs by route; in memory only."""

    def __init__(self) -> None:
        self._refused: dict[str, dict[str, float]] = {}
        """Route -> codec in capitals -> when."""

    def refuse(self, route: str, codec: str, now: float) -> None:
        """Note that a route's destination did not take a codec."""
        self._refused.setdefault(route, {})[codec.upper()] = now

    def refused(self, route: str, now: float) -> set[str]:
        """Return the codecs that a route's destinations refused within the last hour."""
        return {codec for codec, at in self._refused.get(route, {}).items() if now - at < _FORGOTTEN_AFTER_S}
