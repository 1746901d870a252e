"""Books of promises that write down what they were asked and answer what a test laid ready."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

REQUEST = {
    "id": "1f2e3d4c-0000-4000-8000-000000000000",
    "state": "received",
    "received_at": "2026-09-03T08:00:00.000Z",
    "promise_due_local_date": "2026-10-01",
    "statutory_due_local_date": "2026-10-05",
    "calls": 2,
}
PARTY = {
    "relationship_id": "C/1",
    "name": "Ann Example",
    "kind": "customer",
    "since": "2026-01-01",
    "ended_on": None,
    "confirmed_on": "2026-11-22",
    "numbers": [{"number": "+442079460123", "since": None, "until": None}],
    "contracts": [{"ref": "K-1", "starts_on": "2026-01-01", "ends_on": None}],
    "calls": 2,
}


@dataclass
class FakeBook:
    """One book: every method is asynchronous, takes anything, and answers from `answers` by its name."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        async def answer(*given: Any, **named: Any) -> Any:
            self.asked.append((name, given, named))
            found = self.answers.get(name, {})
            if isinstance(found, Exception):
                raise found
            return found

        return answer

    @property
    def last(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        return self.asked[-1]


class FakeRetention(FakeBook):
    """Plans and simulations come line by line."""

    def plan(self, *given: Any) -> AsyncIterator[Mapping[str, Any]]:
        return self._lines("plan", given)

    def simulate(self, *given: Any) -> AsyncIterator[Mapping[str, Any]]:
        return self._lines("simulate", given)

    async def _lines(self, name: str, given: tuple[Any, ...]) -> AsyncIterator[Mapping[str, Any]]:
        self.asked.append((name, given, {}))
        for line in self.answers.get(name, ()):
            if isinstance(line, Exception):
                raise line
            yield line


@dataclass
class FakePromises:
    """Implements `callrec.api.books.Promises`."""

    relationships: Any = field(default_factory=lambda: FakeBook({"set": PARTY, "show": PARTY, "end": PARTY}))
    retention: Any = field(default_factory=FakeRetention)
    requests: Any = field(
        default_factory=lambda: FakeBook(
            dict.fromkeys(("new", "show", "verify", "approve", "refuse", "extend", "withdraw", "execute"), REQUEST)
            | {"list": {"items": [REQUEST]}, "tick": REQUEST}
        )
    )
    protections: Any = field(
        default_factory=lambda: FakeBook(
            {
                "stop_add": {"id": "5a5a5a5a-0000-4000-8000-000000000000", "live": [], "discard_offered": False},
                "stop_list": {"items": []},
                "stop_remove": {"id": "5a5a5a5a-0000-4000-8000-000000000000", "removed": True},
                "stop_discard": {"id": "5a5a5a5a-0000-4000-8000-000000000000", "discarded": [], "kept": []},
                "protect": {"id": "7b7b7b7b-0000-4000-8000-000000000000", "calls": ["a", "b"]},
                "list": {"items": []},
                "release": {"id": "7b7b7b7b-0000-4000-8000-000000000000", "calls": []},
            }
        )
    )
