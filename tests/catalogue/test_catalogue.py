"""Calls are written once, found again, and hold nothing readable."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Select

from callrec.catalogue import (
    AmbiguousId,
    CallChange,
    CallEnd,
    CallIdentity,
    CallNotFound,
    Catalogue,
    Event,
    FindQuery,
    Part,
    finding,
)
from callrec.catalogue.errors import CallKnown
from callrec.catalogue.sealer import NoKeys
from callrec.catalogue.tables import UtcDateTime
from callrec.errors import ExitCode, OperatorError
from callrec.identifiers import new_id
from tests.catalogue.house import CALLER, NAME, OTHER, OURS, PATIENT, START, files_with, house, recorded_end, spellings

CONTRACT_FIELDS = """
call_id recording_id call_reference sequence in_progress outcome outcome_reason cut direction
started_at answered_at ended_at recording_started_at duration_seconds network_number presentation_number
presentation_other called_number diverting_number withheld withheld_reasons cli_status cli_trust flags display_name
relationship_id retention_class delete_on holds notice legs segments
"""


async def test_an_item_has_every_field_of_the_contract(tmp_path: Path) -> None:
    """A recorded call comes back with all its fields, in the contract's forms."""
    async with house(tmp_path) as here:
        new = await here.recorded_call()
        item = await here.catalogue.get(new.call_id)
    assert set(CONTRACT_FIELDS.split()) <= set(item)
    assert item["network_number"] == item["presentation_number"] == CALLER
    assert item["called_number"] == OURS
    assert item["display_name"] == NAME
    assert (item["outcome"], item["outcome_reason"], item["in_progress"]) == ("recorded", "complete", False)
    assert item["started_at"] == "2026-11-25T10:01:00.000Z"
    assert item["answered_at"] == item["recording_started_at"] == "2026-11-25T10:01:09.000Z"
    assert item["duration_seconds"] == 30.0
    assert item["segments"] == [{"start_ms": 0, "end_ms": 21_000, "state": "recorded", "reason": None}]
    assert item["holds"] == []
    assert item["sequence"] == 1


async def test_a_call_in_progress_has_no_outcome_yet(tmp_path: Path) -> None:
    """While it goes on, outcome, reason and end are null; the row of a crash is found by `in_progress`."""
    async with house(tmp_path) as here:
        new = await here.open_call()
        item = await here.catalogue.get(new.call_id)
        assert (item["outcome"], item["outcome_reason"], item["ended_at"]) == (None, None, None)
        assert item["in_progress"]
    async with house(tmp_path) as again:
        (row,) = await again.catalogue.in_progress()
        assert (row.call_id, row.audio_key_id) == (new.call_id, new.audio_key_id)
        await again.catalogue.end_call(new.call_id, CallEnd(START, "not_recorded", "storage_unavailable"))
        assert await again.catalogue.in_progress() == []
        item = await again.catalogue.get(new.call_id)
        assert (item["outcome_reason"], item["network_number"]) == ("storage_unavailable", CALLER)


async def test_running_numbers_have_no_holes(tmp_path: Path) -> None:
    """Fifty calls at once, and a restart between: their numbers are 1 to 60, each once; so are the events'."""
    async with house(tmp_path) as here:
        news = [here.new_call() for _ in range(50)]
        numbers = await asyncio.gather(
            *(here.catalogue.open_call(new, [Event("call", "started", new.call_id)]) for new in news)
        )
        assert sorted(numbers) == list(range(1, 51))
    async with house(tmp_path) as again:
        for _ in range(10):
            await again.open_call()
        events = await again.catalogue.events_after(0, 100)
        assert [event.sequence for event in events] == list(range(1, 61))
        page = await again.catalogue.find(FindQuery(limit=100))
        assert sorted(item["sequence"] for item in page.items) == list(range(1, 61))


