"""Numbers as people type them into a search, and as they may be shown to people who may not see them."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass

from callrec.calling_line.called import called_number
from callrec.calling_line.numbers import NumberKind
from callrec.calling_line.profile import PeerProfile

# A person who types ten digits without a 0 means a UK number; there is no caller to be wronged by that.
_SEARCH = PeerProfile(number_format="nsn")
_ENDING = re.compile(r"\*([0-9]{1,15})")
_SCHEME = re.compile(r"(?:sips?|tel|phone|callto):", re.IGNORECASE)
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212_,'"), "-")


@dataclass(frozen=True, slots=True)
class NumberQuery:
    """What a searched number means: exactly one of the three is set."""

    e164: str | None = None
    ends_with: str | None = None
    digits: str | None = None
    """A short code or an extension."""


def parse_query(text: str, country: str = "GB") -> NumberQuery | None:
    """Return what a person searches for, None if it is no number: any spelling, `*0123` for an ending, or short."""
    plain = _plain(text)
    if found := _ENDING.fullmatch(re.sub(r"[\s().-]", "", plain)):
        return NumberQuery(ends_with=found[1])
    if e164 := normalise_query(text, country):
        return NumberQuery(e164=e164)
    called = called_number(plain, _SEARCH)
    if called.kind in {NumberKind.SHORT_CODE, NumberKind.EMERGENCY, NumberKind.UNKNOWN_SHORT}:
        return NumberQuery(digits=called.digits)
    return None


def normalise_query(text: str, country: str = "GB") -> str | None:
    """Return the E.164 form of a number in any spelling, None if it is none or too short to be sure.

    Raises:
        ValueError: if the country's numbering plan is not known.
    """
    if country != "GB":
        raise ValueError(f"found country {country!r}, expected GB, the only numbering plan of this version")
    plain = _plain(text)
    if not plain or re.search(r"[^0-9+().\s/-]", plain):
        return None
    called = called_number(plain.lstrip("(") if plain.startswith("(+") else plain, _SEARCH)
    return called.e164


def _plain(text: str) -> str:
    """Return typed text without what copying from mail, contacts and URIs leaves in it."""
    text = unicodedata.normalize("NFKC", text).translate(_DASHES)
    text = "".join(character for character in text if unicodedata.category(character) != "Cf").strip()
    scheme = _SCHEME.match(text)
    return text[scheme.end() :].partition("@")[0].partition(";")[0] if scheme else text


def mask(number: str) -> str:
    """Return a number that shows its country and its last four digits: `+44******0001`; short ones show nothing."""
    digits = re.sub(r"[^0-9]", "", number)
    if len(digits) < 9:
        return "*" * (len(digits) or 3)
    head = number[:3] if number.startswith("+") else ""
    hidden = len(digits) - 4 - (len(head) - 1 if head else 0)
    return f"{head}{'*' * hidden}{digits[-4:]}"


def lookup_key(secret: bytes, e164: str) -> str:
    """Return the keyed hash by which a number is found again without being stored: HMAC-SHA256 of E.164 (CLI-12)."""
    return hmac.new(secret, e164.encode(), hashlib.sha256).hexdigest()
