"""Deleting: a plan first, then just what the plan showed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.api.fake_recorder import item_of
from tests.api.serving import ME, Served


async def plan(api: Served, **asked: Any) -> httpx.Response:
    return await api.client.post("/deletions/plan", json=asked)


async def test_a_plan_shows_what_would_go_with_numbers_masked(api: Served) -> None:
    """What is printed on a screen before deleting shows nobody's number or name."""
    api.recorder.items = [item_of(1), item_of(2, network_number="+442079460555")]
    reply = (await plan(api, number="020 7946 0123")).json()
    assert [item["sequence"] for item in reply["items"]] == [1]
    assert "9460" not in str(reply)
    assert "Ann" not in str(reply)
    assert len(api.recorder.items) == 2


async def test_deleting_carries_out_the_plan_and_says_what_each_store_did(api: Served) -> None:
    """The answer has a line for each call, with every store and whether reading was tried in vain."""
    api.recorder.items = [item_of(1), item_of(2)]
    hash_ = (await plan(api, ids=["00000001"])).json()["hash"]
    reply = (await api.client.post("/deletions", json={"plan": hash_, "reason": "asked by letter"})).json()
    stores = {"keyring": "destroyed", "recordings": "removed"}
    assert reply["items"] == [{"call_id": item_of(1)["call_id"], "stores": stores, "verified": True}]
    assert reply["verified"] is True
    assert [item["sequence"] for item in api.recorder.items] == [2]
    assert api.recorder.reasons == [f"{ME}: asked by letter"]


async def test_a_plan_is_carried_out_once(api: Served) -> None:
    """A hash that is used or made up deletes nothing: try again (75)."""
    api.recorder.items = [item_of(1)]
    for hash_ in ("made-up", (await plan(api, ids=["CALL001"])).json()["hash"]):
        await api.client.post("/deletions", json={"plan": hash_})
        reply = await api.client.post("/deletions", json={"plan": hash_})
        assert (reply.status_code, reply.json()["exit_code"]) == (503, 75)


@pytest.mark.parametrize(
    "asked",
    [{}, {"ids": []}, {"ids": ["CALL001"], "number": "02079460123"}, {"number": "*0123"}, {"number": "x"}, {"what": 1}],
)
async def test_a_plan_needs_ids_or_one_whole_number(api: Served, asked: dict[str, Any]) -> None:
    """Never "everything", never both, and no ending of a number, which several people share."""
    api.recorder.items = [item_of(1)]
    reply = await plan(api, **asked)
    assert (reply.status_code, reply.json()["exit_code"]) == (400, 2)


async def test_what_is_not_verified_as_gone_is_said(api: Served) -> None:
    """If reading still works afterwards, the answer says so."""
    api.recorder.items, api.recorder.erasing_works = [item_of(1)], False
    hash_ = (await plan(api, ids=["CALL001"])).json()["hash"]
    assert (await api.client.post("/deletions", json={"plan": hash_})).json()["verified"] is False