async def test_a_change_and_its_events_are_one(tmp_path: Path) -> None:
    """A call id that exists already: neither a second row nor its event is stored, and the others of the batch are."""
    async with house(tmp_path) as here:
        first = await here.open_call()
        double = here.new_call(call_id=first.call_id)
        good = [here.new_call() for _ in range(3)]
        jobs = [here.catalogue.open_call(new, [Event("call", "started", new.call_id)]) for new in (*good, double)]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        assert [type(result) for result in results[:3]] == [int, int, int]
        assert isinstance(results[3], CallKnown)
        events = await here.catalogue.events_after(0)
        assert [event.sequence for event in events] == [1, 2, 3, 4]
        assert [event.document["subject"] for event in events] == [first.call_id, *(new.call_id for new in good)]


async def test_changes_of_one_call_keep_their_order(tmp_path: Path) -> None:
    """Twenty changes sent without waiting end as the last one said, and no flag is lost."""
    async with house(tmp_path) as here:
        new = await here.open_call()
        jobs = [
            here.catalogue.change_call(new.call_id, CallChange(capture_rule=f"R{n}", add_flags=(f"f{n}",)))
            for n in range(20)
        ]
        await asyncio.gather(*jobs)
        item = await here.catalogue.get(new.call_id)
        assert item["capture_rule"] == "R19"
        assert item["flags"] == [f"f{n}" for n in range(20)]


@pytest.mark.parametrize("asked", [CALLER, OURS, "*0001", "*960001", "*0123"])
async def test_numbers_are_found(tmp_path: Path, asked: str) -> None:
    """Caller and called number find the call, in full and by their last digits; each call is shown once."""
    async with house(tmp_path) as here:
        new = await here.recorded_call()
        await here.recorded_call(identity=CallIdentity(network_number=OTHER))
        page = await here.catalogue.find(FindQuery(number=asked))
    assert [item["call_id"] for item in page.items] == [new.call_id]


@pytest.mark.parametrize("asked", ["+441632960009", "*0009", "*111160001", "*441632960002999"])
async def test_other_numbers_are_not_found(tmp_path: Path, asked: str) -> None:
    """What no call has finds nothing."""
    async with house(tmp_path) as here:
        await here.recorded_call()
        assert (await here.catalogue.find(FindQuery(number=asked))).items == []


@pytest.mark.parametrize("asked", ["*1", "*12a4", "*", "**0001"])
async def test_too_few_digits_are_refused(tmp_path: Path, asked: str) -> None:
    """Fewer than four digits name half the town."""
    async with house(tmp_path) as here:
        with pytest.raises(OperatorError, match="last four digits"):
            await here.catalogue.find(FindQuery(number=asked))


async def test_deleting_by_number_means_the_outside_party(tmp_path: Path) -> None:
    """`outside_only` finds the caller's calls and never all calls of our own number."""
    async with house(tmp_path) as here:
        inbound = await here.recorded_call()
        outbound = await here.recorded_call(
            direction="outbound", identity=CallIdentity(presentation_number=OURS, called_number=CALLER)
        )
        await here.recorded_call(direction="internal", identity=CallIdentity(presentation_number=CALLER))
        diverted = CallIdentity(network_number=OTHER, called_number=OURS, diverting_number=CALLER)
        await here.recorded_call(identity=diverted)
        found = await here.catalogue.find(FindQuery(number=CALLER, outside_only=True))
        assert {item["call_id"] for item in found.items} == {inbound.call_id, outbound.call_id}
        assert (await here.catalogue.find(FindQuery(number=OURS, outside_only=True))).items == []
        assert len((await here.catalogue.find(FindQuery(number=CALLER))).items) == 4


@pytest.mark.parametrize("asked", ["jane", "O'Neill", "ONEILL", "smith JANE", "Jané"])
async def test_names_are_found_by_their_words(tmp_path: Path, asked: str) -> None:
    """Case, accents and order of the words do not matter."""
    async with house(tmp_path) as here:
        new = await here.recorded_call()
        await here.recorded_call(identity=CallIdentity(display_name="Jane Doe"))
        page = await here.catalogue.find(FindQuery(text=asked))
    assert new.call_id in [item["call_id"] for item in page.items]


