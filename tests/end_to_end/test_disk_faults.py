"""What a disk does to live calls: it blocks, is full, cannot be written; no call is dropped, and all of it is told."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demonstration.telephony import g711
from tests.support.disks import Disk, disk_under, unwritable
from tests.support.house import Conversation, House, Side
from tests.support.listening import decoded, matches
from tests.support.processes import Mosquitto, MqttCollector, wait_until
from tests.support.recorder import Plan

LIVE = 4
STATE_BLOCKED_S = 10.0
ROW_LIMIT_S = 0.5
"""What a call may wait for its row, as the design has it."""
SLACK_S = 0.5
TOLD_S = 5.0
ANSWERS_S = 1.0
DELAY_P99_S = 0.020
HELD_BACK_S = 5.0
LAST_SECOND_PACKETS = 55
READY_S = 5.0


def problems(house: House) -> dict[str, str]:
    """Return the texts of the problems, by code; the answer must come at once, whatever a disk does."""
    began = time.monotonic()
    said = house.recorder.status_now()
    assert time.monotonic() - began < ANSWERS_S, "status is slow"
    return {problem["code"]: problem["text"] for problem in said["problems"]}


def wait_for_problem(house: House, code: str = "storage_unavailable", timeout: float = TOLD_S) -> str:
    """Wait until `status` tells of a problem, and return its text."""
    wait_until(lambda: code in problems(house), f"status tells {code}", timeout)
    return problems(house)[code]


def wait_until_well(house: House, timeout: float = 15.0) -> None:
    wait_until(lambda: not problems(house), "no problem is left", timeout)


def crowd(house: House, count: int = LIVE, start: int = 0) -> list[Conversation]:
    """Bring some calls all the way at once."""
    talks = [house.dial(f"+4477009003{start + number:02}") for number in range(count)]
    for talk in talks:
        house.hear_notice(talk)
    for talk in talks:
        house.pick_up(house.reach_desk(talk))
    talks[-1].talk(1.0)
    return talks


def fill_state(house: House, disk: Disk) -> None:
    """Fill the state disk so that the very next row finds no room: not even the old room of the write-ahead log."""

    def emptied() -> bool:
        with closing(sqlite3.connect(house.recorder.state / "catalogue.db")) as connection:
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    wait_until(emptied, "the log is empty")
    disk.fill()


def pass_unrecorded(house: House, caller: str) -> tuple[Conversation, float]:
    """Bring a call through that gets no notice; return it and how long the desk's phone took to ring."""
    began = time.monotonic()
    talk = house.dial(caller)
    house.reach_desk(talk, 10)
    rang = time.monotonic() - began
    house.pick_up(talk)
    assert talk.out.wait_final(10).status == 200
    assert talk.out.remote_session is not None
    talk.outside.begin(talk.out.remote_session)
    return talk, rang


def talk_until(talk: Conversation, when: float) -> None:
    talk.talk(max(0.5, when - time.monotonic()))


def delays(speaker: Side, listener: Side) -> list[float]:
    """Return how long each packet was under way from one phone to the other, in seconds."""
    size = 160
    left = {speaker.coded[place : place + size]: at for at, place in speaker.voice.sent}
    return [packet.at - left[packet.payload] for packet in listener.voice.heard if packet.payload in left]


def check_heard(talks: list[Conversation]) -> None:
    """Check that no desk missed a packet of its caller."""
    for talk in talks:
        heard = talk.inside.voice.audio_heard(g711.PCMA)
        assert heard, "the desk heard nothing"
        assert heard in talk.outside.coded, "packets were lost on the way to the desk"


def check_quick(talks: list[Conversation]) -> None:
    """Check that 99 of 100 packets were under way for no longer than the judge allows."""
    under_way = [
        delay for talk in talks for delay in delays(talk.outside, talk.inside) + delays(talk.inside, talk.outside)
    ]
    slowest = float(np.percentile(under_way, 99))
    assert slowest < DELAY_P99_S, f"99 of 100 packets were under way for up to {slowest * 1e3:.1f} ms"


