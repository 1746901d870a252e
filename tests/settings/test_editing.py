"""Changing values in a configuration file: what is written holds, and every other character stays."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.errors import ConfigurationError
from callrec.settings import as_toml
from callrec.settings.editing import Setting, with_key, with_row, with_value

PATH = Path("/etc/callrec/callrec.toml")
TEXT = """\
# ours
[org]
name = "Better Comms"   # of the notice
[privacy]
four_eyes = true
outside_stores = ["a", "b"]   # ask Ann
"""


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [(3, "name", '"Other"'), (5, "four_eyes", "false"), (6, "outside_stores", "[]")],
)
def test_a_value_is_changed_in_its_line_and_the_comment_stays(line: int, key: str, value: str) -> None:
    """No other line is touched."""
    after = with_value(TEXT, line, Setting(key, value, "new"), path=PATH)
    before, lines = TEXT.splitlines(), after.splitlines()
    assert [n for n, (old, new) in enumerate(zip(before, lines, strict=True), 1) if old != new] == [line]
    assert lines[line - 1].startswith(f"{key} = {value}")
    kept = before[line - 1].partition("#")[2].strip() or "new"
    assert lines[line - 1].endswith(f"# {kept}")
    tomllib.loads(after)


def test_a_key_goes_into_its_section_or_makes_one() -> None:
    """The order of what is there stays."""
    after = with_key(TEXT, "org", Setting("contact", '"x"', "G-5"), path=PATH)
    assert tomllib.loads(after)["org"] == {"name": "Better Comms", "contact": "x"}
    assert set(TEXT.splitlines()) <= set(after.splitlines())
    after = with_key(TEXT.rstrip("\n"), "setup", Setting("answered", "[]", "none"), path=PATH)
    assert after.startswith(TEXT)
    assert tomllib.loads(after)["setup"] == {"answered": []}


def test_a_table_is_added_to_an_array_of_tables() -> None:
    """Its comment stands above it."""
    after = with_row(TEXT, "retention_class", {"name": '"customer"', "keep": '"0d"'}, "G-3")
    assert tomllib.loads(after)["retention_class"] == [{"name": "customer", "keep": "0d"}]
    assert "# G-3\n[[retention_class]]\n" in after


@pytest.mark.parametrize(
    "line",
    ["stores = [", "stores = { a = 1 }", 'stores = """', 'a = 1; stores = "x"', 'stores = "a \\" b"', 'other = "x"'],
)
def test_what_cannot_be_read_for_sure_is_left_to_a_person(line: str) -> None:
    """The file and line are named, with what to write there."""
    with pytest.raises(ConfigurationError, match=r"callrec\.toml:1: stores: .* write stores = \[\] by hand"):
        with_value(f"{line}\n", 1, Setting("stores", "[]", ""), path=PATH)
    with pytest.raises(ConfigurationError, match="by hand"):
        with_key("org = { name = 'x' }\n", "org", Setting("contact", '"x"', ""), path=PATH)


@given(st.text(st.characters(exclude_categories=("C",))), st.text(st.characters(exclude_categories=("C",))))
def test_whatever_was_there_the_new_value_is_read_back(before: str, after: str) -> None:
    """Quotes, hash signs and brackets inside a text are no syntax; where they would be, nothing is changed."""
    text = f"[org]\nname = {as_toml(before)}  # comment\n"
    try:
        changed = with_value(text, 2, Setting("name", as_toml(after), ""), path=PATH)
    except ConfigurationError:
        assert "\\" in as_toml(before)
        return
    assert tomllib.loads(changed) == {"org": {"name": after}}
    assert changed.endswith("# comment\n")
