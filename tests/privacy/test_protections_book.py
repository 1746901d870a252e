"""The book of stops, holds and restrictions: what people say is kept, lasts, and beats what it must beat."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from callrec.catalogue import CallEnd, CallIdentity, CallNotFound, StorageUnavailable
from callrec.errors import ExitCode, OperatorError
from callrec.privacy import Reason, Step
from callrec.privacy.protection_book import ProtectionBook
from callrec.privacy.protections import Hold, Protection
from callrec.privacy.relationships import Relationships
from callrec.privacy.stop_list import StopList
from callrec.privacy.wishes_in_force import LiveStop
from callrec.settings import Settings
from tests.catalogue.house import CALLER, NAME, OTHER, OURS, House, files_with, house, spellings
from tests.support.promises import settings_of, stores_of

DPO, OTHER_DPO = "dora", "otto"
REVIEW = date(2027, 2, 1)
WHY = "claim 7 of the Ambridge County Court"


class Plug(BaseException):
    """The plug is pulled: nothing after it happens."""


async def pulled(_key_ids: object) -> None:
    raise Plug


@dataclass
class Live:
    """The live calls as the book sees them: who speaks in which, and what was done to it."""

    calls: dict[str, Sequence[str]] = field(default_factory=dict)
    protected: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)
    discarded: set[str] = field(default_factory=set)

    def speaking(self, people: StopList) -> list[str]:
        return [call_id for call_id, numbers in self.calls.items() if people.is_stopped(numbers)]

    def held(self, people: StopList) -> list[str]:
        return [call_id for call_id, numbers in self.calls.items() if people.is_held(numbers)]

    def stop(self, call_ids: Sequence[str], *, discard: bool) -> list[LiveStop]:
        here = [call_id for call_id in call_ids if call_id in self.calls]
        self.stopped.update(here)
        gone = [call_id for call_id in here if discard and call_id not in self.protected | self.discarded]
        self.discarded.update(gone)
        return [LiveStop(call_id, call_id not in self.discarded, call_id in gone) for call_id in here]

    def protect(self, call_ids: Sequence[str], *, on: bool = True) -> None:
        here = {call_id for call_id in call_ids if call_id in self.calls}
        self.protected = self.protected | here if on else self.protected - here


@dataclass
class Desk:
    """A store with the book, the book of relationships beside it, and live calls."""

    stores: House
    book: ProtectionBook
    stop_list: StopList
    relationships: Relationships
    live: Live
    released: list[list[str]] = field(default_factory=list)

    async def call(self, number: str = CALLER, **changes: Any) -> str:
        """Store a recorded call of an outside number, tied to its party; return its id."""
        identity = CallIdentity(network_number=number, presentation_number=number, called_number=OURS)
        new = await self.stores.recorded_call(**{"identity": identity, **changes})
        await self.relationships.tying.tie([new.call_id])
        return new.call_id

    async def hold(self, kind: str = "legal_hold", **scope: Any) -> Any:
        """Place a hold as the data protection officer does."""
        return await self.book.protect(kind, reason=WHY, review=REVIEW, actor=DPO, **scope)

    async def erase(self, *call_ids: str) -> Any:
        return await self.stores.eraser().erase(call_ids, reason=Reason.RETENTION, authoriser="root")

    async def holds(self, call_id: str) -> list[str]:
        return [hold["kind"] for hold in (await self.stores.catalogue.get(call_id))["holds"]]


@asynccontextmanager
async def desk(folder: Path, settings: Settings | None = None, *, load: bool = True) -> AsyncIterator[Desk]:
    async with house(folder) as here:
        stores = stores_of(here, settings)
        relationships, stop_list, live = Relationships(stores), StopList(), Live()
        released: list[list[str]] = []

        async def release_happened(call_ids: Sequence[str]) -> None:
            released.append(sorted(call_ids))

        book = ProtectionBook(stores, stop_list, live, parties=relationships, release_happened=release_happened)
        if load:
            await book.load()
        yield Desk(here, book, stop_list, relationships, live, released)


async def refused(doing: Any, exit_code: ExitCode, words: str) -> None:
    """Assert that a command is refused in one sentence."""
    with pytest.raises(OperatorError, match=words) as caught:
        await doing
    assert caught.value.exit_code is exit_code
    assert "\n" not in str(caught.value)


async def promises_of(here: House) -> list[tuple[str, str, str]]:
    """Return what the ledger says was made and lifted."""
    kinds = frozenset({"stop", "hold", "restriction"})
    return [(entry.kind, entry.body["id"], entry.body["what"]) for entry in await here.ledger.entries(kinds)]


# Stops


@pytest.mark.parametrize("spelling", ["01632 960001", "+44 (0)1632 960001", "tel:+441632960001", "0044 1632-960001"])
async def test_law_39_a_stop_counts_at_once_in_any_spelling(tmp_path: Path, spelling: str) -> None:
    """LAW-39, LAW-40: it counts as soon as it is stored, and still after a restart."""
    async with desk(tmp_path) as here:
        assert not here.book.is_stopped([CALLER])
        answer = await here.book.stop_add(number=spelling, reason="by letter", actor=DPO)
        assert here.book.is_stopped([CALLER])
        assert not here.book.is_stopped([OTHER])
        assert (answer["live"], answer["discard_offered"], answer["known"]) == ([], False, False)
        (shown,) = (await here.book.stop_list())["items"]
        assert (shown["id"], shown["number"], shown["party"]) == (answer["id"], CALLER, None)
        assert (shown["reason"], shown["added_by"]) == ("by letter", DPO)
    async with desk(tmp_path, load=False) as here:
        assert here.book.is_stopped([OTHER]), "nobody is recorded before the list is loaded"
        await here.book.load()
        assert here.book.is_stopped([CALLER])
        assert not here.book.is_stopped([OTHER])


async def test_law_39_a_stop_that_is_lifted_knows_nothing_any_more(tmp_path: Path) -> None:
    """LAW-40: minimal data: with the wish its number and its key go."""
    async with desk(tmp_path) as here:
        answer = await here.book.stop_add(number=CALLER, actor=DPO)
        (row,) = await here.book.in_force.reader.stops()
        lifted = await here.book.stop_remove(answer["id"][:9], OTHER_DPO)
        assert lifted == {"id": answer["id"], "removed": True}
        assert not here.book.is_stopped([CALLER])
        assert (await here.book.stop_list())["items"] == []
        assert await here.stores.keyring.existing([row.key_id or ""]) == set()
        await refused(here.book.stop_remove(answer["id"], DPO), ExitCode.NOT_FOUND, "removed already")
        assert await promises_of(here.stores) == [("stop", answer["id"], "made"), ("stop", answer["id"], "lifted")]
    with closing(sqlite3.connect(tmp_path / "catalogue.db")) as connection:
        (kept,) = connection.execute("SELECT key_id, body, lookup, party_id, removed_by FROM stops").fetchall()
        assert kept == (None, None, None, None, OTHER_DPO)


async def test_law_39_the_same_wish_twice_is_one_stop(tmp_path: Path) -> None:
    """A second word about the same number finds the first, also where both come at once."""
    async with desk(tmp_path) as here:
        first = await here.book.stop_add(number=CALLER, actor=DPO)
        again = await here.book.stop_add(number="01632 960001", actor=OTHER_DPO)
        assert (again["id"], again["known"]) == (first["id"], True)
        assert len((await here.book.stop_list())["items"]) == 1


async def test_law_39_a_stop_of_a_party_follows_its_numbers(tmp_path: Path) -> None:
    """LAW-39: keyed by customer: a number it gets counts within a second, one that it gives away no longer."""
    async with desk(tmp_path) as here:
        await here.relationships.set("C-1", name=NAME, numbers=[CALLER], actor=DPO)
        await here.book.stop_add(party="C-1", actor=DPO)
        assert here.book.is_stopped([CALLER])
        here.live.calls["live"] = [OTHER]
        await here.relationships.set("C-1", numbers=[OTHER], actor=DPO)
        await here.book.look()
        assert here.book.is_stopped([OTHER])
        assert here.live.stopped == {"live"}
        await here.relationships.set("C-2", numbers=[{"number": OTHER, "since": "2026-11-25"}], actor=DPO)
        await here.book.look()
        assert not here.book.is_stopped([OTHER])
        assert here.book.is_stopped([CALLER])


async def test_law_40_a_stop_of_a_party_survives_the_erasure_of_the_party(tmp_path: Path) -> None:
    """LAW-40: the entry is kept to honour the wish: its numbers are still stopped, after a restart too."""
    async with desk(tmp_path) as here:
        await here.relationships.set("C-1", name=NAME, numbers=[CALLER, OTHER], actor=DPO)
        call_id = await here.call()
        await here.book.stop_add(party="C-1", actor=DPO)
        await here.erase(call_id)
        party_id = await here.relationships.party_id("C-1")
        assert party_id is not None
        assert await here.relationships.forget(party_id)
        await here.book.look()
        assert here.book.is_stopped([CALLER])
        assert here.book.is_stopped([OTHER])
    async with desk(tmp_path) as here:
        assert here.book.is_stopped([CALLER])
        assert here.book.is_stopped([OTHER])
        (shown,) = (await here.book.stop_list())["items"]
        assert shown["party"] == "C-1"


async def test_law_39_a_live_call_stops_and_the_offer_is_named(tmp_path: Path) -> None:
    """LAW-39: calls in which somebody else speaks go on; what was stored is offered to be discarded."""
    async with desk(tmp_path) as here:
        here.live.calls = {"theirs": [CALLER, OURS], "another": [OTHER, OURS]}
        answer = await here.book.stop_add(number=CALLER, actor=DPO)
        assert (answer["live"], answer["discarded"], answer["discard_offered"]) == (["theirs"], [], True)
        assert here.live.stopped == {"theirs"}
        later = await here.book.stop_discard(answer["id"], DPO)
        assert (later["discarded"], later["kept"]) == (["theirs"], [])


async def test_law_39_a_stop_may_discard_at_once(tmp_path: Path) -> None:
    """LAW-39: then nothing is left to offer."""
    async with desk(tmp_path) as here:
        here.live.calls = {"theirs": [CALLER, OURS]}
        answer = await here.book.stop_add(number=CALLER, discard=True, actor=DPO)
        assert (answer["live"], answer["discarded"], answer["discard_offered"]) == (["theirs"], ["theirs"], False)


async def test_law_39_the_offer_stands_after_the_call(tmp_path: Path) -> None:
    """LAW-39: what an ended call had stored goes too; its row says that it was stopped. A hold keeps it (LAW-53)."""
    async with desk(tmp_path) as here:
        first, held = await here.call(), await here.call()
        here.live.calls = {first: [CALLER], held: [CALLER]}
        answer = await here.book.stop_add(number=CALLER, actor=DPO)
        here.live.calls = {}
        await here.hold(ids=[held])
        done = await here.book.stop_discard(answer["id"], DPO)
        assert done["discarded"] == [first]
        assert [kept["call_id"] for kept in done["kept"]] == [held]
        item = await here.stores.catalogue.get(first)
        assert (item["outcome"], item["outcome_reason"], item["recording_id"]) == ("not_recorded", "stop_list", None)
        assert (await here.stores.catalogue.get(held))["outcome"] == "recorded"


async def test_law_39_a_discard_that_a_crash_cut_off_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LAW-39: the plug is pulled between the outcome and the audio: the next start takes the audio."""
    async with desk(tmp_path) as here:
        call_id = await here.call()
        here.live.calls = {call_id: [CALLER]}
        answer = await here.book.stop_add(number=CALLER, actor=DPO)
        here.live.calls = {}
        (target,) = await here.stores.catalogue.erasure_targets([call_id])
        monkeypatch.setattr(here.stores.keyring, "destroy", pulled)
        with pytest.raises(Plug):
            await here.book.stop_discard(answer["id"], DPO)
    async with desk(tmp_path) as here:
        assert target.audio_key_id is not None
        assert await here.stores.keyring.existing([target.audio_key_id])
        await here.stores.eraser().resume()
        assert await here.stores.keyring.existing([target.audio_key_id]) == set()
        item = await here.stores.catalogue.get(call_id)
        assert (item["outcome_reason"], item["recording_id"]) == ("stop_list", None)


