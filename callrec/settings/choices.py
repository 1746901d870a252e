"""The settings that are one of few words."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a person may do at the API socket."""

    OPERATOR = "operator"
    SUPERVISOR = "supervisor"
    DPO = "dpo"
    AUDITOR = "auditor"
    ADMIN = "admin"


class PeerRole(StrEnum):
    """On which side of callrec a peer stands."""

    TRUNK = "trunk"
    PBX = "pbx"


class Srtp(StrEnum):
    """Whether media with a peer is encrypted (SDES, RFC 4568)."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


class FullDisk(StrEnum):
    """What becomes of calls that are to be recorded while the disk has less space than `min_free`."""

    UNRECORDED = "pass"
    REFUSE = "refuse"


class NumberFormat(StrEnum):
    """How a peer writes national numbers (CLI-5)."""

    AUTO = "auto"
    NSN = "nsn"


class CalledNumberSource(StrEnum):
    """Where the called number stands in an INVITE of a peer."""

    REQUEST_URI = "request_uri"
    TO = "to"
    P_CALLED_PARTY_ID = "p_called_party_id"


class WithheldNumberPolicy(StrEnum):
    """What is kept of a number whose caller withheld it (CLI-12)."""

    DROP = "drop"
    KEYED_HASH = "keyed_hash"
    SEALED = "sealed"


class CaptureDirection(StrEnum):
    """Which way a recorded call goes, seen from us."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class LawfulBasis(StrEnum):
    """On which basis of UK GDPR Article 6 a call is recorded (LAW-6)."""

    LEGITIMATE_INTERESTS = "legitimate_interests"
    CONTRACT = "contract"
    LEGAL_OBLIGATION = "legal_obligation"
    CONSENT = "consent"


class RetentionStart(StrEnum):
    """From when a retention class counts."""

    CALL = "call"
    RELATIONSHIP_END = "relationship_end"
    CONTRACT_END = "contract_end"


class Region(StrEnum):
    """Whose bank holidays count (LAW-19)."""

    ENGLAND_AND_WALES = "england_and_wales"
    SCOTLAND = "scotland"
    NORTHERN_IRELAND = "northern_ireland"


class EventNumbers(StrEnum):
    """How events show telephone numbers."""

    HASH = "hash"
    LAST4 = "last4"
    FULL = "full"


def choices_of(annotation: object) -> tuple[str, ...]:
    """Return the words a setting of this type may be, none if it is no choice."""
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return tuple(member.value for member in annotation)
    return ()