async def test_all_words_of_a_name_must_be_there(tmp_path: Path) -> None:
    """Two words narrow the search; a word no call has finds nothing."""
    async with house(tmp_path) as here:
        await here.recorded_call()
        doe = await here.recorded_call(identity=CallIdentity(display_name="Jane Doe"))
        assert [i["call_id"] for i in (await here.catalogue.find(FindQuery(text="doe jane"))).items] == [doe.call_id]
        assert (await here.catalogue.find(FindQuery(text="jane nobody"))).items == []
        both = await here.catalogue.find(FindQuery(text="jane", number=CALLER))
        assert len(both.items) == 1


async def test_a_call_reference_is_found(tmp_path: Path) -> None:
    """CLI-14: what an agent can read out finds the call, also where the number was withheld."""
    async with house(tmp_path) as here:
        new = await here.recorded_call(withheld=True, identity=CallIdentity(called_number=OURS))
        await here.recorded_call()
        for asked in (new.call_reference, new.call_reference.lower()):
            assert [i["call_id"] for i in (await here.catalogue.find(FindQuery(text=asked))).items] == [new.call_id]
            assert (await here.catalogue.get(asked))["call_id"] == new.call_id


async def test_pages_join_without_gap_or_repetition(tmp_path: Path) -> None:
    """Newest first, seven at a time, also among calls of the same instant, and while new ones arrive."""
    async with house(tmp_path) as here:
        for n in range(40):
            await here.open_call(started_at=START + timedelta(seconds=n // 10))
        for query in ({}, {"number": CALLER}, {"number": "*960001"}, {"text": "jane"}):
            seen: list[tuple[str, str]] = []
            cursor = None
            while True:
                page = await here.catalogue.find(FindQuery(limit=7, cursor=cursor, **query))  # type: ignore[arg-type]
                seen += [(item["started_at"], item["call_id"]) for item in page.items]
                if (cursor := page.next) is None:
                    break
            assert len(set(seen)) == len(seen) == 40
            assert seen == sorted(seen, reverse=True)


async def test_a_page_that_ends_exactly_has_no_next(tmp_path: Path) -> None:
    """Ten calls in pages of ten are one page."""
    async with house(tmp_path) as here:
        for _ in range(10):
            await here.open_call()
        assert (await here.catalogue.find(FindQuery(limit=10))).next is None
        assert (await here.catalogue.find(FindQuery(limit=9))).next is not None


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "WyIyMDI2Il0", "é"])
async def test_a_foreign_cursor_is_refused(tmp_path: Path, cursor: str) -> None:
    """Whatever is handed in as cursor is one of ours or a usage error."""
    async with house(tmp_path) as here:
        with pytest.raises(OperatorError) as caught:
            await here.catalogue.find(FindQuery(cursor=cursor))
    assert caught.value.exit_code is ExitCode.USAGE


async def test_filters_narrow(tmp_path: Path) -> None:
    """Time, direction, outcome and reason each leave what they say."""
    async with house(tmp_path) as here:
        early = await here.recorded_call()
        busy = await here.open_call(direction="outbound")
        await here.catalogue.end_call(busy.call_id, CallEnd(busy.started_at, "not_recorded", "busy"))
        live = await here.open_call()

        async def found(**query: object) -> set[str]:
            page = await here.catalogue.find(FindQuery(**query))  # type: ignore[arg-type]
            return {item["call_id"] for item in page.items}

        assert await found(outcome="recorded") == {early.call_id}
        assert await found(outcome="not_recorded") == await found(outcome="busy") == {busy.call_id}
        assert await found(direction="outbound") == {busy.call_id}
        assert await found(in_progress=True) == {live.call_id}
        assert await found(since=busy.started_at) == {busy.call_id, live.call_id}
        assert await found(until=busy.started_at) == {early.call_id}
        assert await found(number=CALLER, since=busy.started_at, outcome="busy") == {busy.call_id}
        assert await here.catalogue.counts() == {"complete": 1, "busy": 1, "in_progress": 1}


