"""Who calls, and how far that is believed: the decision of domain rule 2.2, in its order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from callrec.calling_line.diversion import NO_DIVERSION, Diversions, diversions_of
from callrec.calling_line.numbers import Number, NumberKind
from callrec.calling_line.party import Pairs, Party, is_usable, parties_of, party_of, values_of
from callrec.calling_line.profile import PeerProfile
from callrec.errors import PeerError

_HIDING = frozenset({"id", "user", "header"})  # RFC 3323, RFC 3325; all three count as withheld (2.1)
# Never believed from an untrusted peer; their names go to `ignored` (CLI-2).
_NEEDS_TRUST = {
    "p-asserted-identity": "P-Asserted-Identity",
    "remote-party-id": "Remote-Party-ID",
    "diversion": "Diversion",
    "history-info": "History-Info",
}


class CliStatus(StrEnum):
    """What is known about the caller's number; `unavailable` is the network's doing, `withheld` the caller's."""

    AVAILABLE = "available"
    WITHHELD = "withheld"
    UNAVAILABLE = "unavailable"
    INVALID = "invalid"
    ALPHANUMERIC = "alphanumeric"
    SHORT_CODE = "short_code"


class CliTrust(StrEnum):
    """How far the number is believed."""

    ASSERTED = "asserted"
    PRESENTED = "presented"
    UNVERIFIED = "unverified"
    NONE = "none"


class CliSource(StrEnum):
    """Which header the presentation number came from."""

    FROM = "from"
    PAI = "pai"
    RPID = "rpid"


class WithheldReason(StrEnum):
    """How the caller withheld the number."""

    PRIVACY_HEADER = "privacy_header"
    FROM_ANONYMOUS = "from_anonymous"
    FROM_DISPLAY_ANONYMOUS = "from_display_anonymous"
    RPID_PRIVACY = "rpid_privacy"


class CliFlag(StrEnum):
    """What is odd about the identity; a flag never changes the call."""

    PREMIUM_RATE_CLI = "premium_rate_cli"
    INSERTED_NETWORK_NUMBER = "inserted_network_number"
    PAI_CONFLICT = "pai_conflict"
    NETWORK_NUMBER_UNUSABLE = "network_number_unusable"
    UK_CLI_FROM_FOREIGN_TRUNK = "uk_cli_from_foreign_trunk"
    UNPARSEABLE = "unparseable"


