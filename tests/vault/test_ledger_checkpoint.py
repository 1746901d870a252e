"""A checkpoint saves a start from reading every entry, and hides nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callrec.clock import ManualClock
from callrec.identifiers import new_id
from callrec.vault import ledger_file
from callrec.vault.ledger import Ledger
from callrec.vault.ledger_entries import Draft

KEY = b"s" * 32
CLOCK = ManualClock(datetime(2026, 11, 25, 10, 0, tzinfo=UTC))
MANY = 2500
"""Two checkpoints and some entries after them."""

Opener = Callable[[], Ledger]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "ledger", tmp_path / "outside" / "ledger"


@pytest.fixture
def opener(files: tuple[Path, Path]) -> Opener:
    return lambda: Ledger.open(*files, KEY, CLOCK)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the entries that a start parses."""
    parsed = [0]
    parse = ledger_file.parse

    def counted(line: bytes) -> object:
        parsed[0] += 1
        return parse(line)

    monkeypatch.setattr(ledger_file, "parse", counted)
    return parsed


def intent(erasure_id: str) -> Draft:
    target = {"call_id": new_id(), "recording_id": new_id(), "key_ids": [new_id(), new_id()]}
    return Draft("intent", {"erasure_id": erasure_id, "reason": "delete", "authoriser": "root", "targets": [target]})


async def fill(opener: Opener, count: int = MANY, at_once: int = 500) -> None:
    """Enter many erasures, all but the first and the last completed, and promises of each kind."""
    ledger = opener()
    await ledger.append([intent("first"), Draft("stop", {"id": "s1", "what": "made"})], reach_copy=True)
    for start in range(0, count, at_once):
        done = [Draft("completed", {"erasure_id": f"e{number}"}) for number in range(start, start + at_once)]
        await ledger.append(done, reach_copy=True)
    await ledger.append([intent("last"), Draft("copy", {"id": "c1", "what": "made"})], reach_copy=True)
    await ledger.reserve_events(10_000)
    ledger.close()


async def test_a_start_reads_only_what_came_after_the_checkpoint(opener: Opener, read: list[int]) -> None:
    """Thousands of entries, and what they said is known without parsing them."""
    await fill(opener)
    read[0] = 0
    ledger = opener()
    assert read[0] < 1000
    assert [entry.body["erasure_id"] for entry in ledger.open_intents] == ["first", "last"]
    assert (ledger.live, list(ledger.copies), ledger.reserved_upto) == ({"stop": ["s1"]}, ["c1"], 10_000)
    assert ledger.problems == []
    await ledger.append([intent("more")], reach_copy=True)
    ledger.close()
    again = opener()
    assert again.head.n == ledger.head.n
    assert len(await again.entries(frozenset({"completed"}))) == MANY
    again.close()


async def test_what_comes_before_the_checkpoint_cannot_be_altered(opener: Opener, files: tuple[Path, Path]) -> None:
    """The checkpoint names its bytes by their hash: one that changes is found, put aside and healed by the copy."""
    await fill(opener)
    content = files[0].read_bytes()
    files[0].write_bytes(content.replace(b'"erasure_id":"e7"', b'"erasure_id":"e8"', 1))
    ledger = opener()
    assert "altered" in (ledger.in_doubt or "")
    assert [entry.body["erasure_id"] for entry in ledger.open_intents] == ["first", "last"]
    ledger.close()
    assert files[0].read_bytes().startswith(content)


async def test_a_ledger_shorter_than_its_checkpoint_was_cut(opener: Opener, files: tuple[Path, Path]) -> None:
    """Both copies cut back to an older state that verifies: the checkpoint bears witness."""
    await fill(opener)
    lines = files[0].read_bytes().splitlines(keepends=True)
    for path in files:
        path.write_bytes(b"".join(lines[:100]))
    ledger = opener()
    assert "shorter" in (ledger.in_doubt or "")
    ledger.close()


async def test_the_checkpoint_of_a_run_bears_witness_of_a_short_ledger(
    opener: Opener, files: tuple[Path, Path]
) -> None:
    """A few entries are enough: each run leaves its checkpoint."""
    ledger = opener()
    await ledger.append([intent("one")], reach_copy=True)
    await ledger.append([Draft("run", {"what": "ended"})], reach_copy=False)
    ledger.close()
    for path in files:
        path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    again = opener()
    assert "shorter" in (again.in_doubt or "")
    again.close()


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"{}\n", b"[]"])
async def test_a_broken_checkpoint_only_costs_time(
    opener: Opener, files: tuple[Path, Path], read: list[int], damage: bytes
) -> None:
    """It is not believed; the entries are read instead, and a new one is made."""
    await fill(opener)
    checkpoint = files[0].with_name("ledger.checkpoint")
    checkpoint.write_bytes(damage)
    ledger = opener()
    assert read[0] >= MANY
    assert ledger.problems == []
    ledger.close()
    assert len(checkpoint.read_bytes()) > len(damage)


async def test_a_checkpoint_of_another_key_is_not_believed(opener: Opener, files: tuple[Path, Path]) -> None:
    """Who cannot sign entries cannot hide one behind a checkpoint."""
    await fill(opener)
    other = files[0].with_name("other")
    forger = Ledger.open(other, None, b"x" * 32, CLOCK)
    await forger.append([Draft("completed", {"erasure_id": "x"})] * 1200, reach_copy=False)
    forger.close()
    forged = other.with_name("other.checkpoint")
    forged.rename(files[0].with_name("ledger.checkpoint"))
    ledger = opener()
    assert ledger.problems == []
    assert [entry.body["erasure_id"] for entry in ledger.open_intents] == ["first", "last"]
    ledger.close()


async def test_an_unsigned_tail_after_a_checkpoint_is_put_aside(opener: Opener, files: tuple[Path, Path]) -> None:
    """The entries before it stay known, although the index had seen the forged one."""
    await fill(opener)
    forger = Ledger.open(files[0], None, KEY, CLOCK)
    forger._key = Ed25519PrivateKey.from_private_bytes(b"x" * 32)
    await forger.append([Draft("completed", {"erasure_id": "first"})], reach_copy=False)
    forger.close()
    ledger = opener()
    assert [entry.body["erasure_id"] for entry in ledger.open_intents] == ["first", "last"]
    assert "altered" in (ledger.in_doubt or "")
    ledger.close()


@pytest.mark.long
async def test_a_hundred_thousand_entries_start_in_a_moment(opener: Opener) -> None:
    """A start over 100,000 entries takes less than half a second of processor time."""
    await fill(opener, 100_000, 10_000)
    before = time.process_time()
    ledger = opener()
    spent = time.process_time() - before
    assert ledger.head.n > 100_000
    ledger.close()
    assert spent < 0.5
