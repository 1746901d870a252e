"""SIP-13, RFC 3261 18.1.1: a desk gets a large INVITE by TCP, one without TCP gets it by UDP; SIPp and baresip."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demonstration.telephony import g711
from tests.support.baresip import Baresip, Set
from tests.support.listening import decoded, matches
from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.support.recorder import DDI, PBX, TRUNK, Plan, Recorder
from tests.support.sipp import Sipp, SippRun

pytestmark = pytest.mark.peer

WITHOUT_TCP, TELEPHONE = "02079460666", "02079460777"
TALK_MS = 3500
LEAST_S = 0.5
TOKEN = "      X-Token: " + "t" * 1400 + "\n      Content-Type: application/sdp\n      Content-Length: [len]\n"
CONTENT = "      Content-Type: application/sdp\n      Content-Length: [len]\n"
VOICES = {name: g711.unmistakable(g711.PCMA, 12.0, seed) for seed, name in enumerate(("caller", "desk"))}


@pytest.fixture(name="desk_without_tcp", scope="module")
def _desk_without_tcp() -> int:
    return free_port(PBX)


@pytest.fixture(name="telephone", scope="module")
def _telephone() -> int:
    return free_port(PBX)


@pytest.fixture(name="recorder", scope="module")
def _recorder(desk_without_tcp: int, telephone: int) -> Iterator[Recorder]:
    routes = route(WITHOUT_TCP, desk_without_tcp) + route(TELEPHONE, telephone)
    with Recorder(Plan(pbx_port=free_port(PBX), first_routes=routes)) as recorder:
        yield recorder


def route(number: str, port: int) -> str:
    return f'[[route]]\ncalled = "{number}"\nrule = "inbound"\ndestination = "sip:{PBX}:{port}"\n'


def party(name: str, folder: Path, *words: tuple[str, str], to: Recorder | None = None, **run: Any) -> Sipp:
    """Return SIPp as a caller or a desk with a voice."""
    folder.mkdir()
    audio = folder / "voice.raw"
    audio.write_bytes(VOICES[name])
    fill = [*words, ("AUDIO_FILE", str(audio)), ("PAYLOAD_TYPE", "8"), ("CODEC", "PCMA"), ('"6000"', f'"{TALK_MS}"')]
    made = SippRun(f"talking_{name}", fill=tuple(fill), **run)
    return Sipp(made, folder / "sipp", None if to is None else to.sip)


def caller(recorder: Recorder, folder: Path, number: str, *, large: bool, **run: Any) -> Sipp:
    words = [("CALLER", number), *([(CONTENT, TOKEN)] if large else [])]
    return party("caller", folder, *words, to=recorder, host=TRUNK, **run)


def play(*parties: Sipp) -> None:
    """Let desks and callers do their calls, all at once."""
    with ExitStack() as stack:
        for one in parties:
            stack.enter_context(one.start())
        for one in parties:
            one.finish()


def check_recorded(recorder: Recorder, number: str, calls: int = 1) -> None:
    """Both voices of every call of a number were kept, each on its side."""
    wait_until(lambda: [one["in_progress"] for one in recorder.find(number)] == [False] * calls, "the calls are over")
    for item in recorder.find(number):
        assert (item["outcome"], item["outcome_reason"]) == ("recorded", "complete"), recorder.tail()
        _, *channels = recorder.export(item["call_id"])
        for name, channel in zip(VOICES, channels, strict=True):
            pieces = matches(np.array(channel, np.int16), decoded(g711.PCMA, VOICES[name]))
            assert len(pieces) == 1, f"{name}: expected one unbroken stretch, found {pieces}"
            assert pieces[0].seconds > LEAST_S, f"{name}: only {pieces[0].seconds} s"


def test_a_large_invite_comes_by_tcp_and_a_small_one_by_udp(recorder: Recorder, tmp_path: Path) -> None:
    """Two SIPp share the desk's port, one for each transport; each gets the call that fits it, both are recorded."""
    port = recorder.plan.pbx_port
    play(
        party("desk", tmp_path / "by tcp", host=PBX, port=port, transport="tcp"),
        party("desk", tmp_path / "by udp", host=PBX, port=port),
        caller(recorder, tmp_path / "large", "07700900071", large=True, service=DDI),
        caller(recorder, tmp_path / "small", "07700900072", large=False, service=DDI),
    )
    check_recorded(recorder, "07700900071")
    check_recorded(recorder, "07700900072")


def test_a_desk_without_tcp_gets_it_by_udp(recorder: Recorder, desk_without_tcp: int, tmp_path: Path) -> None:
    """Its port refuses the connection: the call goes by UDP, and the next one does so at once."""
    play(
        party("desk", tmp_path / "desk", host=PBX, port=desk_without_tcp, calls=2),
        caller(recorder, tmp_path / "caller", "07700900073", large=True, service=WITHOUT_TCP, calls=2, rate=2.0),
    )
    check_recorded(recorder, "07700900073", calls=2)
    assert recorder.log.read_text().count(f"{PBX}:{desk_without_tcp} takes no TCP") == 1
    assert counted(recorder)["endpoint_fell_back"] == 1


def test_a_telephone_takes_a_large_invite_by_tcp_and_hears_the_end_of_the_call(
    recorder: Recorder, telephone: int, tmp_path: Path
) -> None:
    """baresip answers by the connection, and gets ACK and BYE by the way that its own Contact names."""
    before = counted(recorder)
    desk = Set(TELEPHONE, (PBX, telephone), 1000, "PCMA/8000/1")
    with Baresip(desk, tmp_path / "telephone") as answering:
        play(caller(recorder, tmp_path / "caller", "07700900074", large=True, service=TELEPHONE))
        assert "sipsess connect via TCP" in answering.program.output
        wait_until(lambda: "terminated (duration" in answering.program.output, "the telephone has hung up")
    wait_until(lambda: [one["in_progress"] for one in recorder.find("07700900074")] == [False], "the call is over")
    (item,) = recorder.find("07700900074")
    assert (item["outcome"], item["outcome_reason"]) == ("recorded", "complete"), recorder.tail()
    after = counted(recorder)
    assert after["endpoint_large"] == before["endpoint_large"] + 1
    assert after["endpoint_fell_back"] == before["endpoint_fell_back"]


def counted(recorder: Recorder) -> dict[str, int]:
    return dict(json.loads(recorder.run("status", "--json").out)["signalling"])
