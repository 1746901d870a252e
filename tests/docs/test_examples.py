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
from tests.support.house import House
from tests.support.recorder import write_tone

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
    "callrec keys init": "a store that is in use has its keys",
    "callrec keys rotate --yes": "the recorder must not run",
    "callrec backup restore /var/backups/callrec/daily": "the recorder must not run",
    "callrec backup restore /var/backups/callrec/daily --only recordings --force": "the recorder must not run",
}
"""Examples that are not typed here, and why."""


@dataclass
class Office:
    """A recorder with recorded calls, and what the documents call them."""

    house: House
    names: dict[str, str]

    def type(self, line: str) -> Ran:
        """Type a line at a terminal in the folder of the configuration, answer yes, and return what was said."""
        for name, here in self.names.items():
            line = line.replace(name, here)
        folder = self.house.recorder.directory
        words = shlex.split(line)[1:]
        return run_at_terminal("y\n", *words, "--config", self.house.recorder.configuration, directory=folder)


@pytest.fixture
def office() -> Iterator[Office]:
    """Return a recorder with two recorded calls from outside, under the names that the documents use."""
    with House() as house:
        first = house.dial("+447700900123", "02079460999")
        second = house.dial("+442079460123", "02079460999")
        talks = [house.connect_dialled(talk) for talk in (first, second)]
        for talk in talks:
            talk.talk(0.5)
            talk.hang_up()
        one, two = house.items_of(talks)
        write_tone(house.recorder.directory / "notice.wav", 1.5)
        names = {"K7PW2QM": one["call_reference"], "77b0de12": one["call_id"][:8], "3f2a": one["call_id"][:8]}
        names["/var/backups/callrec"] = str(house.recorder.directory / "backups")
        yield Office(house, {**names, "4f2a91c3": two["call_id"][:8]})


def test_what_the_readme_tells_an_operator_to_type_works(office: Office) -> None:
    """README.md, "What an operator types": every line does what it says."""
    assert len(TYPED) == 5
    for line in TYPED:
        ran = office.type(line)
        assert ran.code == 0, f"{line}\n{ran.out}"
    assert "1 call" in ran.out
    assert (office.house.recorder.directory / "call.flac").stat().st_size > 1000
    assert office.house.recorder.run("show", office.names["K7PW2QM"]).code == 3


def test_every_example_of_the_commands_works(office: Office) -> None:
    """docs/commands.md: every example, in the order of the page, ends with exit code 0."""
    assert set(NOT_HERE) <= set(EXAMPLES)
    assert len(EXAMPLES) - len(NOT_HERE) > 20
    for line in EXAMPLES:
        if line in NOT_HERE:
            continue
        ran = office.type(line)
        assert ran.code == 0, f"{line}\n{ran.out}"
    assert office.house.recorder.find() == []


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
