"""The documentation and the program say the same, and the program starts fast."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from callrec.console.main import COMMANDS, callrec
from callrec.console.options import EVERYWHERE, Group

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "commands.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
FIRST = (
    "run status doctor calls find show play export delete keys notice config events store"
    " keys/init keys/check keys/public notice/list notice/import config/check config/show events/tail store/verify"
)
SLOW = (
    "fastapi",
    "sqlalchemy",
    "pydantic",
    "rich",
    "uvicorn",
    "numpy",
    "cryptography",
    "asyncio",
    "soundfile",
    "httpx",
)


def walk(command: click.Command = callrec, name: str = "callrec") -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, Group):
        context = click.Context(command)
        for part in command.list_commands(context):
            below = command.get_command(context, part)
            assert below is not None
            yield from walk(below, f"{name} {part}")


ALL = dict(walk())
OWN = [(name, option) for name, command in ALL.items() for option in command.params if isinstance(option, click.Option)]


def test_every_command_of_the_contract_is_there() -> None:
    """contract.md, the line "First"."""
    assert {f"callrec {name.replace('/', ' ')}" for name in FIRST.split()} <= set(ALL)


@pytest.mark.parametrize("name", [name for name in ALL if name != "callrec"])
def test_every_command_has_help_and_a_section_with_an_example(name: str) -> None:
    """No command is left unexplained."""
    assert ALL[name].help
    assert name in SECTIONS
    if not isinstance(ALL[name], Group):
        assert f"\n{name}" in SECTIONS[name], "an example"


@pytest.mark.parametrize(("name", "option"), OWN, ids=lambda value: getattr(value, "name", value))
def test_every_option_has_help_and_stands_in_its_section(name: str, option: click.Option) -> None:
    """No option is left unexplained."""
    assert option.help
    section = SECTIONS.get(name, TEXT)
    assert all(f"`{flag}" in section or f"{name} {flag}`" in section for flag in option.opts)


def test_the_options_of_every_command_are_explained_once() -> None:
    """contract.md, "Everywhere"."""
    for option in EVERYWHERE:
        assert option.help
        assert all(f"`{flag}" in SECTIONS["Everywhere"] for flag in option.opts if flag.startswith("-"))


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_line_in_the_overview_is_the_commands_own(name: str) -> None:
    """The overview shows its lines without importing the commands; they must be their first sentences."""
    help_ = " ".join((ALL[f"callrec {name}"].help or "").split("\n\n", 1)[0].split())
    said = COMMANDS[name].help.removesuffix(".")
    assert help_.startswith(said.split(",", 1)[0].split(" by ", 1)[0].split(" as ", 1)[0])


def test_no_section_speaks_of_a_command_that_is_not_there() -> None:
    """The page holds nothing that was taken away."""
    assert {name for name in SECTIONS if name.startswith("callrec")} <= set(ALL)


@pytest.mark.parametrize("arguments", [["--help"], ["--socket", "/nowhere", "status"], ["find", "--help"]])
def test_a_thin_command_imports_nothing_slow(arguments: list[str]) -> None:
    """Start-up stays short because heavy libraries are imported where they are used, if at all."""
    code = (
        "import sys; from callrec.console.main import _run\n"
        f"_run({arguments!r})\n"
        f"print('SLOW', sorted(set(sys.modules) & set({SLOW!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert "SLOW []" in done.stdout


def test_only_the_composition_root_knows_recorder_and_api() -> None:
    """design 3: console/run.py is the only module of the console that imports them."""
    for path in (ROOT / "callrec" / "console").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for module in modules:
                assert path.name == "run.py" or not module.startswith(("callrec.recorder", "callrec.api")), path
