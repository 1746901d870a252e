"""The keyring: durable before it is used, gone when it is destroyed."""

# ruff: noqa: ASYNC240 - tests look at small local files

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from callrec.errors import IntegrityError, OperatorError
from callrec.vault.keyring import SYSTEM_KEYS, CallKeys, Keyring
from callrec.vault.keyring_errors import KeyDestroyed, KeysUnavailable
from callrec.vault.master_key import MasterKey

MASTER = MasterKey(b"m" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keyring.db"


@pytest.fixture
def keyring(path: Path) -> Iterator[Keyring]:
    opened = Keyring.open(path, MASTER, create=True, pool_calls=8)
    yield opened
    opened.close()


async def take(keyring: Keyring) -> CallKeys:
    """Take keys as soon as the pool has some."""
    async with asyncio.timeout(5):
        while True:
            try:
                return keyring.take_call_keys()
            except KeysUnavailable:
                await asyncio.sleep(0.01)


async def test_keys_survive_a_restart(keyring: Keyring, path: Path) -> None:
    """Taken keys and system keys are the same after closing and opening."""
    keys = keyring.take_call_keys()
    system = {name: keyring.system_key(name) for name in SYSTEM_KEYS}
    keyring.close()
    again = Keyring.open(path, MASTER, create=False)
    assert await again.load(keys.identity_key_id) == keys.identity_key
    assert await again.load(keys.audio_key_id) == keys.audio_key
    assert {name: again.system_key(name) for name in SYSTEM_KEYS} == system
    again.close()


async def test_every_key_is_its_own(keyring: Keyring) -> None:
    """No two keys of calls or of the system are alike."""
    taken = [await take(keyring) for _ in range(50)]
    keys = [key for one in taken for key in (one.identity_key, one.audio_key)]
    keys += [keyring.system_key(name) for name in SYSTEM_KEYS]
    assert len(set(keys)) == 106
    assert all(len(key) == 32 for key in keys)


async def test_the_pool_refills_itself(keyring: Keyring) -> None:
    """Far more calls than the pool holds get keys, each durable when it is handed out."""
    for _ in range(100):
        keys = await take(keyring)
        assert await keyring.existing([keys.identity_key_id, keys.audio_key_id]) == {
            keys.identity_key_id,
            keys.audio_key_id,
        }


def test_taking_never_waits(keyring: Keyring) -> None:
    """A dry pool is told at once."""
    keyring._store.close()
    for _ in range(8):
        keyring.take_call_keys()
    with pytest.raises(KeysUnavailable):
        keyring.take_call_keys()


async def test_a_destroyed_key_is_gone(keyring: Keyring, path: Path) -> None:
    """After `destroy` neither cache, file nor a new start gives the key; its wrapped bytes are overwritten."""
    keys = keyring.take_call_keys()
    await keyring.load(keys.audio_key_id)
    wrapped = _wrapped(path, keys.audio_key_id)
    assert wrapped in path.read_bytes()
    await keyring.destroy([keys.audio_key_id])
    assert keyring.cached(keys.audio_key_id) is None
    with pytest.raises(KeyDestroyed):
        await keyring.load(keys.audio_key_id)
    assert wrapped not in path.read_bytes()
    assert await keyring.load(keys.identity_key_id) == keys.identity_key
    keyring.close()
    again = Keyring.open(path, MASTER, create=False)
    with pytest.raises(KeyDestroyed):
        await again.load(keys.audio_key_id)
    again.close()


def _io_error(connection: sqlite3.Connection) -> None:
    raise sqlite3.OperationalError("disk I/O error")


def _wrapped(path: Path, key_id: str) -> bytes:
    script = "import sqlite3,sys;print(sqlite3.connect(sys.argv[1]).execute("
    script += "'select hex(wrapped) from keys where key_id=?',(sys.argv[2],)).fetchone()[0])"
    done = subprocess.run([sys.executable, "-c", script, path, key_id], capture_output=True, text=True, check=True)
    return bytes.fromhex(done.stdout)


async def test_a_load_under_way_brings_no_destroyed_key_back(keyring: Keyring) -> None:
    """Loads that race a destruction leave nothing in the cache."""
    keys = [await take(keyring) for _ in range(20)]
    keyring._cache.clear()
    loads = [asyncio.ensure_future(keyring.load_many([one.audio_key_id])) for one in keys]  # noqa: TID251 - a race
    await keyring.destroy(one.audio_key_id for one in keys)
    await asyncio.gather(*loads)
    assert all(keyring.cached(one.audio_key_id) is None for one in keys)


async def test_destroying_may_be_repeated(keyring: Keyring) -> None:
    """A key destroyed twice, or never there, is no fault."""
    keys = keyring.take_call_keys()
    await keyring.destroy([keys.audio_key_id, "unknown"])
    await keyring.destroy([keys.audio_key_id])


async def test_system_keys_cannot_be_destroyed(keyring: Keyring) -> None:
    """An erasure never reaches the keys of the store itself."""
    await keyring.destroy(["system/index"])
    assert await keyring.existing(["system/index"]) == {"system/index"}


def test_the_wrong_master_key_is_told(keyring: Keyring, path: Path) -> None:
    """Another master key is refused in one sentence, and the keyring is not changed."""
    keyring.close()
    before = path.read_bytes()
    with pytest.raises(IntegrityError, match="not the one that wrapped it"):
        Keyring.open(path, MasterKey(b"x" * 32), create=True)
    assert path.read_bytes() == before


def test_no_keyring_is_made_unasked(path: Path) -> None:
    """A missing keyring is told, with what to do."""
    with pytest.raises(OperatorError, match="callrec keys init"):
        Keyring.open(path, MASTER, create=False)
    assert not path.exists()


def test_an_empty_keyring_gets_no_new_keys(path: Path) -> None:
    """A file that lost its content is told and left alone: new keys over an old store would hide the loss."""
    path.touch()
    with pytest.raises(IntegrityError, match="restore the keyring"):
        Keyring.open(path, MASTER, create=False)
    assert path.read_bytes() == b""


def test_a_broken_keyring_is_told(path: Path) -> None:
    """A file that is no database is KeysUnavailable, and stays as it is."""
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(KeysUnavailable):
        Keyring.open(path, MASTER, create=False)
    assert path.read_bytes() == b"no database at all" * 100


def test_the_file_is_ours_alone(keyring: Keyring, path: Path) -> None:
    """Nobody else may read the keyring."""
    assert keyring.ready_calls
    assert path.stat().st_mode & 0o077 == 0


async def test_spares_of_an_earlier_run_are_swept(keyring: Keyring, path: Path) -> None:
    """Keys left over are destroyed, except those that a call has."""
    mine = keyring.take_call_keys()
    keyring._taken.clear()  # as a kill would leave it: nothing noted
    keyring.close()
    again = Keyring.open(path, MASTER, create=False, pool_calls=8)
    assert len(again.left_over) == 16
    assert await again.sweep_unclaimed({mine.identity_key_id, mine.audio_key_id}) == 14
    assert await again.load(mine.audio_key_id) == mine.audio_key
    assert again.left_over == []
    again.close()
    third = Keyring.open(path, MASTER, create=False, pool_calls=8)
    assert mine.audio_key_id not in third.left_over
    third.close()


async def test_the_keyring_recovers_with_its_disk(keyring: Keyring, path: Path) -> None:
    """While the folder is gone nothing is destroyed and that is told; when it is back, it works again."""
    keys = keyring.take_call_keys()
    aside = path.with_name("aside")
    await keyring.load(keys.identity_key_id)
    keyring._cache.clear()
    path.rename(aside)
    path.mkdir()
    # The open connection still has the file; a failure makes it open anew.
    with pytest.raises(KeysUnavailable):
        keyring._store.write(_io_error).result(5)
    with pytest.raises(KeysUnavailable):
        await keyring.destroy([keys.audio_key_id])
    path.rmdir()
    aside.rename(path)
    assert await keyring.load(keys.audio_key_id) == keys.audio_key


@pytest.mark.parametrize("seed", range(3))
def test_a_kill_loses_no_key_that_was_handed_out(path: Path, seed: int) -> None:
    """kill -9 at any moment: every key that was handed out is in the keyring afterwards."""
    program = (
        "import sys,pathlib\n"
        "from callrec.vault.keyring import Keyring\n"
        "from callrec.vault.keyring_errors import KeysUnavailable\n"
        "from callrec.vault.master_key import MasterKey\n"
        "ring = Keyring.open(pathlib.Path(sys.argv[1]), MasterKey(b'm' * 32), create=True, pool_calls=8)\n"
        "while True:\n"
        "    try: keys = ring.take_call_keys()\n"
        "    except KeysUnavailable: continue\n"
        "    print(keys.identity_key_id, keys.identity_key.hex(), flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(40 + 70 * seed)]
        os.kill(process.pid, signal.SIGKILL)
        lines += [line for line in process.stdout if line.endswith("\n")]
    keyring = Keyring.open(path, MASTER, create=False, pool_calls=0)
    given = dict(line.split() for line in lines)
    found = asyncio.run(keyring.load_many(given))
    keyring.close()
    assert {key_id: key.hex() for key_id, key in found.items()} == given
