"""Who forwarded the call: Diversion (RFC 5806), else History-Info (RFC 7044), from trusted peers only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from callrec.calling_line.numbers import Number, NumberKind
from callrec.calling_line.party import Pairs, Party, parties_of
from callrec.calling_line.profile import PeerProfile

# RFC 7544 7.3: the cause of a History-Info entry as the reason of a Diversion.
_REASONS = {
    "302": "unconditional",
    "404": "unknown",
    "408": "no-answer",
    "480": "deflection",
    "486": "user-busy",
    "487": "deflection",
    "503": "unavailable",
}
# What a party answered, as the Reason in its own entry tells it (RFC 7044 5): it was not asked why, so an unanswered
# call is told by whatever ended the ringing.
_ANSWERS = _REASONS | {"480": "no-answer", "487": "no-answer", "600": "user-busy", "603": "deflection"}
_REASON = re.compile(r"\s*SIP\s*;(?:.*;)?\s*cause\s*=\s*([0-9]{3})\b.*", re.IGNORECASE | re.DOTALL)
_LAST_INDEX = (1 << 31,)


@dataclass(frozen=True, slots=True)
class Diversions:
    """The last party that forwarded the call, why, and whom the caller had called at first."""

    diverting: Number | None = None
    diverting_withheld: bool = False
    reason: str | None = None
    original: Number | None = None
    original_withheld: bool = False


NO_DIVERSION = Diversions()


@dataclass(frozen=True, slots=True)
class _Entry:
    party: Party
    hidden: bool
    reason: str | None


def diversions_of(headers: Pairs, peer: PeerProfile, *, hide_all: bool) -> Diversions:
    """Return how the call was forwarded; `hide_all` is the caller's `Privacy: history`."""
    entries = _of_diversion(headers, peer) or _of_history(headers, peer)
    if not entries:
        return NO_DIVERSION
    latest, first = entries[0], entries[-1]
    return Diversions(
        diverting=None if hide_all else _number(latest),
        diverting_withheld=hide_all or latest.hidden,
        reason=latest.reason,
        original=None if hide_all else _number(first),
        original_withheld=hide_all or first.hidden,
    )


def _number(entry: _Entry) -> Number | None:
    if entry.hidden or entry.party.number.kind is NumberKind.NONE:
        return None
    return entry.party.number


def _of_diversion(headers: Pairs, peer: PeerProfile) -> Sequence[_Entry]:
    """Return the entries, latest first as RFC 5806 writes them."""
    parties = [party for party in parties_of(headers, "diversion", peer) if party]
    return [_Entry(party, _is_hidden(party), party.address.parameter("reason") or None) for party in parties]


def _is_hidden(party: Party) -> bool:
    privacy = (party.address.parameter("privacy") or "").casefold()
    return privacy in {"full", "uri"} or party.is_anonymous


def _of_history(headers: Pairs, peer: PeerProfile) -> Sequence[_Entry]:
    """Return the entries that forwarded, latest first: the one after each, or a Reason in its own, tells why."""
    parties = sorted((party for party in parties_of(headers, "history-info", peer) if party), key=_index)
    entries = []
    for before, after in pairwise(parties):
        if (why := _why(before, after)) is not None:
            entries.append(_Entry(before, _is_private(before), why))
    return entries[::-1]


def _why(before: Party, after: Party) -> str | None:
    """Return why a call went on from one entry to the next, None where no party forwarded it.

    RFC 7044 has both forms: `cause` where the call went to (RFC 4458), and the answer of the one it came from, escaped
    as `?Reason=SIP;cause=302`. The latter alone also comes of a network that tries the same number elsewhere.
    """
    if (cause := after.address.uri.parameter("cause") or "") in _REASONS:
        return _REASONS[cause]
    for name, value in before.address.uri.headers:
        found = _REASON.fullmatch(value) if name.casefold() == "reason" else None
        if found is not None and before.number.e164 != after.number.e164:
            return _ANSWERS.get(found[1])
    return None


def _index(party: Party) -> tuple[int, ...]:
    parts = (party.address.parameter("index") or "").split(".")
    if not all(part.isascii() and part.isdigit() and len(part) <= 9 for part in parts):
        return _LAST_INDEX
    return tuple(int(part) for part in parts)


def _is_private(party: Party) -> bool:
    """Return whether an entry is hidden by a Privacy header inside its own URI (RFC 7044 10.1.1)."""
    privacy = [value.casefold() for name, value in party.address.uri.headers if name.casefold() == "privacy"]
    return party.is_anonymous or any("history" in value or "header" in value for value in privacy)
