"""Telephone numbers: any spelling a network sends, brought into E.164 where that is certain (CLI-5 to CLI-9).

The UK rules are our own and come first: phonenumbers calls Ofcom's drama numbers invalid and turns 116123 into
+44116123 (CLI-9).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from callrec.calling_line.profile import PeerProfile

_SEPARATORS = str.maketrans("", "", " \t-.()/\u00a0")
_DIGITS = re.compile(r"[0-9]+")
# CLI-6: other lengths than ten digits exist only in these ranges.
_UK_NSN = re.compile(r"[1235789][0-9]{9}|(?:1[0-9]{2}|800|500)[0-9]{6}|8001111|845464[0-9]")
_SHORT_CODE = re.compile(r"999|112|1800[0-2]|101|105|111|119|123|116[0-9]{3}|118[0-9]{3}|1471|17070")
# 08979: what a UK network inserts where it was given no valid number; nobody can be called on it (CLI 2.2.3).
_INSERTED = re.compile(r"\+448979[0-9]{6}")


class NumberKind(StrEnum):
    """What a written number turned out to be."""

    E164 = "e164"
    EXTENSION = "extension"
    SHORT_CODE = "short_code"
    EMERGENCY = "emergency"
    UNKNOWN_SHORT = "unknown_short"
    AMBIGUOUS = "ambiguous"
    INVALID = "invalid"
    ALPHANUMERIC = "alphanumeric"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written and as it is understood; only kind E164 has an `e164`."""

    kind: NumberKind
    raw: str
    e164: str | None = None

    @property
    def national(self) -> str | None:
        """The number as it is dialled in the UK, None where it has no E.164 form (CLI-7)."""
        return national_of(self.e164) if self.e164 else None

    @property
    def other(self) -> str | None:
        """What was written, where that is no telephone number."""
        return None if self.e164 or not self.raw else self.raw

    @property
    def is_inserted(self) -> bool:
        """Whether a network inserted this for want of a valid number."""
        return bool(self.e164 and _INSERTED.fullmatch(self.e164))

    @property
    def is_premium_rate(self) -> bool:
        """Whether this is a UK 09 number, which may not be a caller's number (Ofcom GC C6)."""
        return bool(self.e164 and self.e164.startswith("+449"))

    def __repr__(self) -> str:
        return f"Number({self.kind.value})"  # digits must not reach logs through a traceback or a debug line


NO_NUMBER = Number(NumberKind.NONE, "")


def national_of(e164: str) -> str:
    """Return `0` and the national number for +44, `00` and all digits otherwise (CLI-7)."""
    return f"0{e164[3:]}" if e164.startswith("+44") else f"00{e164[1:]}"


def is_short_code(digits: str) -> bool:
    """Return whether digits are a UK short code, which never becomes +44 (CLI-8)."""
    return bool(_SHORT_CODE.fullmatch(digits))


def read_number(text: str, peer: PeerProfile, *, phone_context: str = "") -> Number:
    """Return the number that the user part of a URI means, percent-escapes resolved (CLI-5).

    What is no number at all comes back as ALPHANUMERIC or NONE, never as an exception.
    """
    written = text.partition(";")[0].strip()
    digits = without_separators(written)
    if not digits:
        return NO_NUMBER
    if phone_context.startswith("+") and _DIGITS.fullmatch(digits):
        digits = _in_context(digits, phone_context)
    if not _DIGITS.fullmatch(digits.removeprefix("+")):
        return Number(NumberKind.ALPHANUMERIC, written)
    local_context = bool(phone_context) and not phone_context.startswith("+")
    if len(digits) <= 6 and not digits.startswith("+") and (peer.is_pbx or local_context):
        return Number(NumberKind.EXTENSION, digits)  # a caller is extension 101 of ours, never the police
    if is_short_code(digits):
        return Number(NumberKind.SHORT_CODE, digits)
    return _judge(digits, peer.number_format == "nsn")


def without_separators(text: str) -> str:
    """Return a number without what people and machines put between digits; `(0)` goes where a country code is."""
    if text.startswith(("+", "00")):
        text = text.replace("(0)", "", 1)
    return text.translate(_SEPARATORS)


def _in_context(digits: str, context: str) -> str:
    """Return a local number of RFC 3966 made global: `phone-context=+44` replaces a leading 0."""
    prefix = "+" + re.sub(r"[^0-9]", "", context)
    # Italian numbers keep their 0; everywhere else it is the trunk prefix.
    return prefix + (digits if prefix.startswith("+39") else digits.removeprefix("0"))


def _judge(digits: str, nsn: bool) -> Number:  # noqa: FBT001 - the rule of one profile, named at its only call
    """Return what digits mean, by the order of CLI-5."""
    if digits.startswith("+"):
        return _international(digits, digits)
    if digits.startswith("00"):
        return _international(f"+{digits[2:]}", digits)
    if digits.startswith("0") and (len(digits) in {10, 11} or _UK_NSN.fullmatch(digits[1:])):
        return _united_kingdom(digits[1:], digits)
    if digits.startswith("44") and len(digits) in {11, 12}:
        return _united_kingdom(digits[2:], digits)
    if len(digits) <= 6:
        return Number(NumberKind.UNKNOWN_SHORT, digits)
    if nsn and _UK_NSN.fullmatch(digits):
        return _united_kingdom(digits, digits)
    kind = NumberKind.AMBIGUOUS if len(digits) in {9, 10} else NumberKind.INVALID
    return Number(kind, digits)


def _international(e164: str, raw: str) -> Number:
    if e164.startswith("+44"):
        national = e164[3:]
        return _united_kingdom(national.removeprefix("0"), raw)
    # E.164 6.2: at most 15 digits; CLI-6: at least 7, and no country code begins with 0.
    valid = 7 <= len(e164) - 1 <= 15 and e164[1] != "0"
    return Number(NumberKind.E164, raw, e164) if valid else Number(NumberKind.INVALID, raw)


def _united_kingdom(national: str, raw: str) -> Number:
    if _UK_NSN.fullmatch(national):
        return Number(NumberKind.E164, raw, f"+44{national}")
    return Number(NumberKind.INVALID, raw)
