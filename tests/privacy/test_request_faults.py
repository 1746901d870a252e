"""Killed at any point, a request is carried out whole by the next start, or nothing of it has begun."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from callrec.catalogue import CallNotFound
from callrec.errors import OperatorError
from callrec.privacy import Step
from callrec.privacy.request_execution import Point
from tests.catalogue.house import CALLER, NAME, files_with, spellings
from tests.privacy.request_house import Office, office


class Plug(BaseException):
    """The plug is pulled: nothing after it happens, no handler runs."""


def pulls_the_plug(after: Point | Step) -> Any:
    """Return a hook that does so after one point of a request, or one step of erasing."""

    def hook(reached: Point | Step) -> None:
        if reached is after:
            raise Plug

    return hook


async def prepared(folder: Path) -> tuple[str, list[str]]:
    """Fill a folder with a person's calls and an approved request; return its id and the calls."""
    async with office(folder) as here:
        await here.relationships.set("CUST-1", name=NAME, numbers=[CALLER], kind="customer", actor="alice")
        calls = [(await here.stores.recorded_call()).call_id for _ in range(3)]
        await here.relationships.tie(calls)
        return await here.approved(name=NAME), calls


async def start_again(here: Office) -> None:
    """Do what a start of the recorder does."""
    await here.stores.eraser().resume()
    await here.requests.restart()


async def assert_whole(here: Office, request_id: str, calls: list[str]) -> None:
    """Assert that it is completed, once, and nothing of the person is left."""
    shown = await here.requests.show(request_id)
    assert (shown["state"], shown["result"], sorted(shown["erased"])) == ("completed", "whole", sorted(calls))
    assert {one["state"] for one in shown["stores"]} <= {"erased", "not_present"}
    assert {one["store"]: one["state"] for one in shown["stores"]}["keyring"] == "erased"
    for call_id in calls:
        with pytest.raises(CallNotFound):
            await here.stores.catalogue.get(call_id)
    with pytest.raises(OperatorError):
        await here.relationships.show("CUST-1")
    events = [verb for _, verb in await here.events()]
    assert sorted(events) == ["approved", "completed", "executed", "opened"]
    assert here.stores.ledger.open_intents == []
    assert files_with(here.stores.recordings, [b"ciphertext"]) == []


@pytest.mark.parametrize("point", list(Point))
async def test_a_plug_pulled_at_any_point_is_made_good(tmp_path: Path, point: Point) -> None:
    """The next start carries it out; no event is told twice."""
    request_id, calls = await prepared(tmp_path)
    with pytest.raises(Plug):
        async with office(tmp_path, hook=pulls_the_plug(point)) as here:
            await here.requests.execute(request_id, "bob")
    async with office(tmp_path) as again:
        await start_again(again)
        await assert_whole(again, request_id, calls)
        await start_again(again)
        await assert_whole(again, request_id, calls)


@pytest.mark.parametrize("step", list(Step))
async def test_a_plug_pulled_at_any_step_of_erasing_is_made_good(tmp_path: Path, step: Step) -> None:
    """Also in the middle of erasing itself; each store is told as erased, not as empty, although it was done before."""
    request_id, calls = await prepared(tmp_path)
    with pytest.raises(Plug):
        async with office(tmp_path, eraser_hook=pulls_the_plug(step)) as here:
            await here.requests.execute(request_id, "bob")
    async with office(tmp_path) as again:
        await start_again(again)
        await assert_whole(again, request_id, calls)


async def test_a_plug_pulled_again_and_again_is_made_good(tmp_path: Path) -> None:
    """A crash in the completing itself is completed by the start after it."""
    request_id, calls = await prepared(tmp_path)
    with pytest.raises(Plug):
        async with office(tmp_path, hook=pulls_the_plug(Point.BEGUN)) as here:
            await here.requests.execute(request_id, "bob")
    for point in (Point.STOPPED, Point.ERASED, Point.FORGOTTEN, Point.REPORTED, Point.READ_BACK):
        with pytest.raises(Plug):
            async with office(tmp_path, hook=pulls_the_plug(point)) as again:
                await start_again(again)
    async with office(tmp_path) as last:
        await start_again(last)
        await assert_whole(last, request_id, calls)


async def test_a_hold_placed_while_it_is_cut_off_wins(tmp_path: Path) -> None:
    """LAW-53: what is not erased yet when a hold comes is kept, although the plan was fresh when it began."""
    request_id, calls = await prepared(tmp_path)
    with pytest.raises(Plug):
        async with office(tmp_path, hook=pulls_the_plug(Point.BEGUN)) as here:
            await here.requests.execute(request_id, "bob")
    async with office(tmp_path) as again:
        review = date(2027, 1, 15)
        await again.protections.protect("legal_hold", ids=calls[:1], reason="claim", review=review, actor="carol")
        await start_again(again)
        shown = await again.requests.show(request_id)
        assert (shown["state"], sorted(shown["erased"])) == ("legal_hold", sorted(calls[1:]))
        assert shown["kept"] == [{"call_id": calls[0], "reason": "legal_hold"}]
        assert await again.stores.catalogue.state_of(calls[0]) == "ended"
        assert (await again.relationships.show("CUST-1"))["name"] == NAME, "what is kept is the party's"


PROGRAM = """
import asyncio, sys
from pathlib import Path
from tests.privacy.request_house import office

async def main(folder, request_id):
    async with office(Path(folder)) as here:
        print("ready", flush=True)
        await here.requests.execute(request_id, "bob")

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("rounds", [3, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
async def test_a_kill_at_any_moment_is_all_or_nothing(tmp_path: Path, rounds: int) -> None:
    """kill -9 during `request execute`: after the next start all of it is done, or nothing was begun."""
    for n in range(rounds):
        folder = tmp_path / str(n)
        request_id, calls = await prepared(folder)
        _kill_while_executing(folder, request_id, delay_s=0.002 * (n % 50))
        async with office(folder) as again:
            await start_again(again)
            if (await again.requests.show(request_id))["state"] == "completed":
                await assert_whole(again, request_id, calls)
                assert files_with(folder, [*spellings(CALLER), NAME.encode()]) == []
            else:
                assert (await again.requests.show(request_id))["state"] == "authorised"
                assert {await again.stores.catalogue.state_of(call_id) for call_id in calls} == {"ended"}
                assert (await again.relationships.show("CUST-1"))["name"] == NAME
        shutil.rmtree(folder)


def _kill_while_executing(folder: Path, request_id: str, delay_s: float) -> None:
    command = [sys.executable, "-c", PROGRAM, str(folder), request_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            process.wait(delay_s)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
