"""A thousand calls at fifty a second: every one answered in time, every one with its row."""

from __future__ import annotations

from pathlib import Path

import pytest

from demonstration.telephony import g711
from tests.support.ports import free_port
from tests.support.processes import Program
from tests.support.recorder import COMMAND, PBX, TRUNK, Plan, Recorder
from tests.support.sipp import Sipp, SippRun, share_within
from tests.support.stock import stock

CALLS, RATE = 1000, 50
QUICK_MS, QUICK_SHARE = 100.0, 0.99
WORDS = (("PAYLOAD_TYPE", str(g711.PCMA)), ("CODEC", "PCMA"), ("CALLER", "07700900701"))

pytestmark = [pytest.mark.alone, pytest.mark.peer, pytest.mark.timeout(180)]


EXPORTED, HOUR_S = 20, 3600


def place_calls(recorder: Recorder, folder: Path) -> list[float]:
    """Place a thousand calls and look at every one of them; return how many ms each first answer took."""
    plan = recorder.plan
    desk = Sipp(SippRun("silent_desk", PBX, plan.pbx_port, calls=CALLS, fill=WORDS, timeout_s=90), folder / "desk")
    run = SippRun("silent_caller", TRUNK, calls=CALLS, rate=RATE, fill=WORDS, timeout_s=90)
    caller = Sipp(run, folder / "caller", recorder.sip)
    before = len(recorder.find())
    with desk.start(), caller.start():
        caller.finish()
    times = caller.first_answers_ms
    assert len(times) == CALLS
    items = recorder.wait_items(before + CALLS, 40)
    assert len(items) == before + CALLS
    assert all(item["outcome"] in {"recorded", "not_recorded"} and item["outcome_reason"] for item in items)
    assert recorder.status()["active_calls"] == 0
    return times


def check_quick(times: list[float]) -> None:
    """Check the share of quick answers: a measure of the machine, too, and so no part of the default run."""
    quick = share_within(times, QUICK_MS)
    assert quick >= QUICK_SHARE, f"{quick:.1%} of first answers within {QUICK_MS} ms; slowest {max(times):.0f} ms"


def test_a_thousand_calls_at_fifty_a_second(tmp_path: Path) -> None:
    """1,000 answered, 1,000 rows, each with one outcome."""
    with Recorder(Plan(pbx_port=free_port(PBX), max_calls=2000, rtp_ports=8000)) as recorder:
        place_calls(recorder, tmp_path)


@pytest.mark.long
def test_first_answers_come_within_100_ms(tmp_path: Path) -> None:
    """99 of 100 first answers, of a thousand calls at fifty a second, on a machine that does nothing else."""
    with Recorder(Plan(pbx_port=free_port(PBX), max_calls=2000, rtp_ports=8000)) as recorder:
        check_quick(place_calls(recorder, tmp_path))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_exporting_hours_does_not_slow_new_calls(tmp_path: Path) -> None:
    """The same thousand calls while twenty recordings of an hour are exported, and every export is whole."""
    with Recorder(Plan(pbx_port=free_port(PBX), max_calls=2000, rtp_ports=8000)) as recorder:
        recorder.stop()
        ids = stock(recorder, EXPORTED, HOUR_S)
        recorder.restart()
        command = [str(COMMAND), "--config", str(recorder.configuration), "export", *ids, "--to", str(tmp_path)]
        with Program([*command, "--format", "wav"], tmp_path / "export.log") as export:
            times = place_calls(recorder, tmp_path)
            assert export.wait(300) == 0, export.output
        check_quick(times)
        files = list(tmp_path.glob("*.wav"))
        assert len(files) == EXPORTED
        assert all(file.stat().st_size == 44 + HOUR_S * 8000 * 4 for file in files)