async def test_an_id_may_be_a_unique_prefix(tmp_path: Path) -> None:
    """Call ids and recording ids are found by their beginning; two of one beginning are told."""
    async with house(tmp_path) as here:
        one = await here.open_call(call_id="aaaa1111-0000-4000-8000-000000000001")
        await here.open_call(call_id="aaaa2222-0000-4000-8000-000000000002")
        recorded = await here.recorded_call()
        assert (await here.catalogue.get("aaaa1"))["call_id"] == one.call_id
        assert (await here.catalogue.get("AAAA1111"))["call_id"] == one.call_id
        recording_id = (await here.catalogue.get(recorded.call_id))["recording_id"]
        assert (await here.catalogue.get(recording_id[:13]))["call_id"] == recorded.call_id
        with pytest.raises(AmbiguousId):
            await here.catalogue.get("aaaa")
        with pytest.raises(CallNotFound) as caught:
            await here.catalogue.get(new_id())
        assert caught.value.exit_code is ExitCode.NOT_FOUND
        for foreign in ("x", "%%%%%", "' or 1=1 --"):
            with pytest.raises(OperatorError):
                await here.catalogue.get(foreign)


async def test_an_identity_that_changes_is_found_anew(tmp_path: Path) -> None:
    """CLI-16: a new identity is sealed and indexed in the place of the old one."""
    async with house(tmp_path) as here:
        new = await here.open_call()
        changed = CallIdentity(network_number=OTHER, called_number=OURS, display_name="John Roe")
        await here.catalogue.change_call(new.call_id, CallChange(identity=changed))
        assert (await here.catalogue.find(FindQuery(number=CALLER))).items == []
        assert (await here.catalogue.find(FindQuery(text="jane"))).items == []
        (item,) = (await here.catalogue.find(FindQuery(number=OTHER))).items
        assert (item["network_number"], item["display_name"]) == (OTHER, "John Roe")


async def test_recordings_and_their_parts_are_known(tmp_path: Path) -> None:
    """A part that is written and then sealed is one part; stray paths are told from known ones."""
    async with house(tmp_path) as here:
        new = await here.open_call()
        recording_id = new_id()
        begun = CallChange(recording_id=recording_id, parts=(Part(recording_id, 1, "a.partial"),))
        await here.catalogue.change_call(new.call_id, begun)
        done = CallChange(parts=(Part(recording_id, 1, "a.crec", 9), Part(recording_id, 2, "b.crec", 1, cut=True)))
        await here.catalogue.change_call(new.call_id, done)
        recording = await here.catalogue.recordings_of(new.call_id)
        assert recording is not None
        assert [(part.path, part.segments, part.cut) for part in recording.parts] == [
            ("a.crec", 9, False),
            ("b.crec", 1, True),
        ]
        assert recording.audio_key_id == new.audio_key_id
        assert await here.catalogue.known_paths(["a.crec", "c.crec"]) == {"a.crec"}
        assert await here.catalogue.all_recordings() == []
        await here.catalogue.end_call(new.call_id, recorded_end(new))
        assert [one.recording_id for one in await here.catalogue.all_recordings()] == [recording_id]


async def test_nothing_readable_lies_on_the_disk(tmp_path: Path) -> None:
    """Numbers in five spellings, names and SIP call ids are in no file, during calls and after."""
    async with house(tmp_path) as here:
        await here.recorded_call()
        await here.open_call()
        needles = [form for number in (CALLER, OURS) for form in spellings(number)]
        needles += [NAME.encode(), b"Neill", b"a84b4c76e66710"]
        assert files_with(tmp_path, needles) == []
    assert files_with(tmp_path, needles) == []


