"""A missing, cut, rewritten or altered ledger is detected, stays in doubt over restarts, and a person accepts it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callrec.clock import ManualClock
from callrec.identifiers import new_id
from callrec.vault.ledger import Head, Ledger
from callrec.vault.ledger_entries import Draft

KEY = b"s" * 32
CLOCK = ManualClock(datetime(2026, 11, 25, 10, 0, tzinfo=UTC))

Opener = Callable[[], Ledger]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "state-ledger", tmp_path / "outside" / "ledger"


@pytest.fixture
def opener(files: tuple[Path, Path]) -> Opener:
    return lambda: Ledger.open(*files, KEY, CLOCK)


def intent(erasure_id: str) -> Draft:
    target = {"call_id": new_id(), "recording_id": new_id(), "key_ids": [new_id(), new_id()]}
    return Draft("intent", {"erasure_id": erasure_id, "reason": "delete", "authoriser": "root", "targets": [target]})


def promise(kind: str, one: str, what: str = "made") -> Draft:
    return Draft(kind, {"id": one, "what": what})


async def filled(opener: Opener, *erasures: str) -> Head:
    """Enter some erasures and return the signed head that a broker would keep."""
    ledger = opener()
    await ledger.append([intent(erasure) for erasure in erasures], reach_copy=True)
    head = ledger.head
    ledger.close()
    return head


async def test_an_old_ledger_with_its_outside_copy_is_in_no_doubt(opener: Opener, files: tuple[Path, Path]) -> None:
    """Restored old, or not at all: the copy completes it, and nothing was lost."""
    await filled(opener, "one")
    old = files[0].read_bytes()
    head = await filled(opener, "two")
    for restored in (old, None):
        files[0].unlink()
        if restored is not None:
            files[0].write_bytes(restored)
        ledger = opener()
        assert ledger.in_doubt is None
        assert await ledger.compare(head) is None
        assert [entry.body["erasure_id"] for entry in ledger.open_intents] == ["one", "two"]
        ledger.close()


async def test_a_ledger_missing_in_both_places_is_in_doubt(files: tuple[Path, Path]) -> None:
    """Only a person knows whether that is right."""
    opener: Opener = lambda: Ledger.open(*files, KEY, CLOCK, fresh=False)  # noqa: E731 - as the fixture
    for _ in range(2):
        ledger = opener()
        assert "missing" in (ledger.in_doubt or "")
        ledger.close()


async def test_a_ledger_cut_in_both_places_contradicts_the_signed_head(
    opener: Opener, files: tuple[Path, Path]
) -> None:
    """The broker's retained head is the last witness; the doubt outlives a restart without it."""
    await filled(opener, "one")
    old = files[0].read_bytes()
    head = await filled(opener, "two")
    for path in files:
        path.write_bytes(old)
    ledger = opener()
    assert ledger.in_doubt is None
    assert await ledger.compare(head) == "cut"
    ledger.close()
    again = opener()
    assert "shorter" in (again.in_doubt or "")
    again.close()


async def test_a_rewritten_ledger_contradicts_the_signed_head(opener: Opener, files: tuple[Path, Path]) -> None:
    """As many entries, others: only who has the signing key could do that, and it is found."""
    await filled(opener, "one")
    old = files[0].read_bytes()
    head = await filled(opener, "two")
    for path in files:
        path.write_bytes(old)
    await filled(opener, "other", "another")
    ledger = opener()
    assert await ledger.compare(head) == "rewritten"
    assert "replaced" in (ledger.in_doubt or "")
    ledger.close()


async def test_a_head_that_another_key_signed_proves_nothing(opener: Opener) -> None:
    """Whoever may write to the broker must not close the recorder."""
    await filled(opener, "one")
    ledger = opener()
    forged = Head(99, "f" * 64, ledger.head.signature)
    assert await ledger.compare(forged) is None
    assert await ledger.compare(Head(99, ledger.head.hash, "no base64")) is None
    assert ledger.in_doubt is None
    ledger.close()


async def test_an_altered_ledger_is_in_doubt_even_when_its_copy_heals_it(
    opener: Opener, files: tuple[Path, Path]
) -> None:
    """Somebody changed what must never change: a person looks before anything is shown."""
    await filled(opener, "one", "two")
    files[0].write_bytes(files[0].read_bytes().replace(b'"reason":"delete"', b'"reason":"nothin"', 1))
    ledger = opener()
    assert [entry.body["erasure_id"] for entry in ledger.open_intents] == ["one", "two"]
    assert "altered" in (ledger.in_doubt or "")
    ledger.close()


