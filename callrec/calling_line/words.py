"""Words that stand where a number should: the caller hid it, or the network could not give it (2.2)."""

from __future__ import annotations

from enum import StrEnum


class Word(StrEnum):
    """What such a word says."""

    WITHHELD = "withheld"
    UNAVAILABLE = "unavailable"


_WITHHELD = frozenset({"anonymous", "restricted", "private", "withheld", "blocked"})
_UNAVAILABLE = frozenset({"unavailable", "unknown"})
# CLI-11: alphabetic words that a carrier had turned into keypad digits.
_KEYPAD = {
    "266696687": Word.WITHHELD,  # ANONYMOUS
    "7378742833": Word.WITHHELD,  # RESTRICTED
    "2562533": Word.WITHHELD,  # BLOCKED
    "8656696": Word.UNAVAILABLE,  # UNKNOWN
    "86282452253": Word.UNAVAILABLE,  # UNAVAILABLE
}


def word_of(text: str) -> Word | None:
    """Return what a user part or display name says instead of a number or a name, if it does."""
    folded = text.strip().casefold()
    if folded in _WITHHELD:
        return Word.WITHHELD
    return Word.UNAVAILABLE if folded in _UNAVAILABLE else None


def keypad_word_of(user: str) -> Word | None:
    """Return the word that digits were made from, for peers whose profile says they do that."""
    return _KEYPAD.get(user.partition(";")[0].strip().removeprefix("+"))
