"""A deletion plan is exactly what was approved, and stale only if one of its items is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.errors import ExitCode, OperatorError
from callrec.privacy.plans import (
    Change,
    Changed,
    DeletionPlan,
    ItemAction,
    ItemFacts,
    check_plan,
    require_fresh,
)
from callrec.privacy.protections import Hold, Protection

LEGAL = Hold("h1", Protection.LEGAL_HOLD)
RESTRICTED = Hold("s1", Protection.RESTRICTION)
CALLS = (ItemFacts("a", "party-1"), ItemFacts("b", "party-1", (LEGAL,)), ItemFacts("c"))
PLAN = DeletionPlan.of("r1", CALLS)


def test_a_plan_says_what_goes_and_what_stays() -> None:
    """Held calls are kept with their reason, and then the request is refused in part."""
    assert PLAN.to_erase == ("a", "c")
    assert [(item.call_id, item.reason) for item in PLAN.kept] == [("b", "legal_hold")]
    assert PLAN.is_partial
    assert not DeletionPlan.of("r1", CALLS[:1]).is_partial


def test_the_hash_is_a_vector() -> None:
    """The stored text and its hash are fixed: a plan approved before an upgrade is still the plan after it."""
    plan = DeletionPlan.of("r1", [ItemFacts("b", None, (LEGAL,)), ItemFacts("a", "party-1")])
    assert plan.to_json() == (
        '{"items":[{"action":"erase","call_id":"a","holds":[],"reason":"request","relationship_id":"party-1"},'
        '{"action":"keep","call_id":"b","holds":[{"id":"h1","kind":"legal_hold"}],"reason":"legal_hold",'
        '"relationship_id":null}],"request_id":"r1","version":1}'
    )
    assert plan.hash == "7ebd5f5fdecf68e64d5cdaea61a6cca447200560ff1a8e62f894de2a1f0330cd"


def test_the_hash_covers_whatever_would_make_it_stale() -> None:
    """Another request, call, party or hold is another hash; another order, or that a call is live, is not."""
    others = [
        DeletionPlan.of("r2", CALLS),
        DeletionPlan.of("r1", CALLS[:2]),
        DeletionPlan.of("r1", [replace(CALLS[0], relationship_id="party-2"), *CALLS[1:]]),
        DeletionPlan.of("r1", [replace(CALLS[0], holds=(RESTRICTED,)), *CALLS[1:]]),
        DeletionPlan.of("r1", [*CALLS[:1], replace(CALLS[1], holds=(Hold("h2", Protection.LEGAL_HOLD),)), CALLS[2]]),
    ]
    assert len({PLAN.hash, *(plan.hash for plan in others)}) == 1 + len(others)
    assert DeletionPlan.of("r1", reversed(CALLS)).hash == PLAN.hash
    assert DeletionPlan.of("r1", [replace(each, in_progress=True) for each in CALLS]).hash == PLAN.hash


@pytest.mark.parametrize(
    ("now", "change"),
    [
        (replace(CALLS[0], relationship_id="party-2"), Change("a", Changed.PARTY)),
        (replace(CALLS[0], holds=(LEGAL,)), Change("a", Changed.HOLD)),
        (replace(CALLS[0], holds=(RESTRICTED,)), Change("a", Changed.RESTRICTION)),
        (replace(CALLS[1], holds=()), Change("b", Changed.HOLD)),
    ],
)
def test_a_changed_item_makes_the_plan_stale(now: ItemFacts, change: Change) -> None:
    """A hold placed or released, a party or a restriction changed: refused with one sentence, exit code 5."""
    found = check_plan(PLAN, [now, *(each for each in CALLS if each.call_id != now.call_id)])
    assert found.changes == (change,)
    with pytest.raises(OperatorError, match=f"the {change.what} of call {change.call_id} changed") as caught:
        require_fresh(found)
    assert caught.value.exit_code is ExitCode.REFUSED


def test_calls_since_approval_never_make_it_stale() -> None:
    """Ended ones are named and left alone; a live one is stopped and goes with the rest; erased ones are gone."""
    since, live = ItemFacts("d", "party-1"), ItemFacts("e", "party-1", in_progress=True)
    found = check_plan(PLAN, [*CALLS[:2], since, live, ItemFacts("f", holds=(LEGAL,), in_progress=True)])
    assert (found.changes, found.gone, found.live, found.since) == ((), ("c",), ("e",), ("d",))
    require_fresh(found)


def test_a_call_live_at_approval_and_over_by_now_is_still_in_the_plan() -> None:
    """That a call has ended changes nothing about what was approved for it."""
    plan = DeletionPlan.of("r1", [ItemFacts("a", in_progress=True)])
    assert not check_plan(plan, [ItemFacts("a")]).is_stale
    assert check_plan(plan, [ItemFacts("a", in_progress=True)]).live == ("a",)


@pytest.mark.parametrize("text", ["{}", "[]", '{"version":2}', '{"version":1,"request_id":"r"}', "x"])
def test_what_is_no_plan_is_refused(text: str) -> None:
    """A damaged or a future plan is never carried out."""
    with pytest.raises(ValueError, match=r"plan|Expecting value"):
        DeletionPlan.from_json(text)


HOLDS = st.lists(st.builds(Hold, st.sampled_from(["1", "2", "3"]), st.sampled_from(Protection)), max_size=3).map(tuple)
FACTS = st.builds(
    ItemFacts, st.sampled_from("abcdefgh"), st.sampled_from([None, "party-1", "party-2"]), HOLDS, st.booleans()
)
MANY = st.lists(FACTS, max_size=8, unique_by=lambda each: each.call_id)


@given(MANY)
def test_a_hold_always_wins_over_deletion(calls: list[ItemFacts]) -> None:
    """Whatever the combination, a plan erases exactly what nothing protects, and reads back as it was written."""
    plan = DeletionPlan.of("r1", calls)
    assert plan.to_erase == tuple(sorted(each.call_id for each in calls if not each.holds))
    assert {item.action for item in plan.kept} <= {ItemAction.KEEP}
    assert DeletionPlan.from_json(plan.to_json()) == plan
    assert not check_plan(plan, calls).is_stale


@given(MANY, MANY)
def test_a_plan_is_stale_exactly_if_one_of_its_items_would_be_planned_otherwise(
    before: list[ItemFacts], after: list[ItemFacts]
) -> None:
    """The check agrees with planning anew, item by item."""
    plan, anew = DeletionPlan.of("r1", before), DeletionPlan.of("r1", after)
    now = {item.call_id: item for item in anew.items}
    differs = any(now[item.call_id] != item for item in plan.items if item.call_id in now)
    found = check_plan(plan, after)
    assert found.is_stale is differs
    held = {each.call_id for each in after if each.holds}
    assert not held & set(found.live)
