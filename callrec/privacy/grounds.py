"""The grounds on which a deletion may be refused: a closed list, for the promise is to say yes (LAW-33)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from callrec.errors import ExitCode, OperatorError
from callrec.privacy.protections import Protection


class Ground(StrEnum):
    """Why a deletion is refused, wholly or in part."""

    IDENTITY_FAILED = "identity_failed"
    NOT_FOUND = "not_found"
    LEGAL_OBLIGATION = "legal_obligation"
    LEGAL_CLAIMS = "legal_claims"
    UNFOUNDED_OR_EXCESSIVE = "manifestly_unfounded_or_excessive"
    THIRD_PARTY_RIGHTS = "third_party_rights"


@dataclass(frozen=True, slots=True)
class GroundText:
    """What a letter says of a ground."""

    source: str
    sentence: str


TEXTS: dict[Ground, GroundText] = {
    Ground.IDENTITY_FAILED: GroundText(
        "Article 12(6) of the UK GDPR",
        "We could not confirm that the request comes from the person whom the recordings are about.",
    ),
    Ground.NOT_FOUND: GroundText(
        "Article 17(1) of the UK GDPR",
        "We searched with what you gave us and hold no recording and no call record of you.",
    ),
    Ground.LEGAL_OBLIGATION: GroundText(
        "Article 17(3)(b) of the UK GDPR",
        "A law obliges us to keep these recordings for a fixed time.",
    ),
    Ground.LEGAL_CLAIMS: GroundText(
        "Article 17(3)(e) of the UK GDPR",
        "These recordings are needed to establish, exercise or defend legal claims.",
    ),
    Ground.UNFOUNDED_OR_EXCESSIVE: GroundText(
        "Article 12(5) of the UK GDPR",
        "The request is manifestly unfounded or excessive.",
    ),
    Ground.THIRD_PARTY_RIGHTS: GroundText(
        "paragraph 16 of Schedule 2 to the Data Protection Act 2018",
        "Deleting these recordings would adversely affect the rights of another person.",
    ),
}


def read_ground(text: str) -> Ground:
    """Return the ground a person names.

    Raises:
        OperatorError: with exit code 2 if it is none of the list.
    """
    try:
        return Ground(text)
    except ValueError:
        known = ", ".join(ground.value for ground in Ground)
        raise OperatorError(
            f"found ground {text!r}, expected one of {known} (LAW-33)", exit_code=ExitCode.USAGE
        ) from None


def ground_of(protection: Protection) -> Ground | None:
    """Return the ground on which a protection refuses a part of a request; None where it only makes it wait."""
    match protection:
        case Protection.LEGAL_HOLD:
            return Ground.LEGAL_CLAIMS
        case Protection.LEGAL_OBLIGATION:
            return Ground.LEGAL_OBLIGATION
        case Protection.ACCESS_HOLD | Protection.RESTRICTION:
            return None
