"""Pausing, resuming and ending the recording of a live call over the API (LAW-72, LAW-75, LAW-39)."""

from __future__ import annotations

from pathlib import Path

import pytest

from callrec.settings import Role
from tests.api.serving import ME, Served, served

CALL = "/calls/0000002a"


async def test_law_75_a_payment_page_pauses_with_a_body_or_without(api: Served) -> None:
    """LAW-75: the least that a program sends is a POST; the answer says how the recording is now."""
    reply = await api.client.post(f"{CALL}/pause")
    assert (reply.status_code, reply.json()["recording"]) == (200, "paused")
    reply = await api.client.post(f"{CALL}/resume", json={"reason": "paid"})
    assert reply.json() == {"call_id": api.recorder.live.call_id, "recording": "recording"}
    assert api.recorder.live.asked == [("pause", "card_payment", "", ME), ("resume", "paid", ME)]


async def test_law_75_a_pause_that_is_sent_twice_is_carried_out_once(api: Served) -> None:
    """Idempotency-Key: an answer that was lost is asked for again without beginning the limit anew."""
    key = {"Idempotency-Key": "payment-17"}
    replies = [await api.client.post(f"{CALL}/pause", json={"purpose": "other"}, headers=key) for _ in range(2)]
    assert replies[0].json() == replies[1].json()
    assert len(api.recorder.live.asked) == 1


@pytest.mark.parametrize(
    ("role", "verb", "status"),
    [
        (Role.OPERATOR, "pause", 200),
        (Role.OPERATOR, "stop", 200),
        (Role.OPERATOR, "discard", 403),
        (Role.SUPERVISOR, "resume", 200),
        (Role.SUPERVISOR, "discard", 403),
        (Role.DPO, "discard", 200),
        (Role.AUDITOR, "pause", 403),
    ],
)
async def test_not_18_who_may(folder: Path, role: Role, verb: str, status: int) -> None:
    """NOT-18: agents pause and stop; destroying what was stored is for those who may delete."""
    async with served(folder, {ME: role}) as api:
        path, body = (f"{CALL}/stop", {"discard": True}) if verb == "discard" else (f"{CALL}/{verb}", {})
        assert (await api.client.post(path, json=body)).status_code == status


async def test_what_cannot_be_understood_is_refused(api: Served) -> None:
    """A purpose outside the list, an unknown field: 2; a call that has ended: 3."""
    for body in ({"purpose": "4111 1111 1111 1111"}, {"until": "later"}):
        reply = await api.client.post(f"{CALL}/pause", json=body)
        assert reply.json()["exit_code"] == 2
        assert "4111" not in reply.text
    assert (await api.client.post("/calls/ffff/pause")).json()["exit_code"] == 3
