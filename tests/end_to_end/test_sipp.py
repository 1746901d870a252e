"""SIPp on both sides: a trunk and a PBX that nobody of this project wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from demonstration.telephony import g711
from tests.support.listening import decoded, matches
from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.support.recorder import PBX, TRUNK, Plan, Recorder
from tests.support.sipp import Sipp, SippRun

CALLER = "07700900601"
VOICE_S = 30.0
LEAST_S = 2.0
"""The scenario talks for 6 s, of which the notice and the set-up take less than 4."""

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module", params=["udp", "tcp"])
def installation(request: pytest.FixtureRequest) -> Iterator[tuple[Recorder, str]]:
    """Return a recorder whose PBX is a SIPp, over one transport."""
    transport: str = request.param
    with Recorder(Plan(pbx_port=free_port(PBX), pbx_transport=transport)) as recorder:
        yield recorder, transport


@pytest.mark.parametrize("codec", [g711.PCMA, g711.PCMU])
def test_sipp_calls_are_recorded_exactly(installation: tuple[Recorder, str], codec: int, tmp_path: Path) -> None:
    """A call of SIPp to SIPp has its row, and its WAV holds exactly what both sent, each on its channel."""
    recorder, transport = installation
    caller = f"0770090061{codec}" if transport == "udp" else f"0770090062{codec}"
    voices = {name: g711.unmistakable(codec, VOICE_S, hash((caller, name)) & 0xFFFF) for name in ("caller", "desk")}
    sipps = {}
    for name, host, port in (("desk", PBX, recorder.plan.pbx_port), ("caller", TRUNK, 0)):
        audio = tmp_path / f"{name}.raw"
        audio.write_bytes(voices[name])
        words = {"AUDIO_FILE": str(audio), "PAYLOAD_TYPE": str(codec), "CODEC": g711.NAMES[codec], "CALLER": caller}
        run = SippRun(f"talking_{name}", host, port, transport, fill=tuple(words.items()))
        sipps[name] = Sipp(run, tmp_path / name, recorder.sip if name == "caller" else None)
    with sipps["desk"].start(), sipps["caller"].start():
        sipps["caller"].finish()
        sipps["desk"].finish()
    wait_until(lambda: [item["in_progress"] for item in recorder.find(caller)] == [False], "the call is over")
    (item,) = recorder.find(caller)
    assert (item["outcome"], item["outcome_reason"]) == ("recorded", "complete")
    _, left, right = recorder.export(item["call_id"])
    for name, channel in (("caller", left), ("desk", right)):
        pieces = matches(np.array(channel, np.int16), decoded(codec, voices[name]))
        assert len(pieces) == 1, f"{name}: expected one unbroken stretch, found {pieces}"
        assert pieces[0].seconds > LEAST_S, f"{name}: only {pieces[0].seconds} s"
