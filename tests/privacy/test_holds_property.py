"""A hold always wins over deletion: whatever is placed, released and erased in whatever order."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from callrec.errors import ExitCode, OperatorError
from callrec.privacy.wishes_in_force import KINDS
from tests.catalogue.house import CALLER, OTHER
from tests.privacy.test_protections_book import OTHER_DPO, Desk, desk

STEPS = 40


class Story:
    """One history of calls, holds and erasures, and what must be true by it."""

    def __init__(self, here: Desk, seed: int) -> None:
        self.here = here
        self.chance = random.Random(seed)
        self.numbers: dict[str, str] = {}
        """The calls that are not erased, each with its number."""
        self.holds: dict[str, tuple[set[str], str | None]] = {}
        """The holds in force: their calls, and the number of their rule."""

    async def call(self) -> None:
        """A call comes; a rule that names its number brings it under its hold."""
        number = self.chance.choice([CALLER, OTHER])
        call_id = await self.here.call(number)
        self.numbers[call_id] = number
        for calls, rule in self.holds.values():
            if rule == number:
                calls.add(call_id)
        self.here.stop_list.new_calls = True
        await self.here.book.look()

    async def place(self) -> None:
        """Somebody places a hold on some calls, or on a number and its calls to come."""
        kind = self.chance.choice(KINDS).value
        if self.chance.random() < 0.4 or not self.numbers:
            number = self.chance.choice([CALLER, OTHER])
            hold = await self.here.hold(kind, number=number)
            calls = {call_id for call_id, its in self.numbers.items() if its == number}
            self.holds[hold["id"]] = (calls, number)
        else:
            wanted = self.chance.sample(sorted(self.numbers), min(2, len(self.numbers)))
            hold = await self.here.hold(kind, ids=wanted)
            self.holds[hold["id"]] = (set(wanted), None)
        assert set(hold["calls"]) == self.holds[hold["id"]][0]

    async def release(self) -> None:
        """Somebody else releases a hold."""
        if self.holds:
            hold_id = self.chance.choice(sorted(self.holds))
            calls, _ = self.holds.pop(hold_id)
            done = await self.here.book.release(hold_id, OTHER_DPO, "over")
            assert set(done["calls"]) == calls - self.held()

    async def erase(self) -> None:
        """Somebody erases some calls: all go, or, where any of them is held, none."""
        if not self.numbers:
            return
        wanted = self.chance.sample(sorted(self.numbers), min(self.chance.randint(1, 3), len(self.numbers)))
        if self.held().intersection(wanted):
            with pytest.raises(OperatorError) as caught:
                await self.here.erase(*wanted)
            assert caught.value.exit_code is ExitCode.REFUSED
            return
        assert all(call.verified for call in await self.here.erase(*wanted))
        for call_id in wanted:
            del self.numbers[call_id]

    def held(self) -> set[str]:
        """Return the calls that are under any hold."""
        return {call_id for calls, _ in self.holds.values() for call_id in calls}

    async def check(self) -> None:
        """Every call is exactly where the story has it."""
        known = await self.here.book.holds_of(list(self.numbers))
        assert set(known) == self.held()
        for call_id in self.numbers:
            assert await self.here.stores.catalogue.state_of(call_id) == "ended"


@pytest.mark.parametrize("seed", range(4))
async def test_law_53_a_hold_always_wins_over_deletion(tmp_path: Path, seed: int) -> None:
    """LAW-53, LAW-62: in no order of calls, holds, releases and erasures does a held call go."""
    async with desk(tmp_path) as here:
        story = Story(here, seed)
        for _ in range(STEPS):
            step = story.chance.choice([story.call, story.call, story.place, story.release, story.erase])
            await step()
        await story.check()
        for hold_id in sorted(story.holds):
            await here.book.release(hold_id, OTHER_DPO, "over")
        assert all(call.verified for call in await here.erase(*story.numbers))
