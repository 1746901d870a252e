"""Backups of a running recorder: what comes back after a restore, what never does, and what a person must decide."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.support.house import Conversation, House
from tests.support.processes import Mosquitto, MqttCollector, wait_until
from tests.support.recorder import COMMAND, Plan, Recorder

pytestmark = pytest.mark.timeout(300)

Item = dict[str, Any]


def recorded(house: House, caller: str) -> tuple[Conversation, Item]:
    """Record a short call."""
    talk = house.connect(caller)
    talk.talk(0.3)
    talk.hang_up()
    return talk, house.item_of(talk)


def backup(recorder: Recorder) -> Path:
    return recorder.directory / "backup"


def events(recorder: Recorder) -> list[Item]:
    told = recorder.must("events", "tail", "--after", "0", "-o", "jsonl").out
    return [json.loads(line) for line in told.splitlines()]


def check_never_seen(recorder: Recorder, erased: Item) -> None:
    """An erased call is in no listing, file, export, search or event."""
    call_id, recording_id = erased["call_id"], erased["recording_id"]
    assert call_id not in {item["call_id"] for item in recorder.find()}
    assert recorder.find(erased["network_number"]) == []
    assert recorder.run("show", call_id).code == 3
    assert recorder.run("play", call_id).code == 3
    assert recorder.run("export", call_id, "--to", str(recorder.directory / "never.wav")).code == 3
    for event in events(recorder):
        if event.get("subject") == call_id:
            assert event["type"] == "com.callrec.recording.erased.v1"
    wait_until(
        lambda: not list(recorder.recordings.rglob(f"{recording_id}.*")), "no file of an erased recording is left"
    )


def erase(recorder: Recorder, item: Item) -> None:
    recorder.must("delete", item["call_id"], "--yes", "--reason", "asked for")


def latest_set(recorder: Recorder) -> Path:
    return max((backup(recorder) / "sets").iterdir())


def put_back(recorder: Recorder, name: str) -> None:
    """Restore one store by hand, as with cp."""
    if name == "recordings":
        for path in (backup(recorder) / name).rglob("*.crec"):
            target = recorder.recordings / path.relative_to(backup(recorder) / name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():  # on the same disk both are names of one file
                shutil.copy(path, target)
        return
    for beside in recorder.state.glob(f"{name}-*"):
        beside.unlink()
    shutil.copy(latest_set(recorder) / name, recorder.state / name)


def test_a_backup_made_while_calls_go_on_restores_what_was_kept_only() -> None:
    """The whole way by command: back up in a call, erase, restore, start; numbers go on at the next block."""
    with House() as house:
        recorder = house.recorder
        gone_talk, gone = recorded(house, "+447700900601")
        kept_talk, kept = recorded(house, "+447700900602")
        live = house.connect("+447700900603")
        made = recorder.must("backup", "create", "--to", str(backup(recorder)), "--json").json
        assert made["recordings"] == 2
        live.hang_up()
        house.item_of(live)
        assert recorder.must("backup", "verify", str(backup(recorder))).code == 0
        files = [path for path in backup(recorder).rglob("*") if path.is_file()]
        assert all(path.stat().st_mode & 0o077 == 0 for path in files)
        key = (recorder.directory / "secrets" / "master-key").read_bytes()
        assert not any(key.splitlines()[1] in path.read_bytes() for path in files)
        erase(recorder, gone)
        last = int(events(recorder)[-1]["sequence"])
        assert recorder.run("backup", "restore", str(backup(recorder))).code == 75
        recorder.stop()

        assert recorder.run("backup", "restore", str(backup(recorder))).code == 5
        restored = recorder.must("backup", "restore", str(backup(recorder)), "--force", "--json").json
        assert (restored["set"], restored["ledger"], restored["lost"]) == (made["id"], "kept", {})
        recorder.restart()
        check_never_seen(recorder, gone)
        house.check_exports([kept_talk], [house.item_of(kept_talk)])
        assert recorder.status()["problems"] == []
        new = [event for event in events(recorder) if int(event["sequence"]) > last]
        assert int(new[0]["sequence"]) == 10_001
        assert new[0]["type"] == "com.callrec.system.recovered.v1"
        assert new[0]["data"]["skipped_upto"] == 10_000
        del gone_talk, kept


@pytest.mark.parametrize(
    "by_hand", ["catalogue.db", *(pytest.param(name, marks=pytest.mark.long) for name in ("keyring.db", "recordings"))]
)
def test_one_store_restored_by_hand_brings_nothing_back(by_hand: str) -> None:
    """Only the database, only the keyring, only the files: the ledger is replayed before anything is shown."""
    restore_by_hand((by_hand,))


@pytest.mark.long
@pytest.mark.parametrize(
    "names",
    [
        tuple(filter(None, names))
        for names in product(("catalogue.db", ""), ("keyring.db", ""), ("recordings", ""), ("ledger", ""))
        if sum(map(bool, names)) > 1
    ],
    ids="+".join,
)
def test_every_combination_of_stores_restored_by_hand_brings_nothing_back(names: tuple[str, ...]) -> None:
    """Also with a ledger as old as the backup, as long as its outside copy is there."""
    restore_by_hand(names)


def restore_by_hand(names: tuple[str, ...]) -> None:
    with House() as house:
        recorder = house.recorder
        _, gone = recorded(house, "+447700900611")
        kept, _ = recorded(house, "+447700900612")
        recorder.must("backup", "create", "--to", str(backup(recorder)))
        erase(recorder, gone)
        recorder.stop()
        for name in names:
            put_back(recorder, name)
        recorder.restart()
        wait_until(lambda: not recorder.status_now()["problems"], "the recorder is well", 10)
        check_never_seen(recorder, gone)
        house.check_exports([kept], [house.item_of(kept)])
        again, _ = recorded(house, "+447700900613")
        house.check_exports([again], [house.item_of(again)])


def check_closed(recorder: Recorder, item: Item) -> None:
    """Find, show, play and export are refused; status says why."""
    to = str(recorder.directory / "closed.wav")
    for command in (
        ["find"],
        ["show", item["call_id"]],
        ["play", item["call_id"]],
        ["export", "--to", to, item["call_id"]],
    ):
        outcome = recorder.run(*command)
        assert outcome.code == 5, outcome
        assert "backup accept" in outcome.err
    assert "ledger" in {problem["code"] for problem in recorder.status()["problems"]}


def accept(recorder: Recorder) -> None:
    """Let a person have looked at it."""
    assert recorder.run("backup", "accept").code == 2
    recorder.must("backup", "accept", "--reason", "looked at it")
    wait_until(lambda: not recorder.status_now()["problems"], "nothing is left to be looked at", 10)


@pytest.mark.long
@pytest.mark.parametrize("damage", ["missing", "altered"])
def test_a_lost_ledger_closes_the_store_until_a_person_accepts_it(damage: str) -> None:
    """Calls go on and are recorded; nobody finds, plays or exports anything before; restarts change nothing."""
    with House() as house:
        recorder = house.recorder
        talk, item = recorded(house, "+447700900621")
        recorder.stop()
        for path in (recorder.state / "ledger", recorder.directory / "ledger-copy" / "ledger"):
            if damage == "missing":
                path.unlink()
            else:
                path.write_bytes(path.read_bytes().replace(b'"run"', b'"nur"', 1))
        for _ in range(2):
            recorder.stop()
            recorder.restart()
            check_closed(recorder, item)
        meanwhile = house.connect("+447700900622")
        meanwhile.talk(0.3)
        meanwhile.hang_up()
        assert recorder.status_now()["recording"]
        accept(recorder)
        house.check_exports([talk, meanwhile], [house.item_of(one) for one in (talk, meanwhile)])


@pytest.mark.long
@pytest.mark.peer
def test_the_broker_remembers_a_ledger_that_was_cut(tmp_path: Path) -> None:
    """Ledger and copy are both put back to an older state: the signed head in `info` is the only witness left."""
    with (
        Mosquitto(tmp_path) as broker,
        House(Plan(mqtt_url=broker.url)) as house,
        MqttCollector(broker.port) as collector,
    ):
        recorder = house.recorder
        collector.wait_for(lambda told: bool(told) or recorder.status_now()["outbox"] == 0, "it begins")
        _, item = recorded(house, "+447700900631")
        recorder.stop()
        ledgers = [recorder.state / "ledger", recorder.directory / "ledger-copy" / "ledger"]
        databases = [recorder.state / name for name in ("catalogue.db", "keyring.db")]
        old = {path: path.read_bytes() for path in (*ledgers, *databases)}
        recorder.restart()
        wait_until(lambda: recorder.status_now()["broker"] == "connected", "info is published")
        recorder.stop()
        for path, content in old.items():
            path.write_bytes(content)
        recorder.restart()
        wait_until(lambda: recorder.run("find").code == 5, "the broker's word is heard", 10)
        check_closed(recorder, item)
        recorder.stop()
        broker.stop()
        recorder.restart()
        assert recorder.run("find").code == 5
        recorder.must("backup", "accept", "--reason", "looked at it")
        assert recorder.run("find").code == 0


@pytest.mark.long
def test_promises_that_a_restore_lost_stop_recording_until_entered_again() -> None:
    """A stop and a request made after the backup: both are named; calls pass; each is entered again.

    A stop that was lifted after it is in force again, and is named, too.
    """
    with House() as house:
        recorder = house.recorder
        _, item = recorded(house, "+447700900671")
        lifted = recorder.must("stop", "add", "--number", "+447700900678", "--json").json["id"]
        recorder.must("backup", "create", "--to", str(backup(recorder)))
        recorder.must("stop", "remove", lifted)
        stop = ["stop", "add", "--number", "+447700900679", "--reason", "asked for", "--json"]
        request = ["request", "new", "--number", "+447700900671", "--channel", "telephone", "--json"]
        lost = {"stop": [recorder.must(*stop).json["id"]], "request": [recorder.must(*request).json["id"]]}
        recorder.stop()
        restored = recorder.must("backup", "restore", str(backup(recorder)), "--only", "database", "--force", "--json")
        assert (restored.json["lost"], restored.json["revived"]) == (lost, {"stop": [lifted]})
        recorder.restart()
        assert [one["id"] for one in recorder.must("stop", "list", "--json").json["items"]] == [lifted]
        status = recorder.status()
        assert (status["recording"], status["lost"]) == (False, lost)
        (problem,) = status["problems"]
        assert problem["code"] == "storage_unavailable"
        assert all(one in problem["text"] for ids in lost.values() for one in ids)
        passed = house.reach_desk(house.dial("+447700900672"), 1.0)
        house.pick_up(passed)
        assert passed.out.wait_final(5).status == 200
        passed.hang_up()
        assert house.item_of(passed)["outcome_reason"] == "storage_unavailable"
        assert recorder.run("show", item["call_id"]).code == 0
        assert recorder.run("retention", "run").code == 5
        recorder.must(*stop)
        assert not recorder.status()["recording"]
        recorder.must(*request)
        wait_until(lambda: recorder.status_now()["recording"], "everything is entered again", 10)
        talk, _ = recorded(house, "+447700900673")
        house.check_exports([talk], [house.item_of(talk)])


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_a_kill_during_a_restore_leaves_all_or_nothing(seed: int) -> None:
    """kill -9 of `backup restore` at any moment, again and again: the erased are never seen, the kept always."""
    with House() as house:
        recorder = house.recorder
        _, gone = recorded(house, "+447700900641")
        kept, _ = recorded(house, "+447700900642")
        recorder.must("backup", "create", "--to", str(backup(recorder)))
        erase(recorder, gone)
        recorder.stop()
        for number in range(8):
            kill_a_restore(recorder, 0.25 + 0.06 * (8 * seed + number) / 4)
        recorder.restart()
        wait_until(lambda: not recorder.status_now()["problems"], "the recorder is well", 10)
        check_never_seen(recorder, gone)
        house.check_exports([kept], [house.item_of(kept)])
        assert list(recorder.state.glob("*.restoring")) == []


def kill_a_restore(recorder: Recorder, after_s: float) -> None:
    command = [str(COMMAND), "--config", str(recorder.configuration), "backup", "restore", "--force"]
    with subprocess.Popen(
        [*command, str(backup(recorder))], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ
    ) as process:
        deadline = time.monotonic() + after_s
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)


@pytest.mark.long
def test_a_new_master_key_opens_everything_old() -> None:
    """`keys rotate` between two runs: what was recorded before is heard, and what comes after."""
    with House() as house:
        recorder = house.recorder
        before, _ = recorded(house, "+447700900651")
        assert recorder.run("keys", "rotate", "--yes").code == 75
        recorder.stop()
        assert recorder.run("keys", "rotate").code == 2
        said = recorder.must("keys", "rotate", "--yes", "--json").json
        assert Path(said["old_key"]).exists()
        recorder.restart()
        assert recorder.status()["problems"] == []
        after, _ = recorded(house, "+447700900652")
        house.check_exports([before, after], [house.item_of(one) for one in (before, after)])


@pytest.mark.long
def test_a_copy_of_the_keys_is_made_beside_a_running_recorder() -> None:
    """Without catalogue, recordings or master key; known to the list of copies."""
    with House() as house:
        recorder = house.recorder
        made = recorder.must("keys", "backup", "--to", str(backup(recorder)), "--json").json
        names = {path.name for path in (backup(recorder) / "sets" / made["id"]).iterdir()}
        assert names == {"keyring.db", "ledger", "manifest.json"}
        (copy,) = recorder.must("backup", "list", "--json").json["items"]
        assert (copy["id"], copy["where"]) == (made["id"], str(backup(recorder)))
        assert recorder.run("backup", "restore", str(backup(recorder))).code == 75


@pytest.mark.long
def test_a_backup_without_a_recorder_is_the_same() -> None:
    """Made directly, under the lock, and restored onto an empty machine."""
    with House() as house:
        recorder = house.recorder
        talk, item = recorded(house, "+447700900661")
        recorder.stop()
        made = recorder.must("backup", "create", "--to", str(backup(recorder)), "--json").json
        assert made["recordings"] == 1
        shutil.rmtree(recorder.state)
        shutil.rmtree(recorder.recordings)
        shutil.rmtree(recorder.directory / "ledger-copy")
        restored = recorder.must("backup", "restore", str(backup(recorder)), "--json").json
        assert restored["ledger"] == "from_backup"
        recorder.restart()
        check_closed(recorder, item)
        accept(recorder)
        house.check_exports([talk], [house.item_of(talk)])
