"""What a command works with: options, the client, the configuration, and a person who can be asked, or not."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from callrec.console.client import Client
from callrec.console.options import DEFAULT_CONFIG, Options, Output
from callrec.console.place import Place, read_place
from callrec.errors import ExitCode, OperatorError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from callrec.settings import Settings

R = TypeVar("R")


class Session:
    """One run of the command. Everything is looked up when it is first wanted."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @property
    def output(self) -> Output:
        """Return how results are printed."""
        return self.options.output

    @property
    def config(self) -> Path:
        """Return the configuration file."""
        return self.options.config or DEFAULT_CONFIG

    @cached_property
    def place(self) -> Place:
        """Return where the recorder is and which time zone counts."""
        socket = self.options.socket or os.environ.get("CALLREC_SOCKET")
        named = self.options.config is not None
        return read_place(self.config, named=named, socket=Path(socket) if socket else None)

    @cached_property
    def zone(self) -> ZoneInfo:
        """Return the time zone of `[org]`; the default one, and a word of warning, where a broken file hides it."""
        place = self.place
        if place.doubt:
            say(f"callrec: {place.doubt}; times are those of {place.zone.key}")
        return place.zone

    @cached_property
    def client(self) -> Client:
        """Return the client of the recorder."""
        return Client(self.place.socket)

    @cached_property
    def settings(self) -> Settings:
        """Return the whole configuration.

        Raises:
            ConfigurationError: if it cannot be used.
        """
        from callrec.settings import load  # noqa: PLC0415  300 ms that only commands without a recorder pay

        return load(self.config, os.environ)

    @property
    def at_terminal(self) -> bool:
        """Say whether a person sits there who can be asked."""
        return sys.stdin.isatty() and sys.stderr.isatty() and not self.options.no_input

    def confirm(self, question: str) -> None:
        """Ask, unless --yes was given.

        Raises:
            OperatorError: with exit code 2 if nobody can be asked, 1 if the answer is no.
        """
        if self.options.yes:
            return
        if not self.at_terminal:
            message = "a confirmation is due and nobody can be asked; look at what was shown, then add --yes"
            raise OperatorError(message, exit_code=ExitCode.USAGE)
        if not click.confirm(question, err=True):
            raise OperatorError("nothing was changed")


def with_session(function: Callable[..., R]) -> Callable[..., R]:
    """Give a command its session as first argument."""

    def wrapped(*args: object, **keywords: object) -> R:
        context = click.get_current_context()
        options = Options.of(context)
        if options.output is Output.NAGIOS and not getattr(context.command, "speaks_nagios", False):
            message = "-o nagios: expected a command that checks something, such as callrec request check"
            raise OperatorError(message, exit_code=ExitCode.USAGE)
        return function(Session(options), *args, **keywords)

    return update_wrapper(wrapped, function)


def say(message: str) -> None:
    """Tell a person something that is no result: it goes to standard error."""
    click.echo(message, err=True)
