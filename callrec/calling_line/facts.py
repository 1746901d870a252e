"""What may stay in clear about a number for reports: its country, its type, its area (design section 7)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

import phonenumbers

_MIXED_AREAS = (
    "13873",
    "15242",
    "15394",
    "15395",
    "15396",
    "16973",
    "16974",
    "16977",
    "17683",
    "17684",
    "17687",
    "19467",
)
_ELSEWHERE_IN_44 = frozenset({"GG", "JE", "IM"})


class NumberType(StrEnum):
    """What kind of line a number belongs to."""

    GEOGRAPHIC = "geographic"
    MOBILE = "mobile"
    FREEPHONE = "freephone"
    UK_WIDE = "uk_wide"  # 03, charged like geographic
    SERVICE = "service"  # 084, 087
    PREMIUM = "premium"
    PERSONAL = "personal"
    PAGER = "pager"
    CORPORATE = "corporate"  # 055, 056
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class NumberFacts:
    """`country` is a region of ISO 3166 or None; `area` is the UK dialling code of a geographic number, else None."""

    country: str | None
    number_type: NumberType
    area: str | None = None


_UK_RANGES: tuple[tuple[str, NumberType], ...] = (
    ("1", NumberType.GEOGRAPHIC),
    ("2", NumberType.GEOGRAPHIC),
    ("3", NumberType.UK_WIDE),
    ("500", NumberType.FREEPHONE),
    ("5", NumberType.CORPORATE),
    ("70", NumberType.PERSONAL),
    ("7624", NumberType.MOBILE),  # Isle of Man, inside the pager range
    ("76", NumberType.PAGER),
    ("7", NumberType.MOBILE),
    ("80", NumberType.FREEPHONE),
    ("8", NumberType.SERVICE),
    ("9", NumberType.PREMIUM),
)
_TYPES = {
    phonenumbers.PhoneNumberType.FIXED_LINE: NumberType.GEOGRAPHIC,
    phonenumbers.PhoneNumberType.MOBILE: NumberType.MOBILE,
    phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE: NumberType.UNKNOWN,
    phonenumbers.PhoneNumberType.TOLL_FREE: NumberType.FREEPHONE,
    phonenumbers.PhoneNumberType.PREMIUM_RATE: NumberType.PREMIUM,
    phonenumbers.PhoneNumberType.SHARED_COST: NumberType.SERVICE,
    phonenumbers.PhoneNumberType.PERSONAL_NUMBER: NumberType.PERSONAL,
    phonenumbers.PhoneNumberType.PAGER: NumberType.PAGER,
}


def facts_of(e164: str | None) -> NumberFacts:
    """Return what may be reported about a number; no number gives no country and an unknown type."""
    if not e164:
        return NumberFacts(None, NumberType.UNKNOWN)
    try:
        parsed = phonenumbers.parse(e164)
    except phonenumbers.NumberParseException:
        return NumberFacts(None, NumberType.UNKNOWN)
    if e164.startswith("+44"):
        return _united_kingdom(e164[3:], parsed)
    region = phonenumbers.region_code_for_number(parsed)
    region = region or phonenumbers.region_code_for_country_code(parsed.country_code or 0)
    known = None if region in {None, "ZZ", "001"} else region
    return NumberFacts(known, _TYPES.get(phonenumbers.number_type(parsed), NumberType.UNKNOWN))


def _united_kingdom(national: str, parsed: phonenumbers.PhoneNumber) -> NumberFacts:
    """Return the facts of a +44 number by its range: phonenumbers knows no drama numbers (CLI-9)."""
    region = phonenumbers.region_code_for_number(parsed)
    country = region if region in _ELSEWHERE_IN_44 else "GB"
    number_type = next((kind for start, kind in _UK_RANGES if national.startswith(start)), NumberType.UNKNOWN)
    area = f"0{_area(national)}" if number_type is NumberType.GEOGRAPHIC else None
    return NumberFacts(country, number_type, area)


def _area(national: str) -> str:
    """Return the area code of a geographic number: 2x, 11x or 1x1, else four digits, five where Ofcom mixed them."""
    if national.startswith("2"):
        return national[:2]
    if re.match(r"11|1[0-9]1", national):
        return national[:3]
    return national[:5] if national.startswith(_MIXED_AREAS) else national[:4]
