"""Kamailio in front, configured by `callrec integrate`: calls pass with Record-Route, and go around a dead recorder."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demonstration.telephony.messages import Address
from tests.support.house import Conversation, House
from tests.support.ports import free_port
from tests.support.processes import Program, program, wait_until
from tests.support.recorder import PBX, TRUNK, Plan

EDGE = "127.0.0.3"
PEER = f"""
[[peer]]
name = "edge"
addresses = ["{EDGE}"]
role = "trunk"
trusted_identity = true
media_addresses = ["{TRUNK}"]
[[route]]
from = "edge"
rule = "inbound"
destination = "sip:{PBX}:PBX_PORT"
"""


@dataclass
class Edge:
    """A Kamailio between the trunk line and the recorder."""

    house: House
    kamailio: Program
    address: Address

    def dial(self, caller: str) -> Conversation:
        """Let somebody outside call through Kamailio; returns at once."""
        recorder = self.house.recorder
        ours, recorder.sip = recorder.sip, self.address
        try:
            return self.house.dial(caller)
        finally:
            recorder.sip = ours


def configuration(house: House, folder: Path, edge: Address) -> list[str]:
    """Write what the command prints; return how Kamailio is called with it."""
    trunk, callrec = house.trunk.address, house.recorder.sip
    ours = house.recorder.configuration
    as_it_was = ours.read_text()
    ours.write_text(as_it_was.replace(f'["127.0.0.1", "{TRUNK}"]', f'["{TRUNK}:{trunk[1]}"]'))
    options = ["--pbx", "pbx", "--trunk", "trunk", "--edge", f"{edge[0]}:{edge[1]}"]
    text = house.recorder.must("integrate", "kamailio", *options).out.decode()
    ours.write_text(as_it_was)
    destinations = folder / "dispatcher.list"
    destinations.write_text(f"1 sip:{callrec[0]}:{callrec[1]} 0 10\n")
    file = folder / "kamailio.cfg"
    file.write_text(text)
    return [program("kamailio"), "-f", str(file), "-A", f'DISPATCHER_LIST="{destinations}"']


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    """A house whose trunk speaks to Kamailio."""
    with House(Plan(first_routes=PEER)) as house:
        address = (EDGE, free_port(EDGE))
        command = configuration(house, tmp_path, address)
        checked = subprocess.run([*command, "-c"], capture_output=True, text=True, timeout=30, check=False)
        assert checked.returncode == 0, checked.stderr
        run = Program([*command, "-DD", "-E", "-Y", str(tmp_path)], tmp_path / "kamailio.log")
        try:
            wait_until(lambda: house.trunk.ask(address, "OPTIONS").status == 200, "Kamailio answers", 10)
            yield Edge(house, run, address)
        finally:
            run.stop()


def test_a_call_through_kamailio_is_recorded_and_goes_around_a_dead_recorder(edge: Edge) -> None:
    """FAIL-2, SIP-13: in-dialog requests follow Record-Route; while callrec is dead the PBX rings, and then no more."""
    house = edge.house
    talk = house.connect_dialled(edge.dial("+447700900721"))
    talk.talk(1.0)
    talk.hang_up(by="desk")
    house.check_exports([talk], [house.item_of(talk)])
    house.recorder.kill()
    around = house.reach_desk(edge.dial("+447700900722"), 15)
    house.pick_up(around)
    assert around.out.wait_final(10).status == 200
    assert around.out.remote_session is not None
    assert around.out.remote_session.port == around.inside.voice.port, "the phones send to each other"
    around.hang_up()
    house.recorder.restart()
    wait_until(lambda: recorded_again(edge), "calls go through callrec again", 30)


def recorded_again(edge: Edge) -> bool:
    """Say whether a new call hears callrec's notice: its answer comes before the desk's."""
    talk = edge.dial("+447700900723")
    answered = edge.house.reach_desk(talk, 10)
    through = talk.out.remote_session is not None
    talk.out.hang_up() if through else talk.out.cancel()
    assert answered.desk.wait_ended(5)
    return through
