"""The line of every key: what error messages stand on."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from callrec.settings.locate import locate

TEXT = '''# a comment with [a.table] and key = 1
title = "x # not a comment"
[a]           # line 3
"quoted key" = 1
b.c = """
[not.a.table]
d = 5 \\""" still inside"""
e = \'\'\'
[[nor.this]]\'\'\'
f = [ "]", # line 10: ]
  [1, 2],
  { g = "}", h.i = [3] },
]
[a.j]
k = { l = 1, m = "a,b" }
[[rows]]
n = 1
[rows.inner]
o = 2
[[rows]]
n = 3
[[rows.deep]]
p = 2026-01-01T00:00:00Z
[[rows.deep]]
p = +1.5e3'''


def test_every_key_of_a_difficult_file_is_found_on_its_line() -> None:
    """Comments, all four kinds of string, arrays over lines, inline tables, dotted keys, nested arrays of tables."""
    tomllib.loads(TEXT)
    lines = locate(TEXT)
    expected = {
        ("title",): 2,
        ("a",): 3,
        ("a", "quoted key"): 4,
        ("a", "b", "c"): 5,
        ("a", "e"): 8,
        ("a", "f"): 10,
        ("a", "f", 1): 11,
        ("a", "f", 1, 1): 11,
        ("a", "f", 2): 12,
        ("a", "f", 2, "g"): 12,
        ("a", "f", 2, "h", "i"): 12,
        ("a", "j"): 14,
        ("a", "j", "k", "m"): 15,
        ("rows", 0): 16,
        ("rows", 0, "n"): 17,
        ("rows", 0, "inner", "o"): 19,
        ("rows", 1): 20,
        ("rows", 1, "n"): 21,
        ("rows", 1, "deep", 0, "p"): 23,
        ("rows", 1, "deep", 1): 24,
        ("rows", 1, "deep", 1, "p"): 25,
    }
    assert {path: lines.get(path) for path in expected} == expected


def paths_of(value: object, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    """Return the path of everything inside a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {found for key, part in inner for found in {(*path, key)} | paths_of(part, (*path, key))}


def test_every_path_tomllib_knows_has_a_line() -> None:
    """The locator misses nothing of the difficult file."""
    assert paths_of(tomllib.loads(TEXT)) == set(locate(TEXT))


FRAGMENTS = [
    "[a]",
    "[[b]]",
    "[b.c]",
    "[[b.d]]",
    "x=1",
    "y='[z]'",
    'z="""\n#"""',
    "w=[1,\n[2]]",
    "v={u=1,t.s={}}",
    "# c",
    "a.b=1",
    "",
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("\n".join))
def test_a_scanner_finds_exactly_what_tomllib_reads(text: str) -> None:
    """Whatever valid TOML is put together, both know the same keys, and the scan ends."""
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert paths_of(value) == set(locate(text))