@pytest.mark.parametrize(
    ("given", "exit_code", "words"),
    [
        ({}, ExitCode.USAGE, "name one of the two"),
        ({"number": CALLER, "party": "C-1"}, ExitCode.USAGE, "name one of the two"),
        ({"number": "12"}, ExitCode.USAGE, "expected a telephone number"),
        ({"party": "C-9"}, ExitCode.NOT_FOUND, "party 'C-9': there is none"),
    ],
)
async def test_a_stop_of_nobody_is_refused(
    tmp_path: Path, given: dict[str, str], exit_code: ExitCode, words: str
) -> None:
    """Bad input: one clear sentence, nothing changed."""
    async with desk(tmp_path) as here:
        number, party = given.get("number"), given.get("party")
        await refused(here.book.stop_add(number=number, party=party, actor=DPO), exit_code, words)
        assert (await here.book.stop_list())["items"] == []
        assert await promises_of(here.stores) == []


async def test_nothing_readable_lies_on_the_disk(tmp_path: Path) -> None:
    """No number, name, reference or reason of a stop or hold is in any file, not in the ledger either (LAW-43)."""
    async with desk(tmp_path) as here:
        await here.relationships.set("C-4711", name=NAME, numbers=[OTHER], actor=DPO)
        await here.book.stop_add(number=CALLER, reason=WHY, actor=DPO)
        await here.book.stop_add(party="C-4711", reason=WHY, actor=DPO)
        await here.hold(number=CALLER)
        hold = await here.hold(party="C-4711")
        await here.book.release(hold["id"], OTHER_DPO, "the claim of Jane O'Neill is settled")
    needles = [*spellings(CALLER), *spellings(OTHER), NAME.encode(), b"Neill", b"C-4711", WHY.encode(), b"Ambridge C"]
    assert files_with(tmp_path, needles) == []


