"""What calls cost: `python -m bench.calls [--calls N] [--rate R]`.

SIPp (Debian's sip-tester) calls a real `callrec run` at R calls a second and answers for the desk; every call is
answered, hears a notice of 1.2 s and is connected; no media is sent by SIPp. Prints the recorder's processor time for
each call, how long the first answer took, and how many rows there are.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from pathlib import Path

from demonstration.telephony import g711
from tests.support.ports import free_port
from tests.support.recorder import PBX, TRUNK, Plan, Recorder
from tests.support.sipp import Sipp, SippRun

WORDS = (("PAYLOAD_TYPE", str(g711.PCMA)), ("CODEC", "PCMA"), ("CALLER", "07700900701"))
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process has used, its threads with it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def place_calls(recorder: Recorder, calls: int, rate: float, folder: Path) -> list[float]:
    """Place the calls; return the milliseconds that each first answer took, the shortest first."""
    desk_run = SippRun("silent_desk", PBX, recorder.plan.pbx_port, calls=calls, fill=WORDS, timeout_s=300)
    caller_run = SippRun("silent_caller", TRUNK, calls=calls, rate=rate, fill=WORDS, timeout_s=300)
    desk, caller = Sipp(desk_run, folder / "desk"), Sipp(caller_run, folder / "caller", recorder.sip)
    with desk.start(), caller.start():
        caller.finish()
    recorder.wait_items(calls, 60)
    return sorted(caller.first_answers_ms)


def measure(calls: int, rate: float) -> None:
    """Run the calls through one recorder and print what they cost."""
    plan = Plan(pbx_port=free_port(PBX), max_calls=2000, rtp_ports=8000)
    with Recorder(plan) as recorder, tempfile.TemporaryDirectory() as name:
        workers = [worker["pid"] for worker in recorder.status()["workers"]]
        before, began = [cpu_seconds(pid) for pid in (recorder.pid, *workers)], time.monotonic()
        times = place_calls(recorder, calls, rate, Path(name))
        spent = [cpu_seconds(pid) - cpu for pid, cpu in zip((recorder.pid, *workers), before, strict=True)]
        items = recorder.find()
        outcomes = Counter(item["outcome_reason"] for item in items)
        print(f"{calls} calls at {rate:g} a second, {time.monotonic() - began:.1f} s, load {os.getloadavg()[0]:.1f}")
        print(f"recorder: {spent[0] / calls * 1000:.1f} ms of processor a call; workers: {sum(spent[1:]):.1f} s in all")
        quantiles = ", ".join(f"p{p} {times[min(len(times) - 1, len(times) * p // 100)]:.0f} ms" for p in (50, 95, 99))
        print(f"first answer: {quantiles}, slowest {times[-1]:.0f} ms")
        print(f"rows: {len(items)}, {dict(outcomes)}")


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description="What calls cost the recorder.")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=50.0)
    options = parser.parse_args()
    measure(options.calls, options.rate)


if __name__ == "__main__":
    main()
