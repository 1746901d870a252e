"""Calls to and from names: SRV records of a real DNS server, and SIPps behind them (SIP-13, RFC 3263)."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.exchange import Exchange
from tests.support.name_server import HOST, NameServer
from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.support.recorder import PBX, TRUNK, Plan, Recorder

pytestmark = pytest.mark.peer

CARRIER = "127.0.0.6"
NAMED, LISTED = "02079460871", "02079460872"
CONFIGURATION = """
[[peer]]
name = "carrier"
addresses = ["sip.carrier.test"]
role = "trunk"
[[route]]
called = "{named}"
destination = "sip:pbx.example.test"
[[route]]
called = "{listed}"
destination = ["sip:dead.example.test", "sip:{pbx}:{second}"]
"""
NUMBERS = itertools.count(7700900871)


def records(first: int, second: int, dead: int) -> list[str]:
    """Return what DNS says: a PBX of two hosts, one whose hosts are both dead, and a carrier."""
    return [
        f"host-record=one.example.test,{PBX}",
        f"srv-host=_sip._udp.pbx.example.test,one.example.test,{first},10,0",
        f"srv-host=_sip._udp.pbx.example.test,one.example.test,{second},20,0",
        f"srv-host=_sip._udp.dead.example.test,one.example.test,{first},10,0",
        f"srv-host=_sip._udp.dead.example.test,one.example.test,{dead},20,0",
        f"host-record=edge.carrier.test,{CARRIER}",
        "srv-host=_sip._udp.sip.carrier.test,edge.carrier.test,5060,10,0",
    ]


class Named:
    """A recorder that asks a DNS server of its own, and the ports of the two hosts of its PBX."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.first, self.second, dead = (free_port(PBX) for _ in range(3))
        self.names = stack.enter_context(NameServer(records(self.first, self.second, dead), directory))
        routes = CONFIGURATION.format(named=NAMED, listed=LISTED, pbx=PBX, second=self.second)
        environment = {"CALLREC_SIP__DNS_SERVERS": f"{HOST}:{self.names.port}"}
        self.recorder = stack.enter_context(Recorder(Plan(first_routes=routes, environment=environment)))

    def call(self, place: Path, called: str, caller_host: str = TRUNK, first: str | None = None) -> float:
        """Let SIPp call a number that the second host takes; return the seconds until it was answered."""
        exchange, number = Exchange(self.recorder, self.second, place), f"0{next(NUMBERS)}"
        words = {"CALLER": number}
        trunk = exchange.sipp("trunk", "timed_caller", words, caller_host, service=called)
        desks = [exchange.sipp("desk", "plain_desk", words, PBX, port=self.second)]
        if first is not None:
            desks.append(exchange.sipp("first", first, words, PBX, port=self.first))
        with ExitStack() as stack:
            for party in (*desks, trunk):
                stack.enter_context(party.start())
            for party in (trunk, *desks):
                party.finish()
        wait_until(lambda: [item["in_progress"] for item in self.recorder.find(number)] == [False], "the call is over")
        assert len(self.recorder.find(number)) == 1, "one call, one row"
        (answered_ms,) = trunk.first_answers_ms
        return answered_ms / 1000


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Named]:
    with ExitStack() as stack:
        yield Named(tmp_path_factory.mktemp("dns"), stack)


def test_sip_13_a_host_that_says_503_leaves_the_call_to_the_next(named: Named, tmp_path: Path) -> None:
    """RFC 3263 4.3: the second SRV record of the name takes the call."""
    assert named.call(tmp_path, NAMED, first="unavailable_desk") < 2


def test_sip_13_a_trunk_by_name_speaks_from_the_host_of_its_srv_record(named: Named, tmp_path: Path) -> None:
    """A peer given as sip.carrier.test is whoever its SRV records name: its call is taken, and not dropped."""
    assert named.call(tmp_path, NAMED, CARRIER, first="unavailable_desk") < 2


def test_sip_13_a_silent_host_costs_less_than_five_seconds(named: Named, tmp_path: Path) -> None:
    """RFC 3263 4.3: a host that takes every packet and says nothing is given 4 s, not 32."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((PBX, named.first))
        assert 3 < named.call(tmp_path, NAMED) < 5


def test_fail_2_where_both_hosts_are_dead_the_next_destination_is_called(named: Named, tmp_path: Path) -> None:
    """Both refuse (ICMP): the list of the route goes on at once; what DNS said counts on while DNS is dead."""
    named.names.stop()
    assert named.call(tmp_path, LISTED) < 4
