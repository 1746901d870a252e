"""The mapping file of an import: which column of a CSV file says what, in TOML; see docs/relationship-import.md."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from callrec.privacy.party_changes import read_kind, refuse
from callrec.privacy.retention_classes import PartyKind

_TABLES = ("columns", "kinds", "file")
_FILE_KEYS = ("delimiter", "dates", "numbers_apart", "kind")


class Field(StrEnum):
    """What a column may say of a party."""

    REF = "ref"
    NAME = "name"
    NUMBER = "number"
    KIND = "kind"
    SINCE = "since"
    ENDED = "ended"
    NUMBER_SINCE = "number_since"
    NUMBER_UNTIL = "number_until"
    CONTRACT = "contract"
    CONTRACT_START = "contract_start"
    CONTRACT_END = "contract_end"


SEVERAL = frozenset({Field.NAME, Field.NUMBER})
"""Several columns may say these: parts of a name, and more than one number."""


@dataclass(frozen=True, slots=True)
class ImportMapping:
    """A mapping file, checked."""

    columns: Mapping[str, Field]
    """By the name of the column, as the first line of the file has it."""
    kinds: Mapping[str, PartyKind] = field(default_factory=dict)
    """What the file calls the kinds, in small letters."""
    kind: PartyKind | None = None
    """What a party of this file is where no column says it."""
    delimiter: str = ","
    dates: str = ""
    """How dates are written, as for strptime; empty: 2026-11-22."""
    numbers_apart: str = ";"
    """What stands between several numbers in one cell."""

    @classmethod
    def read(cls, text: str) -> ImportMapping:
        """Return the mapping that TOML text describes.

        Raises:
            OperatorError: with exit code 2, in one sentence.
        """
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            refuse(f"mapping file: {error}; expected TOML")
        if unknown := sorted(set(document) - set(_TABLES)):
            refuse(
                f"mapping file: found {unknown[0]!r}, expected the tables {', '.join(f'[{one}]' for one in _TABLES)}"
            )
        file = _table(document, "file")
        if unknown := sorted(set(file) - set(_FILE_KEYS)):
            refuse(f"mapping file: found file.{unknown[0]}, expected one of {', '.join(_FILE_KEYS)}")
        return cls(
            columns=_columns(_table(document, "columns")),
            kinds={said.lower(): read_kind(kind) for said, kind in _table(document, "kinds").items()},
            kind=read_kind(file["kind"]) if "kind" in file else None,
            delimiter=_one_character(file, "delimiter", ","),
            dates=file.get("dates", ""),
            numbers_apart=_one_character(file, "numbers_apart", ";"),
        )

    def date_of(self, what: str, text: str) -> date | None:
        """Return the date of a cell, None of an empty one; raises OperatorError."""
        text = text.strip()
        if not text:
            return None
        try:
            if self.dates:
                return datetime.strptime(text, self.dates).date()  # noqa: DTZ007 - a day, wherever it is read
            return date.fromisoformat(text)
        except ValueError:
            refuse(f"{what}: found {text!r}, expected a date such as {date(2026, 11, 22).strftime(self.dates or '%F')}")

    def kind_of(self, text: str) -> PartyKind | None:
        """Return the kind of a cell; that of the file where it is empty. Raises OperatorError."""
        text = text.strip()
        if not text:
            return self.kind
        return self.kinds.get(text.lower()) or read_kind(text)


def _table(document: Mapping[str, Any], name: str) -> dict[str, str]:
    table = document.get(name, {})
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        refuse(f'mapping file: [{name}] must hold lines such as "Name" = "text"')
    return table


def _columns(table: Mapping[str, str]) -> dict[str, Field]:
    columns: dict[str, Field] = {}
    for column, text in table.items():
        if text not in set(Field):
            refuse(f"mapping file: column {column!r}: found {text!r}, expected one of {', '.join(Field)}")
        said = Field(text)
        if said in columns.values() and said not in SEVERAL:
            refuse(f"mapping file: column {column!r}: another column says {said.value!r} already; expected one")
        columns[column.strip()] = said
    said_at_all = set(columns.values())
    if Field.REF not in said_at_all:
        refuse('mapping file: no column is "ref"; expected one that says what people call each party')
    for needs, needed in _NEEDS.items():
        if needs in said_at_all and needed not in said_at_all:
            refuse(f'mapping file: a column is "{needs}", but none is "{needed}"')
    return columns


_NEEDS = {
    Field.NUMBER_SINCE: Field.NUMBER,
    Field.NUMBER_UNTIL: Field.NUMBER,
    Field.CONTRACT_START: Field.CONTRACT,
    Field.CONTRACT_END: Field.CONTRACT,
}


def _one_character(file: Mapping[str, str], name: str, default: str) -> str:
    text = file.get(name, default)
    if len(text) != 1 or text in '"\r\n':
        refuse(f"mapping file: file.{name}: found {text!r}, expected one character")
    return text
