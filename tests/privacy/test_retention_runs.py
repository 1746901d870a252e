"""The book of retention over real stores: what goes, why, on whose word, and that nothing is left half done."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from callrec.catalogue import CallIdentity, FindQuery
from callrec.catalogue.retention_rows import RetentionRows
from callrec.errors import ExitCode, OperatorError
from callrec.privacy import retention_sweep
from callrec.privacy.erasing import Step
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.retention_execution import RunPoint, no_hook
from callrec.privacy.retention_runs import NIGHTLY, RetentionBook, nothing_blocks
from callrec.privacy.retention_sweep import MOST_HELD
from callrec.settings import Settings
from tests.catalogue.house import CALLER, NAME, OTHER, OURS, files_with, spellings
from tests.privacy.request_house import Office, office, settings

OLD = datetime(2023, 5, 4, 12, 0, tzinfo=UTC)
"""Two years and more before the office opens: a stranger's call of that day is due."""
NIGHT = datetime(2026, 11, 27, 3, 30, tzinfo=UTC)


class Plug(Exception):  # noqa: N818 - what is pulled
    """The power goes."""


@dataclass
class Here:
    """An office with a book of retention."""

    office: Office
    book: RetentionBook
    stores: PromiseStores

    async def old_call(self, **changes: Any) -> str:
        """Store a recorded call that is due; return its id."""
        return str((await self.office.stores.recorded_call(**{"started_at": OLD, **changes})).call_id)

    async def plan(self, at: date | None = None) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
        """Return what would go, by call id, and the sums."""
        *items, sums = [line async for line in self.book.plan(at)]
        return {item["call_id"]: item for item in items}, sums

    async def run(self) -> dict[str, Any]:
        """Run, a second after what was before."""
        self.office.clock.advance(timedelta(seconds=1))
        return await self.book.run("alice")

    async def approved(self) -> None:
        """Approve today's plan."""
        await self.book.approve((await self.plan())[1]["hash"], "bob")

    async def there(self) -> set[str]:
        """Return the calls that a search finds."""
        page = await self.office.stores.catalogue.find(FindQuery(limit=1000))
        return {item["call_id"] for item in page.items}

    async def audited(self) -> list[tuple[str, str]]:
        """Return who did what with retention, in order."""
        entries = await self.office.stores.catalogue.audit_entries(0, 1000)
        return [(one["actor"], one["action"]) for one in entries if one["action"].startswith("retention.")]


@asynccontextmanager
async def retention(
    folder: Path,
    *,
    hook: Callable[[RunPoint], None] = no_hook,
    eraser_hook: Any = None,
    blocked: Callable[[], str | None] = nothing_blocks,
    **privacy: Any,
) -> AsyncIterator[Here]:
    """Open an office with a book of retention in a folder, new or old."""
    async with office(folder, eraser_hook=eraser_hook, privacy=privacy) as here:
        known: Settings = settings(here.stores, **privacy)
        house = here.stores
        stores = PromiseStores(
            house.catalogue, house.clock, lambda: known, house.keyring, house.ledger, house.eraser(eraser_hook)
        )
        yield Here(here, RetentionBook(stores, blocked, hook), stores)


async def refused(awaited: Any) -> str:
    """Return the sentence with which policy refuses."""
    with pytest.raises(OperatorError) as error:
        await awaited
    assert error.value.exit_code is ExitCode.REFUSED
    return str(error.value)


# What would be


async def test_law_56_every_row_says_why_it_exists_and_when_it_goes(tmp_path: Path) -> None:
    """One sentence each: recorded or not, a stranger's, a customer's, a class that nobody described."""
    async with retention(tmp_path) as here:
        new = await here.office.stores.recorded_call()
        explained = await here.book.explain(new.call_id[:8])
        assert explained == {
            "call_id": new.call_id,
            "verdict": "keep",
            "cause": "period",
            "reason": "Kept until 2028-11-25: class unmatched keeps calls for 2 years, and this one is of 2026-11-25.",
            "delete_on": "2028-11-25",
            "retention_class": "unmatched",
            "class_version": "2y/call",
        }
        unrecorded = await here.office.stores.recorded_call(capture_rule=None, retention_class=None)
        assert (await here.book.explain(unrecorded.call_id))["delete_on"] == "2028-11-25"
        odd = await here.office.stores.recorded_call(retention_class="odd")
        assert (await here.book.explain(odd.call_id))["cause"] == "class_unknown"
        live = await here.office.stores.open_call(started_at=OLD)
        assert (await here.book.explain(live.call_id))["cause"] == "in_progress"
        with pytest.raises(OperatorError) as unknown:
            await here.book.explain("nothing-begins-so")
        assert unknown.value.exit_code is ExitCode.NOT_FOUND


