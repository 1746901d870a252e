"""A start over a state disk that does not answer: SIP is served at once, and recording begins with the disk."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest

from demonstration.telephony import g711
from tests.end_to_end.test_disk_faults import (
    ROW_LIMIT_S,
    SLACK_S,
    check_told_once,
    check_unrecorded,
    pass_unrecorded,
    problems,
    wait_for_problem,
    wait_until_well,
)
from tests.support.disks import disk_under
from tests.support.house import House
from tests.support.listening import decoded, matches
from tests.support.processes import wait_until
from tests.support.recorder import Plan, Recorder

READY_S = 10.0
"""Twice what a start may take: the two seconds that a disk is given are paid by a busy machine as well."""


def is_well(house: House) -> bool:
    try:
        return not problems(house)
    except ConnectionError:
        return False  # the door is moved: people wait for a moment, calls do not


@pytest.mark.alone
@pytest.mark.timeout(120)
def test_a_start_over_a_blocked_state_disk_serves_calls_at_once() -> None:
    """Calls pass unrecorded meanwhile, and each has its one row afterwards, also one that outlasts the disk's silence.

    Nobody notices the change: the call that goes on is heard on both sides, and the next one is recorded.
    """
    with House() as house, disk_under(house.recorder, house.recorder.state) as disk:
        before = house.connect("+447700900701")
        before.hang_up()
        kept = house.item_of(before)
        house.recorder.stop()
        disk.block()
        assert house.recorder.restart() < READY_S
        assert "does not answer" in wait_for_problem(house)
        ended, rang = pass_unrecorded(house, "+447700900702")
        assert rang < ROW_LIMIT_S + SLACK_S
        ended.hang_up()
        goes_on, _ = pass_unrecorded(house, "+447700900703")
        disk.answer()
        wait_until(lambda: is_well(house), "no problem is left", 20)
        goes_on.talk(0.5)
        after = house.connect("+447700900704")
        after.talk(0.5)
        for talk in (after, goes_on):
            talk.hang_up()
        house.check_exports([before, after], [kept, house.item_of(after)])
        items = house.recorder.wait_items(4)
        unknown = [item for item in items if item["network_number"] is None]
        assert len(unknown) == 2
        for item in unknown:
            check_unrecorded(item)
            assert item["flags"] == ["identity_not_kept"], "there was no key to keep it under"
        assert not [item for item in items if item["in_progress"]]
        check_told_once(house)


@pytest.mark.timeout(120)
def test_a_recording_that_began_over_a_blocked_disk_finds_its_call_after_a_kill() -> None:
    """The row could not learn of the recording: kept all the same, cut, and no file belongs to nobody."""
    with House() as house, disk_under(house.recorder, house.recorder.state) as disk:
        talk = house.reach_desk(house.hear_notice(house.dial("+447700900711")), 20)
        wait_until(lambda: (house.recorder.find()[0]["notice"] or {}).get("completed", False), "the evidence is kept")
        disk.block()
        house.pick_up(talk)
        talk.talk(2.0)
        house.recorder.process.signal(signal.SIGKILL)
        disk.answer()  # before: who waits for a blocked disk cannot even be killed
        house.recorder.kill()
        house.recorder.restart()
        wait_until(lambda: is_well(house), "no problem is left", 20)
        (item,) = house.recorder.wait_items(1)
        assert (item["outcome"], item["outcome_reason"], item["cut"]) == ("recorded", "cut", True)
        _, left, _ = house.recorder.export(item["call_id"])
        (piece,) = matches(np.array(left, np.int16), decoded(g711.PCMA, talk.outside.coded))
        assert piece.seconds > 0.5
        house.recorder.must("store", "verify")


@pytest.mark.timeout(120)
def test_a_second_recorder_over_a_blocked_disk_stays_out() -> None:
    """Exit 75 within seconds, whatever the disk does, and the first one goes on."""
    with House() as house, disk_under(house.recorder, house.recorder.state) as disk:
        second = Recorder(Plan())
        try:
            text = second.configuration.read_text().replace('state = "state"', f'state = "{house.recorder.state}"')
            second.configuration.write_text(text)
            disk.block()
            began = time.monotonic()
            second.start(wait=False)
            assert second.process.wait(15) == 75
            assert time.monotonic() - began < READY_S
            assert "Traceback" not in second.process.output
            disk.answer()
            wait_until_well(house)
        finally:
            disk.answer()
            second.close()
