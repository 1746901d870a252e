"""Which party a call belongs to, and so which retention class and which last day. Pure.

A call belongs to whoever held its outside number on its own date. It depends on nothing but the call and the
parties: a later call moves nothing (LAW-59), a changed party moves all its calls, older enquiries too (LAW-58).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from callrec.catalogue.values import Tie
from callrec.privacy.number_history import Span, holder
from callrec.privacy.retention_classes import (
    GIVE_WAY,
    KIND_CLASSES,
    UNMATCHED,
    Relationship,
    RetentionPolicy,
    delete_on,
)


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What the tie of one call depends on; numbers only as their keyed hashes."""

    call_id: str
    call_date: date
    """The local date on which the call began."""
    lookups: tuple[bytes, ...] = ()
    """The outside party's numbers; the one that the person shows comes first. None of a withheld caller (LAW-70)."""
    stored_class: str | None = None
    """The class stored with the call."""
    rule_class: str | None = None
    """The class of its capture rule, as the configuration has it."""


@dataclass(frozen=True, slots=True)
class Parties:
    """The parties as far as some calls need them."""

    histories: Mapping[bytes, Sequence[Span]]
    """By the keyed hash of a number."""
    relationships: Mapping[str, Relationship]
    """By party id."""

    def of(self, call: CallFacts) -> str | None:
        """Return the party a call belongs to; of several numbers, the first that somebody held has the word."""
        for lookup in call.lookups:
            party_id = holder(self.histories.get(lookup, ()), call.call_date)
            if party_id is not None and party_id in self.relationships:
                return party_id
        return None


NOBODY = Parties({}, {})
"""Where no party is known."""


def tie(call: CallFacts, parties: Parties, policy: RetentionPolicy) -> Tie:
    """Return what a call is to be tied to."""
    party_id = parties.of(call)
    relationship = None if party_id is None else parties.relationships[party_id]
    own = own_class(call)
    rule = policy.class_of(own, call.call_date, relationship)
    if rule is None:
        return Tie(call.call_id, party_id, own, None)
    # A class that needs a party keeps its name while there is none: what somebody chose is not forgotten.
    waits = rule.name == UNMATCHED and own not in KIND_CLASSES
    name = own if waits else rule.name
    return Tie(call.call_id, party_id, name, delete_on(rule, call.call_date, relationship))


def own_class(call: CallFacts) -> str:
    """Return the class a call has without any party: its rule's, unless somebody has chosen another for it.

    A class that gives way to a party is nobody's choice. It comes from a capture rule, and where that rule now has
    another class, the new one counts, whether or not a party was known in between.
    """
    if call.stored_class is None or call.stored_class in KIND_CLASSES:
        return call.rule_class or UNMATCHED
    if call.stored_class in GIVE_WAY:
        return call.rule_class or call.stored_class
    return call.stored_class
