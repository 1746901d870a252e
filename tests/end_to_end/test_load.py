"""A thousand calls at fifty a second: every one answered in time, every one with its row."""

from __future__ import annotations

from pathlib import Path

import pytest

from demonstration.telephony import g711
from tests.support.ports import free_port
from tests.support.recorder import PBX, TRUNK, Plan, Recorder
from tests.support.sipp import Sipp, SippRun, share_within

CALLS, RATE = 1000, 50
QUICK_MS, QUICK_SHARE = 100.0, 0.99
WORDS = (("PAYLOAD_TYPE", str(g711.PCMA)), ("CODEC", "PCMA"), ("CALLER", "07700900701"))

pytestmark = [pytest.mark.peer, pytest.mark.timeout(180)]


def test_a_thousand_calls_at_fifty_a_second(tmp_path: Path) -> None:
    """1,000 answered, 1,000 rows, each with one outcome; 99 of 100 first answers come within 100 ms."""
    plan = Plan(pbx_port=free_port(PBX), max_calls=2000, rtp_ports=8000)
    with Recorder(plan) as recorder:
        desk = Sipp(
            SippRun("silent_desk", PBX, plan.pbx_port, calls=CALLS, fill=WORDS, timeout_s=90), tmp_path / "desk"
        )
        run = SippRun("silent_caller", TRUNK, calls=CALLS, rate=RATE, fill=WORDS, timeout_s=90)
        caller = Sipp(run, tmp_path / "caller", recorder.sip)
        with desk.start(), caller.start():
            caller.finish()
        times = caller.first_answers_ms
        assert len(times) == CALLS
        quick = share_within(times, QUICK_MS)
        items = recorder.wait_items(CALLS, 40)
        assert len(items) == CALLS
        assert all(item["outcome"] in {"recorded", "not_recorded"} and item["outcome_reason"] for item in items)
        assert quick >= QUICK_SHARE, f"{quick:.1%} of first answers within {QUICK_MS} ms; slowest {max(times):.0f} ms"
        assert recorder.status()["active_calls"] == 0