async def test_without_the_keyring_there_is_no_number(tmp_path: Path) -> None:
    """Recordings, catalogue and master key, with a keyring made anew, yield no number and no name."""
    async with house(tmp_path / "old") as here:
        new = await here.recorded_call()
    shutil.copytree(tmp_path / "old", tmp_path / "stolen")
    (tmp_path / "stolen" / "keyring.db").unlink()
    async with house(tmp_path / "stolen") as there:
        item = await there.catalogue.get(new.call_id)
        assert [item[name] for name in ("network_number", "presentation_number", "called_number")] == [None] * 3
        assert item["display_name"] is None
        assert (await there.catalogue.find(FindQuery(number=CALLER))).items == []
        assert (await there.catalogue.find(FindQuery(text="jane"))).items == []
        assert await there.keyring.load_many([new.audio_key_id or ""]) == {}
        assert all(event.document["data"] == {} for event in await there.catalogue.events_after(0))


async def test_a_call_of_which_nothing_was_kept_names_no_recording(tmp_path: Path) -> None:
    """The disk took nothing: `recording_id` is null, as in the contract, and no part is left in the catalogue."""
    async with house(tmp_path) as here:
        new = await here.open_call()
        recording_id = new_id()
        part = Part(recording_id, 1, f"2026/11/25/{recording_id}.1.crec")
        began = CallChange(recording_started_at=START, recording_id=recording_id, parts=(part,))
        await here.catalogue.change_call(new.call_id, began)
        final = CallChange(recording_id=recording_id, recording_started_at=START, parts=(part,), segments=())
        await here.catalogue.end_call(
            new.call_id, CallEnd(START, "not_recorded", "storage_unavailable", final=final),
            [Event("call", "ended", new.call_id)],
        )  # fmt: skip
        item = await here.catalogue.get(new.call_id)
        assert (item["recording_id"], item["recording_started_at"], item["segments"]) == (None, None, [])
        assert await here.catalogue.known_paths([part.path]) == set()
        assert await here.catalogue.all_recordings() == []
        told = (await here.catalogue.events_after(0))[-1].document["data"]
        assert told["recording_id"] is None


async def test_a_recorder_without_keys_keeps_rows_without_numbers(tmp_path: Path) -> None:
    """No keys: every call still has its row and its events, with the flag `identity_not_kept`."""
    async with house(tmp_path / "keys") as here:
        new = here.new_call(identity_key_id=None, audio_key_id=None)
    catalogue = await Catalogue.open(tmp_path / "catalogue.db", NoKeys(), PATIENT)
    await catalogue.open_call(new, [Event("call", "started", new.call_id)])
    await catalogue.end_call(new.call_id, CallEnd(START, "not_recorded", "keys_unavailable"))
    item = await catalogue.get(new.call_id)
    assert (item["network_number"], item["display_name"], item["flags"]) == (None, None, ["identity_not_kept"])
    (event,) = await catalogue.pending()
    assert event.document["data"]["caller_ref"] is None
    assert (await catalogue.find(FindQuery(number=CALLER))).items == []
    await catalogue.close()
    assert files_with(tmp_path, [*spellings(CALLER), b"Neill"]) == []


@pytest.mark.parametrize("sealed", [False, True])
async def test_a_hidden_number_finds_repeats_and_is_never_shown(tmp_path: Path, sealed: bool) -> None:
    """CLI-12: under `keyed_hash` and `sealed` the number finds the call, and is in no item and no event."""
    hidden = CallIdentity(called_number=OURS, hidden_number=CALLER, hidden_sealed=sealed)
    async with house(tmp_path) as here:
        new = await here.recorded_call(withheld=True, identity=hidden)
        (item,) = (await here.catalogue.find(FindQuery(number=CALLER))).items
        assert item["call_id"] == new.call_id
        assert CALLER not in str(item)
        assert all("caller_ref" in e.document["data"] for e in await here.catalogue.pending())
        assert all(e.document["data"]["caller_ref"] is None for e in await here.catalogue.pending())
    assert files_with(tmp_path, spellings(CALLER)) == []