def check_gap_in_place(talk: Conversation, item: dict[str, Any], exported: tuple[int, list[int], list[int]]) -> None:
    """Check that an export holds both voices before and after the one gap, in their places, and silence within."""
    (gap,) = [segment for segment in item["segments"] if segment["state"] == "gap"]
    for side, channel in ((talk.outside, exported[1]), (talk.inside, exported[2])):
        pieces = matches(np.array(channel, np.int16), decoded(side.payload_type, side.coded))
        assert len(pieces) == 2, pieces
        before, after = pieces
        assert abs((before.in_channel + before.length) / 8 - gap["start_ms"]) < 100, (pieces, gap)
        assert abs(after.in_channel / 8 - gap["end_ms"]) < 100, (pieces, gap)
        slid = (after.in_channel - after.in_voice) - (before.in_channel - before.in_voice)
        assert abs(slid) / 8 <= 20, f"what follows the gap slid by {slid / 8} ms"


def items_by_caller(house: House, talks: list[Conversation], timeout: float = 25.0) -> dict[str, dict[str, Any]]:
    """Wait until these calls are over; return the one row of each, and check that there is no other."""
    house.items_of(talks, timeout=timeout)
    items = house.recorder.find()
    assert len(items) == len(talks), "a row too many or too few"
    assert not [item for item in items if item["in_progress"]]
    return {item["network_number"]: item for item in items}


def check_unrecorded(item: dict[str, Any], reason: str = "storage_unavailable") -> None:
    assert (item["outcome"], item["outcome_reason"]) == ("not_recorded", reason), item


def gaps_told(collector: MqttCollector, call_id: str) -> list[dict[str, Any]]:
    """Return what the gap events of a call say, in their order."""
    return [
        event["data"]
        for event in collector.events
        if event["type"] == "com.callrec.recording.gap.v1" and event["subject"] == call_id
    ]


@pytest.mark.alone
@pytest.mark.timeout(120)
@pytest.mark.parametrize("blocked_s", [12.0, pytest.param(30.0, marks=pytest.mark.long)])
def test_a_recordings_disk_that_blocks_costs_no_call(tmp_path: Path, blocked_s: float) -> None:
    """No call is dropped or slowed down, every missing second is marked and told within 5 s, and it ends by itself."""
    with (
        Mosquitto(tmp_path) as broker,
        House(Plan(mqtt_url=broker.url)) as house,
        disk_under(house.recorder, house.recorder.recordings) as disk,
        MqttCollector(broker.port) as collector,
    ):
        live = crowd(house)
        cut_off = live.pop()
        disk.block()
        blocked_at = time.monotonic()
        wait_for_problem(house)
        unrecorded, rang = pass_unrecorded(house, "+447700900381")
        assert rang < ROW_LIMIT_S + SLACK_S
        collector.wait_for(_degraded, "system/degraded", 2)
        talk_until(live[0], blocked_at + HELD_BACK_S + 4.5)
        collector.wait_for(lambda _: len(_growing(collector)) >= LIVE, "each gap is told while it grows", 2)
        cut_off.hang_up()
        talk_until(live[0], blocked_at + blocked_s)
        problems(house)
        disk.answer()
        wait_until_well(house)
        live[0].talk(2.0)
        talks = [*live, unrecorded]
        for talk in talks:
            talk.hang_up()
        check_heard(talks)
        check_quick(talks)
        items = items_by_caller(house, [*talks, cut_off])
        check_unrecorded(items[unrecorded.caller])
        exported = house.recorder.export_all([items[talk.caller]["call_id"] for talk in live])
        for talk in live:
            item = items[talk.caller]
            assert (item["outcome"], item["outcome_reason"], item["cut"]) == ("recorded", "complete", False)
            check_gap_in_place(talk, item, exported[item["call_id"]])
            (gap,) = [segment for segment in item["segments"] if segment["state"] == "gap"]
            last = gaps_told(collector, item["call_id"])[-1]
            assert (last["start_ms"], last["end_ms"], last["final"]) == (gap["start_ms"], gap["end_ms"], True)
            assert (gap["end_ms"] - gap["start_ms"]) / 1000 < blocked_s - HELD_BACK_S + 2.0
        cut = items[cut_off.caller]
        assert (cut["outcome"], cut["outcome_reason"], cut["cut"]) == ("recorded", "cut", True)
        house.recorder.must("store", "verify")


def _degraded(events: list[dict[str, Any]]) -> bool:
    return any(event["type"] == "com.callrec.system.degraded.v1" for event in events)


def _growing(collector: MqttCollector) -> set[str]:
    return {
        event["subject"]
        for event in collector.events
        if event["type"] == "com.callrec.recording.gap.v1" and not event["data"]["final"]
    }


