"""SIP-13: one leg over IPv6, the other over IPv4, signalling and media; SIPp is trunk and PBX."""

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

pytestmark = pytest.mark.peer

SIX = "::1"
VOICE_S = 30.0
LEAST_S = 2.0


class TwoFamilies(Recorder):
    """An installation that also listens on [::1], where both its trunk and its PBX may be."""

    def write_configuration(self, **changes: object) -> None:
        super().write_configuration(**changes)
        self.six = free_port()
        text = self.configuration.read_text()
        text = text.replace("listen = [", f'listen = ["udp://[{SIX}]:{self.six}", "tcp://[{SIX}]:{self.six}", ')
        # Addresses of one family must not stand in the way of the other.
        text = text.replace("[rtp]\n", '[rtp]\nbind = "127.0.0.1"\nadvertise = "127.0.0.1"\n')
        text = text.replace("\nmax_calls =", '\nadvertise = "127.0.0.1"\nmax_calls =')
        text = text.replace('"127.0.0.11"]', f'"127.0.0.11", "{SIX}"]')
        text = text.replace('addresses = ["127.0.0.2"]', f'addresses = ["127.0.0.2", "[{SIX}]:{self.plan.pbx_port}"]')
        self.configuration.write_text(text)


def route(port: int) -> str:
    return f'[[route]]\nfrom = "trunk"\ncalled = "02079460666"\nrule = "inbound"\ndestination = "sip:[{SIX}]:{port}"\n'


@pytest.fixture(name="installation", scope="module")
def _installation() -> Iterator[TwoFamilies]:
    port = free_port(PBX)
    with TwoFamilies(Plan(pbx_port=port, first_routes=route(port))) as recorder:
        yield recorder


@pytest.mark.parametrize(
    "way",
    [(SIX, PBX, "02079460123", "udp"), (TRUNK, SIX, "02079460666", "udp"), (SIX, SIX, "02079460666", "tcp")],
    ids=["IPv6 to IPv4", "IPv4 to IPv6", "IPv6 over TCP to IPv6"],
)
def test_legs_of_two_families_are_joined_and_recorded(
    installation: TwoFamilies, tmp_path: Path, way: tuple[str, str, str, str]
) -> None:
    """Each leg has c= and Contact of its own family, both voices pass, and the WAV holds exactly what was said."""
    outside, inside, number, transport = way
    recorder, caller = installation, f"0770090070{(outside == SIX) + 2 * (inside == SIX)}"
    voices = {name: g711.unmistakable(g711.PCMA, VOICE_S, hash((caller, name)) & 0xFFFF) for name in ("caller", "desk")}
    target = (SIX, recorder.six) if outside == SIX else recorder.sip
    sipps = {}
    for name, host, port in (("desk", inside, recorder.plan.pbx_port), ("caller", outside, 0)):
        audio = tmp_path / f"{name}.raw"
        audio.write_bytes(voices[name])
        words = {"AUDIO_FILE": str(audio), "PAYLOAD_TYPE": "8", "CODEC": "PCMA", "CALLER": caller}
        way = transport if name == "caller" else "udp"
        run = SippRun(f"talking_{name}", host, port, way, service=number, fill=tuple(words.items()))
        sipps[name] = Sipp(run, tmp_path / name, target if name == "caller" else None)
    with sipps["desk"].start(), sipps["caller"].start():
        sipps["caller"].finish()
        sipps["desk"].finish()
    wait_until(lambda: [item["in_progress"] for item in recorder.find(caller)] == [False], "the call is over")
    (item,) = recorder.find(caller)
    assert (item["outcome"], item["outcome_reason"]) == ("recorded", "complete"), recorder.tail()
    _, left, right = recorder.export(item["call_id"])
    for name, channel in (("caller", left), ("desk", right)):
        pieces = matches(np.array(channel, np.int16), decoded(g711.PCMA, voices[name]))
        assert len(pieces) == 1, f"{name}: expected one unbroken stretch, found {pieces}"
        assert pieces[0].seconds > LEAST_S, f"{name}: only {pieces[0].seconds} s"