async def test_law_56_a_customers_call_stays_while_the_relationship_lasts(tmp_path: Path) -> None:
    """The party the call is tied to decides; its end lets the call go on that day."""
    async with retention(tmp_path) as here:
        call = await here.old_call()
        assert set((await here.plan())[0]) == {call}
        await here.office.relationships.set("C-1", numbers=[CALLER], kind="customer", actor="alice")
        assert (await here.plan())[0] == {}
        assert (await here.book.explain(call))["cause"] == "relationship"
        await here.office.relationships.end("C-1", date(2026, 11, 20), "alice")
        assert (await here.book.explain(call))["delete_on"] == "2026-11-20"
        assert set((await here.plan())[0]) == {call}


async def test_a_plan_names_what_goes_on_a_day_and_why(tmp_path: Path) -> None:
    """`plan --at`: nothing changes, and the same set has the same hash on another day."""
    async with retention(tmp_path) as here:
        old, new = await here.old_call(), await here.office.stores.recorded_call()
        items, sums = await here.plan()
        assert items == {
            old: {
                "call_id": old,
                "action": "delete",
                "reason": "To be deleted since 2025-05-04: class unmatched keeps calls for 2 years, "
                "and this one is of 2023-05-04.",
            }
        }
        assert (sums["rows"], sums["to_delete"], sums["by_class"]) == (2, 1, {"unmatched": 1})
        assert (await here.plan(date(2027, 1, 1)))[1]["hash"] == sums["hash"]
        later = await here.plan(date(2028, 11, 25))
        assert set(later[0]) == {old, new.call_id}
        assert await here.there() == {old, new.call_id}


async def test_law_62_holds_and_requests_come_first(tmp_path: Path) -> None:
    """A hold keeps what is due; what an authorised request erases is the request's, not counted here."""
    async with retention(tmp_path) as here:
        held = await here.old_call()
        asked = await here.old_call(identity=_of(OTHER))
        placed = await here.office.protections.protect(
            "legal_hold", ids=[held], reason="claim", review=date(2027, 2, 1), actor="alice"
        )
        await here.office.approved(number=OTHER)
        items, sums = await here.plan()
        assert (items, sums["by_cause"]) == ({}, {"legal_hold": 1, "authorised_erasure": 1})
        assert "request" in (await here.book.explain(asked))["reason"]
        await here.office.protections.release(placed["id"], "bob", "claim settled")
        assert set((await here.plan())[0]) == {held}


async def test_a_simulation_moves_nothing_and_says_what_would_move(tmp_path: Path) -> None:
    """`simulate`: changed classes; a class that is none is refused in one sentence."""
    async with retention(tmp_path) as here:
        new = (await here.office.stores.recorded_call()).call_id
        shorter = [{"name": "unmatched", "keep": "1y", "from": "call"}]
        *moved, sums = [line async for line in here.book.simulate(shorter)]
        assert moved == [{"call_id": new, "before": "2028-11-25", "after": "2027-11-25", "goes_now": False}]
        assert sums == {"at": "2026-11-26", "rows": 1, "moved": 1, "goes_now": 0}
        *_, sums = [line async for line in here.book.simulate(shorter, date(2028, 1, 1))]
        assert sums["goes_now"] == 1
        assert (await here.book.explain(new))["delete_on"] == "2028-11-25"
        with pytest.raises(OperatorError, match="class unmatched: found '1x'") as error:
            [line async for line in here.book.simulate([{"name": "unmatched", "keep": "1x"}])]
        assert error.value.exit_code is ExitCode.USAGE


# On whose word


