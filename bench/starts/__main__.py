"""What starting costs: `python -m bench.starts [--runs N]`.

A real `callrec run` is started over a fresh store and then over the same one again, and the commonest commands are run
against it. Prints the processor time of each, the least of all runs, for that depends on other work the least.
Python compiles what it imports at the first start and keeps the bytecode, unless PYTHONDONTWRITEBYTECODE is set.
"""

from __future__ import annotations

import argparse
import os
import resource
from collections.abc import Callable
from pathlib import Path

from tests.support.processes import wait_until
from tests.support.recorder import Plan, Recorder, write_tone

TICKS = os.sysconf("SC_CLK_TCK")
COMMANDS = ("find", "find --json", "status", "show unknown", "delete unknown --yes", "notice list", "config check")


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process has used, its threads with it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def cpu_of(command: Callable[[], object]) -> float:
    """Return the processor time of the programs that a function runs to their end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def start(recorder: Recorder) -> tuple[float, float, float]:
    """Start and stop the recorder; return its processor time, its workers', and how long it took to answer."""
    ready = recorder.restart()
    workers = [worker["pid"] for worker in recorder.status_now()["workers"]]
    wait_until(lambda: all(cpu_seconds(pid) > 0 for pid in workers), "the workers run")
    spent = cpu_seconds(recorder.pid), sum(cpu_seconds(pid) for pid in workers), ready
    recorder.stop()
    return spent


def measure(runs: int) -> None:
    """Print what each costs."""
    print(f"load {os.getloadavg()[0]:.1f}")
    recorder = Recorder(Plan())
    try:
        print(f"callrec keys init: {cpu_of(lambda: recorder.must('keys', 'init')):.2f} s of processor")
        audio = recorder.directory / "notice.wav"
        write_tone(audio, 1.2)
        spent = cpu_of(lambda: recorder.must("notice", "import", str(audio), "--id", "short", "--text", "Recorded."))
        print(f"callrec notice import: {spent:.2f} s")
        first = start(recorder)
        print(f"callrec run, a new store: {first[0]:.2f} s, its workers {first[1]:.2f} s, ready after {first[2]:.2f} s")
        again = [start(recorder) for _ in range(runs)]
        least = [min(kind) for kind in zip(*again, strict=True)]
        print(f"callrec run, again: {least[0]:.2f} s, its workers {least[1]:.2f} s, ready after {least[2]:.2f} s")
        recorder.start()
        for line in COMMANDS:
            spent = min(cpu_of(lambda line=line: recorder.run(*line.split())) for _ in range(runs))  # type: ignore[misc]
            print(f"callrec {line}: {spent:.2f} s")
    finally:
        recorder.close()


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=5)
    measure(parser.parse_args().runs)


if __name__ == "__main__":
    main()
