"""A new master key wraps every key, the old one opens nothing any more, and a crash anywhere costs nothing."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callrec.errors import IntegrityError, OperatorError
from callrec.vault import key_rotation
from callrec.vault.key_rotation import load_master_key, new_file_of, old_files, rotate
from callrec.vault.keyring import SYSTEM_KEYS, CallKeys, Keyring
from callrec.vault.master_key import MasterKey

NOW = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Return the master key's file and a keyring with keys of calls and of a party."""
    file, keyring = tmp_path / "master-key", tmp_path / "keyring.db"
    Keyring.open(keyring, MasterKey.create(file), create=True, pool_calls=0).close()
    return file, keyring


def opened(file: Path, keyring: Path, *, pool_calls: int = 0) -> Keyring:
    return Keyring.open(keyring, load_master_key(file, keyring), create=False, pool_calls=pool_calls)


async def fill(file: Path, keyring: Path) -> tuple[CallKeys, str, bytes]:
    ring = opened(file, keyring, pool_calls=3000)
    keys = ring.take_call_keys()
    party_id, party_key = await ring.new_key("party")
    ring.close()
    return keys, party_id, party_key


async def test_every_key_is_the_same_under_the_new_master_key(files: tuple[Path, Path]) -> None:
    """More of them than one page holds; the old master key opens nothing."""
    keys, party_id, party_key = await fill(*files)
    old = MasterKey.load(files[0])
    before = opened(*files)
    system = {name: before.system_key(name) for name in SYSTEM_KEYS}
    before.close()
    kept, count = rotate(*files, NOW)
    assert count > 6000
    assert old_files(files[0]) == [kept]
    assert kept.stat().st_mode & 0o777 == files[0].stat().st_mode & 0o777 == 0o400
    ring = opened(*files)
    assert await ring.load(keys.identity_key_id) == keys.identity_key
    assert await ring.load(keys.audio_key_id) == keys.audio_key
    assert await ring.load(party_id) == party_key
    assert {name: ring.system_key(name) for name in SYSTEM_KEYS} == system
    ring.close()
    with pytest.raises(IntegrityError):
        Keyring.open(files[1], old, create=False, pool_calls=0)


async def test_no_key_is_left_under_the_old_master_key(files: tuple[Path, Path]) -> None:
    """Not even in the bytes of the file that are free now."""
    keys, _, _ = await fill(*files)
    wrapped = _wrapped(files[1], keys.audio_key_id)
    assert wrapped in files[1].read_bytes()
    rotate(*files, NOW)
    assert wrapped not in files[1].read_bytes()


def _wrapped(keyring: Path, key_id: str) -> bytes:
    with closing(sqlite3.connect(keyring)) as connection:
        return bytes(connection.execute("SELECT wrapped FROM keys WHERE key_id = ?", (key_id,)).fetchone()[0])


async def test_a_key_that_does_not_verify_changes_nothing(files: tuple[Path, Path]) -> None:
    """All or none: one altered key stops it, and the old master key goes on opening the rest."""
    keys, _, _ = await fill(*files)
    with closing(sqlite3.connect(files[1])) as connection:
        last = connection.execute("SELECT max(key_id) FROM keys WHERE purpose = 'audio'").fetchone()[0]
        connection.execute("UPDATE keys SET wrapped = zeroblob(61) WHERE key_id = ?", (last,))
        connection.commit()
    with pytest.raises(IntegrityError):
        rotate(*files, NOW)
    ring = opened(*files)
    assert await ring.load(keys.identity_key_id) == keys.identity_key
    ring.close()


async def test_a_wrong_master_key_changes_nothing(files: tuple[Path, Path]) -> None:
    """Somebody else's key cannot take the keyring over."""
    await fill(*files)
    before = files[1].read_bytes()
    files[0].unlink()
    MasterKey.create(files[0])
    with pytest.raises(IntegrityError):
        rotate(*files, NOW)
    assert files[1].read_bytes() == before


@pytest.mark.parametrize("after", ["new key", "wrapped", "old kept"])
async def test_a_plug_pulled_anywhere_costs_nothing(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    """Whoever opens the keyring next finds the right key, and takes the last step."""
    keys, _, _ = await fill(*files)

    class Plug(BaseException):
        pass

    def pull(*_: object, **__: object) -> None:
        raise Plug

    with monkeypatch.context() as patched:
        match after:
            case "new key":
                patched.setattr(key_rotation, "rewrap", pull)
            case "wrapped":
                patched.setattr(Path, "hardlink_to", pull)
            case _:
                patched.setattr(Path, "replace", pull)
        with pytest.raises(Plug):
            rotate(*files, NOW)
    ring = opened(*files)
    assert await ring.load(keys.audio_key_id) == keys.audio_key
    ring.close()
    assert new_file_of(files[0]).exists() == (after == "new key")
    later = datetime(2026, 11, 26, tzinfo=UTC)
    rotate(*files, later)
    again = opened(*files)
    assert await again.load(keys.audio_key_id) == keys.audio_key
    again.close()
    assert not new_file_of(files[0]).exists()


def test_without_a_key_there_is_nothing_to_rotate(tmp_path: Path) -> None:
    """It is told, and none is made."""
    with pytest.raises(OperatorError, match="no such file"):
        rotate(tmp_path / "master-key", tmp_path / "keyring.db", NOW)
    assert list(tmp_path.iterdir()) == []


PROGRAM = """
import pathlib, sys
from datetime import UTC, datetime
from callrec.vault.key_rotation import rotate
print("go", flush=True)
rotate(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), datetime.now(UTC))
"""


def rotate_and_kill(files: tuple[Path, Path], delay_ms: int) -> None:
    """Begin a rotation in another process and kill that after a while."""
    command = [sys.executable, "-c", PROGRAM, str(files[0]), str(files[1])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).resolve().parents[2]) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(delay_ms / 1000)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)


@pytest.mark.long
@pytest.mark.parametrize("delay_ms", range(0, 120, 6))
async def test_a_kill_at_any_moment_costs_nothing(files: tuple[Path, Path], delay_ms: int) -> None:
    """kill -9 while keys are wrapped anew: the keyring opens, and every key is there."""
    keys, party_id, party_key = await fill(*files)
    rotate_and_kill(files, delay_ms)
    ring = opened(*files)
    assert await ring.load(keys.identity_key_id) == keys.identity_key
    assert await ring.load(party_id) == party_key
    ring.close()
    rotate(*files, NOW)
    opened(*files).close()
