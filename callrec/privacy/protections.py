"""What keeps a call whatever else is wished, and which of several has the word (LAW-62)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Protection(StrEnum):
    """Why a call may not be erased, the strongest first (LAW-62)."""

    LEGAL_HOLD = "legal_hold"
    LEGAL_OBLIGATION = "legal_obligation"
    """A law demands that it is kept for its class's period (LAW-71)."""
    ACCESS_HOLD = "sar_hold"
    """A person has asked for a copy and is not answered yet (LAW-30)."""
    RESTRICTION = "restricted"
    """Kept at a person's wish, not to be used (LAW-42)."""


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold, access hold or restriction on a call."""

    hold_id: str
    kind: Protection


def strongest(holds: Iterable[Hold]) -> Hold | None:
    """Return the hold that has the word: by LAW-62, then by its id, so that the answer never depends on an order."""
    return min(holds, key=lambda hold: (_RANK[hold.kind], hold.hold_id), default=None)


_RANK = {kind: rank for rank, kind in enumerate(Protection)}
