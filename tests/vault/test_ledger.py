"""The tombstone ledger: what is in it stays in it, and nothing else gets in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callrec.clock import ManualClock
from callrec.identifiers import new_id
from callrec.vault.keyring_errors import LedgerUnavailable
from callrec.vault.ledger import Ledger
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


def intent(erasure_id: str | None = None) -> Draft:
    target = {"call_id": new_id(), "recording_id": new_id(), "key_ids": [new_id(), new_id()]}
    body = {"erasure_id": erasure_id or new_id(), "reason": "delete", "authoriser": "root", "targets": [target]}
    return Draft("intent", body)


async def test_entries_survive_and_are_kept_twice(opener: Opener, files: tuple[Path, Path]) -> None:
    """What was appended is found at the next start; ledger and copy are the same bytes."""
    ledger = opener()
    drafts = [intent() for _ in range(5)]
    await ledger.append(drafts, reach_copy=True)
    head = ledger.head
    ledger.close()
    again = opener()
    assert [entry.body for entry in again.open_intents] == [draft.body for draft in drafts]
    assert again.head == head
    assert again.problems == []
    assert files[0].read_bytes() == files[1].read_bytes()
    again.close()


async def test_a_completed_intent_is_closed(opener: Opener) -> None:
    """Only what was not completed is open."""
    ledger = opener()
    await ledger.append([intent("one"), intent("two")], reach_copy=True)
    await ledger.append([Draft("completed", {"erasure_id": "one"})], reach_copy=False)
    ledger.close()
    again = opener()
    assert [entry.body["erasure_id"] for entry in again.open_intents] == ["two"]
    again.close()


@pytest.mark.parametrize("older", [0, 1])
async def test_the_longer_of_two_agreeing_chains_wins(opener: Opener, files: tuple[Path, Path], older: int) -> None:
    """LAW-48: whichever copy a restore brought back old is completed from the other."""
    ledger = opener()
    await ledger.append([intent("one")], reach_copy=True)
    old = files[older].read_bytes()
    await ledger.append([intent("two")], reach_copy=True)
    ledger.close()
    files[older].write_bytes(old)
    again = opener()
    assert [entry.body["erasure_id"] for entry in again.open_intents] == ["one", "two"]
    await again.append([intent("three")], reach_copy=True)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert again.problems == []
    again.close()


@pytest.mark.parametrize("gone", [0, 1])
async def test_a_lost_copy_is_made_anew(opener: Opener, files: tuple[Path, Path], gone: int) -> None:
    """One of the two is enough."""
    ledger = opener()
    await ledger.append([intent("one")], reach_copy=True)
    ledger.close()
    files[gone].unlink()
    again = opener()
    assert [entry.body["erasure_id"] for entry in again.open_intents] == ["one"]
    await again.append([intent("two")], reach_copy=True)
    assert files[0].read_bytes() == files[1].read_bytes()
    again.close()


async def test_an_unsigned_tail_is_never_replayed(opener: Opener, files: tuple[Path, Path]) -> None:
    """Entries that somebody without the key added are put aside, and are a problem from then on."""
    ledger = opener()
    await ledger.append([intent("one")], reach_copy=True)
    ledger.close()
    stranger = Ledger.open(files[0].with_name("other"), None, b"x" * 32, CLOCK)
    await stranger.append([intent("forged"), intent("forged-too")], reach_copy=False)
    stranger.close()
    forged = files[0].with_name("other").read_bytes().splitlines(keepends=True)[2]
    for file in files:
        file.write_bytes(file.read_bytes() + forged)
    for _ in range(2):
        again = opener()
        assert [entry.body["erasure_id"] for entry in again.open_intents] == ["one"]
        assert any("put aside" in problem for problem in again.problems)
        again.close()


async def test_a_correctly_chained_entry_of_another_key_is_put_aside(opener: Opener, files: tuple[Path, Path]) -> None:
    """A chain that fits is not enough: the signature decides."""
    ledger = opener()
    await ledger.append([intent("one")], reach_copy=True)
    ledger.close()
    n = len(files[0].read_bytes().splitlines())
    forger = Ledger.open(files[0], None, KEY, CLOCK)
    forger._key = Ed25519PrivateKey.from_private_bytes(b"x" * 32)
    await forger.append([intent("forged")], reach_copy=False)
    forger.close()
    again = opener()
    assert [entry.body["erasure_id"] for entry in again.open_intents] == ["one"]
    assert [entry.kind for entry in await again.entries(frozenset({"intent", "doubt"}))] == ["intent", "doubt"]
    assert again.head.n == n + 1
    again.close()


async def test_an_altered_entry_is_repaired_from_the_copy(opener: Opener, files: tuple[Path, Path]) -> None:
    """An entry altered in one place is taken from the other; that it was altered is told."""
    ledger = opener()
    await ledger.append([intent("one"), intent("two")], reach_copy=True)
    ledger.close()
    files[0].write_bytes(files[0].read_bytes().replace(b'"reason":"delete"', b'"reason":"nothin"', 1))
    again = opener()
    assert [entry.body["erasure_id"] for entry in again.open_intents] == ["one", "two"]
    assert any("put aside" in problem for problem in again.problems)
    again.close()


async def test_a_torn_last_line_is_a_crash_and_no_problem(opener: Opener, files: tuple[Path, Path]) -> None:
    """A kill while writing leaves half a line: it counts for nothing and is overwritten."""
    ledger = opener()
    await ledger.append([intent("one")], reach_copy=True)
    ledger.close()
    for file in files:
        file.write_bytes(file.read_bytes() + b'{"at":"2026')
    again = opener()
    assert again.problems == []
    await again.append([intent("two")], reach_copy=True)
    again.close()
    third = opener()
    assert [entry.body["erasure_id"] for entry in third.open_intents] == ["one", "two"]
    third.close()


async def test_disagreeing_chains_are_a_problem_and_erasing_waits(opener: Opener, files: tuple[Path, Path]) -> None:
    """Two chains that both verify and differ: neither is changed, event numbers go on, nothing is erased."""
    ledger = opener()
    ledger.close()
    shutil.copy(files[0], files[0].with_name("fork"))
    ledger = opener()
    await ledger.append([intent("one")], reach_copy=True)
    ledger.close()
    shutil.copy(files[0].with_name("fork"), files[0])
    alone = Ledger.open(files[0], None, KEY, CLOCK)
    await alone.append([intent("other")], reach_copy=False)
    alone.close()
    outside = files[1].read_bytes()
    again = opener()
    assert any("disagree" in problem for problem in again.problems)
    with pytest.raises(LedgerUnavailable):
        await again.append([intent("two")], reach_copy=True)
    await again.reserve_events(10_000)
    assert again.reserved_upto == 10_000
    assert files[1].read_bytes() == outside
    again.close()


async def test_without_the_outside_copy_erasing_waits(tmp_path: Path) -> None:
    """The copy cannot be written: an intent is refused, other entries are made and reach the copy later."""
    blocker = tmp_path / "outside"
    blocker.write_text("no folder")
    ledger = Ledger.open(tmp_path / "ledger", blocker / "ledger", KEY, CLOCK)
    assert any("cannot be written" in problem for problem in ledger.problems)
    with pytest.raises(LedgerUnavailable):
        await ledger.append([intent("one")], reach_copy=True)
    assert ledger.open_intents == []
    await ledger.reserve_events(10_000)
    blocker.unlink()
    await ledger.append([intent("two")], reach_copy=True)
    assert ledger.problems == []
    assert (tmp_path / "ledger").read_bytes() == (blocker / "ledger").read_bytes()
    ledger.close()


async def test_the_copy_is_durable_first(opener: Opener, files: tuple[Path, Path]) -> None:
    """A crash between copy and ledger: the intent in the copy counts at the next start."""
    ledger = opener()

    def crash(data: bytes) -> None:
        raise OSError("the plug was pulled")

    ledger._local.append = crash  # type: ignore[method-assign]
    with pytest.raises(LedgerUnavailable):
        await ledger.append([intent("one")], reach_copy=True)
    ledger.close()
    again = opener()
    assert [entry.body["erasure_id"] for entry in again.open_intents] == ["one"]
    again.close()


async def test_a_refused_entry_is_cut_off_the_copy_again(opener: Opener, files: tuple[Path, Path]) -> None:
    """What was told as failed is overwritten by the next entry while the recorder lives."""
    ledger = opener()
    kept = ledger._local.append

    def fail(data: bytes) -> None:
        raise OSError("full")

    ledger._local.append = fail  # type: ignore[method-assign]
    with pytest.raises(LedgerUnavailable):
        await ledger.append([intent("one")], reach_copy=True)
    ledger._local.append = kept  # type: ignore[method-assign]
    await ledger.append([intent("two")], reach_copy=True)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert [entry.body["erasure_id"] for entry in ledger.open_intents] == ["two"]
    ledger.close()


async def test_a_missing_ledger_of_an_old_store_is_a_problem(files: tuple[Path, Path]) -> None:
    """It begins anew, and says so until somebody accepts it."""
    ledger = Ledger.open(*files, KEY, CLOCK, fresh=False)
    assert any("missing" in problem for problem in ledger.problems)
    ledger.close()
    again = Ledger.open(*files, KEY, CLOCK, fresh=False)
    assert any("missing" in problem for problem in again.problems)
    await again.append([Draft("accepted", {"authoriser": "root"})], reach_copy=True)
    assert again.problems == []
    again.close()


@pytest.mark.parametrize(
    "body",
    [
        {"id": "+441632960001"},
        {"id": "01632960001"},
        {"note": "Mrs Jane Smith rang"},
        {"targets": [{"number": "441632960001"}]},
        {"01632960001": "x"},
        {"at": 1.5},
    ],
)
async def test_nothing_personal_gets_in(opener: Opener, body: dict[str, object]) -> None:
    """LAW-43, LAW-44: numbers, names and free text are refused."""
    ledger = opener()
    before = ledger.head
    with pytest.raises(ValueError, match="ledger entry"):
        await ledger.append([Draft("request", body)], reach_copy=True)
    assert ledger.head == before
    ledger.close()


async def test_event_numbers_are_reserved_in_blocks(opener: Opener) -> None:
    """The newest block and the one before are known after a restart; a block reserved already is not entered again."""
    ledger = opener()
    await ledger.reserve_events(10_000)
    await ledger.reserve_events(20_000)
    await ledger.reserve_events(15_000)
    ledger.close()
    again = opener()
    assert (again.reserved_before, again.reserved_upto) == (10_000, 20_000)
    again.close()


async def test_the_chain_can_be_followed_by_anybody(opener: Opener, files: tuple[Path, Path]) -> None:
    """Each line names the hash of the one before."""
    ledger = opener()
    await ledger.append([intent() for _ in range(3)], reach_copy=True)
    ledger.close()
    lines = [json.loads(line) for line in files[0].read_text().splitlines()]
    assert [line["n"] for line in lines] == [1, 2, 3, 4]
    assert [line["previous"] for line in lines[1:]] == [line["hash"] for line in lines[:-1]]