@pytest.mark.parametrize(
    "query",
    [
        FindQuery(),
        FindQuery(number=CALLER),
        FindQuery(number=CALLER, outside_only=True, since=START, direction="inbound"),
        FindQuery(number="*0001", until=START),
        FindQuery(text="jane"),
        FindQuery(text="jane smith"),
        FindQuery(text="smith", number=CALLER),
        FindQuery(outcome="not_recorded", since=START),
        FindQuery(since=START, until=START),
    ],
)
async def test_no_search_reads_the_whole_catalogue(tmp_path: Path, query: FindQuery) -> None:
    """Each search walks an index in its own order: no table is scanned from end to end, nothing is sorted."""
    async with house(tmp_path) as here:
        await here.recorded_call()
        keys = here.catalogue._index_keys
        for position in (None, finding.Position(START, "a" * 36)):
            statement = finding.build(query, keys, position, 101)
            assert statement is not None
            lines = await here.catalogue.read(partial(_plan, statement))
            assert not [line for line in lines if "TEMP B-TREE" in line or line == "SCAN calls"], lines


def _plan(statement: Select[Any], connection: Connection) -> list[str]:
    """Return how the database walks through the tables."""
    compiled = statement.compile(connection)
    values = tuple(compiled.construct_params()[name] for name in compiled.positiontup or ())
    marks = [value if isinstance(value, bytes | int | str) else str(value) for value in values]
    return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", tuple(marks))]


async def test_an_unknown_call_cannot_be_changed(tmp_path: Path) -> None:
    """A change of a call that is not there is told, not swallowed."""
    async with house(tmp_path) as here:
        with pytest.raises(CallNotFound):
            await here.catalogue.change_call(new_id(), CallChange(answered_at=START))


def test_an_outcome_must_be_of_the_list() -> None:
    """Every call ends in exactly one outcome of the closed list."""
    for outcome, reason in (("recorded", "busy"), ("not_recorded", "complete"), ("lost", "cut")):
        with pytest.raises(ValueError, match="contract"):
            CallEnd(START, outcome, reason)


def test_only_aware_instants_are_stored() -> None:
    """CLI-17: an instant without an offset is refused, not guessed."""
    with pytest.raises(ValueError, match="without an offset"):
        UtcDateTime().process_bind_param(datetime(2026, 1, 1), None)  # type: ignore[arg-type]  # noqa: DTZ001
    assert UtcDateTime().process_result_value(datetime(2026, 1, 1), None) == datetime(2026, 1, 1, tzinfo=UTC)  # type: ignore[arg-type]  # noqa: DTZ001


async def test_the_audit_chain_notices_a_change(tmp_path: Path) -> None:
    """An altered entry breaks the chain; untouched it verifies, and details open."""
    from callrec.catalogue import AuditEntry  # noqa: PLC0415 - only here
    from callrec.errors import IntegrityError  # noqa: PLC0415 - only here

    async with house(tmp_path) as here:
        new = await here.open_call()
        for n in range(3):
            await here.catalogue.record_audit(AuditEntry("alice", "play", new.call_id, {"n": n}))
        await here.catalogue.record_audit(AuditEntry("bob", "find", None, {"number": "*0001"}))
        assert await here.catalogue.verify_audit() == 4
        assert [entry["detail"] for entry in await here.catalogue.audit_entries()][3] == {"number": "*0001"}
        import sqlite3  # noqa: PLC0415 - only here

        other = sqlite3.connect(tmp_path / "catalogue.db")
        other.execute("UPDATE audit SET actor = 'mallory' WHERE number = 2")
        other.commit()
        other.close()
        with pytest.raises(IntegrityError, match="entry 2"):
            await here.catalogue.verify_audit()
