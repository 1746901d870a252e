"""The file of one request: whom it is about and what was said, sealed under a key of its own (LAW-45)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from callrec.catalogue.documents import SealedField
from callrec.catalogue.requests import RequestRow
from callrec.catalogue.sealer import Sealer
from callrec.clock import parse_rfc3339, rfc3339
from callrec.errors import ExitCode, OperatorError
from callrec.privacy.clocks import ClockFacts, Deadlines, deadlines
from callrec.privacy.holidays import WorkingDays
from callrec.privacy.request_table import RequestState
from callrec.settings import Region

CHANNELS = ("email", "post", "telephone", "web", "in_person")
METHODS = ("account", "call_back", "knowledge")
"""How somebody may be known (LAW-23); the number that is shown is no proof."""
KIND = "erasure"


@dataclass(frozen=True, slots=True)
class Window:
    """Where a caller who withheld his number is looked for (LAW-26)."""

    since: datetime
    until: datetime
    called: str
    """Our number that was called, E.164."""

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Window:
        """Return the window that a document describes.

        Raises:
            OperatorError: with exit code 2 if it is none.
        """
        try:
            since, until, called = (given[name] for name in ("since", "until", "called"))
            window = cls(_instant(since), _instant(until), str(called))
        except (KeyError, ValueError, TypeError):
            raise _usage("window: expected since and until (RFC 3339) and called, the number of ours") from None
        if window.until <= window.since:
            raise _usage(f"window: found an end at {rfc3339(window.until)}, expected one after its beginning")
        return window

    @property
    def document(self) -> dict[str, str]:
        """Return it as it is stored."""
        return {"since": rfc3339(self.since), "until": rfc3339(self.until), "called": self.called}


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a request is about, and by what their calls are found."""

    number: str | None = None
    """E.164."""
    name: str | None = None
    calls: tuple[str, ...] = ()
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class RequestFile:
    """What is sealed of a request."""

    subject: Subject
    words: Mapping[str, str] = field(default_factory=dict)
    """Free text by what it was said for: refuse, extend, withdraw."""

    def saying(self, what: str, words: str) -> RequestFile:
        """Return the file with what somebody said."""
        return replace(self, words={**self.words, what: words})

    def seal(self, sealer: Sealer, key: bytes, request_id: str) -> bytes:
        """Return the file as it is stored."""
        subject = self.subject
        document = {
            "number": subject.number,
            "name": subject.name,
            "calls": list(subject.calls),
            "window": subject.window.document if subject.window is not None else None,
            "words": dict(self.words),
        }
        return SealedField("requests", request_id).seal(sealer, key, document)

    @classmethod
    def open(cls, sealer: Sealer, key: bytes, row: RequestRow) -> RequestFile:
        """Return what was sealed; raises IntegrityError."""
        document = SealedField("requests", row.request_id).open(sealer, key, row.body)
        window = Window.read(document["window"]) if document["window"] is not None else None
        subject = Subject(document["number"], document["name"], tuple(document["calls"]), window)
        return cls(subject, document["words"])


def clocks_of(row: RequestRow, zone: ZoneInfo, region: Region) -> Deadlines:
    """Return where both clocks of a request end."""
    facts = ClockFacts(row.received_at, row.identity_at, extended=row.extended_on is not None)
    return deadlines(facts, zone, WorkingDays.of(region))


def state_of(row: RequestRow) -> RequestState:
    """Return where a request stands."""
    return RequestState(row.state)


def known_word(what: str, word: str, known: tuple[str, ...]) -> str:
    """Return a word of a closed list.

    Raises:
        OperatorError: with exit code 2 if it is not in it.
    """
    if word not in known:
        raise _usage(f"{what} {word!r}: expected one of {', '.join(known)}")
    return word


def _instant(given: object) -> datetime:
    if isinstance(given, datetime):
        if given.tzinfo is None:
            raise ValueError("an instant without an offset")
        return given
    return parse_rfc3339(str(given))


def _usage(message: str) -> OperatorError:
    return OperatorError(message, exit_code=ExitCode.USAGE)