async def test_every_command_is_in_the_audit_chain_with_masked_numbers(tmp_path: Path) -> None:
    """LAW-10: who, what, when; a number shows its last four digits."""
    async with desk(tmp_path) as here:
        stop = await here.book.stop_add(number=CALLER, actor=DPO)
        await here.book.stop_remove(stop["id"], OTHER_DPO)
        hold = await here.hold(number=CALLER)
        await here.book.release(hold["id"], OTHER_DPO, "over")
        entries = await here.stores.catalogue.audit_entries()
        told = [(entry["actor"], entry["action"]) for entry in entries]
        assert told == [(DPO, "stop add"), (OTHER_DPO, "stop remove"), (DPO, "hold add"), (OTHER_DPO, "hold release")]
        assert CALLER not in repr(entries)
        assert entries[0]["detail"]["number"].endswith("0001")
        assert await here.stores.catalogue.verify_audit() == 4


# Holds


@pytest.mark.parametrize("kind", ["legal_hold", "sar_hold", "restricted"])
async def test_law_53_a_hold_always_wins_over_deletion(tmp_path: Path, kind: str) -> None:
    """LAW-53, LAW-62: whoever asks, and together with calls that nothing holds: nothing is erased."""
    async with desk(tmp_path) as here:
        held, free = await here.call(), await here.call()
        hold = await here.hold(kind, ids=[held])
        assert hold["calls"] == [held]
        for wanted in ([held], [free, held]):
            await refused(here.erase(*wanted), ExitCode.REFUSED, "under a hold or restriction")
        assert await here.holds(held) == [kind]
        assert await here.stores.catalogue.state_of(free) == "ended"
        assert here.stores.ledger.open_intents == []
        await here.book.release(hold["id"], OTHER_DPO, "over")
        (erased,) = await here.erase(held)
        assert erased.verified


