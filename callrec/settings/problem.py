"""A fault between settings that are right one by one."""

from __future__ import annotations

from dataclasses import dataclass

from callrec.settings.origin import KeyPath


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: where it is, what was found, what was expected."""

    path: KeyPath
    found: str
    expected: str