@dataclass(frozen=True, slots=True)
class CallingLineIdentity:
    """Who calls. Where the caller withheld the number, no field but `asserted_in_memory` holds a digit of it."""

    status: CliStatus
    trust: CliTrust = CliTrust.NONE
    presentation_number: Number | None = None
    """The number that is shown; only if it has an E.164 form."""
    presentation_other: str | None = field(default=None, repr=False)
    """What was shown instead of a telephone number: an extension, a short code, a word."""
    presentation_kind: NumberKind = NumberKind.NONE
    network_number: Number | None = None
    source: CliSource | None = None
    withheld: bool = False
    withheld_reasons: tuple[WithheldReason, ...] = ()
    display_name: str | None = field(default=None, repr=False)
    diverting_number: Number | None = None
    diverting_withheld: bool = False
    diversion_reason: str | None = None
    original_called_number: Number | None = None
    original_called_withheld: bool = False
    verstat: str | None = None
    signed: bool = False
    """An Identity header (RFC 8224) came; recorded, never decided on."""
    category: str | None = None
    """The calling party's category (`cpc`)."""
    routing_number: str | None = field(default=None, repr=False)
    """The `rn` of number portability (RFC 4694)."""
    flags: tuple[CliFlag, ...] = ()
    ignored: tuple[str, ...] = ()
    asserted_in_memory: Number | None = field(default=None, repr=False)
    """A withheld caller's number, asserted or else as From has it: for a stop list or a keyed hash, never stored."""


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What the headers say, before it is judged."""

    from_party: Party | None
    network: Party | None
    network_source: CliSource | None
    withheld_reasons: tuple[WithheldReason, ...]
    diversions: Diversions
    flags: tuple[CliFlag, ...]
    ignored: tuple[str, ...]
    signed: bool


def identify(headers: Pairs, peer: PeerProfile, *, dialled: str | None = None) -> CallingLineIdentity:
    """Return the Calling Line Identity of an INVITE's headers.

    Whatever the headers hold, a value comes back: what cannot be read is empty and flagged `unparseable`.
    `dialled` is the user part of the Request-URI; with it a differing To tells the number called at first.
    """
    evidence = _gather(headers, peer)
    identity = _withheld(evidence) if evidence.withheld_reasons else _shown(evidence, peer)
    if dialled is not None and evidence.diversions is NO_DIVERSION:
        identity = _with_original_of_to(identity, headers, peer, dialled)
    return _without_own_number(identity)


def _gather(headers: Pairs, peer: PeerProfile) -> _Evidence:
    flags: list[CliFlag] = []
    from_party = _from_party(headers, peer, flags)
    asserted = list(_asserted(headers, peer, flags))
    rpid = next(iter(_calling_remote_parties(headers, peer, flags)), None) if peer.trusted else None
    candidates = asserted or ([rpid] if rpid else [])
    network = _network(candidates, flags)
    source = None if network is None else CliSource.PAI if asserted else CliSource.RPID
    privacy = _privacy(headers)
    diversions = diversions_of(headers, peer, hide_all="history" in privacy) if peer.trusted else NO_DIVERSION
    return _Evidence(
        from_party=from_party,
        network=network,
        network_source=source,
        withheld_reasons=_reasons(privacy, from_party, rpid),
        diversions=diversions,
        flags=tuple(dict.fromkeys(flags)),
        ignored=_ignored(headers, peer),
        signed=bool(values_of(headers, "identity")),
    )


def _from_party(headers: Pairs, peer: PeerProfile, flags: list[CliFlag]) -> Party | None:
    values = values_of(headers, "from")
    try:
        return party_of(values[0], peer) if values else None
    except PeerError:
        flags.append(CliFlag.UNPARSEABLE)
        return None


def _asserted(headers: Pairs, peer: PeerProfile, flags: list[CliFlag]) -> Sequence[Party]:
    """Return the values of P-Asserted-Identity, none from an untrusted peer (RFC 3325 8)."""
    if not peer.trusted:
        return []
    return _readable(list(parties_of(headers, "p-asserted-identity", peer)), flags)


def _calling_remote_parties(headers: Pairs, peer: PeerProfile, flags: list[CliFlag]) -> Sequence[Party]:
    parties = _readable(list(parties_of(headers, "remote-party-id", peer)), flags)
    return [party for party in parties if (party.address.parameter("party") or "calling").casefold() == "calling"]


def _readable(parties: Sequence[Party | None], flags: list[CliFlag]) -> list[Party]:
    if None in parties:
        flags.append(CliFlag.UNPARSEABLE)
    return [party for party in parties if party is not None]


def _network(candidates: Sequence[Party], flags: list[CliFlag]) -> Party | None:
    """Return the party whose number the network vouches for: the first usable one (2.2.3)."""
    if any(party.number.is_inserted for party in candidates):
        flags.append(CliFlag.INSERTED_NETWORK_NUMBER)
    usable = [p for p in candidates if is_usable(p.number) and p.number.kind is not NumberKind.SHORT_CODE]
    if len({party.number.e164 for party in usable} - {None}) > 1:
        flags.append(CliFlag.PAI_CONFLICT)
    written = [p for p in candidates if not p.number.is_inserted and p.number.kind is not NumberKind.NONE]
    if written and not usable:
        flags.append(CliFlag.NETWORK_NUMBER_UNUSABLE)
    return usable[0] if usable else None


def _privacy(headers: Pairs) -> frozenset[str]:
    """Return the priv-values of all Privacy headers, in lower case (RFC 3323 4.2)."""
    values = (part for value in values_of(headers, "privacy") for part in re.split(r"[;,]", value))
    return frozenset(value.strip().strip('"').casefold() for value in values)


def _reasons(privacy: frozenset[str], from_party: Party | None, rpid: Party | None) -> tuple[WithheldReason, ...]:
    """Return every way in which the number was withheld; one is enough, whatever else says none (2.2.2)."""
    reasons = []
    if privacy & _HIDING:
        reasons.append(WithheldReason.PRIVACY_HEADER)
    if from_party and from_party.is_anonymous:
        reasons.append(WithheldReason.FROM_ANONYMOUS)
    elif from_party and from_party.is_named_anonymous:
        reasons.append(WithheldReason.FROM_DISPLAY_ANONYMOUS)
    if rpid and _remote_privacy(rpid) & {"full", "uri"}:
        reasons.append(WithheldReason.RPID_PRIVACY)
    return tuple(reasons)


def _remote_privacy(rpid: Party) -> frozenset[str]:
    """Return what a Remote-Party-ID hides: the draft also knows `full-network` and several parameters."""
    values = (value for name, value in rpid.address.parameters if name.casefold() == "privacy" and value)
    return frozenset(part.strip().partition("-")[0].casefold() for value in values for part in re.split(r"[;,]", value))


def _ignored(headers: Pairs, peer: PeerProfile) -> tuple[str, ...]:
    names = {} if peer.trusted else dict(_NEEDS_TRUST)
    names["p-preferred-identity"] = "P-Preferred-Identity"  # never for the record (2.1)
    return tuple(name for key, name in names.items() if values_of(headers, key))


def _withheld(evidence: _Evidence) -> CallingLineIdentity:
    """Return the identity of a caller who hides: no number, no name, nothing they could be found by (CLI-12)."""
    own = evidence.network or evidence.from_party
    number = own.number if own and own.number.e164 and not own.number.is_inserted else None
    return _with_diversions(
        CallingLineIdentity(
            status=CliStatus.WITHHELD,
            withheld=True,
            withheld_reasons=evidence.withheld_reasons,
            signed=evidence.signed,
            flags=evidence.flags,
            ignored=evidence.ignored,
            asserted_in_memory=number,
        ),
        evidence.diversions,
    )


def _shown(evidence: _Evidence, peer: PeerProfile) -> CallingLineIdentity:
    party, source = _presentation(evidence)
    network = evidence.network.number if evidence.network else None
    status = _status(party)
    known = party if status is not CliStatus.UNAVAILABLE else None
    number = known.number if known else None
    return _with_diversions(
        CallingLineIdentity(
            status=status,
            trust=_trust(number, network, peer),
            presentation_number=number if number and number.e164 else None,
            presentation_other=number.other if number else None,
            presentation_kind=number.kind if number else NumberKind.NONE,
            network_number=network,
            source=source if known else None,
            display_name=_name(known, source) or _asserted_name(number, evidence),
            verstat=_extra(evidence, "verstat") if peer.trusted else None,
            signed=evidence.signed,
            category=_extra(evidence, "cpc"),
            routing_number=_extra(evidence, "rn"),
            flags=_flags(evidence, number, peer),
            ignored=evidence.ignored,
        ),
        evidence.diversions,
    )


def _presentation(evidence: _Evidence) -> tuple[Party | None, CliSource | None]:
    """Return whom to show: From if its number is usable, else the network number, else From as it is (2.2.4)."""
    if evidence.from_party and is_usable(evidence.from_party.number):
        return evidence.from_party, CliSource.FROM
    if evidence.network:
        return evidence.network, evidence.network_source
    return evidence.from_party, CliSource.FROM


def _status(party: Party | None) -> CliStatus:
    if party is None or party.is_unavailable or party.number.is_inserted:
        return CliStatus.UNAVAILABLE
    match party.number.kind:
        case NumberKind.E164 | NumberKind.EXTENSION:
            return CliStatus.AVAILABLE
        case NumberKind.SHORT_CODE | NumberKind.EMERGENCY:
            return CliStatus.SHORT_CODE
        case NumberKind.ALPHANUMERIC:
            return CliStatus.ALPHANUMERIC
        case NumberKind.NONE:
            return CliStatus.UNAVAILABLE
    return CliStatus.INVALID


def _trust(number: Number | None, network: Number | None, peer: PeerProfile) -> CliTrust:
    if number is None:
        return CliTrust.NONE
    if not peer.trusted:
        return CliTrust.UNVERIFIED
    same = network is not None and (number.e164, number.other) == (network.e164, network.other)
    return CliTrust.ASSERTED if same else CliTrust.PRESENTED


def _name(party: Party | None, source: CliSource | None) -> str | None:
    if party is None or (source is CliSource.RPID and "name" in _remote_privacy(party)):
        return None
    return party.display_name


def _asserted_name(number: Number | None, evidence: _Evidence) -> str | None:
    """Return the name beside the asserted identity, where From shows the same number without one."""
    asserted = evidence.network
    if number is None or number.e164 is None or asserted is None or asserted.number.e164 != number.e164:
        return None
    return _name(asserted, evidence.network_source)


def _extra(evidence: _Evidence, name: str) -> str | None:
    parties = (evidence.network, evidence.from_party)
    return next((value for party in parties if party and (value := party.user_parameter(name))), None)


def _flags(evidence: _Evidence, number: Number | None, peer: PeerProfile) -> tuple[CliFlag, ...]:
    flags = list(evidence.flags)
    if evidence.from_party and evidence.from_party.number.is_inserted:
        flags.append(CliFlag.INSERTED_NETWORK_NUMBER)
    if number and number.is_premium_rate:
        flags.append(CliFlag.PREMIUM_RATE_CLI)
    if number and number.e164 and number.e164.startswith("+44") and peer.country != "GB" and not peer.is_pbx:
        flags.append(CliFlag.UK_CLI_FROM_FOREIGN_TRUNK)
    return tuple(dict.fromkeys(flags))


def _with_diversions(identity: CallingLineIdentity, diversions: Diversions) -> CallingLineIdentity:
    return replace(
        identity,
        diverting_number=diversions.diverting,
        diverting_withheld=diversions.diverting_withheld,
        diversion_reason=diversions.reason,
        original_called_number=diversions.original,
        original_called_withheld=diversions.original_withheld,
    )


def _with_original_of_to(
    identity: CallingLineIdentity, headers: Pairs, peer: PeerProfile, dialled: str
) -> CallingLineIdentity:
    """Return the identity with the number of To, where the Request-URI was changed on the way (vector C16)."""
    values = values_of(headers, "to")
    try:
        to = party_of(values[0], peer).number if values else None
        called = party_of(f"<sip:{dialled}@called.invalid>", peer).number
    except PeerError:
        return identity
    if to and to.e164 and called.e164 and to.e164 != called.e164:
        return replace(identity, original_called_number=to)
    return identity


def _without_own_number(identity: CallingLineIdentity) -> CallingLineIdentity:
    """Return a withheld caller's identity without their number where they forwarded the call themselves (CLI-13)."""
    own = identity.asserted_in_memory
    if not identity.withheld or own is None:
        return identity
    if identity.diverting_number and identity.diverting_number.e164 == own.e164:
        identity = replace(identity, diverting_number=None, diverting_withheld=True)
    if identity.original_called_number and identity.original_called_number.e164 == own.e164:
        identity = replace(identity, original_called_number=None, original_called_withheld=True)
    return identity
