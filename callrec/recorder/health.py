"""What is wrong now: the problems that `status` shows, each with its code, since when, and what to do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from callrec.clock import Clock, rfc3339

log = logging.getLogger("callrec.health")


class Code(StrEnum):
    """The closed list of problem codes of the contract."""

    KEYS_UNAVAILABLE = "keys_unavailable"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    CAPACITY = "capacity"
    NOTICE_INVALID = "notice_invalid"
    BROKER_DISCONNECTED = "broker_disconnected"
    LEDGER = "ledger"
    CLOCK = "clock"
    PEER_DOWN = "peer_down"


SPACE = "space"
"""About what `storage_unavailable` is while the recordings' disk has less space than `[limits] min_free`."""

PREVENTS_RECORDING = frozenset({Code.KEYS_UNAVAILABLE, Code.STORAGE_UNAVAILABLE, Code.NOTICE_INVALID})


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: `text` says what was found, what was expected and what to do."""

    code: Code
    since: datetime
    text: str

    def as_dict(self) -> dict[str, str]:
        """Return the problem as `status --json` shows it."""
        return {"code": self.code.value, "since": rfc3339(self.since), "text": self.text}


class Health:
    """The problems of this recorder; each change is told once, as `system/degraded` and `system/recovered`.

    Problems are kept by code and by whom they are about, so that two causes of one code do not hide each other.
    """

    def __init__(self, clock: Clock, tell: Callable[[str, Problem], None] | None = None) -> None:
        self._clock = clock
        self._problems: dict[tuple[Code, str], Problem] = {}
        self.tell = tell

    def raise_problem(self, code: Code, text: str, *, about: str = "") -> None:
        """Note a problem; one that stands already keeps its `since` and takes the new text."""
        known = self._problems.get((code, about))
        if known is not None and known.text == text:
            return
        problem = Problem(code, known.since if known else self._clock.now(), text)
        self._problems[code, about] = problem
        if known is None:
            log.warning("problem %s: %s", code.value, text)
            self._say("degraded", problem)

    def clear(self, code: Code, *, about: str = "") -> None:
        """Forget a problem that is mended."""
        problem = self._problems.pop((code, about), None)
        if problem is not None:
            log.info("mended %s: %s", code.value, problem.text)
            self._say("recovered", problem)

    def set(self, code: Code, text: str | None, *, about: str = "") -> None:
        """Raise the problem where there is a text, clear it where there is none."""
        if text is None:
            self.clear(code, about=about)
        else:
            self.raise_problem(code, text, about=about)

    def take(self, other: Health) -> None:
        """Raise what was found elsewhere."""
        for (code, about), problem in other._problems.items():
            self.raise_problem(code, problem.text, about=about)

    def has(self, code: Code) -> bool:
        """Return whether any problem of this code stands."""
        return any(known is code for known, _ in self._problems)

    def stands(self, code: Code, *, about: str) -> bool:
        """Return whether one certain problem stands."""
        return (code, about) in self._problems

    @property
    def recording(self) -> bool:
        """Whether a call that arrives now could be recorded."""
        return not any(code in PREVENTS_RECORDING for code, _ in self._problems)

    def problems(self) -> list[Problem]:
        """Return the problems, the oldest first."""
        return sorted(self._problems.values(), key=lambda problem: problem.since)

    def _say(self, verb: str, problem: Problem) -> None:
        if self.tell is not None:
            self.tell(verb, problem)
