"""Results on standard output: a table for people, or JSON, CSV and the like for programs."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from callrec.console.options import Output

Item = Mapping[str, Any]

_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[0-9*.]+")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading, and what stands under it for an item."""

    heading: str
    cell: Callable[[Item], str]
    right: bool = False


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
    rows = [[printable(column.cell(item)) for column in columns] for item in items]
    if sys.stdout.isatty():
        _print_fitted(rows, columns)
    else:
        for line in _plain_lines(rows, columns):
            click.echo(line)


def printable(text: str) -> str:
    """Return text without characters that could steer a terminal: names come from strangers."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _print_fitted(rows: list[list[str]], columns: Sequence[Column]) -> None:
    from rich import box  # noqa: PLC0415  100 ms that only a table on a terminal pays
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.heading, justify="right" if column.right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


def _plain_lines(rows: list[list[str]], columns: Sequence[Column]) -> Iterable[str]:
    table = [[column.heading for column in columns], *rows]
    widths = [max(len(row[index]) for row in table) for index in range(len(columns))]
    for row in table:
        cells = (
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        )
        yield "  ".join(cells).rstrip()


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
