"""The master key: made once, read with care, never overwritten."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from callrec.errors import ExitCode, IntegrityError, OperatorError
from callrec.vault.master_key import MasterKey


def test_a_made_key_is_loaded_again(tmp_path: Path) -> None:
    """What one master key wraps, the same key loaded from its file unwraps."""
    made = MasterKey.create(tmp_path / "master-key")
    wrapped = made.wrap(b"k" * 32, key_id="a", purpose="audio")
    assert MasterKey.load(tmp_path / "master-key").unwrap(wrapped, key_id="a", purpose="audio") == b"k" * 32


def test_only_the_recorder_may_read_it(tmp_path: Path) -> None:
    """The file has mode 0400, and the key is in no representation of it."""
    path = tmp_path / "master-key"
    made = MasterKey.create(path, random=lambda count: b"K" * count)
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert "KKKK" not in repr(made)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    """A second `create` refuses and changes nothing."""
    path = tmp_path / "master-key"
    MasterKey.create(path)
    before = path.read_bytes()
    with pytest.raises(OperatorError, match="never overwritten"):
        MasterKey.create(path)
    assert path.read_bytes() == before


def test_no_new_key_over_an_old_store(tmp_path: Path) -> None:
    """Beside an old keyring no new master key is made: it would lock the store for ever."""
    (tmp_path / "keyring.db").touch()
    with pytest.raises(OperatorError, match="older master key"):
        MasterKey.create(tmp_path / "master-key", store=[tmp_path / "keyring.db"])
    assert not (tmp_path / "master-key").exists()


def test_raw_bytes_are_a_key_too(tmp_path: Path) -> None:
    """A systemd credential may hold the 32 bytes themselves."""
    path = tmp_path / "master-key"
    path.write_bytes(bytes(range(32)))
    path.chmod(0o400)
    wrapped = MasterKey(bytes(range(32))).wrap(b"x", key_id="a", purpose="p")
    assert MasterKey.load(path).unwrap(wrapped, key_id="a", purpose="p") == b"x"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "are no key"),
        (b"short", "are no key"),
        (b"callrec master key 1\nAAAA\n", "a key of 3 bytes"),
        (b"callrec master key 1\n%%%\n", "a key of 0 bytes"),
        (b"callrec master key 1", "are no key"),
        (bytes(5000), "are no key"),
    ],
)
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    """Whatever else lies there is refused in one sentence with the exit code for keys."""
    path = tmp_path / "master-key"
    path.write_bytes(content)
    path.chmod(0o400)
    with pytest.raises(OperatorError, match=says) as caught:
        MasterKey.load(path)
    assert caught.value.exit_code is ExitCode.INTEGRITY
    assert "\n" not in str(caught.value)


def test_a_missing_key_says_what_to_do(tmp_path: Path) -> None:
    """The message names the command that makes a key."""
    with pytest.raises(OperatorError, match="callrec keys init"):
        MasterKey.load(tmp_path / "master-key")


def test_a_key_that_everybody_reads_is_refused(tmp_path: Path) -> None:
    """A world-readable key protects nothing."""
    path = tmp_path / "master-key"
    MasterKey.create(path)
    path.chmod(0o444)
    with pytest.raises(OperatorError, match="chmod 0400"):
        MasterKey.load(path)


def test_a_key_opens_only_its_own_purpose() -> None:
    """A wrapped key moved to another id or purpose does not open."""
    master = MasterKey(bytes(32))
    wrapped = master.wrap(b"k" * 32, key_id="a", purpose="audio")
    for place in ({"key_id": "b", "purpose": "audio"}, {"key_id": "a", "purpose": "identity"}):
        with pytest.raises(IntegrityError):
            master.unwrap(wrapped, **place)
