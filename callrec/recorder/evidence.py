"""The proof that a notice was heard, as a row and an event keep it (NOT-13, NOT-14)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from callrec.clock import rfc3339
from callrec.media import Confirmed, Played
from callrec.notice import NoticeAsset

LOSS_LIMIT = 0.20
"""NOT-14: of what a receiver report tells as lost."""

# The contract's words for what interrupted a play.
_INTERRUPTED_BY = {"closed": "hangup", "stopped": "dtmf", "hold": "hold"}


def notice_evidence(asset: NoticeAsset, played: Played, leg: str) -> dict[str, Any]:
    """Return the evidence of one play; `heard_ms` is what was sent and not refused."""
    return {
        "id": asset.id,
        "version": asset.version,
        "language": asset.language,
        "completed": played.completed,
        "heard_ms": played.sent_ms,
        "grade": grade(played),
        "interrupted_by": interrupted_by(played),
        "text_sha256": asset.text_sha256,
        "asset_sha256": asset.sha256_for(played.codec),
        "leg_id": leg,
        "codec": played.codec,
        "expected_ms": played.expected_ms,
        "sent_ms": played.sent_ms,
        "packets_sent": played.packets_sent,
        "packets_refused": played.packets_refused,
        "first_sequence": played.first_sequence,
        "last_sequence": played.last_sequence,
        "started_at": rfc3339(datetime.fromtimestamp(played.started_at, UTC)),
        "ended_at": rfc3339(datetime.fromtimestamp(played.ended_at, UTC)),
        "far_direction": played.far_direction,
        "rtcp_loss_fraction": played.rtcp_loss_fraction,
        "rtcp_highest_sequence": played.rtcp_highest_sequence,
    }


def grade(played: Played) -> str:
    """Return the grade of the evidence: none where it did not complete, B sent by us.

    A: a receiver report told its last packet as reached, with less lost than NOT-14 allows.
    """
    if not played.completed:
        return "none"
    return "A" if played.confirmed else "B"


def confirmed(evidence: dict[str, Any], report: Confirmed) -> dict[str, Any]:
    """Return the evidence of a notice as a later report leaves it: better where it reached its end without much loss.

    The notice stays completed where the report tells of more loss: the call has gone on with it. The loss is kept.
    """
    told = {"rtcp_loss_fraction": report.loss, "rtcp_highest_sequence": report.highest_sequence}
    better = evidence["completed"] and report.loss < LOSS_LIMIT
    return {**evidence, **told, **({"grade": "A"} if better else {})}


def interrupted_by(played: Played) -> str | None:
    """Return what interrupted the notice, in the contract's words; None where nothing did."""
    if played.completed or played.interrupted_by is None:
        return None
    return _INTERRUPTED_BY.get(played.interrupted_by, played.interrupted_by)


def unheard(asset: NoticeAsset, why: str) -> dict[str, Any]:
    """Return the evidence of a notice of which nothing is known to have been heard."""
    return {
        "id": asset.id,
        "version": asset.version,
        "language": asset.language,
        "completed": False,
        "heard_ms": 0,
        "grade": "none",
        "interrupted_by": why,
        "text_sha256": asset.text_sha256,
    }
