"""docs/configuration.md against the program."""

from __future__ import annotations

from pathlib import Path

from callrec.settings.model import Settings
from callrec.settings.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_reference_in_the_documentation_is_the_programs() -> None:
    """Every setting stands in docs/configuration.md with its type, default and meaning."""
    assert PAGE.read_text().endswith(f"\n\n{reference().rstrip()}\n")


def test_every_setting_has_a_meaning() -> None:
    """A key without a word about it is a key nobody can set."""
    lines = [line for line in reference().splitlines() if line.startswith("| `")]
    assert len(lines) > 60
    assert [line for line in lines if line.split("|")[4].strip() == ""] == []


def test_every_section_is_in_the_reference() -> None:
    """No section is forgotten."""
    text = reference()
    assert [name for name in Settings.model_fields if f"[{name}]" not in text] == []
