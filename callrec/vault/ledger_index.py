"""What must be known of all ledger entries without reading them again; a checkpoint carries it over a start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from callrec.vault.ledger_entries import PROMISES, Entry


@dataclass(slots=True)
class LedgerIndex:
    """Built by showing it every entry, in order."""

    intents: dict[str, Entry] = field(default_factory=dict)
    """Erasures begun and not completed, by their id."""
    reserved: int = 0
    reserved_before: int = 0
    last_erasure: int = 0
    last_run: int = 0
    """The newest entry that says that a recorder began or ended."""
    begun_after_loss: bool = False
    doubts: list[str] = field(default_factory=list)
    """What was found wrong with the ledger itself since somebody last accepted it."""
    live: dict[str, dict[str, None]] = field(default_factory=dict)
    """Promises made and not lifted: ids by kind, in order."""
    lost: dict[str, dict[str, None]] = field(default_factory=dict)
    """Those of them that a restored catalogue lacks and nobody has entered again or accepted."""
    copies: dict[str, str] = field(default_factory=dict)
    """Copies of keyring and catalogue that exist: when each was made, by its id."""

    def add(self, entry: Entry) -> None:
        """Take the next entry in."""
        body: Any = entry.body
        if entry.kind in PROMISES:
            self._add_promise(entry.kind, body)
            return
        match entry.kind:
            case "intent":
                self.last_erasure = entry.n
                self.intents[body["erasure_id"]] = entry
            case "destroyed":
                self.last_erasure = entry.n
            case "completed":
                self.intents.pop(body["erasure_id"], None)
            case "reserved":
                self.reserved_before, self.reserved = self.reserved, max(self.reserved, body["upto"])
            case "run":
                self.last_run = entry.n
            case "begun":
                self.begun_after_loss = bool(body.get("after_loss"))
            case "doubt":
                self.doubts.append(body["what"])
            case "lost":
                self._lose(body)
            case "copy":
                self._add_copy(entry)
            case "accepted":
                self._accept()

    def _add_promise(self, kind: str, body: Mapping[str, Any]) -> None:
        live, lost = self.live.setdefault(kind, {}), self.lost.get(kind, {})
        if body["what"] == "lifted":
            live.pop(body["id"], None)
            lost.pop(body["id"], None)
            return
        if lost and body["id"] not in live:
            # Entered again: random ids do not say which one, so it takes the place of the oldest that is missing.
            oldest = next(iter(lost))
            lost.pop(oldest)
            live.pop(oldest, None)
        live[body["id"]] = None

    def _lose(self, body: Mapping[str, Any]) -> None:
        lost, live = self.lost.setdefault(body["kind"], {}), self.live.get(body["kind"], {})
        lost.update((lost_id, None) for lost_id in body["ids"] if lost_id in live)

    def _add_copy(self, entry: Entry) -> None:
        if entry.body["what"] == "made":
            self.copies[entry.body["id"]] = entry.at
        else:
            self.copies.pop(entry.body["id"], None)

    def _accept(self) -> None:
        self.begun_after_loss = False
        self.doubts.clear()
        for kind, ids in self.lost.items():
            for lost_id in ids:
                self.live.get(kind, {}).pop(lost_id, None)
        self.lost.clear()

    def as_document(self) -> dict[str, Any]:
        """Return it for a checkpoint."""
        return {
            "intents": [entry.as_document() for entry in self.intents.values()],
            "reserved": self.reserved,
            "reserved_before": self.reserved_before,
            "last_erasure": self.last_erasure,
            "last_run": self.last_run,
            "begun_after_loss": self.begun_after_loss,
            "doubts": self.doubts,
            "live": {kind: list(ids) for kind, ids in self.live.items()},
            "lost": {kind: list(ids) for kind, ids in self.lost.items()},
            "copies": self.copies,
        }

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> LedgerIndex:
        """Return what a checkpoint carried; the checkpoint's seal vouches for its form."""
        simple = {
            name: document[name]
            for name in ("reserved", "reserved_before", "last_erasure", "last_run", "begun_after_loss", "doubts")
        }
        intents = [Entry(**entry) for entry in document["intents"]]
        return cls(
            intents={entry.body["erasure_id"]: entry for entry in intents},
            live={kind: dict.fromkeys(ids) for kind, ids in document["live"].items()},
            lost={kind: dict.fromkeys(ids) for kind, ids in document["lost"].items()},
            copies=dict(document["copies"]),
            **simple,
        )
