"""Calls that the catalogue could not take are entered later, each exactly once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callrec.catalogue import CallChange, CallEnd, CallIdentity, Event, FindQuery, ReserveJournal, StorageUnavailable
from callrec.catalogue.reserve_entries import ReservedCall, decode, encode
from callrec.catalogue.sealer import NoKeys
from tests.catalogue.house import CALLER, NAME, OURS, START, files_with, house, recorded_end, spellings

SMALL = 64 << 10


async def test_what_waits_is_entered_later(tmp_path: Path) -> None:
    """A call that began and one that ended are rows afterwards, with their numbers and events."""
    async with house(tmp_path) as here:
        journal = ReserveJournal(tmp_path / "reserve.journal", here.keyring, size=SMALL)
        begun, ended = here.new_call(), here.new_call()
        await journal.keep_open(begun)
        await journal.keep_open(ended)
        await journal.keep_end(ended, CallEnd(ended.started_at, "not_recorded", "storage_unavailable"))
        assert files_with(tmp_path, [*spellings(CALLER), *spellings(OURS), NAME.encode()]) == []
        journal.close()
        again = ReserveJournal(tmp_path / "reserve.journal", here.keyring, size=SMALL)
        assert await again.replay(here.catalogue) == 3
        assert again.used == 0
        items = (await here.catalogue.find(FindQuery(number=CALLER))).items
        assert {item["call_id"]: item["outcome_reason"] for item in items} == {
            begun.call_id: None,
            ended.call_id: "storage_unavailable",
        }
        events = [(e.noun, e.verb, e.document["subject"]) for e in await here.catalogue.pending()]
        assert events == [
            ("call", "started", begun.call_id),
            ("call", "started", ended.call_id),
            ("call", "ended", ended.call_id),
        ]
        again.close()


async def test_each_is_entered_exactly_once(tmp_path: Path) -> None:
    """A crash before the journal was cleared, and a row that was written late after all, double nothing."""
    async with house(tmp_path) as here:
        journal = ReserveJournal(tmp_path / "reserve.journal", here.keyring, size=SMALL)
        late, new = here.new_call(), here.new_call()
        await here.catalogue.open_call(late)
        for call in (late, new):
            await journal.keep_open(call)
            await journal.keep_end(call, recorded_end(call))
        before = (tmp_path / "reserve.journal").read_bytes()
        await journal.replay(here.catalogue)
        journal.close()
        events = here.catalogue.last_event
        (tmp_path / "reserve.journal").write_bytes(before)
        again = ReserveJournal(tmp_path / "reserve.journal", here.keyring, size=SMALL)
        assert await again.replay(here.catalogue) == 4
        assert here.catalogue.last_event == events
        assert len((await here.catalogue.find(FindQuery())).items) == 2
        assert await here.catalogue.in_progress() == []
        again.close()


async def test_what_an_end_tells_is_told_later(tmp_path: Path) -> None:
    """The events that waited for the end of a call are entered with it, whether its beginning was known or not."""
    async with house(tmp_path) as here:
        journal = ReserveJournal(tmp_path / "reserve.journal", here.keyring, size=SMALL)
        for call in (await here.open_call(), here.new_call()):
            gap = Event("recording", "gap", call.call_id, {"start_ms": 0, "end_ms": 9, "reason": "storage"})
            events = [gap, Event("recording", "sealed", call.call_id), Event("call", "ended", call.call_id)]
            await journal.keep_end(call, recorded_end(call), events)
        await journal.replay(here.catalogue)
        verbs = [(event.noun, event.verb) for event in await here.catalogue.events_after(0)]
        each = [("call", "started"), ("recording", "gap"), ("recording", "sealed"), ("call", "ended")]
        assert verbs == [*each, *each]
        journal.close()


async def test_what_was_entered_is_overwritten(tmp_path: Path) -> None:
    """After entering, the file is zeros again."""
    async with house(tmp_path) as here:
        journal = ReserveJournal(tmp_path / "reserve.journal", here.keyring, size=SMALL)
        await journal.keep_open(here.new_call())
        await journal.replay(here.catalogue)
        journal.close()
    content = (tmp_path / "reserve.journal").read_bytes()
    assert content.startswith(b"callrec reserve 1\n")
    assert not any(content[len(b"callrec reserve 1\n") :])
    assert len(content) == SMALL


async def test_a_torn_record_ends_the_journal(tmp_path: Path) -> None:
    """A kill while writing leaves half a record: those before it are entered, and the next takes its place."""
    async with house(tmp_path) as here:
        path = tmp_path / "reserve.journal"
        journal = ReserveJournal(path, here.keyring, size=SMALL)
        first, second, third = here.new_call(), here.new_call(), here.new_call()
        await journal.keep_open(first)
        whole = journal.used
        await journal.keep_open(second)
        journal.close()
        with path.open("r+b") as file:
            file.seek(whole + 18 + 40)
            file.write(bytes(200))
        again = ReserveJournal(path, here.keyring, size=SMALL)
        assert again.used == whole
        await again.keep_open(third)
        assert await again.replay(here.catalogue) == 2
        found = {item["call_id"] for item in (await here.catalogue.find(FindQuery())).items}
        assert found == {first.call_id, third.call_id}
        again.close()


async def test_a_full_journal_is_told(tmp_path: Path) -> None:
    """What does not fit is refused, and what is in it stays."""
    async with house(tmp_path) as here:
        journal = ReserveJournal(tmp_path / "reserve.journal", here.keyring, size=4096)
        jobs = [journal.keep_open(here.new_call()) for _ in range(20)]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        kept = results.count(None)
        assert 0 < kept < 20
        assert {type(result) for result in results if result is not None} == {StorageUnavailable}
        assert await journal.replay(here.catalogue) == kept
        journal.close()


async def test_the_journal_takes_its_room_beforehand(tmp_path: Path) -> None:
    """Its blocks are on the disk before any call needs them."""
    journal = ReserveJournal(tmp_path / "reserve.journal", NoKeys(), size=1 << 20)
    status = (tmp_path / "reserve.journal").stat()
    assert status.st_blocks * 512 >= 1 << 20
    assert status.st_mode & 0o077 == 0
    journal.close()


async def test_without_a_key_no_number_is_kept(tmp_path: Path) -> None:
    """A reserved call without its key has a row, the flag `identity_not_kept`, and no number anywhere."""
    async with house(tmp_path) as here:
        journal = ReserveJournal(tmp_path / "reserve.journal", here.keyring, size=SMALL)
        new = replace(here.new_call(), identity_key_id=None)
        end = recorded_end(new)
        await journal.keep_end(new, replace(end, final=replace(end.final, identity=new.identity)))
        assert files_with(tmp_path, [*spellings(CALLER), b"Neill"]) == []
        await journal.replay(here.catalogue)
        item = await here.catalogue.get(new.call_id)
        assert (item["network_number"], item["flags"]) == (None, ["identity_not_kept"])
        journal.close()


async def test_reserved_calls_keep_their_keys(tmp_path: Path) -> None:
    """The sweep of spare keys after a crash spares the keys of calls that wait in the journal and in the catalogue."""
    async with house(tmp_path) as here:
        journal = ReserveJournal(tmp_path / "reserve.journal", here.keyring, size=SMALL)
        reserved = here.new_call()
        await journal.keep_open(reserved)
        journal.close()
        stored = await here.open_call()
        here.keyring._taken.clear()  # as a kill leaves it
    async with house(tmp_path) as again:
        journal = ReserveJournal(tmp_path / "reserve.journal", again.keyring, size=SMALL)
        claimed = await journal.claimed_keys() | await again.catalogue.claimed_keys(again.keyring.left_over)
        wanted = {reserved.identity_key_id, reserved.audio_key_id, stored.identity_key_id, stored.audio_key_id}
        assert claimed == wanted
        await again.keyring.sweep_unclaimed(claimed)
        assert await again.keyring.existing(key or "" for key in wanted) == wanted
        await journal.replay(again.catalogue)
        assert (await again.catalogue.get(reserved.call_id))["network_number"] == CALLER
        journal.close()


async def test_what_is_sealed_waits_for_the_keys(tmp_path: Path) -> None:
    """A start without the master key enters nothing that it cannot open, and loses none of it."""
    async with house(tmp_path) as here:
        new = here.new_call()
        journal = ReserveJournal(tmp_path / "reserve.journal", here.keyring, size=SMALL)
        await journal.keep_open(new)
        journal.close()
        keyless = ReserveJournal(tmp_path / "reserve.journal", NoKeys(), size=SMALL)
        assert await keyless.replay(here.catalogue) == 0
        assert await here.catalogue.state_of(new.call_id) is None
        keyless.close()
        again = ReserveJournal(tmp_path / "reserve.journal", here.keyring, size=SMALL)
        assert await again.replay(here.catalogue) == 1
        assert (await here.catalogue.get(new.call_id))["network_number"] == CALLER
        again.close()


async def test_a_journal_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A missing folder is StorageUnavailable, so that the recorder goes on without."""
    with pytest.raises(StorageUnavailable):
        ReserveJournal(tmp_path / "nowhere" / "reserve.journal", NoKeys())


