"""RTP-8, NOT-13: baresip reports what it heard; that proves the notice and tells how both legs sounded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.test_codecs import CALLER_HERTZ, DESK_HERTZ, PCMA, Switchboard
from tests.support.baresip import Baresip, Set
from tests.support.ports import free_port
from tests.support.recorder import DDI, PBX, Plan

pytestmark = pytest.mark.peer

CALL_S = 12
"""baresip reports every five seconds."""


@pytest.fixture(name="switchboard", scope="module")
def _switchboard() -> Iterator[Switchboard]:
    with Switchboard(Plan(pbx_port=free_port(PBX))) as switchboard:
        yield switchboard


@pytest.mark.parametrize("mux", [False, pytest.param(True, marks=pytest.mark.long)])
def test_reports_of_both_telephones_prove_the_notice_and_show_the_quality(
    switchboard: Switchboard, tmp_path: Path, mux: bool
) -> None:
    """Grade A, though the first report comes after the notice; loss, jitter, round trip and MOS of both ways."""
    before = len(switchboard.find())
    more = "rtcp_mux yes\n" if mux else ""
    desk = Set(DDI, (PBX, switchboard.plan.pbx_port), DESK_HERTZ, PCMA)
    caller = Set("caller", ("127.0.0.1", free_port()), CALLER_HERTZ, PCMA, more)
    target = f"sip:{DDI}@{switchboard.sip[0]}:{switchboard.sip[1]}"
    with Baresip(desk, tmp_path / "desk"), Baresip(caller, tmp_path / "caller", target, CALL_S) as calling:
        calling.finish()
    newest = max(switchboard.wait_items(before + 1), key=lambda item: item["started_at"])
    shown = switchboard.must("show", newest["call_id"], "--json")
    item = json.loads(shown.out)
    assert item["outcome_reason"] == "complete"
    assert item["notice"]["completed"]
    assert item["notice"]["grade"] == "A", item["notice"]
    for leg in item["legs"]:
        quality = leg["quality"]
        assert quality["received"]["loss_percent"] == 0, leg
        assert quality["received"]["mos"] > 4.2, leg
        assert quality["reported"]["packets_lost"] == 0, leg
        assert quality["reported"]["mos"] > 4.2, leg
        assert 0 <= quality["round_trip_ms"] < 200, leg
    text = switchboard.must("show", newest["call_id"]).out.decode()
    assert text.count("(far side: 0.0 % lost, jitter") == 2
    assert "round trip" in text
