"""The values that travel to and from the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

Item = dict[str, Any]
"""A call as every list, event and command shows it: the field names are those of the contract."""

RECORDED_REASONS = frozenset({"complete", "cut"})
NOT_RECORDED_REASONS = frozenset(
    {
        "no_capture_rule",
        "stop_list",
        "opt_out",
        "notice_incomplete",
        "abandoned_in_notice",
        "not_answered",
        "busy",
        "declined",
        "destination_failed",
        "emergency",
        "keys_unavailable",
        "storage_unavailable",
        "capacity",
    }
)


class NumbersMode(StrEnum):
    """How much of a telephone number an event carries (`[mqtt] numbers`)."""

    HASH = "hash"
    LAST4 = "last4"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class CallIdentity:
    """Who spoke with whom: everything personal about a call, stored only sealed under its identity key."""

    network_number: str | None = None
    presentation_number: str | None = None
    presentation_other: str | None = None
    called_number: str | None = None
    diverting_number: str | None = None
    display_name: str | None = None
    sip_call_ids: tuple[str, ...] = ()
    hidden_number: str | None = None
    """The network number of a withheld caller, given only under the policies `keyed_hash` and `sealed` (CLI-12)."""
    hidden_sealed: bool = False
    """True under `sealed`: the hidden number is kept, not only its keyed hash."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """JSON: SIP trace, dialled digits, verstat, original called number, time-stamped identity changes (CLI-16)."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a recording."""

    recording_id: str
    number: int
    path: str
    """Relative to the recordings folder."""
    segments: int | None = None
    """Whole segments; None while the part is being written."""
    cut: bool = False


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call that begins. Keys are those of `Keyring.take_call_keys`; without one, no number and no name is kept."""

    call_id: str
    call_reference: str
    direction: str
    started_at: datetime
    identity: CallIdentity = CallIdentity()
    identity_key_id: str | None = None
    audio_key_id: str | None = None
    """Only where the call may be recorded."""
    recording_id: str | None = None
    capture_rule: str | None = None
    retention_class: str | None = None
    delete_on: date | None = None
    withheld: bool = False
    withheld_reasons: tuple[str, ...] = ()
    cli_status: str | None = None
    cli_trust: str | None = None
    flags: tuple[str, ...] = ()
    country: str | None = None
    number_type: str | None = None
    area: str | None = None
    """Country, type and area of the outside party's number stay in clear, for reports."""
    relationship_id: str | None = None


@dataclass(frozen=True, slots=True)
class CallChange:
    """What a call has become; None leaves a field as it is."""

    answered_at: datetime | None = None
    recording_started_at: datetime | None = None
    recording_id: str | None = None
    audio_key_id: str | None = None
    identity: CallIdentity | None = None
    """The whole identity anew."""
    notice: Mapping[str, Any] | None = None
    """Evidence as the contract names it; no number in it."""
    legs: tuple[Mapping[str, Any], ...] | None = None
    """No address in them."""
    segments: tuple[Mapping[str, Any], ...] | None = None
    add_flags: tuple[str, ...] = ()
    drop_flags: tuple[str, ...] = ()
    """Flags that no longer hold."""
    capture_rule: str | None = None
    retention_class: str | None = None
    delete_on: date | None = None
    relationship_id: str | None = None
    parts: tuple[Part, ...] = ()
    """Parts begun or finished; one with a known recording id and number takes the place of the older."""


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ended: exactly one outcome of the closed list."""

    ended_at: datetime
    outcome: str
    outcome_reason: str
    cut: bool = False
    final: CallChange = CallChange()

    def __post_init__(self) -> None:
        reasons = {"recorded": RECORDED_REASONS, "not_recorded": NOT_RECORDED_REASONS}.get(self.outcome, frozenset())
        if self.outcome_reason not in reasons:
            raise ValueError(f"found outcome {self.outcome}/{self.outcome_reason}, expected one of the contract's list")


@dataclass(frozen=True, slots=True)
class Tie:
    """Whose a call is, and what follows from it."""

    call_id: str
    party_id: str | None
    retention_class: str
    delete_on: date | None
    """None while that is open."""


@dataclass(frozen=True, slots=True)
class Event:
    """A fact for the world. About a call, `data` is added to the item's fields known by then."""

    noun: str
    verb: str
    subject: str | None = None
    """The call id where it is about a call, else a request id or None."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Never a number or a name."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of the outbox: its number and the CloudEvents document to publish."""

    sequence: int
    noun: str
    verb: str
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FindQuery:
    """What to look for; None asks for anything."""

    number: str | None = None
    """E.164, or `*` and the last four digits or fewer or more: `*0123`."""
    outside_only: bool = False
    """True: only where the number is the outside party's (deleting)."""
    text: str | None = None
    """Words of a name, each in whole, or a call reference."""
    since: datetime | None = None
    until: datetime | None = None
    direction: str | None = None
    outcome: str | None = None
    """`recorded`, `not_recorded`, or an outcome reason."""
    in_progress: bool | None = None
    limit: int = 100
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some items, newest first, and where to go on."""

    items: list[Item]
    next: str | None


@dataclass(frozen=True, slots=True)
class Recording:
    """Where the audio of a call lies, and which key opens it."""

    call_id: str
    recording_id: str
    audio_key_id: str | None
    """None once the audio was discarded."""
    started_at: datetime | None
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class OpenRow:
    """A row without an end, as a start finds it after a crash."""

    call_id: str
    direction: str
    started_at: datetime
    answered_at: datetime | None
    recording_started_at: datetime | None
    capture_rule: str | None
    notice: Mapping[str, Any] | None
    recording_id: str | None
    identity_key_id: str | None
    audio_key_id: str | None
    parts: tuple[Part, ...]
    flags: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What a person or the recorder did, for the audit chain."""

    actor: str
    action: str
    subject: str | None = None
    """A call or request id."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Sealed under the call's identity key, or the node key with masked numbers only."""