async def test_law_52_a_hold_of_a_number_is_a_frozen_list_and_a_rule(tmp_path: Path) -> None:
    """LAW-52: the calls of today, and those that come, of that number and no other; after a restart too."""
    async with desk(tmp_path) as here:
        before, foreign = await here.call(), await here.call(OTHER)
        hold = await here.hold(number="01632 960001")
        assert hold["calls"] == [before]
        assert here.stop_list.is_held([CALLER])
        after = await here.call()
        here.stop_list.new_calls = True
        await here.book.look()
        assert not here.stop_list.new_calls
        assert await here.holds(after) == ["legal_hold"]
        assert await here.holds(foreign) == []
    async with desk(tmp_path, load=False) as here:
        unseen = await here.call()
        await here.book.load()
        assert await here.holds(unseen) == ["legal_hold"]
        assert sorted((await here.book.list("legal_hold"))["items"][0]["calls"]) == sorted([before, after, unseen])


async def test_law_52_a_hold_of_a_party_covers_its_calls_to_come(tmp_path: Path) -> None:
    """LAW-52: the calls tied to it, whichever of its numbers they come from."""
    async with desk(tmp_path) as here:
        await here.relationships.set("C-1", numbers=[CALLER, OTHER], actor=DPO)
        before = await here.call()
        hold = await here.hold(party="C-1")
        assert hold["calls"] == [before]
        after = await here.call(OTHER)
        here.stop_list.new_calls = True
        await here.book.look()
        assert await here.holds(after) == ["legal_hold"]
        assert here.stop_list.is_held([OTHER])


