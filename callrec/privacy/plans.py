"""The plan of a deletion request: what goes, what stays and why, and a hash over all that would make it stale.

`request approve` saves a plan; `request execute` carries out exactly that plan, and refuses only if an item of it has
changed: another hold, another party, another restriction. Calls that came since never make it stale.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from callrec.errors import ExitCode, OperatorError
from callrec.privacy.protections import Hold, Protection, strongest

_VERSION = 1


class ItemAction(StrEnum):
    """What becomes of one call of a plan."""

    ERASE = "erase"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """What a plan depends on for one call; no name, no number."""

    call_id: str
    relationship_id: str | None = None
    holds: tuple[Hold, ...] = ()
    """Holds, access holds and restrictions, and a `LEGAL_OBLIGATION` where its class is one."""
    in_progress: bool = False


@dataclass(frozen=True, slots=True)
class PlanItem:
    """One call of a plan."""

    call_id: str
    action: ItemAction
    reason: str
    """`request`, or the protection that keeps it."""
    relationship_id: str | None
    holds: tuple[Hold, ...]
    """Sorted, so that the same holds are the same value."""

    @classmethod
    def of(cls, facts: ItemFacts) -> PlanItem:
        """Return what becomes of a call: whatever protects it wins over the wish to erase it (LAW-62)."""
        hold = strongest(facts.holds)
        action = ItemAction.ERASE if hold is None else ItemAction.KEEP
        reason = "request" if hold is None else hold.kind.value
        return cls(facts.call_id, action, reason, facts.relationship_id, _sorted(facts.holds))


@dataclass(frozen=True, slots=True)
class DeletionPlan:
    """What a person approves."""

    request_id: str
    items: tuple[PlanItem, ...]
    """By call id."""

    @classmethod
    def of(cls, request_id: str, calls: Iterable[ItemFacts]) -> DeletionPlan:
        """Return the plan for the calls of a person."""
        items = {facts.call_id: PlanItem.of(facts) for facts in calls}
        return cls(request_id, tuple(items[call_id] for call_id in sorted(items)))

    @property
    def hash(self) -> str:
        """SHA-256 of the plan as it is stored; what a person approves."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def to_erase(self) -> tuple[str, ...]:
        """The ids of the calls that go."""
        return tuple(item.call_id for item in self.items if item.action is ItemAction.ERASE)

    @property
    def kept(self) -> tuple[PlanItem, ...]:
        """The calls that stay."""
        return tuple(item for item in self.items if item.action is ItemAction.KEEP)

    @property
    def is_partial(self) -> bool:
        """Whether something stays: the request is partly refused then."""
        return any(item.action is ItemAction.KEEP for item in self.items)

    def to_json(self) -> str:
        """Return the plan as it is stored: canonical, the same plan the same text."""
        document = {
            "version": _VERSION,
            "request_id": self.request_id,
            "items": [_document(item) for item in self.items],
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str) -> DeletionPlan:
        """Return a stored plan.

        Raises:
            ValueError: if it is none of this version.
        """
        try:
            document = json.loads(text)
            if document["version"] != _VERSION:
                raise ValueError(f"found plan version {document['version']!r}, expected {_VERSION}")
            return cls(document["request_id"], tuple(_item(each) for each in document["items"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"found no deletion plan: {error!r}") from None


class Changed(StrEnum):
    """What of an item has changed since approval."""

    PARTY = "party"
    HOLD = "hold"
    RESTRICTION = "restriction"


@dataclass(frozen=True, slots=True)
class Change:
    """One item that is not what was approved."""

    call_id: str
    what: Changed


@dataclass(frozen=True, slots=True)
class PlanCheck:
    """A plan against what is there at execution."""

    changes: tuple[Change, ...]
    gone: tuple[str, ...]
    """Of the plan, but erased meanwhile: nothing is left to do."""
    live: tuple[str, ...]
    """In progress now, in the plan or begun since: stopped at once, and gone with the rest."""
    since: tuple[str, ...]
    """Begun and ended since approval: named in the result, left alone."""

    @property
    def is_stale(self) -> bool:
        """Whether the plan must be approved again."""
        return bool(self.changes)


def check_plan(plan: DeletionPlan, now_there: Iterable[ItemFacts]) -> PlanCheck:
    """Compare an approved plan with the person's calls as they are now.

    A live call that is held is not among `live`: it stays as its hold demands.
    """
    facts = {each.call_id: each for each in now_there}
    changes: list[Change] = []
    for item in plan.items:
        if item.call_id in facts:
            changes += _changes(item, facts[item.call_id])
    planned = {item.call_id for item in plan.items}
    live = [each.call_id for each in facts.values() if each.in_progress and not each.holds]
    since = [each.call_id for each in facts.values() if each.call_id not in planned and not each.in_progress]
    gone = tuple(call_id for call_id in sorted(planned) if call_id not in facts)
    return PlanCheck(tuple(changes), gone, tuple(sorted(live)), tuple(sorted(since)))


def require_fresh(check: PlanCheck) -> None:
    """Let a plan be carried out.

    Raises:
        OperatorError: with exit code 5 if an item changed since it was approved.
    """
    if check.is_stale:
        first = check.changes[0]
        more = f", and {len(check.changes) - 1} more" if len(check.changes) > 1 else ""
        raise OperatorError(
            f"the plan is stale: the {first.what} of call {first.call_id} changed since it was approved{more}; "
            "nothing was erased; run `request approve` again",
            exit_code=ExitCode.REFUSED,
        )


def _changes(item: PlanItem, facts: ItemFacts) -> list[Change]:
    found: list[Change] = []
    if item.relationship_id != facts.relationship_id:
        found.append(Change(item.call_id, Changed.PARTY))
    different = {hold.kind for hold in {*item.holds} ^ {*facts.holds}}
    if different - {Protection.RESTRICTION}:
        found.append(Change(item.call_id, Changed.HOLD))
    if Protection.RESTRICTION in different:
        found.append(Change(item.call_id, Changed.RESTRICTION))
    return found


def _sorted(holds: Iterable[Hold]) -> tuple[Hold, ...]:
    return tuple(sorted(set(holds), key=lambda hold: (hold.hold_id, hold.kind)))


def _document(item: PlanItem) -> dict[str, Any]:
    return {
        "call_id": item.call_id,
        "action": item.action.value,
        "reason": item.reason,
        "relationship_id": item.relationship_id,
        "holds": [{"id": hold.hold_id, "kind": hold.kind.value} for hold in item.holds],
    }


def _item(document: Mapping[str, Any]) -> PlanItem:
    holds = tuple(Hold(each["id"], Protection(each["kind"])) for each in document["holds"])
    action = ItemAction(document["action"])
    return PlanItem(document["call_id"], action, document["reason"], document["relationship_id"], holds)
