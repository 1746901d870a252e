"""What the documents tell an operator to type is typed: the README and docs/commands.md, against a real recorder."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.console.commands import Ran, run_at_terminal
from tests.support.house import Conversation, House
from tests.support.recorder import Plan, write_tone

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (ROOT / "docs" / "commands.md").read_text()
EXAMPLES = [
    line.partition("  #")[0].strip()
    for section in re.split(r"^## ", COMMANDS, flags=re.MULTILINE)[1:]
    for block in re.findall(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("callrec ")
]
TYPED = [
    line.partition("  #")[0].strip()
    for line in (ROOT / "README.md")
    .read_text()
    .partition("## What an operator types")[2]
    .partition("```\n")[0]
    .splitlines()
    if line.startswith("callrec ")
]
NOT_HERE = {
    "callrec run --config config/callrec.toml": "runs until it is told to end",
    "callrec events tail --follow": "runs until it is told to end",
    "callrec export K7PW2QM --to - | sox -t wav - -n stat": "sox is no part of callrec",
    "callrec setup": "asks a person eight questions; tests/console/test_setup.py answers them",
    "callrec keys init": "a store that is in use has its keys",
    "callrec keys rotate --yes": "the recorder must not run",
    "callrec backup restore /var/backups/callrec/daily": "the recorder must not run",
    "callrec backup restore /var/backups/callrec/daily --only recordings --force": "the recorder must not run",
}
"""Examples that are not typed here, and why."""


MADE = {
    "callrec stop add": ["5a5a5a5a"],
    "callrec hold add": ["7b7b7b7b"],
    "callrec restriction add": ["8c8c8c8c"],
    "callrec request new": ["1f2e3d4c", "2a3b4c5d", "3b4c5d6e"],
    "callrec retention plan": ["9c41"],
}
"""What the documents call that which a command makes, one after the other."""
MADE_ID = re.compile(r"(?:approve |\b)([0-9a-f]{64}|[0-9a-f]{8})\b")
CUSTOMERS = """\
Customer,Name,Phone,Since
C-1077,Bob Example,01632 960077,2026-01-01
C-1078,Cy Example,01632 960078,2026-01-01
"""
MAPPING = """\
[columns]
Customer = "ref"
Name = "name"
Phone = "number"
Since = "since"
"""
ANSWERS = """\
keep_unmatched = "2y"
contact = "privacy@example.com"
"""
DECISIONS = {"CALLREC_PRIVACY__FOUR_EYES": "false", "CALLREC_PRIVACY__OUTSIDE_STORES": "voicemail"}
"""The documents are typed by one person, who has a voicemail system."""


@dataclass
class Office:
    """A recorder with recorded calls, and what the documents call them."""

    house: House
    names: dict[str, str]
    waiting: dict[str, list[str]]
    """Names in the documents of what is not made yet."""

    def type(self, line: str) -> Ran:
        """Type a line at a terminal in the folder of the configuration, answer yes, and return what was said."""
        for name, here in self.names.items():
            line = line.replace(name, here)
        folder = self.house.recorder.directory
        words = shlex.split(line)[1:]
        ran = run_at_terminal("y\n", *words, "--config", self.house.recorder.configuration, directory=folder)
        self._note(line, ran)
        return ran

    def _note(self, line: str, ran: Ran) -> None:
        """Remember what the documents call that which a command has made."""
        for command, names in self.waiting.items():
            if line.startswith(command) and names and (found := MADE_ID.search(ran.out)):
                self.names[names.pop(0)] = found[1]


@pytest.fixture
def office() -> Iterator[Office]:
    """Return a recorder with three recorded calls from outside, under the names that the documents use."""
    with House(Plan(environment=DECISIONS)) as house:
        callers = ("+447700900123", "+442079460123", "+447700900456")
        talks = [house.connect_dialled(talk) for talk in [house.dial(caller, "02079460999") for caller in callers]]
        for talk in talks:
            talk.talk(0.5)
            talk.hang_up()
        one, two, three = house.items_of(talks)
        for name, text in (("customers.csv", CUSTOMERS), ("customers.toml", MAPPING), ("answers.toml", ANSWERS)):
            (house.recorder.directory / name).write_text(text)
        write_tone(house.recorder.directory / "notice.wav", 1.5)
        names = {"K7PW2QM": one["call_reference"], "77b0de12": one["call_id"][:8], "3f2a": one["call_id"][:8]}
        names["/var/backups/callrec"] = str(house.recorder.directory / "backups")
        names |= {"4f2a91c3": two["call_id"][:8], "M3XT9RA": three["call_reference"]}
        yield Office(house, names, {command: list(made) for command, made in MADE.items()})


def test_what_the_readme_tells_an_operator_to_type_works(office: Office) -> None:
    """README.md, "What an operator types": every line does what it says."""
    assert len(TYPED) == 18
    live = speaking(office)
    said = {}
    for line in TYPED:
        ran = office.type(line)
        assert ran.code == 0, f"{line}\n{ran.out}"
        said[line] = ran.out
    (deleted,) = (out for line, out in said.items() if line.startswith("callrec delete"))
    assert "1 call" in deleted
    (executed,) = (out for line, out in said.items() if line.startswith("callrec request execute"))
    assert "completed" in executed
    assert (office.house.recorder.directory / "call.flac").stat().st_size > 1000
    assert office.house.recorder.run("show", office.names["K7PW2QM"]).code == 3
    live.hang_up()


def speaking(office: Office) -> Conversation:
    """Begin a call that goes on, under the name that the documents use for one."""
    live = office.house.connect("+447700900789", "02079460999")
    (office.names["0190a1b2"],) = (item["call_id"] for item in office.house.recorder.find() if item["in_progress"])
    return live


@pytest.mark.timeout(300)  # eighty commands, each a process of its own
def test_every_example_of_the_commands_works(office: Office) -> None:
    """docs/commands.md: every example, in the order of the page, ends with exit code 0."""
    assert set(NOT_HERE) <= set(EXAMPLES)
    assert len(EXAMPLES) - len(NOT_HERE) > 20
    live = speaking(office)
    for line in EXAMPLES:
        if line in NOT_HERE:
            continue
        ran = office.type(line)
        assert ran.code == 0, f"{line}\n{ran.out}"
        if line.startswith("callrec calls stop") and "--discard" in line:
            live.hang_up()
    left = {item["call_id"] for item in office.house.recorder.find()}
    assert left <= {office.names["0190a1b2"]}, "the page deletes every recorded call"


def test_keys_are_made_and_moved_as_told(tmp_path: Path) -> None:
    """docs/operations.md: the key moves to a folder of root's, which CREDENTIALS_DIRECTORY names."""
    text = (ROOT / "config" / "callrec.toml").read_text()
    for folder in ("/var/lib/callrec", "/var/backups/callrec", "/run/callrec"):
        text = text.replace(f'"{folder}', f'"{tmp_path}{folder}')
    configuration, credentials = tmp_path / "callrec.toml", tmp_path / "credentials"
    configuration.write_text(text)
    credentials.mkdir()
    assert run_at_terminal("", "--config", configuration, "keys", "init").code == 0
    shutil.move(tmp_path / "var/lib/callrec/master-key", credentials / "master-key")
    assert run_at_terminal("", "--config", configuration, "keys", "check").code == 7
    environment = {"CREDENTIALS_DIRECTORY": str(credentials)}
    assert run_at_terminal("", "--config", configuration, "keys", "check", environment=environment).code == 0
