"""Nothing is forgotten: every alert is told once, over restarts, outages and the changes of the clocks."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callrec.events import load_schema
from callrec.privacy.alerts import ALERT_TIME, AlertFacts, Told, look
from callrec.privacy.clocks import ClockFacts, at_local, deadlines
from callrec.privacy.holidays import WorkingDays
from callrec.privacy.request_table import RequestState
from callrec.privacy.request_watch import RequestWatch
from tests.privacy.request_house import RECEIVED, Office, office

LONDON = ZoneInfo("Europe/London")
WORKING = WorkingDays.of()
HARD_DAYS = (
    pytest.param(datetime(2027, 3, 27, 23, 30, tzinfo=UTC), id="the night the clocks go on"),
    pytest.param(datetime(2027, 10, 30, 23, 30, tzinfo=UTC), id="the night they go back", marks=pytest.mark.long),
    pytest.param(datetime(2027, 1, 31, 10, 0, tzinfo=UTC), id="no such day in the next month", marks=pytest.mark.long),
    pytest.param(datetime(2027, 2, 26, 12, 0, tzinfo=UTC), id="due on Good Friday"),
    pytest.param(datetime(2028, 1, 31, 12, 0, tzinfo=UTC), id="a leap year", marks=pytest.mark.long),
)


def watch_of(here: Office) -> RequestWatch:
    """Return the eyes on the clocks of an office, as after a start."""
    return RequestWatch(here.requests._stores, here.requests)


async def told(here: Office) -> list[tuple[str, str, str, int]]:
    """Return what was told: verb, clock, level and age."""
    return [
        (one.verb, one.document["data"]["clock"], one.document["data"]["level"], one.document["data"]["age_days"])
        for one in await here.stores.catalogue.events_after(0, 10_000)
        if one.verb in {"due_soon", "overdue"}
    ]


async def go_to(here: Office, day: date, at: time = time(8)) -> None:
    """Turn the clock on to a local time."""
    instant = at_local(day, at, LONDON)
    assert instant >= here.clock.now()
    here.clock.advance(instant - here.clock.now())


async def test_each_level_is_told_at_eight_on_its_day(tmp_path: Path) -> None:
    """The table of domain rule 1.14, day by day to the end; critical ones and what has run out are told daily."""
    async with office(tmp_path) as here:
        await here.stores.recorded_call()
        await here.opened()  # received on 25 November
        watch = watch_of(here)
        for day in range(2, 30):
            await go_to(here, RECEIVED.date() + timedelta(days=day), time(7, 59))
            before = await told(here)
            await watch.look()
            assert await told(here) == before
            await go_to(here, RECEIVED.date() + timedelta(days=day))
            await watch.look()
            await watch.look()
        promise = [(verb, level, age) for verb, clock, level, age in await told(here) if clock == "promise"]
    assert promise == [
        ("due_soon", "amber", 7),
        ("due_soon", "red", 21),
        ("due_soon", "critical", 25),
        ("due_soon", "critical", 26),
        ("due_soon", "critical", 27),
        ("overdue", "critical", 28),
        ("overdue", "critical", 29),
    ]


async def test_what_an_outage_missed_is_told_late_and_once(tmp_path: Path) -> None:
    """The recorder was down from the first week to the day of the breach."""
    jsonschema = pytest.importorskip("jsonschema")
    async with office(tmp_path) as here:
        await here.stores.recorded_call()
        await here.opened()
    async with office(tmp_path, now=at_local(date(2026, 12, 23), time(9), LONDON)) as here:
        assert await watch_of(here).look() > 0
        first = await told(here)
        assert max(Counter(first).values()) == 1
        assert ("overdue", "promise", "critical", 28) in first
        assert await watch_of(here).look() == 0
        for event in await here.stores.catalogue.events_after(0, 1000):
            if event.noun == "request":
                jsonschema.validate(event.document, load_schema(event.noun, event.verb))


@pytest.mark.parametrize("received", HARD_DAYS)
async def test_nothing_is_forgotten_over_fifty_restarts(tmp_path: Path, received: datetime) -> None:
    """Around changes of the clocks, month ends and Easter: each level of each clock on each of its days, once."""
    chance = random.Random(received.isoformat())
    zone = LONDON
    clocks = deadlines(ClockFacts(received), zone, WORKING)
    facts = AlertFacts(RequestState.RECEIVED, clocks)
    async with office(tmp_path, now=received + timedelta(hours=1)) as here:
        await here.stores.recorded_call()
        start = here.clock.now()
        await here.opened(received_at=received)
    moments = sorted(start + timedelta(minutes=chance.randrange(60 * 24 * 45)) for _ in range(50))
    expected: list[tuple[str, str, date, date]] = []
    known: list[Told] = []
    for moment in moments:
        alerts = look(facts, known, moment, zone).alerts
        known += [alert.told for alert in alerts]
        expected += [(a.told.clock.value, a.told.level.value, a.told.due, a.told.day) for a in alerts]
    for moment in moments:
        async with office(tmp_path, now=moment) as again:
            await watch_of(again).look()
            await watch_of(again).look()
            await again.requests.restart()
    async with office(tmp_path, now=moments[-1]) as last:
        happened = await told(last)
        assert len(happened) == len(expected)
        assert len(set(expected)) == len(expected)
        assert ("overdue", "promise") in {(verb, clock) for verb, clock, *_ in happened}
        assert (await last.requests.check())["overdue"] == 1


async def test_a_request_in_time_is_never_called_overdue(tmp_path: Path) -> None:
    """Carried out on day 27; nothing is told after it."""
    async with office(tmp_path) as here:
        await here.stores.recorded_call()
        request_id = await here.approved()
        await go_to(here, RECEIVED.date() + timedelta(days=27), time(23, 59))
        await watch_of(here).look()
        assert (await here.requests.execute(request_id, "bob"))["state"] == "completed"
        before = await told(here)
        here.clock.advance(timedelta(days=60))
        await watch_of(here).look()
        assert await told(here) == before
        assert "overdue" not in {verb for verb, *_ in before}


async def test_status_says_what_is_open_overdue_and_next(tmp_path: Path) -> None:
    """As of the last look, which every command makes."""
    async with office(tmp_path) as here:
        watch = watch_of(here)
        here.requests.on_change = watch.look
        assert watch.summary == {"open": 0, "overdue": 0, "next_due": None}
        await here.stores.recorded_call()
        request_id = await here.opened()
        assert watch.summary == {"open": 1, "overdue": 0, "next_due": "2026-12-23"}
        here.clock.advance(timedelta(days=30))
        await watch.look()
        assert watch.summary == {"open": 1, "overdue": 1, "next_due": "2026-12-23"}
        await here.requests.withdraw(request_id, "", "alice")
        assert watch.summary == {"open": 0, "overdue": 0, "next_due": None}


async def test_the_file_of_a_request_ends_after_two_years(tmp_path: Path) -> None:
    """LAW-45: it proves that it was answered for two years; then key, rows and history are gone."""
    async with office(tmp_path) as here:
        await here.stores.recorded_call()
        request_id = (await here.executed())["id"]
        key_id = (await here.requests.reader.named(request_id))[0].key_id
        watch = watch_of(here)
        await go_to(here, date(2028, 11, 25))
        assert await watch.expire() == 0
        await go_to(here, date(2028, 11, 26))
        assert await watch.expire() == 1
        assert await here.stores.keyring.existing([key_id]) == set()
        assert (await here.requests.list(open_only=False))["items"] == []
        assert await watch.expire() == 0


async def test_a_restored_backup_does_not_bring_a_file_back(tmp_path: Path) -> None:
    """LAW-48: keyring and catalogue from before its end are put back; the ledger ends it again."""
    async with office(tmp_path / "live") as here:
        await here.stores.recorded_call()
        request_id = (await here.executed())["id"]
    shutil.copytree(tmp_path / "live", tmp_path / "backup")
    async with office(tmp_path / "live", now=datetime(2029, 1, 1, tzinfo=UTC)) as here:
        assert await watch_of(here).expire() == 1
    for name in ("keyring.db", "catalogue.db"):
        shutil.copy(tmp_path / "backup" / name, tmp_path / "live" / name)
    async with office(tmp_path / "live") as again:
        assert await again.requests.reader.named(request_id)
        await again.stores.eraser().resume()
        assert await again.requests.reader.named(request_id) == []


@given(
    seconds=st.integers(0, int(timedelta(days=8 * 365).total_seconds())),
    steps=st.lists(st.integers(1, 4000), min_size=1, max_size=50),
)
@settings(max_examples=200, deadline=None)
def test_no_alert_is_told_twice_whenever_somebody_looks(seconds: int, steps: Sequence[int]) -> None:
    """For any receipt from 2024 to 2031 and any looks: once for each clock, level and day, never before 08:00."""
    received = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    clocks = deadlines(ClockFacts(received), LONDON, WORKING)
    facts = AlertFacts(RequestState.RECEIVED, clocks)
    known: list[Told] = []
    now = received
    for minutes in steps:
        now += timedelta(minutes=minutes)
        alerts = look(facts, known, now, LONDON).alerts
        assert all(at_local(alert.told.day, ALERT_TIME, LONDON) <= now for alert in alerts)
        known += [alert.told for alert in alerts]
    assert len(set(known)) == len(known)
    due_by = now.astimezone(LONDON).date() - timedelta(days=1)
    if due_by >= clocks.promise_due_local_date:
        assert any(one.level.value == "breach" for one in known)