async def test_law_53_a_live_call_comes_under_a_hold_at_once(tmp_path: Path) -> None:
    """LAW-53: nobody discards what it stores from now on, until the hold is released."""
    async with desk(tmp_path) as here:
        new = await here.stores.open_call()
        here.live.calls = {new.call_id: [CALLER, OURS], "another": [OTHER]}
        hold = await here.hold(number=CALLER)
        assert hold["calls"] == [new.call_id]
        assert here.live.protected == {new.call_id}
        await here.stores.catalogue.end_call(new.call_id, CallEnd(new.started_at, "not_recorded", "busy"))
        await here.book.release(hold["id"], OTHER_DPO, "over")
        assert here.live.protected == set()


async def test_law_53_a_release_lets_waiting_erasures_go_on(tmp_path: Path) -> None:
    """LAW-53: they are told which calls nothing holds any more; one under another hold is not among them."""
    async with desk(tmp_path) as here:
        free, still = await here.call(), await here.call()
        hold, other = await here.hold(ids=[free, still]), await here.hold("restricted", ids=[still])
        done = await here.book.release(hold["id"][:8], OTHER_DPO, "settled")
        assert done == {"id": hold["id"], "calls": [free]}
        assert here.released == [[free]]
        await here.book.release(other["id"], DPO, "told by letter")
        assert here.released == [[free], [still]]
        await refused(here.book.release(hold["id"], OTHER_DPO, ""), ExitCode.NOT_FOUND, "released already")


