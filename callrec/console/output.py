"""Results on standard output: a table for people, or JSON, CSV and the like for programs."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import click

from callrec.console.options import Output

Item = Mapping[str, Any]

_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[0-9*.]+")
_BETWEEN, _LEAST_TEXT = 2, 20


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading, and what stands under it for an item."""

    heading: str
    cell: Callable[[Item], str]
    right: bool = False
    brief: Callable[[Item], str] | None = None
    """What stands there instead where the window is too narrow for the table."""
    spare: bool = False
    """Whether the column may be left out of a window that is too narrow even so."""
    text: bool = False
    """Whether its words go on in the next line; other columns are broken only where nothing else helps."""


def print_document(document: Item, output: Output, lines: Callable[[], Iterable[str]]) -> None:
    """Print one document: its JSON, its row, or the lines that people read."""
    match output:
        case Output.JSON:
            click.echo(pretty(document))
        case Output.JSONL:
            click.echo(compact(document))
        case Output.CSV | Output.TSV:
            _print_separated([document], output)
        case Output.ID:
            click.echo(_id_of(document))
        case Output.TABLE:
            for line in lines():
                click.echo(line)


def print_items(
    items: Sequence[Item], output: Output, columns: Sequence[Column], *, following: str | None = None, empty: str
) -> None:
    """Print a list; `following` is the cursor of what was left out, `empty` what people read if there is nothing."""
    match output:
        case Output.JSON:
            click.echo(pretty({"items": items, "next": following}))
        case Output.JSONL:
            for item in items:
                click.echo(compact(item))
        case Output.CSV | Output.TSV:
            _print_separated(items, output)
        case Output.ID:
            for item in items:
                click.echo(_id_of(item))
        case Output.TABLE:
            print_table(items, columns) if items else click.echo(empty)


def pretty(document: Any) -> str:
    """Return JSON for people and programs."""
    return json.dumps(document, ensure_ascii=False, indent=2)


def compact(document: Any) -> str:
    """Return JSON on one line."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def print_table(items: Sequence[Item], columns: Sequence[Column]) -> None:
    """Print a table: fitted to the window on a terminal, in full where a program reads it."""
    if sys.stdout.isatty():
        room = shutil.get_terminal_size().columns
        rows, columns = fit(items, columns, room)
        _print_fitted(rows, columns, room)
        return
    for line in _plain_lines(_rows(items, columns), columns):
        click.echo(line)


def _rows(items: Iterable[Item], columns: Sequence[Column]) -> list[list[str]]:
    return [[printable(column.cell(item)) for column in columns] for item in items]


def fit(items: Sequence[Item], columns: Sequence[Column], room: int) -> tuple[list[list[str]], Sequence[Column]]:
    """Return the cells of a table that fits into `room` characters as far as brief cells and spare columns allow."""
    brief = [replace(column, cell=column.brief or column.cell) for column in columns]
    narrow = [column for column in brief if not column.spare]
    for attempt in (columns, brief, narrow):
        rows = _rows(items, attempt)
        if _width(rows, attempt) <= room:
            break
    return rows, attempt


def _width(rows: list[list[str]], columns: Sequence[Column]) -> int:
    """Return how many characters a table needs; a column of text needs twenty at least."""
    widths = (max(len(row[place]) for row in rows) for place in range(len(columns)))
    needs = (
        max(len(column.heading), min(width, _LEAST_TEXT) if column.text else width)
        for column, width in zip(columns, widths, strict=True)
    )
    return sum(needs) + _BETWEEN * (len(columns) - 1)


def printable(text: str) -> str:
    """Return text without characters that could steer a terminal: names come from strangers."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _print_fitted(rows: list[list[str]], columns: Sequence[Column], room: int) -> None:
    """Print a table in which no id, number or time is broken or cropped, unless it fits no other way."""
    from rich.console import Console  # noqa: PLC0415  100 ms that only a table on a terminal pays
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    fits = _width(rows, columns) <= room
    table = Table(box=None, padding=(0, _BETWEEN, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        side: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(column.heading, justify=side, overflow="fold", no_wrap=fits and not column.text)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    # With a height, rich takes the width from us also on a terminal that calls itself dumb.
    Console(highlight=False, width=room, height=25).print(table)


def _plain_lines(rows: list[list[str]], columns: Sequence[Column]) -> Iterable[str]:
    table = [[column.heading for column in columns], *rows]
    widths = [max(len(row[index]) for row in table) for index in range(len(columns))]
    for row in table:
        cells = (
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        )
        yield (" " * _BETWEEN).join(cells).rstrip()


def _print_separated(items: Sequence[Item], output: Output) -> None:
    """Print one row for each item; what is a list or an object within it stands there as JSON."""
    if not items:
        return
    import csv  # noqa: PLC0415  10 ms that only tables for spreadsheets pay

    names = list(dict.fromkeys(name for item in items for name in item))
    text = io.StringIO()
    writer = csv.writer(text, dialect="excel" if output is Output.CSV else "excel-tab", lineterminator="\n")
    writer.writerow(names)
    for item in items:
        writer.writerow([_cell(item.get(name)) for name in names])
    click.echo(text.getvalue(), nl=False)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return _harmless(value)
        case int() | float():
            return str(value)
        case _:
            return compact(value)


def _harmless(text: str) -> str:
    """Return text that a spreadsheet does not take for a formula; a caller chooses his display name himself."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _id_of(item: Item) -> str:
    for name in ("call_id", "id", "recording_id"):
        if item.get(name):
            return str(item[name])
    return ""
