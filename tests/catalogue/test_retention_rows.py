"""Rows for retention come in order and joined with what decides, one page in memory at a time."""

from __future__ import annotations

import threading
import tracemalloc
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert

from callrec.catalogue.party_tables import contracts, parties
from callrec.catalogue.protection_tables import protected_calls, protections
from callrec.catalogue.request_tables import request_calls, requests
from callrec.catalogue.retention_rows import PartyDates, RetentionRow, RetentionRows
from callrec.catalogue.tables import calls
from callrec.privacy.retention_classes import RetentionPolicy
from callrec.privacy.retention_plan import Tally
from callrec.privacy.retention_sweep import Sweep
from tests.catalogue.house import House, house
from tests.support.promises import stores_of

BEGUN = datetime(2024, 1, 1, tzinfo=UTC)
DAY = date(2026, 11, 25)


def call_id(number: int) -> str:
    """Return the id of a call, in the order of numbers."""
    return f"{number:08d}-0000-7000-8000-000000000000"


def rows(first: int, last: int, **changes: object) -> list[dict[str, object]]:
    """Return plain rows of calls, a minute apart."""
    return [
        {
            "call_id": call_id(number),
            "sequence": number + 1,
            "in_progress": False,
            "direction": "inbound",
            "outcome": "recorded",
            "outcome_reason": "complete",
            "cut": False,
            "withheld": False,
            "started_at": BEGUN + timedelta(minutes=number),
            "retention_class": "unmatched",
            "relationship_id": None,
            **changes,
        }
        for number in range(first, last)
    ]


def _itself(row: RetentionRow) -> RetentionRow:
    """Return a row as it is."""
    return row


async def fill(here: House, count: int) -> None:
    """Store so many calls; each hundredth belongs to a customer and each thousandth is held."""

    def store(connection: Connection, first: int) -> None:
        made = rows(first, min(first + 5000, count))
        for row in made[::100]:
            row |= {"relationship_id": "p1", "retention_class": "customer"}
        connection.execute(insert(calls), made)
        held = [{"call_id": row["call_id"], "protection_id": "h1"} for row in made[::1000]]
        connection.execute(insert(protected_calls), held)

    await here.catalogue.transact(lambda connection, _: promises(connection))
    for first in range(0, count, 5000):
        await here.catalogue.transact(lambda connection, _, first=first: store(connection, first))  # type: ignore[misc]


def promises(connection: Connection) -> None:
    """Store a party with two contracts, a hold and a hold that was released."""
    party = {"party_id": "p1", "ref_lookup": b"r", "kind": "customer", "key_id": "k", "body": b""}
    connection.execute(insert(parties), [{**party, "confirmed_on": date(2026, 11, 1)}])
    ends = [("c1", date(2026, 1, 31)), ("c2", None)]
    connection.execute(insert(contracts), [{"party_id": "p1", "contract_id": one, "ends_on": on} for one, on in ends])
    hold = {"placed_by": "a", "placed_at": BEGUN, "review_on": DAY, "key_id": "k", "body": b""}
    connection.execute(insert(protections), [{"protection_id": "h1", "kind": "legal_hold", **hold}])
    connection.execute(
        insert(protections), [{"protection_id": "h2", "kind": "restricted", "released_at": BEGUN, **hold}]
    )


def ask(connection: Connection, request_id: str, state: str, action: str, about: str) -> None:
    """Store a request whose plan says something of a call."""
    row = {"request_id": request_id, "kind": "erasure", "state": state, "channel": "email", "received_at": BEGUN}
    more = {"opened_at": BEGUN, "opened_by": "a", "key_id": "k", "body": b""}
    connection.execute(insert(requests), [{**row, **more}])
    plan = {"request_id": request_id, "call_id": about, "action": action, "reason": "request"}
    connection.execute(insert(request_calls), [plan])


def reader(here: House) -> RetentionRows:
    """Return the reader under test."""
    return RetentionRows(here.catalogue.read, {"authorised", "executing"})


async def test_a_row_comes_with_all_that_decides(tmp_path: Path) -> None:
    """Party with its contracts, holds in force, and the authorised request that erases it; not those that do not."""

    def store(connection: Connection) -> None:
        promises(connection)
        connection.execute(insert(calls), [*rows(0, 1, relationship_id="p1"), *rows(1, 6)])
        for hold in ("h1", "h2"):
            connection.execute(insert(protected_calls), [{"call_id": call_id(0), "protection_id": hold}])
        ask(connection, "r1", "authorised", "erase", call_id(1))
        ask(connection, "r2", "authorised", "keep", call_id(2))
        ask(connection, "r3", "refused", "erase", call_id(3))
        connection.execute(calls.update().where(calls.c.call_id == call_id(4)).values(erasure="erasing"))
        connection.execute(calls.update().where(calls.c.call_id == call_id(5)).values(in_progress=True))

    async with house(tmp_path) as here:
        await here.catalogue.transact(lambda connection, _: store(connection))
        found = [row async for page in reader(here).pages(_itself, 2) for row in page]
        party = PartyDates("customer", None, date(2026, 11, 1), (date(2026, 1, 31), None))
        assert found[0] == RetentionRow(
            call_id(0), BEGUN, "unmatched", False, party, (("h1", "legal_hold"),), request_id=None
        )
        assert [row.call_id for row in found] == [call_id(number) for number in (0, 1, 2, 3, 5)]
        assert [row.request_id for row in found] == [None, "r1", None, None, None]
        assert [row.in_progress for row in found] == [False, False, False, False, True]
        assert await reader(here).of([call_id(5), call_id(4), call_id(0), "unknown"]) == [found[0], found[4]]
        assert await reader(here).newest() == BEGUN + timedelta(minutes=5)


async def test_pages_of_any_size_are_the_same_rows(tmp_path: Path) -> None:
    """Every row once and in order, whatever a page holds; nothing in an empty catalogue."""
    async with house(tmp_path) as here:
        assert [page async for page in reader(here).pages(_itself)] == []
        assert await reader(here).newest() is None
        await fill(here, 1203)
        whole = [row async for page in reader(here).pages(_itself, 5000) for row in page]
        assert [row.call_id for row in whole] == [call_id(number) for number in range(1203)]
        for size in (1, 100, 401, 1203):
            assert [row async for page in reader(here).pages(_itself, size) for row in page] == whole


async def test_rows_are_judged_while_the_event_loop_goes_on(tmp_path: Path) -> None:
    """A page of 500 verdicts takes ten milliseconds: no call waits for them."""
    threads: set[threading.Thread] = set()

    def judged(row: RetentionRow) -> str:
        threads.add(threading.current_thread())
        return row.call_id

    async with house(tmp_path) as here:
        await fill(here, 10)
        assert sum([len(page) async for page in reader(here).pages(judged, 4)]) == 10
        assert threads
        assert threading.main_thread() not in threads


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_sweep_takes_no_more_memory_for_more_rows(tmp_path: Path) -> None:
    """200,000 rows are judged in the memory of 20,000, and every one of them is."""
    peaks: dict[int, int] = {}
    for count in (20_000, 200_000):
        async with house(tmp_path / str(count)) as here:
            await fill(here, count)
            sweep, tally = Sweep(stores_of(here)), Tally()
            tracemalloc.start()
            async for page in sweep.verdicts(DAY, RetentionPolicy.of(), tally):
                assert page
            peaks[count] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert tally.summary.rows == count
            assert tally.summary.by_cause["legal_hold"] == count // 1000
    assert peaks[200_000] < peaks[20_000] * 1.2 + 1_000_000, peaks
    assert peaks[200_000] < 20_000_000, peaks