async def test_accepting_ends_every_doubt_for_good(opener: Opener, files: tuple[Path, Path]) -> None:
    """What was put aside stays as evidence and is no problem any more."""
    await filled(opener, "one")
    for path in files:
        path.write_bytes(path.read_bytes().replace(b'"one"', b'"two"'))
    ledger = opener()
    assert ledger.in_doubt is not None
    accepted = await ledger.accept("account:root")
    assert any("altered" in text for text in accepted)
    assert ledger.problems == []
    ledger.close()
    again = opener()
    assert (again.in_doubt, again.problems) == (None, [])
    assert len(list(files[0].parent.glob("*.altered-1.accepted"))) == 1
    assert files[0].read_bytes() == files[1].read_bytes()
    again.close()


async def test_accepting_a_fork_erases_what_either_chain_names(opener: Opener, files: tuple[Path, Path]) -> None:
    """The copy that disagrees is put aside, and none of the erasures it knows is forgotten."""
    await filled(opener, "both")
    before = files[0].with_name("before")
    shutil.copy(files[0], before)
    await filled(opener, "outside")
    shutil.copy(before, files[0])
    alone = Ledger.open(files[0], None, KEY, CLOCK)
    await alone.append([intent("inside")], reach_copy=False)
    alone.close()
    ledger = opener()
    assert "disagree" in (ledger.in_doubt or "")
    await ledger.accept("account:root")
    assert [entry.body["erasure_id"] for entry in ledger.open_intents] == ["both", "inside", "outside"]
    assert ledger.in_doubt is None
    await ledger.append([intent("later")], reach_copy=True)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[1].with_name("ledger.disagreed-1").exists()
    ledger.close()


async def test_a_copy_that_comes_late_is_not_overwritten(opener: Opener, files: tuple[Path, Path]) -> None:
    """Its disk was away at the start, and the ledger was restored old: what the copy knows is not lost."""
    await filled(opener, "one")
    old = files[0].read_bytes()
    await filled(opener, "two")
    files[0].write_bytes(old)
    away = files[1].parent.rename(files[1].parent.with_name("away"))
    files[1].parent.write_text("no folder")
    ledger = opener()
    await ledger.append([Draft("run", {"what": "started"})], reach_copy=False)
    files[1].parent.unlink()
    away.rename(files[1].parent)
    await ledger.append([Draft("run", {"what": "ended"})], reach_copy=False)
    assert b'"two"' in files[1].read_bytes()
    assert "disagree" in (ledger.in_doubt or "")
    await ledger.accept("account:root")
    assert [entry.body["erasure_id"] for entry in ledger.open_intents] == ["one", "two"]
    ledger.close()


async def test_live_promises_are_known_by_kind(opener: Opener) -> None:
    """What was made and not lifted, over restarts."""
    ledger = opener()
    made = [promise("stop", "s1"), promise("stop", "s2"), promise("hold", "h1"), promise("request", "r1")]
    await ledger.append([*made, promise("stop", "s1", "lifted")], reach_copy=False)
    ledger.close()
    again = opener()
    assert again.live == {"stop": ["s2"], "hold": ["h1"], "request": ["r1"]}
    assert again.lost == {}
    again.close()


async def test_lost_promises_stay_lost_until_entered_again_or_accepted(opener: Opener) -> None:
    """One entered again takes the place of one that is missing; the rest waits for a person."""
    ledger = opener()
    await ledger.append([promise("stop", one) for one in ("s1", "s2", "s3")], reach_copy=False)
    await ledger.append([Draft("lost", {"kind": "stop", "ids": ["s1", "s3"]})], reach_copy=False)
    assert ledger.lost == {"stop": ["s1", "s3"]}
    await ledger.append([promise("hold", "h1"), promise("stop", "s4")], reach_copy=False)
    assert ledger.lost == {"stop": ["s3"]}
    assert ledger.live["stop"] == ["s2", "s3", "s4"]
    ledger.close()
    again = opener()
    assert again.lost == {"stop": ["s3"]}
    accepted = await again.accept("account:root")
    assert accepted == ["lost: stop s3"]
    assert (again.lost, again.live["stop"]) == ({}, ["s2", "s4"])
    again.close()
