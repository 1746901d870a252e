"""More calls than ports or descriptors: those to be recorded are refused at once, all others and live calls go on."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.house import Conversation, House
from tests.support.processes import wait_until
from tests.support.recorder import DDI, PBX, TRUNK, Plan

UNRECORDED = "02079460155"
PATIENCE_S = 0.1
"""In which a call that is not taken must know it, so that its trunk can take the next way."""


def plan(rtp_ports: int) -> Plan:
    passing = f'[[route]]\nfrom = "trunk"\ncalled = "{UNRECORDED}"\ndestination = "sip:{PBX}:PBX_PORT"\n'
    return Plan(rtp_ports=rtp_ports, first_routes=passing)


def problems(house: House) -> dict[str, str]:
    return {problem["code"]: problem["text"] for problem in house.recorder.status_now()["problems"]}


def refuse(house: House, caller: str, called: str = DDI) -> Conversation:
    """Expect 503 with Retry-After, within 100 ms."""
    talk = house.dial(caller, called)
    asked = time.monotonic()  # the INVITE is the last that dialling does; making voices takes longer than the answer
    final = talk.out.wait_final(5)
    took = time.monotonic() - asked
    assert (final.status, final.get("Retry-After")) == (503, "10")
    assert took <= PATIENCE_S, f"it took {took * 1000:.0f} ms"
    return talk


def pass_by(house: House, caller: str, called: str) -> Conversation:
    """Let a call go through whose media passes us by: the phones send to each other."""
    talk = house.reach_desk(house.dial(caller, called))
    house.pick_up(talk)
    assert talk.out.wait_final(5).status == 200
    assert talk.out.remote_session is not None
    assert talk.out.remote_session.port == talk.inside.voice.port
    return talk


@pytest.mark.alone
def test_without_ports_calls_to_be_recorded_are_refused_and_nothing_else_suffers() -> None:
    """RTP-11, FAIL-1, overload: ports for one call; it is recorded whole, the next gets 503, 999 goes through.

    The ports rest for five seconds after the first call; then another call would have media, and no problem is left.
    """
    with House(plan(rtp_ports=4)) as house:
        first = house.connect("+447700900801")
        second = refuse(house, "+447700900802")
        urgent = pass_by(house, "+447700900803", "999")
        passing = pass_by(house, "+447700900804", UNRECORDED)
        wait_until(lambda: "capacity" in problems(house), "status tells the lack", 5)
        assert "[rtp] ports" in problems(house)["capacity"]
        assert "refused" in problems(house)["capacity"]
        first.talk(1.0)
        for talk in (urgent, passing, first):
            talk.hang_up()
        talks = [first, second, urgent, passing]
        items = house.items_of(talks)
        assert [item["outcome_reason"] for item in items] == ["complete", "capacity", "emergency", "no_capture_rule"]
        assert items[1]["outcome"] == "not_recorded"
        house.check_exports([first], items[:1])
        wait_until(lambda: not problems(house), "another call would have media", 20)
        again = house.connect("+447700900805")
        again.hang_up()
        assert house.item_of(again)["outcome_reason"] == "complete"


def open_descriptors(pid: int) -> int:
    """Return the lowest number above all that a process uses."""
    return max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()) + 1


@contextmanager
def limited(pid: int, more: int) -> Iterator[None]:
    """Let a running process open only so many descriptors more than the highest it has."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_descriptors(pid) + more, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def processor_s(pid: int) -> float:
    """Return how many seconds of a processor a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.alone
def test_without_descriptors_calls_are_refused_and_a_reserve_is_kept() -> None:
    """EMFILE: the reserve keeps the API answering; without any left nothing spins, and 999 goes through."""
    with House(plan(rtp_ports=400)) as house, ExitStack() as opened:
        pid = house.recorder.pid
        live = house.connect("+447700900811")
        with limited(pid, 16):
            short = refuse(house, "+447700900812")
            urgent = pass_by(house, "+447700900813", "999")
            wait_until(lambda: "capacity" in problems(house), "status tells the lack", 5)
            assert "LimitNOFILE" in problems(house)["capacity"]
        wait_until(lambda: not problems(house), "there are descriptors again", 5)
        with limited(pid, 0):
            for _ in range(40):  # more than are accepted: the rest waits in the backlog
                knocking = opened.enter_context(socket.create_connection(house.recorder.sip, 2, (TRUNK, 0)))
                knocking.sendall(b"\r\n\r\n")
            used, logged = processor_s(pid), len(house.recorder.process.output)
            live.talk(2.0)
            none = pass_by(house, "+447700900814", "999")
            assert processor_s(pid) - used < 1.0, "accepting without descriptors must not spin"
            assert len(house.recorder.process.output) - logged < 20_000
        wait_until(lambda: not problems(house), "there are descriptors again", 10)
        again = house.connect("+447700900815")
        again.talk(0.5)
        for talk in (live, urgent, none, again):
            talk.hang_up()
        talks = [live, short, urgent, none, again]
        items = house.items_of(talks)
        assert [item["outcome_reason"] for item in items] == [
            "complete", "capacity", "emergency", "emergency", "complete",
        ]  # fmt: skip
        house.check_exports([live, again], [items[0], items[4]])