TEXT = st.none() | st.text(max_size=20)
IDENTITIES = st.builds(
    CallIdentity,
    network_number=TEXT,
    display_name=TEXT,
    sip_call_ids=st.lists(st.text(max_size=9)).map(tuple),
    extra=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3),
)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=50)
@given(identity=IDENTITIES, minutes=st.integers(0, 10_000), flags=st.lists(st.text(max_size=5)).map(tuple))
def test_calls_go_through_json_unchanged(identity: CallIdentity, minutes: int, flags: tuple[str, ...]) -> None:
    """What comes out of the journal equals what was put in."""
    from callrec.catalogue import NewCall  # noqa: PLC0415 - only here

    at = START + timedelta(minutes=minutes, microseconds=minutes)
    new = NewCall("c", "REF2345", "inbound", at, identity, "k", "a", flags=flags, delete_on=date(2028, 2, 29))
    end = recorded_end(new)
    end = replace(end, final=replace(end.final, identity=identity, answered_at=at, add_flags=flags))
    bare = CallEnd(at, "not_recorded", "busy", final=CallChange())
    gap = Event("recording", "gap", "c", {"start_ms": 1, "end_ms": 2, "reason": "storage"})
    for call in (ReservedCall(new, end, (gap,)), ReservedCall(new), ReservedCall(new, bare)):
        assert decode(encode(call)) == call