async def test_law_52_whoever_placed_a_hold_does_not_release_it(tmp_path: Path) -> None:
    """LAW-52: four eyes, unless the configuration says that one person is enough; a restriction needs one."""
    async with desk(tmp_path) as here:
        call_id = await here.call()
        hold = await here.hold(ids=[call_id])
        await refused(here.book.release(hold["id"], DPO, "over"), ExitCode.REFUSED, "somebody else releases it")
        assert await here.holds(call_id) == ["legal_hold"]
        restriction = await here.hold("restricted", ids=[call_id])
        await here.book.release(restriction["id"], DPO, "told")
    async with desk(tmp_path, settings_of(privacy={"four_eyes": False})) as here:
        assert (await here.book.release(hold["id"], DPO, "over"))["calls"] == [call_id]


@pytest.mark.parametrize(
    ("given", "exit_code", "words"),
    [
        ({"reason": "  "}, ExitCode.USAGE, "no reason"),
        ({"review": date(2026, 11, 24)}, ExitCode.USAGE, "review date 2026-11-24"),
        ({"review": date(2027, 5, 26)}, ExitCode.USAGE, "six months"),
        ({"kind": "forever"}, ExitCode.USAGE, "expected one of legal_hold, sar_hold, restricted"),
        ({"kind": "legal_obligation"}, ExitCode.USAGE, "expected one of"),
        ({"ids": ()}, ExitCode.USAGE, "name one of the two"),
        ({"number": CALLER}, ExitCode.USAGE, "name calls, or one number"),
        ({"ids": ["00000000"]}, ExitCode.NOT_FOUND, "00000000"),
        ({"ids": (), "party": "C-9"}, ExitCode.NOT_FOUND, "party 'C-9'"),
    ],
)
async def test_a_hold_that_cannot_be_is_refused(
    tmp_path: Path, given: dict[str, Any], exit_code: ExitCode, words: str
) -> None:
    """LAW-52: bad input: one clear sentence, nothing changed."""
    async with desk(tmp_path) as here:
        call_id = await here.call()
        asked = {"kind": "legal_hold", "ids": [call_id], "reason": WHY, "review": REVIEW, **given}
        await refused(here.book.protect(**asked, actor=DPO), exit_code, words)
        assert await here.holds(call_id) == []
        assert await promises_of(here.stores) == []


async def test_law_52_what_a_hold_is_is_shown(tmp_path: Path) -> None:
    """LAW-52: id, scope, reason, owner, start, review date and how urgent that is; holds by their kind."""
    async with desk(tmp_path) as here:
        call_id = await here.call()
        hold = await here.hold(ids=[call_id])
        restriction = await here.hold("restricted", number=CALLER)
        (shown,) = (await here.book.list("legal_hold"))["items"]
        assert shown == {
            "id": hold["id"],
            "kind": "legal_hold",
            "reason": WHY,
            "number": None,
            "party": None,
            "placed_by": DPO,
            "placed_at": "2026-11-25T10:00:00.000Z",
            "review_on": "2027-02-01",
            "review_level": None,
            "calls": [call_id],
        }
        (other,) = (await here.book.list("restricted"))["items"]
        assert (other["id"], other["number"], other["calls"]) == (restriction["id"], CALLER, [call_id])
        holds = await here.book.holds_of([call_id, "unknown"])
        both = {Hold(hold["id"], Protection.LEGAL_HOLD), Hold(restriction["id"], Protection.RESTRICTION)}
        assert {name: set(found) for name, found in holds.items()} == {call_id: both}
        assert here.book.known_ids() == {hold["id"], restriction["id"]}


@pytest.mark.parametrize(
    ("days", "level"),
    [(0, None), (37, None), (38, "amber"), (61, "red"), (67, "red"), (68, "critical"), (90, "critical")],
)
async def test_law_52_a_review_that_is_due_is_told(tmp_path: Path, days: int, level: str | None) -> None:
    """LAW-52: from 30 days before the review date on, and louder; a released hold needs none."""
    async with desk(tmp_path) as here:
        hold = await here.hold(number=CALLER)
        here.stores.clock.advance(timedelta(days=days))
        (review,) = here.book.reviews()
        assert review == {"id": hold["id"], "kind": "legal_hold", "review_on": "2027-02-01", "level": level}
        assert here.book.due_reviews() == ([] if level is None else [review])
        await here.book.release(hold["id"], OTHER_DPO, "over")
        assert here.book.reviews() == []


