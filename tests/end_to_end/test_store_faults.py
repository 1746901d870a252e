"""A store that is broken or gone at the start: calls pass, status says what to do, nothing is overwritten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.house import Conversation, House
from tests.support.processes import wait_until
from tests.support.recorder import Plan, Recorder

RINGS_S = 1.0


def master_key(recorder: Recorder) -> Path:
    return recorder.directory / "secrets" / "master-key"


def keyring(recorder: Recorder) -> Path:
    return recorder.state / "keyring.db"


def catalogue(recorder: Recorder) -> Path:
    return recorder.state / "catalogue.db"


def replace_by_anothers_key(path: Path) -> None:
    other = Recorder(Plan())
    try:
        other.must("keys", "init")
        path.chmod(0o600)
        path.write_bytes(master_key(other).read_bytes())
        path.chmod(0o400)
    finally:
        other.close()


def scribble(path: Path) -> None:
    """Write nonsense over the first half of a file."""
    content = path.read_bytes()
    path.write_bytes(b"nonsense" * (len(content) // 16) + content[len(content) // 2 :])


@dataclass(frozen=True)
class Fault:
    """What happens to which file, what status calls it, and what becomes of a call."""

    file: Callable[[Recorder], Path]
    damage: Callable[[Path], None]
    code: str
    reason: str
    says: str


FAULTS = {
    "another's master key": Fault(
        master_key, replace_by_anothers_key, "keys_unavailable", "keys_unavailable", "put back the master key"
    ),
    "no master key": Fault(master_key, Path.unlink, "keys_unavailable", "keys_unavailable", "/master-key: "),
    "a broken master key": Fault(master_key, scribble, "keys_unavailable", "keys_unavailable", "/master-key: "),
    "no keyring": Fault(keyring, Path.unlink, "keys_unavailable", "keys_unavailable", "restore the keyring"),
    "a broken keyring": Fault(keyring, scribble, "keys_unavailable", "keys_unavailable", "/keyring.db: "),
    "a broken catalogue": Fault(
        catalogue, scribble, "storage_unavailable", "storage_unavailable", "restore it from a backup"
    ),
}


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def recordings(recorder: Recorder) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in recorder.recordings.rglob("*") if path.is_file()}


def pass_through(house: House, caller: str) -> Conversation:
    """Bring a call through without a notice, and end it."""
    talk = house.reach_desk(house.dial(caller), RINGS_S)
    house.pick_up(talk)
    assert talk.out.wait_final(5).status == 200
    assert talk.out.remote_session is not None
    talk.outside.begin(talk.out.remote_session)
    talk.talk(0.3)
    talk.hang_up()
    return talk


@pytest.mark.long
@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_store_is_told_kept_and_mended(name: str) -> None:
    """Calls pass with the right outcome; with the right file back, all is readable again and the call has its row."""
    fault = FAULTS[name]
    with House() as house:
        recorder = house.recorder
        path = fault.file(recorder)
        before = house.connect("+447700900501")
        before.hang_up()
        house.check_exports([before], [house.item_of(before)])
        recorder.stop()
        right, stored = path.read_bytes(), recordings(recorder)
        mode = path.stat().st_mode
        path.chmod(0o600)
        fault.damage(path)
        damaged = content(path)

        recorder.restart()
        outcome = recorder.run("status", "--json")
        assert (outcome.code, outcome.json["recording"]) == (1, False)
        told = {problem["text"] for problem in outcome.json["problems"] if problem["code"] == fault.code}
        assert any(fault.says in text for text in told), told
        assert not [text for text in told if "\n" in text]
        assert "Traceback" not in recorder.tail()
        pass_through(house, "+447700900502")
        wait_until(lambda: recorder.status_now()["active_calls"] == 0, "the call is over")
        recorder.stop()
        assert content(path) == damaged, "the broken file was changed"
        assert recordings(recorder) == stored

        path.unlink(missing_ok=True)
        path.write_bytes(right)
        path.chmod(mode)
        recorder.restart()
        wait_until(lambda: not recorder.status_now()["problems"], "no problem is left", 10)
        wait_until(lambda: len(recorder.find()) == len([before]) + 1, "each call has its one row", 10)
        passed, kept = recorder.find()
        assert (passed["outcome"], passed["outcome_reason"]) == ("not_recorded", fault.reason)
        assert not passed["in_progress"]
        house.check_exports([before], [kept])
        again = house.connect("+447700900503")
        again.hang_up()
        house.check_exports([again], [house.item_of(again)])


@pytest.mark.long
def test_an_altered_ledger_is_put_aside_and_told() -> None:
    """Both copies are altered: nothing of them is replayed or lost, status says so, and calls are still recorded."""
    with House() as house:
        recorder = house.recorder
        before = house.connect("+447700900511")
        before.hang_up()
        item = house.item_of(before)
        recorder.must("delete", item["call_id"], "--yes", "--reason", "asked for")
        recorder.stop()
        ledger, copy = recorder.state / "ledger", recorder.directory / "ledger-copy" / "ledger"
        whole = ledger.read_bytes()
        altered = whole.replace(b'"intent"', b'"begun"', 1)
        assert altered != whole
        for path in (ledger, copy):
            path.write_bytes(altered)
        recorder.restart()
        outcome = recorder.run("status", "--json")
        assert outcome.code == 1
        (text,) = [problem["text"] for problem in outcome.json["problems"] if problem["code"] == "ledger"]
        assert str(ledger) in text
        kept = b"".join(path.read_bytes() for path in sorted(ledger.parent.glob("ledger*")) if path.is_file())
        assert all(line in kept for line in altered.splitlines()), "something of the ledger is lost"
        after = house.connect("+447700900512")
        after.hang_up()
        assert recorder.run("find").code == 5
        recorder.must("backup", "accept", "--reason", "looked at it")
        house.check_exports([after], [house.item_of(after)])