@pytest.mark.long
def test_a_state_disk_that_blocks_costs_no_call() -> None:
    """Catalogue and keyring wait 10 s for their disk: calls pass unrecorded within 500 ms, each has its one row."""
    with House() as house, disk_under(house.recorder, house.recorder.state) as disk:
        live = crowd(house)
        ends_meanwhile = live.pop()
        disk.block()
        blocked_at = time.monotonic()
        first, rang = pass_unrecorded(house, "+447700900381")
        assert rang < ROW_LIMIT_S + SLACK_S, f"the desk's phone rang after {rang:.2f} s"
        wait_for_problem(house, timeout=1.5)
        ends_meanwhile.hang_up()
        second, rang = pass_unrecorded(house, "+447700900382")
        assert rang < SLACK_S, f"the desk's phone rang after {rang:.2f} s"
        second.hang_up()
        talk_until(first, blocked_at + STATE_BLOCKED_S)
        problems(house)
        disk.answer()
        wait_until_well(house)
        talks = [*live, first]
        for talk in talks:
            talk.hang_up()
        check_heard(talks)
        items = items_by_caller(house, [*live, ends_meanwhile, first, second])
        check_unrecorded(items[first.caller])
        check_unrecorded(items[second.caller])
        recorded = [*live, ends_meanwhile]
        house.check_exports(recorded, [items[talk.caller] for talk in recorded])
        check_told_once(house)


def check_told_once(house: House) -> None:
    """Check that every call's beginning and end are told once, and that event numbers have no hole."""
    lines = house.recorder.must("events", "tail", "--after", "0", "--json").out.decode().splitlines()
    events = [json.loads(line) for line in lines]
    numbers = [int(event["sequence"]) for event in events]
    assert numbers == list(range(1, len(numbers) + 1))
    for what in ("call.started", "call.ended", "recording.started", "recording.sealed"):
        about = [event["subject"] for event in events if event["type"] == f"com.callrec.{what}.v1"]
        assert len(about) == len(set(about)), f"{what} was told twice"
    calls = {event["subject"] for event in events if event["type"].startswith("com.callrec.call.")}
    ended = {event["subject"] for event in events if event["type"] == "com.callrec.call.ended.v1"}
    assert calls == ended


def test_a_full_recordings_disk_costs_no_call() -> None:
    """ENOSPC under live calls: the gap is marked and told, new calls pass unrecorded, and it ends by itself."""
    with House() as house, disk_under(house.recorder, house.recorder.recordings, kind="tmpfs", size_mib=8) as disk:
        live = crowd(house)
        disk.fill()
        filled_at = time.monotonic()
        text = wait_for_problem(house)
        assert str(house.recorder.recordings) in text
        unrecorded, _ = pass_unrecorded(house, "+447700900381")
        talk_until(live[0], filled_at + HELD_BACK_S + 2.0)
        disk.free()
        wait_until_well(house)
        live[0].talk(2.0)
        talks = [*live, unrecorded]
        for talk in talks:
            talk.hang_up()
        check_heard(talks)
        items = items_by_caller(house, talks)
        check_unrecorded(items[unrecorded.caller])
        exported = house.recorder.export_all([items[talk.caller]["call_id"] for talk in live])
        for talk in live:
            item = items[talk.caller]
            assert (item["outcome"], item["outcome_reason"], item["cut"]) == ("recorded", "complete", False)
            check_gap_in_place(talk, item, exported[item["call_id"]])
        house.recorder.must("store", "verify")


@pytest.mark.long
def test_too_little_room_lets_new_calls_pass() -> None:
    """Below `min_free` nothing new is recorded, what is being recorded goes on, and nothing is deleted for room."""
    with House() as house, disk_under(house.recorder, house.recorder.recordings, kind="tmpfs", size_mib=8) as disk:
        live = crowd(house, 1)
        disk.fill(leave=512 << 10)
        assert "limits.min_free" in wait_for_problem(house)
        unrecorded, _ = pass_unrecorded(house, "+447700900381")
        outcome = house.recorder.run("status", "--json")
        assert (outcome.code, outcome.json["recording"]) == (1, False)
        live[0].talk(1.0)
        for talk in (*live, unrecorded):
            talk.hang_up()
        items = items_by_caller(house, [*live, unrecorded])
        check_unrecorded(items[unrecorded.caller])
        house.check_exports(live, [items[talk.caller] for talk in live])
        disk.free()
        wait_until_well(house)