async def test_law_61_the_first_run_is_a_report_until_a_person_approves_it(tmp_path: Path) -> None:
    """Nothing goes before; the refusal names the hash, is stored, and the approval names the person."""
    async with retention(tmp_path) as here:
        old = await here.old_call()
        why = await refused(here.run())
        plan_hash = (await here.plan())[1]["hash"]
        assert plan_hash in why
        assert await here.there() == {old}
        shown = await here.book.show()
        assert (shown["waits"], shown["last_run"]["state"]) == (why, "refused")
        approval = await here.book.approve(plan_hash, "bob")
        assert approval["approved_by"] == "bob"
        done = await here.run()
        assert (done["state"], done["rows"], done["to_delete"], done["deleted"]) == ("done", 1, 1, 1)
        assert await here.there() == set()
        shown = await here.book.show()
        assert (shown["waits"], shown["last_approval"]) == (None, approval)
        assert await here.audited() == [
            ("alice", "retention.run"),
            ("bob", "retention.approve"),
            ("alice", "retention.run"),
        ]
        await here.old_call()
        assert (await here.run())["deleted"] == 1, "later runs within the guard need nobody"


async def test_law_61_only_a_plan_that_somebody_saw_can_be_approved(tmp_path: Path) -> None:
    """A mistyped hash is refused; one of a plan of another day is not."""
    async with retention(tmp_path) as here:
        await here.old_call()
        with pytest.raises(OperatorError) as error:
            await here.book.approve("abc", "bob")
        assert error.value.exit_code is ExitCode.USAGE
        assert "no plan has the hash" in await refused(here.book.approve("0" * 64, "bob"))
        _, sums = await here.plan(date(2030, 1, 1))
        await here.book.approve(sums["hash"], "bob")


async def test_a_run_that_would_delete_very_much_waits_for_its_own_approval(tmp_path: Path) -> None:
    """Share and count both exceeded: only the approval of that very plan lets it run."""
    async with retention(tmp_path, guard_percent=50, guard_count=1) as here:
        await here.old_call()
        await here.approved()
        await here.run()
        calls = {await here.old_call(), await here.old_call()}
        assert "more than 1 and more than 50%" in await refused(here.run())
        await here.approved()
        calls.add(await here.old_call())
        await refused(here.run())
        assert await here.there() == calls
        await here.approved()
        assert (await here.run())["deleted"] == 3


async def test_a_wrong_clock_runs_nothing(tmp_path: Path) -> None:
    """A clock before the newest call: even an approved plan does not run."""
    async with retention(tmp_path) as here:
        old = await here.old_call()
        await here.office.stores.recorded_call(started_at=datetime(2027, 1, 1, tzinfo=UTC))
        await here.approved()
        assert "set the clock right" in await refused(here.run())
        assert old in await here.there()


async def test_nothing_goes_while_promises_are_in_doubt(tmp_path: Path) -> None:
    """After a restore a hold might be unknown: runs, nights and what was cut off wait, and `show` says why."""
    async with retention(tmp_path, blocked=lambda: "the ledger is in doubt") as here:
        old = await here.old_call()
        await here.approved()
        assert "the ledger is in doubt" in await refused(here.run())
        assert not await here.book.resume()
        assert (await here.book.show())["waits"] == "the ledger is in doubt"
        assert await here.there() == {old}


# What goes


async def test_at_its_end_number_and_name_go_and_a_stub_stays(tmp_path: Path) -> None:
    """Recorded or not: no number, name, file or key is left; month, direction and outcome are."""
    async with retention(tmp_path) as here:
        recorded = await here.old_call()
        unrecorded = await here.old_call(capture_rule=None, retention_class=None)
        kept = (await here.office.stores.recorded_call(identity=_of(OTHER))).call_id
        await here.approved()
        assert (await here.run())["deleted"] == 2
        assert await here.there() == {kept}
        assert await here.office.stores.catalogue.leftovers([recorded, unrecorded]) == []
        told = [one for one in await here.office.stores.catalogue.events_after(0, 1000) if one.verb == "erased"]
        assert {one.noun for one in told} >= {"recording", "subject"}
        assert files_with(here.office.stores.recordings, [recorded.encode()]) == []
    assert files_with(tmp_path, [*spellings(CALLER), NAME.encode()]) == []


async def test_what_came_under_a_hold_meanwhile_is_spared(tmp_path: Path) -> None:
    """Between the note of what goes and its erasure a hold is placed: it wins."""
    placed: list[RunPoint] = []

    async with retention(tmp_path, hook=placed.append) as here:
        going, held = await here.old_call(), await here.old_call()
        await here.approved()
        begin = here.book._execution.begin

        async def begin_and_hold(run: Any, listed: Any) -> Any:
            begun = await begin(run, listed)
            await here.office.protections.protect(
                "legal_hold", ids=[held], reason="claim", review=date(2027, 2, 1), actor="alice"
            )
            return begun

        object.__setattr__(here.book, "_execution", _Wrapped(here.book._execution, begin_and_hold))
        done = await here.run()
        assert (done["deleted"], done["spared"]) == (1, 1)
        assert await here.there() == {held} - {going}
        assert placed[0] is RunPoint.PERMITTED


