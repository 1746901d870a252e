"""The page about imports tells the truth: its example is imported, and its table names every field."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from callrec.privacy.import_mapping import Field
from callrec.privacy.relationship_import import MOST_ROWS, read_import
from callrec.privacy.retention_classes import PartyKind

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "relationship-import.md").read_text()


def block(language: str) -> str:
    """Return the one example in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_example_can_be_imported() -> None:
    """File and mapping as they stand on the page."""
    rows, changes = read_import(block("csv"), block("toml"), date(2026, 11, 25), "GB")
    assert rows == 3
    assert [(change.ref, change.kind, len(change.numbers)) for change in changes] == [
        ("4711", PartyKind.CUSTOMER, 2),
        ("4712", PartyKind.ENQUIRER, 2),
        ("4713", PartyKind.CUSTOMER, 1),
    ]
    assert [(change.runs, change.ended) for change in changes][1:] == [(True, None), (False, date(2026, 10, 31))]


def test_the_page_names_every_field_kind_and_limit() -> None:
    """Nothing can be mapped that the page does not tell."""
    named = set(re.findall(r"`(\w+)`", PAGE))
    assert set(Field) | set(PartyKind) <= named
    assert f"{MOST_ROWS:,}" in PAGE