@pytest.mark.long
def test_fail_4_a_line_that_must_not_run_unrecorded_refuses_calls_without_room() -> None:
    """FAIL-4, overload: 503 with Retry-After at once; a live call is recorded to its end, and 999 gets through."""
    with House() as house:
        configuration = house.recorder.configuration
        least = 'min_free = "1MiB"'
        configuration.write_text(configuration.read_text().replace(least, f'{least}\nfull_disk = "refuse"'))
        with disk_under(house.recorder, house.recorder.recordings, kind="tmpfs", size_mib=8) as disk:
            live = crowd(house, 1)
            disk.fill(leave=512 << 10)
            assert "limits.min_free" in wait_for_problem(house)
            began = time.monotonic()
            refused = house.dial("+447700900381")
            answer = refused.out.wait_final(5)
            assert (answer.status, answer.get("Retry-After")) == (503, "10")
            assert time.monotonic() - began < ROW_LIMIT_S + SLACK_S
            emergency = house.reach_desk(house.dial("+447700900382", "999"))
            house.pick_up(emergency)
            assert emergency.out.wait_final(5).status == 200
            emergency.out.hang_up()
            live[0].talk(1.0)
            live[0].hang_up()
            items = items_by_caller(house, [*live, refused, emergency])
            reasons = [items[talk.caller]["outcome_reason"] for talk in (*live, refused, emergency)]
            assert reasons == ["complete", "storage_unavailable", "emergency"]
            disk.free()
            wait_until_well(house)
            house.connect("+447700900383").hang_up()


@pytest.mark.long
def test_a_full_state_disk_costs_no_call() -> None:
    """No room for rows: calls that begin and end meanwhile wait in the reserve journal, each for its one row."""
    with House() as house, disk_under(house.recorder, house.recorder.state, kind="tmpfs", size_mib=32) as disk:
        live = crowd(house)
        fill_state(house, disk)
        first, rang = pass_unrecorded(house, "+447700900381")
        assert rang < ROW_LIMIT_S + SLACK_S
        wait_for_problem(house)
        second, _ = pass_unrecorded(house, "+447700900382")
        ended = [live.pop(), second]
        for talk in ended:
            talk.hang_up()
        live[0].talk(1.0)
        disk.free()
        wait_until_well(house)
        for talk in (*live, first):
            talk.hang_up()
        check_heard([*live, first])
        items = items_by_caller(house, [*live, *ended, first])
        check_unrecorded(items[first.caller])
        check_unrecorded(items[second.caller])
        recorded = [*live, ended[0]]
        house.check_exports(recorded, [items[talk.caller] for talk in recorded])
        check_told_once(house)


@pytest.mark.long
def test_the_reserve_outlives_a_kill() -> None:
    """kill -9 while the state disk is full: what the reserve journal holds is entered by the next start."""
    with House() as house, disk_under(house.recorder, house.recorder.state, kind="tmpfs", size_mib=32) as disk:
        before = house.connect("+447700900380")
        fill_state(house, disk)
        ended, _ = pass_unrecorded(house, "+447700900381")
        ended.hang_up()
        live, _ = pass_unrecorded(house, "+447700900382")
        wait_for_problem(house)
        before.talk(0.5)
        house.recorder.kill()
        disk.free()
        house.recorder.restart()
        items = items_by_caller(house, [before, ended, live])
        check_unrecorded(items[ended.caller])
        assert items[live.caller]["outcome"] == "not_recorded"
        assert (items[before.caller]["outcome_reason"], items[before.caller]["cut"]) == ("cut", True)
        check_told_once(house)


@pytest.mark.long
def test_a_kill_over_a_blocked_disk_loses_no_more_than_the_disk_did() -> None:
    """The recordings' disk blocks, the recorder is killed and starts again: calls pass at once, and when the disk
    answers each recording is there up to where it blocked."""
    with House() as house, disk_under(house.recorder, house.recorder.recordings) as disk:
        live = crowd(house)
        disk.block()
        sent = [len(talk.outside.voice.sent) for talk in live]
        live[0].talk(1.0)
        house.recorder.kill()
        assert house.recorder.restart() < READY_S
        wait_for_problem(house)
        passed, _ = pass_unrecorded(house, "+447700900381")
        disk.answer()
        wait_until_well(house)
        passed.hang_up()
        items = items_by_caller(house, [*live, passed])
        check_unrecorded(items[passed.caller])
        for talk, spoken in zip(live, sent, strict=True):
            item = items[talk.caller]
            assert (item["outcome"], item["outcome_reason"], item["cut"]) == ("recorded", "cut", True)
            _, left, _ = house.recorder.export(item["call_id"])
            (piece,) = matches(np.array(left, np.int16), decoded(g711.PCMA, talk.outside.coded))
            assert spoken - (piece.in_voice + piece.length) / 160 <= LAST_SECOND_PACKETS


