"""Where on the broker things are: `callrec/<node>/…` (docs/events.md)."""

from __future__ import annotations

from dataclasses import dataclass

ONLINE = b"online"
OFFLINE = b"offline"


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one node."""

    node_id: str

    @property
    def root(self) -> str:
        """What every topic of this node begins with."""
        return f"callrec/{self.node_id}"

    @property
    def state(self) -> str:
        """Retained: `online` or `offline`; the broker itself says `offline` when the recorder is gone."""
        return f"{self.root}/state"

    @property
    def info(self) -> str:
        """Retained: what runs here."""
        return f"{self.root}/info"

    @property
    def health(self) -> str:
        """Retained: whether it records, and what is wrong."""
        return f"{self.root}/health"

    @property
    def stats(self) -> str:
        """Retained: how much it does."""
        return f"{self.root}/stats"

    def event(self, noun: str, verb: str) -> str:
        """Not retained: what happened."""
        return f"{self.root}/event/{noun}/{verb}"
