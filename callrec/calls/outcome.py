"""How a call ended: exactly one value for each call, from the closed list of the contract."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Whether a recording of the call exists."""

    RECORDED = "recorded"
    NOT_RECORDED = "not_recorded"


class Reason(StrEnum):
    """Why the call was recorded as it was, or not recorded."""

    COMPLETE = "complete"
    CUT = "cut"
    NO_CAPTURE_RULE = "no_capture_rule"
    STOP_LIST = "stop_list"
    OPT_OUT = "opt_out"
    NOTICE_INCOMPLETE = "notice_incomplete"
    ABANDONED_IN_NOTICE = "abandoned_in_notice"
    NOT_ANSWERED = "not_answered"
    BUSY = "busy"
    DECLINED = "declined"
    DESTINATION_FAILED = "destination_failed"
    EMERGENCY = "emergency"
    KEYS_UNAVAILABLE = "keys_unavailable"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    CAPACITY = "capacity"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a call: `recorded` or `not_recorded`, and because of what."""

    reason: Reason

    @property
    def kind(self) -> Kind:
        """Recorded means complete or cut; everything else says why there is no recording."""
        return Kind.RECORDED if self.reason in (Reason.COMPLETE, Reason.CUT) else Kind.NOT_RECORDED


# RFC 3261 21.4-21.6: who said no. What stands in neither set is a failure of the destination.
_BUSY = frozenset({486, 600})
_DECLINED = frozenset({403, 603, 607, 608})
_NOT_ANSWERED = frozenset({408, 480, 487})


def reason_of_failure(status: int) -> Reason:
    """Return why a destination that answered an INVITE with `status` was not reached."""
    if status in _BUSY:
        return Reason.BUSY
    if status in _DECLINED:
        return Reason.DECLINED
    if status in _NOT_ANSWERED:
        return Reason.NOT_ANSWERED
    return Reason.DESTINATION_FAILED


# ITU-T Q.850 causes as RFC 4497 maps them from SIP.
_Q850 = {Reason.BUSY: 17, Reason.DECLINED: 21, Reason.NOT_ANSWERED: 19, Reason.CAPACITY: 34}


def q850_cause(reason: Reason) -> int:
    """Return the Q.850 cause that tells the caller's network why the destination was not reached."""
    return _Q850.get(reason, 41)
