"""SIPp as trunk and as PBX: a SIP peer that nobody of this project wrote (Debian's sip-tester)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from demonstration.telephony.messages import Address
from tests.support.processes import Program, program

SCENARIOS = Path(__file__).resolve().parents[1] / "end_to_end" / "scenarios"
TRANSPORTS = {"udp": "u1", "tcp": "t1", "tcp-each": "tn"}


@dataclass(frozen=True)
class SippRun:
    """How to run one scenario."""

    scenario: str
    host: str
    port: int = 0
    transport: str = "udp"
    calls: int = 1
    rate: float = 10.0
    at_once: int = 2000
    service: str = "02079460123"
    fill: tuple[tuple[str, str], ...] = ()
    """Words replaced in the scenario: SIPp expands no keywords inside `exec`."""
    timeout_s: int = 60
    more: tuple[str, ...] = ()
    folder: Path = SCENARIOS
    """Where the scenario lies."""


class Sipp:
    """One SIPp process, with its scenario, log and statistics in a folder."""

    def __init__(self, run: SippRun, directory: Path, target: Address | None = None) -> None:
        self.run, self.directory = run, directory
        directory.mkdir(parents=True, exist_ok=True)
        scenario = directory / f"{run.scenario}.xml"
        text = (run.folder / f"{run.scenario}.xml").read_text()
        for word, value in run.fill:
            text = text.replace(word, value)
        scenario.write_text(text)
        self._command = [program("sipp"), *([place(target)] if target else []), "-sf", str(scenario)]
        self._command += self._options()
        self._program: Program | None = None

    def _options(self) -> list[str]:
        run = self.run
        options = ["-i", run.host, "-mi", run.host, "-t", TRANSPORTS[run.transport], "-m", str(run.calls), "-nostdin"]
        options += ["-r", str(run.rate), "-l", str(run.at_once), "-s", run.service, "-timeout", f"{run.timeout_s}s"]
        options += ["-trace_err", "-error_file", str(self.directory / "errors.log"), "-timeout_error"]
        options += ["-trace_stat", "-stf", str(self.directory / "stat.csv"), "-fd", "1"]
        options += ["-trace_rtt", "-rtt_freq", "1"] if run.scenario.endswith("caller") else []
        options += ["-p", str(run.port)] if run.port else []
        return [*options, *run.more]

    def start(self) -> Program:
        """Start it; a UAS serves from here on. It writes its round trip times into the folder it runs in."""
        self._program = Program(self._command, self.directory / "output.log", directory=self.directory)
        return self._program

    def finish(self) -> None:
        """Wait until it has placed or taken all its calls, each of which has to succeed."""
        assert self._program is not None
        code = self._program.wait(self.run.timeout_s + 20)
        errors = self.directory / "errors.log"
        said = errors.read_text(errors="replace")[:3000] if errors.exists() else self._program.output[-3000:]
        assert code == 0, f"SIPp ({self.run.scenario}) ended with {code}: {said}"
        assert self.statistics["FailedCall(C)"] == 0, f"SIPp ({self.run.scenario}): {self.statistics}\n{said}"

    @property
    def statistics(self) -> dict[str, int]:
        """Return the last line of SIPp's statistics that are whole numbers."""
        with (self.directory / "stat.csv").open(newline="") as file:
            rows = list(csv.DictReader(file, delimiter=";"))
        return {name: int(value) for name, value in rows[-1].items() if name and value and value.isdecimal()}

    @property
    def first_answers_ms(self) -> list[float]:
        """Return for each call how long the timer of the scenario ran, in milliseconds."""
        times: list[float] = []
        for file in self.directory.glob("*_rtt.csv"):
            with file.open(newline="") as lines:
                times += [float(row["response_time_ms"]) for row in csv.DictReader(lines, delimiter=";")]
        return times


def place(target: Address) -> str:
    """Return a target as SIPp takes it: IPv6 in brackets."""
    return f"[{target[0]}]:{target[1]}" if ":" in target[0] else f"{target[0]}:{target[1]}"


def share_within(times_ms: Sequence[float], limit_ms: float) -> float:
    """Return which share of the times is at most a limit."""
    return sum(time <= limit_ms for time in times_ms) / len(times_ms)