@pytest.mark.parametrize(("most_held", "times"), [(2, 1), (1, 2)])
async def test_a_run_reads_every_row_once_and_twice_only_to_delete_very_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_held: int, times: int
) -> None:
    """What goes is kept from looking to deleting, unless that would take much memory; the outcome is the same."""
    swept: list[RetentionRows] = []
    pages = RetentionRows.pages

    def counted(rows: RetentionRows, *given: Any) -> Any:
        swept.append(rows)
        return pages(rows, *given)

    async with retention(tmp_path) as here:
        for _ in range(2):
            await here.old_call()
        await here.approved()
        monkeypatch.setattr(retention_sweep, "MOST_HELD", most_held)
        monkeypatch.setattr(RetentionRows, "pages", counted)
        assert (await here.run())["deleted"] == 2
        assert await here.there() == set()
        assert len(swept) == times


async def test_two_runs_at_once_are_one(tmp_path: Path) -> None:
    """The second is told to come again."""
    async with retention(tmp_path) as here:
        async with here.book._lock:
            with pytest.raises(OperatorError) as error:
                await here.run()
        assert error.value.exit_code is ExitCode.BUSY


# Cut off


CUTS = [*((point, MOST_HELD) for point in (*RunPoint, *Step)), *((point, 0) for point in RunPoint)]


@pytest.mark.parametrize(("point", "most_held"), CUTS)
async def test_a_run_that_is_cut_off_is_completed_by_the_next_start(
    tmp_path: Path, point: RunPoint | Step, most_held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The power goes after any step: the next start deletes all of what was permitted, or none of it, no more."""
    monkeypatch.setattr(retention_sweep, "MOST_HELD", most_held)

    def pull(here: RunPoint | Step) -> None:
        if here is point:
            raise Plug

    async with retention(tmp_path) as here:
        calls = {await here.old_call() for _ in range(3)}
        await here.approved()
    hooks: dict[str, Any] = {"hook": pull} if isinstance(point, RunPoint) else {"eraser_hook": pull}
    async with retention(tmp_path, **hooks) as here:
        with pytest.raises(Plug):
            await here.run()
    async with retention(tmp_path) as here:
        due_since = await here.old_call()  # due, but of no plan that anybody permitted
        await here.stores.erasing.resume()
        assert await here.book.resume()
        assert not await here.book.resume()
        began = point not in {RunPoint.PERMITTED, RunPoint.NOTED}
        assert await here.there() == ({due_since} if began else calls | {due_since})
        if began:
            last = await here.book.reader.last()
            assert last is not None
            assert (last.state, last.deleted, last.spared, last.unverified) == ("done", 3, 0, 0)
            assert await here.book.reader.due(last.run_id, 10) == []
            assert await here.office.stores.catalogue.leftovers(sorted(calls)) == []


# By night


async def test_the_night_runs_once_and_late_after_an_outage(tmp_path: Path) -> None:
    """Not before 03:30 local, once a date, and what refuses it is told by `show`."""
    async with retention(tmp_path) as here:
        await here.old_call()
        here.office.clock.advance(NIGHT - timedelta(minutes=1) - here.office.clock.now())
        assert not await here.book.nightly()
        assert (await here.book.show())["last_run"] is None
        here.office.clock.advance(timedelta(minutes=1))
        assert not await here.book.nightly(), "the first run is a report"
        shown = await here.book.show()
        assert (shown["last_run"]["actor"], shown["last_run"]["state"]) == (NIGHTLY, "refused")
        await here.approved()
        assert not await here.book.nightly(), "a night is tried once"
        here.office.clock.advance(timedelta(hours=32))
        assert await here.book.nightly()
        assert not await here.book.nightly()
        assert await here.there() == set()


@dataclass(frozen=True)
class _Wrapped:
    """An execution with another beginning."""

    inner: Any
    begin: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def _of(number: str) -> CallIdentity:
    return CallIdentity(network_number=number, presentation_number=number, called_number=OURS)