async def test_an_erasure_that_was_promised_first_is_not_held_back(tmp_path: Path) -> None:
    """What the ledger has promised is gone already: a hold placed after a crash is not over it."""

    def pull(step: Step) -> None:
        if step is Step.INTENT:
            raise Plug

    async with desk(tmp_path) as here:
        promised, kept = await here.call(), await here.call()
        with pytest.raises(Plug):
            await here.stores.eraser(pull).erase([promised], reason=Reason.DELETE, authoriser="root")
        hold = await here.hold(number=CALLER)
        assert hold["calls"] == [kept]
        await here.stores.eraser().resume()
        with pytest.raises(CallNotFound):
            await here.stores.catalogue.get(promised)


async def test_the_ledger_learns_of_every_promise_by_its_random_id(tmp_path: Path) -> None:
    """Design 7: made and lifted, so that a restored catalogue which lacks one is noticed."""
    async with desk(tmp_path) as here:
        hold, restriction = await here.hold(number=CALLER), await here.hold("restricted", number=CALLER)
        access = await here.hold("sar_hold", number=CALLER)
        await here.book.release(access["id"], OTHER_DPO, "answered")
        assert await promises_of(here.stores) == [
            ("hold", hold["id"], "made"),
            ("restriction", restriction["id"], "made"),
            ("hold", access["id"], "made"),
            ("hold", access["id"], "lifted"),
        ]
        assert await here.stores.catalogue.ledger_due() == []


async def test_a_wish_counts_without_the_ledger(tmp_path: Path) -> None:
    """A broken ledger costs nobody their stop or hold: it learns of them at the first start with it."""
    async with desk(tmp_path) as here:
        call_id = await here.call()
        stores = replace(here.book.in_force.stores, ledger=None, eraser=None)
        book = ProtectionBook(stores, here.stop_list, here.live)
        stop = await book.stop_add(number=CALLER, actor=DPO)
        hold = await book.protect("legal_hold", ids=[call_id], reason=WHY, review=REVIEW, actor=DPO)
        assert book.is_stopped([CALLER])
        assert await here.holds(call_id) == ["legal_hold"]
        assert await promises_of(here.stores) == []
        await here.stores.eraser().resume()
        known = {("stop", stop["id"], "made"), ("hold", hold["id"], "made")}
        assert set(await promises_of(here.stores)) == known


async def test_a_stop_waits_for_no_erasure(tmp_path: Path) -> None:
    """LAW-40: it counts at once; the ledger learns of it when nothing is being erased any more, made before lifted."""
    async with desk(tmp_path) as here:
        async with here.book.in_force.stores.erasing.quiet():
            stop = await here.book.stop_add(number=CALLER, actor=DPO)
            assert here.book.is_stopped([CALLER])
            await here.book.stop_remove(stop["id"], DPO)
            assert await promises_of(here.stores) == []
            await here.book.look()
        await here.book.look()
        assert await promises_of(here.stores) == [("stop", stop["id"], "made"), ("stop", stop["id"], "lifted")]


async def test_a_stop_that_cannot_be_stored_is_told_and_changes_nothing(tmp_path: Path) -> None:
    """Nobody is told that a wish is kept which is not."""
    async with desk(tmp_path) as here:
        with closing(sqlite3.connect(tmp_path / "catalogue.db")) as connection:
            connection.execute("DROP TABLE stop_numbers")
            connection.commit()
        with pytest.raises(StorageUnavailable):
            await here.book.stop_add(number=CALLER, actor=DPO)
        assert not here.book.is_stopped([CALLER])
