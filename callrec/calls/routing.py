"""Which way a call takes: its route, its capture rule, and what prevents a recording before it begins."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from callrec.calls.outcome import Reason


class RouteLike(Protocol):
    """A `[[route]]` of the configuration."""

    @property
    def called(self) -> str:
        """A DDI in E.164 or national form, with `*` and `?`."""
        ...

    @property
    def rule(self) -> str:
        """The name of a capture rule; empty for a call that passes unrecorded."""
        ...


@dataclass(frozen=True, slots=True)
class Readiness:
    """What recording needs, as it stands at this moment; the first thing missing is why a call is not recorded."""

    keys: bool = True
    storage: bool = True
    notice: bool = True
    capacity: bool = True
    stops: bool = True
    """Whether the stop list is known: without it anybody might be on it (LAW-39)."""

    def obstacle(self) -> Reason | None:
        """Return what prevents a recording now, or None."""
        if not self.keys:
            return Reason.KEYS_UNAVAILABLE
        if not self.storage or not self.stops:
            return Reason.STORAGE_UNAVAILABLE
        if not self.notice:
            return Reason.NOTICE_INCOMPLETE
        return None if self.capacity else Reason.CAPACITY


def called_forms(e164: str | None, digits: str | None, dialled: str, country_code: str = "44") -> tuple[str, ...]:
    """Return the spellings of a called number that a route's pattern may name: as dialled, E.164, national."""
    forms = [dialled]
    if digits:
        forms.append(digits)
    if e164:
        forms.append(e164)
        if e164.startswith(f"+{country_code}"):
            forms.append("0" + e164[len(country_code) + 1 :])
    return tuple(dict.fromkeys(forms))


def matches(pattern: str, forms: Sequence[str]) -> bool:
    """Return whether a route's `called` pattern names one of the spellings."""
    wanted = pattern.replace(" ", "")
    return any(fnmatch.fnmatchcase(form, wanted) for form in forms)


def why_not_recorded(
    *, emergency: bool, rule: str, stopped: bool, outbound: bool, readiness: Readiness
) -> Reason | None:
    """Return what prevents this call's recording before it begins, or None where it may be announced.

    The order is the order of right: an emergency before everything (FAIL-1), then law (LAW-1), then the person's
    wish (LAW-39), then what the machine can do. An outbound call has nobody to whom we could play the notice before
    the called party answers (NOT-11), so it passes unrecorded.
    """
    if emergency:
        return Reason.EMERGENCY
    if not rule:
        return Reason.NO_CAPTURE_RULE
    if stopped:
        return Reason.STOP_LIST
    if outbound:
        return Reason.NOTICE_INCOMPLETE
    return readiness.obstacle()
