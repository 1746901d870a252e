"""Who is no peer learns nothing and disturbs nobody: the scanners of SIPVicious, and floods of INVITEs."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.house import House
from tests.support.processes import program, wait_until
from tests.support.recorder import TRUNK, Plan

STRANGER = "127.0.0.1"
"""svwar cannot be told to speak from another address."""
FLOOD = 20_000
REFUSED_WITHIN_S = 0.1


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """Return a house with room for one call only, whose own address is no peer any more."""
    with House(Plan(max_calls=1)) as house:
        recorder = house.recorder
        text = recorder.configuration.read_text()
        recorder.configuration.write_text(text.replace(f'["{STRANGER}", "{TRUNK}"]', f'["{TRUNK}"]'))
        recorder.process.signal(signal.SIGHUP)
        wait_until(lambda: "reloaded" in recorder.tail(), "the peers are read anew", 10)
        yield house


def scan(house: House, scanner: str, source: str, folder: Path, *arguments: str) -> str:
    """Let a scanner of SIPVicious look at the recorder from an address; return what it found."""
    _, port = house.recorder.sip
    done = subprocess.run(
        [program(scanner), "-b", source, "-p", str(port), *arguments, "127.0.0.1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("method", ["OPTIONS", "INVITE", "REGISTER"])
def test_a_scanner_finds_no_sip_device(house: House, tmp_path: Path, method: str) -> None:
    """svmap from a foreign address finds nothing where the same from the trunk's finds a device."""
    assert "found nothing" in scan(house, "svmap", STRANGER, tmp_path, "-m", method)
    if method == "OPTIONS":
        assert "found nothing" not in scan(house, "svmap", TRUNK, tmp_path, "-m", method)


def test_a_scanner_finds_no_extension(house: House, tmp_path: Path) -> None:
    """svwar from a foreign address cannot tell one extension from another, nor that there is anything at all."""
    found = scan(house, "svwar", STRANGER, tmp_path, "-e", "100-110", "-m", "INVITE")
    assert "|" not in found, found
    assert house.recorder.find() == []


def invite(house: House, source: tuple[str, int], number: int) -> bytes:
    """Return a plain INVITE without an offer."""
    host, port = house.recorder.sip
    return (
        f"INVITE sip:02079460123@{host}:{port} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {source[0]}:{source[1]};branch=z9hG4bKflood{number};rport\r\nMax-Forwards: 70\r\n"
        f"From: <sip:{number}@{source[0]}>;tag=f{number}\r\nTo: <sip:02079460123@{host}>\r\n"
        f"Call-ID: flood-{number}\r\nCSeq: 1 INVITE\r\nContact: <sip:{source[0]}:{source[1]}>\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()


@pytest.mark.alone
def test_a_flood_of_invites_disturbs_no_live_call(house: House) -> None:
    """Twenty thousand INVITEs of a stranger while a call goes on: the voices are whole, the stranger hears nothing."""
    talk = house.connect("+447700900711")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind((STRANGER, 0))
        stranger.settimeout(1.0)
        for number in range(FLOOD):
            stranger.sendto(invite(house, stranger.getsockname(), number), house.recorder.sip)
        with pytest.raises(TimeoutError):
            stranger.recv(100)
    talk.talk(1.0)
    talk.hang_up()
    house.check_exports([talk], [house.item_of(talk)])
    assert len(house.recorder.find()) == 1


@pytest.mark.alone
def test_beyond_max_calls_each_invite_gets_503_at_once(house: House) -> None:
    """FAIL-1, FAIL-2: with Retry-After, within 100 ms; the live call goes on, and 999 passes all the same."""
    talk = house.connect("+447700900712")
    took = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trunk:
        trunk.bind((TRUNK, 0))
        trunk.settimeout(5.0)
        for number in range(200):
            begun = time.monotonic()
            trunk.sendto(invite(house, trunk.getsockname(), FLOOD + number), house.recorder.sip)
            answer = final_of(trunk, FLOOD + number)
            took.append(time.monotonic() - begun)
            assert answer.startswith("SIP/2.0 503"), answer
            assert "\r\nRetry-After:" in answer
    emergency = house.reach_desk(house.dial("+447700900713", "999"))
    house.pick_up(emergency)
    assert emergency.out.wait_final(5).status == 200
    emergency.out.hang_up()
    talk.talk(0.5)
    talk.hang_up()
    house.check_exports([talk], [house.item_of(talk)])
    assert house.item_of(emergency)["outcome_reason"] == "emergency"
    reasons = [item["outcome_reason"] for item in house.recorder.find()]
    assert "capacity" in reasons, "no loss is silent"
    assert sorted(took)[-3] < REFUSED_WITHIN_S, f"slowest answers: {sorted(took)[-5:]}"


def final_of(trunk: socket.socket, number: int) -> str:
    """Return the final response to one INVITE."""
    while True:
        answer = trunk.recv(65535).decode()
        if f"flood-{number}\r\n" in answer and not answer.startswith("SIP/2.0 1"):
            return answer
