"""Rounds go on, whatever becomes of one of them."""

from __future__ import annotations

import asyncio

from callrec.errors import CallrecError
from callrec.recorder.rounds import keep_on
from tests.support.hall_house import Complaints


async def test_a_round_that_fails_does_not_end_the_next(complaints: Complaints) -> None:
    """A store that cannot be used is no news; a fault of ours is told with its trace, and the next round comes."""
    faults = [CallrecError("the disk does not answer"), ValueError("ours"), None]
    taken: list[int] = []
    last = asyncio.Event()

    async def turn() -> None:
        taken.append(len(taken))
        if (fault := faults[taken[-1]]) is not None:
            raise fault
        last.set()
        await asyncio.Event().wait()

    rounds = asyncio.get_running_loop().create_task(keep_on(turn, 0.0, "books"))
    await asyncio.wait_for(last.wait(), 5)
    rounds.cancel()
    assert taken == [0, 1, 2]
    assert complaints.found == ["internal error: books: a round failed ValueError('ours')"]
    complaints.found.clear()
