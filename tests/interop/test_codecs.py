"""RTP-3, RTP-6: baresip calls through callrec in G.722 and Opus; what is exported is what each side sounded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile  # type: ignore[import-untyped]

from tests.support.baresip import Baresip, Set
from tests.support.ports import free_port
from tests.support.recorder import DDI, PBX, Plan, Recorder
from tests.support.sounds import level_at

pytestmark = pytest.mark.peer

CALLER_HERTZ, DESK_HERTZ = 440, 1000
CALL_S = 5
OPUS, G722, PCMA = "opus/48000/2", "G722/16000/1", "PCMA/8000/1"


class Switchboard(Recorder):
    """An installation whose PBX sends RTP from another address than its SIP, as baresip on loopback does."""

    def write_configuration(self, **changes: object) -> None:
        super().write_configuration(**changes)
        text = self.configuration.read_text()
        self.configuration.write_text(text.replace('role = "pbx"', 'role = "pbx"\nmedia_addresses = ["127.0.0.1"]'))


@pytest.fixture(name="switchboard", scope="module")
def _switchboard() -> Iterator[Switchboard]:
    with Switchboard(Plan(pbx_port=free_port(PBX))) as switchboard:
        yield switchboard


def call(switchboard: Switchboard, place: Path, outside: str, inside: str, parameters: str = "") -> dict[str, object]:
    """Let one telephone call the other for some seconds; return the item of the call."""
    before = len(switchboard.find())
    desk = Set(DDI, (PBX, switchboard.plan.pbx_port), DESK_HERTZ, inside, parameters=parameters)
    caller = Set("caller", ("127.0.0.1", free_port()), CALLER_HERTZ, outside, parameters=parameters)
    target = f"sip:{DDI}@{switchboard.sip[0]}:{switchboard.sip[1]}"
    with Baresip(desk, place / "desk"), Baresip(caller, place / "caller", target, CALL_S) as calling:
        calling.finish()
        sent, received = calling.bit_rates
        assert sent > 10_000 < received, f"{calling.program.output[-2000:]}\n{switchboard.tail()}"
    newest = max(switchboard.wait_items(before + 1), key=lambda item: item["started_at"])
    return dict(json.loads(switchboard.must("show", newest["call_id"], "--json").out))


def exported(switchboard: Switchboard, item: dict[str, object], place: Path, form: str) -> tuple[np.ndarray, int]:
    path = place / f"call.{form}"
    switchboard.must("export", str(item["call_id"]), "--format", form, "--to", str(path))
    samples, rate = soundfile.read(str(path), dtype="int16", always_2d=True)
    return samples, int(rate)


def check_sides(samples: np.ndarray, rate: int) -> None:
    """Check that the caller sounds left, the desk right, and neither on the other side."""
    middle = samples[len(samples) // 2 : len(samples) // 2 + rate]
    for channel, own, other in ((0, CALLER_HERTZ, DESK_HERTZ), (1, DESK_HERTZ, CALLER_HERTZ)):
        heard = level_at(middle[:, channel], rate, own)
        assert heard > 2000, f"channel {channel}: {own} Hz has {heard:.0f}"
        assert level_at(middle[:, channel], rate, other) < heard / 15  # MP3 joins its channels


@pytest.mark.parametrize(
    ("codec", "name", "parameters"),
    [(G722, "G722", ""), (OPUS, "opus", ""), (G722, "G722", ";ptime=40")],
    ids=["G.722", "Opus", "G.722 in packets of 40 ms"],
)
def test_a_call_in_wide_band_is_announced_recorded_and_exported(
    switchboard: Switchboard, tmp_path: Path, codec: str, name: str, parameters: str
) -> None:
    """A caller who offers nothing else hears the notice, talks, and is exported at the codec's own rate."""
    item = call(switchboard, tmp_path, codec, codec, parameters)
    assert (item["outcome"], item["outcome_reason"]) == ("recorded", "complete")
    notice = item["notice"]
    assert isinstance(notice, dict)
    assert notice["completed"]
    assert [leg["codec"] for leg in item["legs"]] == [name, name]  # type: ignore[attr-defined]
    samples, rate = exported(switchboard, item, tmp_path, "wav")
    assert rate == {"G722": 16_000, "opus": 48_000}[name]
    assert abs(len(samples) / rate - item["segments"][-1]["end_ms"] / 1000) < 0.1  # type: ignore[index]
    check_sides(samples, rate)
    for form in () if parameters else ("flac", "mp3", "opus"):
        again, again_rate = exported(switchboard, item, tmp_path, form)
        check_sides(again, again_rate)
        assert abs(len(again) / again_rate - len(samples) / rate) < 0.06


@pytest.mark.long
def test_a_desk_with_g711_alone_brings_the_caller_to_it(tmp_path: Path) -> None:
    """rtp.wideband: a refused codec is left by a re-INVITE, and the next call begins where this one ended."""
    plan = Plan(pbx_port=free_port(PBX), environment={"CALLREC_RTP__WIDEBAND": "true"})
    with Switchboard(plan) as switchboard:
        for number in range(2):
            item = call(switchboard, tmp_path / str(number), f"{OPUS},{PCMA}", PCMA)
            assert (item["outcome"], item["outcome_reason"]) == ("recorded", "complete")
            samples, rate = exported(switchboard, item, tmp_path, "wav")
            assert rate == 8000
            check_sides(samples, rate)
            asked = (
                (tmp_path / str(number) / "caller" / "output.log").read_text(errors="replace").count("got re-INVITE")
            )
            assert asked == (1 if number == 0 else 0)