@pytest.mark.long
@pytest.mark.timeout(120)
def test_what_a_kill_left_is_put_right_when_the_disk_is_back() -> None:
    """kill -9 under live calls, and again over a full state disk: rows and audio wait for it, and nothing is lost."""
    with House() as house, disk_under(house.recorder, house.recorder.state, kind="tmpfs", size_mib=32) as disk:
        live = crowd(house)
        live[0].talk(1.0)
        house.recorder.kill()
        sent = [len(talk.outside.voice.sent) for talk in live]
        fill_state(house, disk)
        house.recorder.restart()
        wait_for_problem(house)
        pass_unrecorded(house, "+447700900381")  # no key is ready: its row will hold no number
        house.recorder.kill()
        house.recorder.restart()
        wait_for_problem(house)
        disk.free()
        wait_until_well(house)
        again = house.connect("+447700900382")
        again.hang_up()
        house.check_exports([again], [house.item_of(again)])
        items = {item["network_number"]: item for item in house.recorder.find()}
        assert len(items) == LIVE + 2
        assert not [item for item in items.values() if item["in_progress"]]
        assert (items[None]["outcome"], items[None]["flags"]) == ("not_recorded", ["identity_not_kept"])
        for talk, spoken in zip(live, sent, strict=True):
            item = items[talk.caller]
            assert (item["outcome"], item["outcome_reason"], item["cut"]) == ("recorded", "cut", True)
            _, left, _ = house.recorder.export(item["call_id"])
            (piece,) = matches(np.array(left, np.int16), decoded(g711.PCMA, talk.outside.coded))
            assert spoken - (piece.in_voice + piece.length) / 160 <= LAST_SECOND_PACKETS
        check_told_once(house)


def hashes(*folders: Path) -> dict[Path, str]:
    """Return the digest of every file."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.long
@pytest.mark.parametrize("which", ["recordings", "state"])
def test_an_unwritable_folder_stops_no_call(which: str) -> None:
    """It runs, passes calls, says what is wrong in one sentence, changes nothing, and is well after a restart."""
    with House() as house:
        recorder = house.recorder
        before = house.connect("+447700900380")
        before.hang_up()
        house.item_of(before)
        folder = recorder.directory / which
        recorder.stop()
        found = hashes(folder)
        with unwritable(recorder, folder):
            text = wait_for_problem(house, timeout=TOLD_S)
            assert str(folder) in text
            assert "\n" not in text
            outcome = recorder.run("status")
            assert outcome.code == 1
            assert "Traceback" not in recorder.tail()
            talk, rang = pass_unrecorded(house, "+447700900381")
            assert rang < ROW_LIMIT_S + SLACK_S
            talk.hang_up()
            if which == "recordings":
                check_unrecorded(house.item_of(talk))
            recorder.stop()
            assert hashes(folder) == found
        wait_until_well(house)
        after = house.connect("+447700900382")
        after.hang_up()
        house.check_exports([before, after], house.items_of([before, after]))


@pytest.mark.long
def test_a_file_in_place_of_the_recordings_folder_stops_no_call() -> None:
    """It runs, passes calls unrecorded, says so, and leaves the file as it is."""
    with House() as house:
        recorder = house.recorder
        recorder.stop()
        recorder.recordings.rmdir()
        recorder.recordings.write_text("mine")
        recorder.restart()
        assert str(recorder.recordings) in wait_for_problem(house)
        talk, _ = pass_unrecorded(house, "+447700900381")
        talk.hang_up()
        check_unrecorded(house.item_of(talk))
        assert recorder.recordings.read_text() == "mine"
        recorder.recordings.unlink()
        wait_until_well(house)
        again = house.connect("+447700900382")
        again.hang_up()
        house.check_exports([again], [house.item_of(again)])
