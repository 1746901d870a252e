"""The row that a new call begins with: what is kept of who called whom, under the policy for withheld numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from callrec.calling_line import CallingLineIdentity, Number, facts_of, readable
from callrec.catalogue.values import CallIdentity, NewCall, Tie
from callrec.identifiers import new_call_reference
from callrec.privacy.clocks import local_date
from callrec.privacy.retention_classes import RetentionPolicy
from callrec.privacy.ties import NOBODY, CallFacts, tie
from callrec.recorder.arrival import Arrival
from callrec.settings import WithheldNumberPolicy

if TYPE_CHECKING:
    from callrec.recorder.live_call import LiveCall

FLAG_IDENTITY_NOT_KEPT = "identity_not_kept"


def new_row(call: LiveCall, *, recordable: bool) -> NewCall:
    """Return the row of a call that begins; without a key it has no number and no name.

    `recordable`: an audio key is named in it only where the call may be recorded.
    """
    arrival = call.arrival
    calling = arrival.calling
    tied = _nobodys(call)
    outside = _outside_number(arrival)
    facts = facts_of(outside.e164) if outside is not None and outside.e164 else None
    keys = call.keys
    return NewCall(
        call_id=call.call_id,
        call_reference=new_call_reference(),
        direction="inbound" if arrival.inbound else "outbound",
        started_at=call.started_at,
        identity=identity_of(arrival, arrival.settings.calling_line.withheld_number_policy) if keys else CallIdentity(),
        identity_key_id=keys.identity_key_id if keys else None,
        audio_key_id=keys.audio_key_id if keys and recordable else None,
        capture_rule=arrival.rule.name if arrival.rule else None,
        retention_class=tied.retention_class,
        delete_on=tied.delete_on,
        withheld=calling.withheld,
        withheld_reasons=tuple(reason.value for reason in calling.withheld_reasons),
        cli_status=calling.status.value,
        cli_trust=calling.trust.value,
        flags=(*(flag.value for flag in calling.flags), *(() if keys else (FLAG_IDENTITY_NOT_KEPT,))),
        country=facts.country if facts else None,
        number_type=facts.number_type.value if facts else None,
        area=facts.area if facts else None,
    )


def _nobodys(call: LiveCall) -> Tie:
    """Return how long a call is kept as long as nobody knows whose it is."""
    settings, rule = call.arrival.settings, call.arrival.rule
    started_on = local_date(call.started_at, ZoneInfo(settings.org.timezone))
    facts = CallFacts(call.call_id, started_on, stored_class=None, rule_class=rule.retention_class if rule else None)
    return tie(facts, NOBODY, RetentionPolicy.of(settings.retention_class))


def _outside_number(arrival: Arrival) -> Number | None:
    """Return the outside party's number, as far as it may be told: for its country and type in reports."""
    if arrival.inbound:
        return arrival.calling.presentation_number or arrival.calling.network_number
    called = arrival.called
    return Number(called.kind, arrival.dialled, called.e164) if called.e164 else None


def identity_of(arrival: Arrival, policy: WithheldNumberPolicy) -> CallIdentity:
    """Return what is personal about a call, as far as it may be kept: sealed under the call's own key."""
    calling = arrival.calling
    hidden = calling.asserted_in_memory if policy is not WithheldNumberPolicy.DROP else None
    return CallIdentity(
        network_number=_e164(calling.network_number),
        presentation_number=_e164(calling.presentation_number),
        presentation_other=calling.presentation_other,
        called_number=arrival.called.e164,
        diverting_number=_e164(calling.diverting_number),
        display_name=calling.display_name,
        sip_call_ids=(readable(arrival.request.call_id),),
        hidden_number=_e164(hidden),
        hidden_sealed=policy is WithheldNumberPolicy.SEALED,
        extra=_extra(arrival, calling),
    )


def _e164(number: Number | None) -> str | None:
    return number.e164 if number is not None else None


def _extra(arrival: Arrival, calling: CallingLineIdentity) -> dict[str, object]:
    """Return what else is kept, under domain rule 2.5's names; empty ones are left out."""
    extra = {
        "dialled": arrival.dialled,
        "dial_prefix": arrival.called.dial_prefix,
        "original_called_number": _e164(calling.original_called_number),
        "diversion_reason": calling.diversion_reason,
        "diverting_withheld": calling.diverting_withheld or None,
        "verstat": calling.verstat,
        "cli_source": calling.source.value if calling.source else None,
        "calling_party_category": calling.category,
        "ignored": list(calling.ignored) or None,
        "session_id": arrival.request.headers.get("Session-ID"),
    }
    return {name: readable(value) if isinstance(value, str) else value for name, value in extra.items() if value}
