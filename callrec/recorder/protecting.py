"""Joins the stop list and holds with the calls that are going on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from callrec.calls import inputs as given
from callrec.errors import CallrecError
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.promises import Promises
from callrec.privacy.protection_book import ProtectionBook
from callrec.privacy.stop_list import StopList
from callrec.privacy.wishes_in_force import LiveStop
from callrec.recorder.health import Code
from callrec.recorder.live_call import LiveCall
from callrec.recorder.rounds import keep_on
from callrec.recorder.tools import Tools

log = logging.getLogger("callrec.protecting")

AT_THEIR_OWN_WISH = "caller"
"""Who entered a stop that a caller asked for by a key."""
_EVERY_S = 1.0
_LOAD_LIMIT_S = 2.0


class LivePeople:
    """The live calls, by who speaks in them; an emergency call is compared with no list (NOT-23)."""

    def __init__(self, tools: Tools, calls: Callable[[], Iterator[LiveCall]]) -> None:
        self._tools = tools
        self._calls = calls

    def speaking(self, people: StopList) -> list[str]:
        """Return the calls of which a party is stopped."""
        return [call.call_id for call, numbers in self._numbers() if people.is_stopped(numbers)]

    def held(self, people: StopList) -> list[str]:
        """Return the calls whose numbers a hold names."""
        return [call.call_id for call, numbers in self._numbers() if people.is_held(numbers)]

    def _numbers(self) -> Iterator[tuple[LiveCall, tuple[str, ...]]]:
        for call in self._calls():
            if not call.arrival.emergency:
                yield call, call.speaking()

    def stop(self, call_ids: Sequence[str], *, discard: bool) -> list[LiveStop]:
        """End the recording of those that are live, and discard what they stored if that is asked."""
        stopped = []
        for call in self._of(call_ids):
            had_stored = call.machine.has_stored
            self._tools.feed(call, given.RecordingStopped(discard))
            left = call.machine.has_stored
            stopped.append(LiveStop(call.call_id, left, had_stored and not left))
        return stopped

    def protect(self, call_ids: Sequence[str], *, on: bool = True) -> None:
        """Let nobody discard what these calls store, or let it be discarded again."""
        for call in self._of(call_ids):
            call.under_hold = call.under_hold or on
            self._tools.feed(call, given.Protected(on))

    def _of(self, call_ids: Sequence[str]) -> list[LiveCall]:
        wanted = set(call_ids)
        return [call for call in self._calls() if call.call_id in wanted] if wanted else []


@dataclass(frozen=True, slots=True)
class _OtherBooks:
    """What this book asks of the others and tells them."""

    promises: Promises

    async def party_id(self, ref: str) -> str | None:
        """Return the id of the party that goes by a reference."""
        relationships = self.promises.relationships
        found: str | None = None if relationships is None else await relationships.party_id(ref)
        return found

    async def release_happened(self, call_ids: Sequence[str]) -> None:
        """Tell the book of requests which calls nothing holds any more."""
        if self.promises.requests is not None:
            await self.promises.requests.release_happened(call_ids)


def make_protections(
    tools: Tools,
    stores: PromiseStores,
    calls: Callable[[], Iterator[LiveCall]],
    promises: Promises,
) -> ProtectionBook:
    """Return the book of stops and holds over the recorder's stores and live calls.

    Args:
        tools: the recorder's hands; its stop list is filled by `protect_calls`.
        stores: where the book is kept.
        calls: the calls that have not ended.
        promises: the other books, as far as there are any by the time they are asked.
    """
    live, others = LivePeople(tools, calls), _OtherBooks(promises)
    book = ProtectionBook(stores, tools.stop_list, live, parties=others, release_happened=others.release_happened)

    async def add_stop(number: str) -> None:
        await book.stop_add(number=number, reason="asked for by key in a call", actor=AT_THEIR_OWN_WISH)

    tools.add_stop = add_stop
    return book


async def load_stop_list(tools: Tools, book: ProtectionBook) -> None:
    """Load the stop list before calls come; a store that does not answer costs recordings, not calls."""
    try:
        await asyncio.wait_for(_look(tools, book), _LOAD_LIMIT_S)
    except TimeoutError:
        _tell(tools, "its disk does not answer")


async def protect_calls(tools: Tools, book: ProtectionBook) -> None:
    """Keep the stop list true, each second, for ever; one look that fails does not end the next."""
    await asyncio.sleep(_EVERY_S)  # `load_stop_list` has just looked
    await keep_on(partial(_look, tools, book), _EVERY_S, "the stop list")


async def _look(tools: Tools, book: ProtectionBook) -> None:
    try:
        await book.look()
    except CallrecError as error:
        if tools.stop_list.known:
            log.warning("the stop list is looked at again: %s", error)
        else:
            _tell(tools, str(error).partition("\n")[0])  # a database adds its statement
        return
    tools.health.clear(Code.STORAGE_UNAVAILABLE, about="stop list")


def _tell(tools: Tools, why: str) -> None:
    """Say why nobody is recorded, unless something that prevents it is told already: the cause, most likely."""
    if not tools.health.recording:
        return
    text = f"the stop list cannot be read: {why}; calls pass unrecorded until it is"
    tools.health.raise_problem(Code.STORAGE_UNAVAILABLE, text, about="stop list")
