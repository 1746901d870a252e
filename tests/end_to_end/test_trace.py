"""`callrec trace` of real calls: both legs, sealed on the disk, opened by tshark, and gone with its call."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

from tests.support.house import TELEPHONE_EVENT, House
from tests.support.traces import find_traces, spellings

CALLER = "+447700900601"
SECRET = "6629fae49393a05397450978507c4ef1"


def traced(house: House, call: str) -> Any:
    return house.recorder.must("trace", call, "--json").json


def tshark(path: Path, what: str, *fields: str) -> list[str]:
    """Return what tshark shows of a capture's packets."""
    named = [part for name in fields for part in ("-e", name)]
    command = ["tshark", "-r", str(path), "-Y", what, "-T", "fields", *named]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()


def test_a_trace_has_both_legs_and_goes_with_its_call(house: House, tmp_path: Path) -> None:
    """Issue: ladder and time line; credentials and digits crossed out; a capture that tshark reads; erased, exit 3."""
    asserted = ("P-Asserted-Identity", f"<sip:{CALLER}@127.0.0.1;user=phone>")
    credentials = ("Authorization", f'Digest username="trunk7", realm="x", response="{SECRET}"')
    talk = house.connect(CALLER, headers=[asserted, credentials])
    talk.talk(0.5)
    for digit in "492912":
        talk.outside.voice.press(digit, TELEPHONE_EVENT)
        assert talk.out.inform("INFO", f"Signal={digit}\r\n".encode(), "application/dtmf-relay").status == 200
    talk.hang_up()
    call = house.item_of(talk)["call_id"]
    document = traced(house, call)
    rungs = document["messages"]
    assert {rung["leg"] for rung in rungs} == {"caller", "destination"}
    seen = [(rung["leg"], rung["sent"], rung["summary"].split(" ")[0]) for rung in rungs]
    for expected in (
        ("caller", False, "INVITE"),
        ("caller", True, "200"),
        ("destination", True, "INVITE"),
        ("destination", False, "200"),
        ("caller", False, "BYE"),
        ("destination", True, "BYE"),
    ):
        assert expected in seen, expected
    assert rungs[0]["ms"] == 0
    assert "PCMA" in rungs[0]["sdp"]
    assert [segment["state"] for segment in document["segments"]] == ["recorded"]
    assert SECRET not in str(document)
    assert "Signal=" not in str(document)
    shown = house.recorder.must("trace", call[:8]).out.decode()
    assert "◀── 200 OK (INVITE)" in shown
    assert "recorded from" in shown
    patterns = {**spellings(CALLER), "credentials": SECRET.encode(), "user": b"trunk7"}
    assert find_traces([house.recorder.directory / "state"], patterns) == []
    capture = tmp_path / "call.pcapng"
    house.recorder.must("trace", call, "--pcap", str(capture))
    methods = tshark(capture, "sip.Method", "sip.Method", "ip.src")
    assert any(line.startswith("INVITE") for line in methods)
    assert any(line.startswith("BYE") for line in methods)
    assert len(tshark(capture, "rtp", "rtp.ssrc")) > 20
    house.recorder.must("delete", call, "--yes")
    assert house.recorder.run("trace", call).code == 3
    assert not list(house.recorder.directory.rglob(f"{call}.trace"))


def test_law_70_there_is_no_trace_of_a_withheld_caller(house: House) -> None:
    """LAW-70: exit 3 says why, and no file was made."""
    number = "+447700900602"
    headers = [("P-Asserted-Identity", f"<sip:{number}@127.0.0.1>"), ("Privacy", "id")]
    talk = house.connect(number, from_='"Anonymous" <sip:anonymous@anonymous.invalid>', headers=headers)
    talk.hang_up()
    call = house.recorder.find("--limit", "1")[0]["call_id"]
    deadline = time.monotonic() + 10
    while house.recorder.find("--limit", "1")[0]["in_progress"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    refused = house.recorder.run("trace", call)
    assert refused.code == 3
    assert "withheld" in refused.err
    assert not list(house.recorder.directory.rglob(f"{call}.trace"))
