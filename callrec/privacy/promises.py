"""The books in which promises are kept: who a party is, how long, at whose wish, and what nobody may touch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Promises:
    """The books of one recorder; the API asks them, the recorder's loops turn their pages."""

    relationships: Any = None
    retention: Any = None
    requests: Any = None
    protections: Any = None
    watch: Any = None
    """The eyes on the clocks of requests."""
