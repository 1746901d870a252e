"""The options that every command takes, before or after its name, and the classes of commands that take them."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any

import click

DEFAULT_CONFIG = Path("/etc/callrec/callrec.toml")
_META = "callrec.options"


class Output(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    ID = "id"
    NAGIOS = "nagios"
    """One line for a monitoring system; only what is checked can say it."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was given of the options that every command takes."""

    config: Path | None = None
    socket: Path | None = None
    output: Output = Output.TABLE
    yes: bool = False
    no_input: bool = False
    reason: str = ""

    @classmethod
    def of(cls, context: click.Context) -> Options:
        """Return the options given anywhere on the command line; the later one counts."""
        return cls(**context.meta.get(_META, {}))


def _given(context: click.Context) -> MutableMapping[str, Any]:
    given: MutableMapping[str, Any] = context.meta.setdefault(_META, {})
    return given


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep a value that was given; what was not given leaves an earlier place of the same option alone."""
    if value is not None and value is not False and parameter.name:
        _given(context)[parameter.name] = Output(value) if parameter.name == "output" else value


def _remember_json(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
    if value:
        _given(context)["output"] = Output.JSON


def _everywhere(*names: str, **attributes: Any) -> click.Option:
    return click.Option(list(names), expose_value=False, callback=attributes.pop("callback", _remember), **attributes)


_PATH = click.Path(path_type=Path)

EVERYWHERE: tuple[click.Option, ...] = (
    _everywhere("--config", type=_PATH, metavar="FILE", help=f"Configuration file; otherwise {DEFAULT_CONFIG}."),
    _everywhere("--socket", type=_PATH, metavar="FILE", help="UNIX socket of the recorder; otherwise [api] socket."),
    _everywhere(
        *("-o", "--output", "output"),
        type=click.Choice([output.value for output in Output]),
        help="How to print: a table for people, or a form for programs (nagios: request check).",
    ),
    _everywhere("--json", "as_json", is_flag=True, callback=_remember_json, help="The same as -o json."),
    _everywhere("--yes", is_flag=True, help="Answer every confirmation with yes."),
    _everywhere("--no-input", is_flag=True, help="Never ask; stop where a confirmation is due."),
    _everywhere("--reason", metavar="TEXT", help="Why, for the audit trail."),
)
"""contract.md, "The `callrec` command"."""

_NAMES = frozenset(option.name for option in EVERYWHERE)


class _TakesThem(click.Command):
    """A command that takes the options of every command after its name, and shows them below its own."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own parameters and those of every command."""
        return [*super().get_params(ctx), *EVERYWHERE]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options, then those of every command."""
        own = [p for p in self.get_params(ctx) if isinstance(p, click.Option) and p.name not in _NAMES]
        for title, parameters in (("Options", own), ("Everywhere", EVERYWHERE)):
            records = [record for p in parameters if (record := p.get_help_record(ctx)) is not None]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class Command(_TakesThem):
    """One command."""

    speaks_nagios = False
    """Whether `-o nagios` means anything."""


class CheckCommand(Command):
    """A command that a monitoring system runs, too."""

    speaks_nagios = True


@dataclass(frozen=True, slots=True)
class Lazy:
    """A command in a module that is imported only when it is called, and the line that help shows for it."""

    place: str
    """`module:attribute`, the module below `callrec.console`."""
    help: str

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.place.partition(":")
        command: click.Command = getattr(import_module(f"callrec.console.{module}"), attribute)
        return command


class Group(_TakesThem, click.Group):
    """Commands under one name, in the order in which they are listed."""

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy] | None = None, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._lazy = dict(lazy or {})

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return [*self.commands, *self._lazy]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing it where that was put off."""
        if cmd_name in self._lazy:
            return self._lazy[cmd_name].load()
        return super().get_command(ctx, cmd_name)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options and the commands."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each command, without importing any."""
        lines = [(name, command.get_short_help_str(200)) for name, command in self.commands.items()]
        lines += [(name, self._lazy[name].help) for name in self._lazy]
        with formatter.section("Commands"):
            formatter.write_dl(lines)
