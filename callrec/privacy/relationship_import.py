"""A CSV file of relationships, read line by line; every wrong line is told, and one is enough to refuse it all. Pure.

Several lines may be about one party: each adds to what the ones before it said.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from callrec.errors import OperatorError
from callrec.privacy.import_mapping import Field, ImportMapping
from callrec.privacy.party_changes import (
    MOST_A_PARTY,
    PartyChange,
    contract_change,
    not_ahead,
    number_change,
    read_name,
    read_ref,
    refuse,
)

MOST_ROWS = 200_000
LONGEST_CELL = 4096
_MOST_FAULTS = 50

Cells = Mapping[Field, Sequence[str]]
"""What a line says, by field; the cells of several columns in the order of the file."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """A number that a line gives to a party."""

    ref: str
    line: int
    since: date | None
    until: date | None

    def contradicts(self, other: _Claim) -> bool:
        """Say whether two lines give a number to two parties at the same time."""
        if self.ref == other.ref:
            return False
        first, second = sorted((self, other), key=lambda one: one.since or date.min)
        return first.until is None or second.since is None or second.since < first.until


def read_import(csv_text: str, map_text: str, today: date, country: str) -> tuple[int, list[PartyChange]]:
    """Return how many rows a file has, and what it says of each party.

    Args:
        csv_text: the file; its first line names the columns.
        map_text: the mapping file.
        today: the local date.
        country: whose numbers are written without a country code.

    Raises:
        OperatorError: with exit code 2: one sentence for the mapping, or one for each wrong line.
    """
    reading = _Reading(ImportMapping.read(map_text), today, country)
    reading.read(csv_text)
    if reading.faults:
        shown = reading.faults[:_MOST_FAULTS]
        more = len(reading.faults) - len(shown)
        rest = [f"and {more} more lines"] if more else []
        refuse("\n".join([f"nothing was imported: {len(reading.faults)} lines are wrong", *shown, *rest]))
    return reading.rows, list(reading.changes.values())


class _Reading:
    """One file, on its way from text to changes."""

    def __init__(self, mapping: ImportMapping, today: date, country: str) -> None:
        self._mapping = mapping
        self._today = today
        self._country = country
        self._claims: dict[str, list[_Claim]] = {}
        self.rows = 0
        self.changes: dict[str, PartyChange] = {}
        self.faults: list[str] = []

    def read(self, text: str) -> None:
        """Read the file; what is wrong is in `faults` afterwards."""
        lines = self._lines(text.removeprefix("\ufeff"))
        header = [cell.strip() for cell in next(lines, (0, []))[1]]
        if self.faults:
            return
        self._check_header(header)
        for line, row in lines:
            self.rows += 1
            if self.rows > MOST_ROWS:
                refuse(f"the file has more than {MOST_ROWS} rows; import it in parts")
            try:
                self._take(line, header, row)
            except OperatorError as error:
                self.faults.append(f"line {line}: {error}")

    def _lines(self, text: str) -> Iterator[tuple[int, list[str]]]:
        """Return rows with the line each begins on; blank ones are left out, an unreadable one ends the file."""
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=self._mapping.delimiter, strict=True)
        line = 1
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                self.faults.append(f"line {line}: {error}; from here on nothing was read")
                return
            if any(cell.strip() for cell in row):
                yield line, row
            line = reader.line_num + 1

    def _check_header(self, header: list[str]) -> None:
        if not header:
            refuse("the file is empty; expected a first line that names its columns")
        for column in self._mapping.columns:
            if (count := header.count(column)) != 1:
                found = "no such column" if not count else f"{count} columns of that name"
                refuse(f"column {column!r}: found {found} in the first line: {', '.join(header)[:500]}")

    def _take(self, line: int, header: Sequence[str], row: Sequence[str]) -> None:
        if len(row) != len(header):
            refuse(f"found {len(row)} cells, expected {len(header)}, as the first line has")
        cells: dict[Field, list[str]] = {}
        for column, cell in zip(header, row, strict=True):
            if len(cell) > LONGEST_CELL:
                refuse(f"column {column!r}: found {len(cell)} characters, expected at most {LONGEST_CELL}")
            if (said := self._mapping.columns.get(column)) is not None:
                cells.setdefault(said, []).append(cell)
        change = self._change(cells)
        self._check_claims(line, change)
        known = self.changes.get(change.ref)
        self.changes[change.ref] = change if known is None else _both(known, change)

    def _change(self, cells: Cells) -> PartyChange:
        said = {field: cells.get(field, [""])[0].strip() for field in Field}
        name = " ".join(part for cell in cells.get(Field.NAME, ()) if (part := " ".join(cell.split())))
        ended = not_ahead("ended", self._mapping.date_of("ended", said[Field.ENDED]), self._today)
        number_since, number_until, starts, ends = (
            self._mapping.date_of(field.value, said[field])
            for field in (Field.NUMBER_SINCE, Field.NUMBER_UNTIL, Field.CONTRACT_START, Field.CONTRACT_END)
        )
        numbers = [
            number_change(number, number_since, number_until, self._today, self._country)
            for cell in cells.get(Field.NUMBER, ())
            for number in cell.split(self._mapping.numbers_apart)
            if number.strip()
        ]
        contract = said[Field.CONTRACT]
        return PartyChange(
            ref=read_ref(said[Field.REF]),
            name=read_name(name) if name else None,
            kind=self._mapping.kind_of(said[Field.KIND]),
            since=not_ahead("since", self._mapping.date_of("since", said[Field.SINCE]), self._today),
            ended=ended,
            # A column for the end that says nothing says that there is none.
            runs=Field.ENDED in cells and ended is None,
            numbers=tuple(dict.fromkeys(numbers)),
            contracts=(contract_change(contract, starts, ends),) if contract else (),
        )

    def _check_claims(self, line: int, change: PartyChange) -> None:
        """Refuse a file that gives one number to two parties at the same time: only a person knows whose it is."""
        for one in change.numbers:
            claim = _Claim(change.ref, line, one.since, one.until)
            known = self._claims.setdefault(one.number, [])
            if (other := next((each for each in known if each.contradicts(claim)), None)) is not None:
                refuse(f"number {one.number}: line {other.line} gives it to {other.ref} at the same time")
            known.append(claim)


def _both(first: PartyChange, second: PartyChange) -> PartyChange:
    """Return what two lines say of one party; where they differ, the later one has the word."""
    numbers = tuple(dict.fromkeys((*first.numbers, *second.numbers)))
    contracts = {contract.ref: contract for contract in (*first.contracts, *second.contracts)}
    if max(len(numbers), len(contracts)) > MOST_A_PARTY:
        refuse(f"relationship {first.ref}: found more than {MOST_A_PARTY} numbers or contracts")
    return replace(
        second,
        name=second.name or first.name,
        kind=second.kind or first.kind,
        since=second.since or first.since,
        ended=second.ended if second.ended is not None or second.runs else first.ended,
        runs=second.runs if second.ended is not None or second.runs else first.runs,
        numbers=numbers,
        contracts=tuple(contracts.values()),
    )
