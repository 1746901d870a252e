"""Idempotency-Key: what is sent again because its answer was lost exists once, a restart in between or not."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import RFC_4122, UUID

import pytest

from callrec.errors import ExitCode, OperatorError
from callrec.privacy.repeats import repeat_ids
from tests.catalogue.house import CALLER, OTHER
from tests.privacy.request_house import RECEIVED, Office, office

REQUEST: dict[str, Any] = {"channel": "email", "received_at": RECEIVED}
HOLD: dict[str, Any] = {"reason": "claim 7", "review": date(2027, 2, 1)}
KEY = "key-1"


async def refused(awaited: Any) -> str:
    with pytest.raises(OperatorError) as error:
        await awaited
    assert error.value.exit_code is ExitCode.USAGE
    return str(error.value)


async def ask(here: Office, number: str = CALLER, actor: str = "alice", **more: Any) -> dict[str, Any]:
    return await here.requests.new(number=number, actor=actor, **{**REQUEST, "idempotency_key": KEY, **more})


async def hold(here: Office, number: str = CALLER, actor: str = "alice", **more: Any) -> dict[str, Any]:
    given = {"kind": "legal_hold", "number": number, "actor": actor, "idempotency_key": KEY, **HOLD, **more}
    return await here.protections.protect(given.pop("kind"), **given)


async def test_a_request_that_is_sent_again_after_a_restart_is_one(tmp_path: Path) -> None:
    """LAW-25: one wish, one entry, one pair of clocks; the answer says how it stands."""
    async with office(tmp_path) as here:
        await here.stores.recorded_call()
        first = await ask(here)
    async with office(tmp_path) as here:
        assert await ask(here) == first
        here.clock.advance(timedelta(days=1))
        assert (await ask(here))["id"] == first["id"]
        assert [item["id"] for item in (await here.requests.list(open_only=True))["items"]] == [first["id"]]
        events = await here.events()
        assert events.count(("request", "opened")) == 1


async def test_another_request_under_the_key_is_refused(tmp_path: Path) -> None:
    """Whoever takes a key twice by mistake does not believe that the second was taken in."""
    async with office(tmp_path) as here:
        for number in (CALLER, OTHER):
            await here.relationships.set(f"C{number}", name="Ann", numbers=[number], actor="alice")
        first = await ask(here)
        for other in ({"number": OTHER}, {"channel": "post"}):
            assert "take a new key" in await refused(ask(here, **other))
        ids = {first["id"], (await ask(here, actor="bob"))["id"], (await ask(here, idempotency_key="key-2"))["id"]}
        ids |= {(await ask(here, idempotency_key=None))["id"] for _ in range(2)}
        assert len(ids) == 5


async def test_a_hold_that_is_placed_again_after_a_restart_is_one(tmp_path: Path) -> None:
    """LAW-52: a second one would keep its calls for ever after the first is released."""
    async with office(tmp_path) as here:
        held = (await here.stores.recorded_call()).call_id
        first = await hold(here)
        assert first["calls"] == [held]
    async with office(tmp_path) as here:
        assert await hold(here) == first
        assert "take a new key" in await refused(hold(here, reason="another claim"))
        assert len((await here.protections.list("legal_hold"))["items"]) == 1
        restricted = await hold(here, kind="restricted")
        assert restricted["id"] != first["id"]
        await here.protections.release(first["id"], "bob", "settled")
        assert (await hold(here))["id"] == first["id"], "sent late, it is not placed anew"
        assert (await here.protections.list("legal_hold"))["items"] == []


def test_an_id_follows_from_whoever_asks_for_what_when() -> None:
    """It is an id as any (RFC 9562 5.8), another for each of them, and known for the day after."""
    node, day = b"n" * 32, date(2026, 11, 28)
    now, before = repeat_ids(node, "request", "alice", KEY, day)
    parsed = UUID(now)
    assert (parsed.variant, parsed.version) == (RFC_4122, 8)
    assert repeat_ids(node, "request", "alice", KEY, day + timedelta(days=1))[1] == now
    others = [
        repeat_ids(b"m" * 32, "request", "alice", KEY, day),
        repeat_ids(node, "legal_hold", "alice", KEY, day),
        repeat_ids(node, "request", "bob", KEY, day),
        repeat_ids(node, "request", "alice", "key-2", day),
        repeat_ids(node, "request", "alice", KEY, day + timedelta(days=2)),
    ]
    assert len({now, before, *(one for ids in others for one in ids)}) == 12
