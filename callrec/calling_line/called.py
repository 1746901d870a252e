"""Which number was called; emergency numbers are decided first, on the dialled digits alone (FAIL-1, 2.7)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from callrec.calling_line.numbers import Number, NumberKind, is_short_code, read_number, without_separators
from callrec.calling_line.profile import PeerProfile

_EMERGENCY = frozenset({"999", "112", "18000"})
_SOS_URN = re.compile(r"urn:service:sos(?:\.[a-z0-9.-]+)?", re.IGNORECASE)  # RFC 5031 4.2
# No URN has them, but border gateways put them there: `urn:service:sos;phone-context=...@...;user=phone`.
_BEHIND_URN = re.compile(r"[;@].*", re.DOTALL)
_TRUNK_44 = re.compile(r"(?:\+|00)440?")
# 1470 releases and 141 withholds the caller's number; 18001 and 18002 bring in a text relay.
_DIAL_PREFIXES = ("1470", "141", "18001", "18002")


@dataclass(frozen=True, slots=True)
class CalledNumber:
    """The called number; `digits` are the national ones, or those of the short code or extension."""

    kind: NumberKind
    e164: str | None = None
    digits: str | None = None
    dial_prefix: str | None = None

    def __repr__(self) -> str:
        return f"CalledNumber({self.kind.value})"


def is_emergency(dialled: str, peer: PeerProfile) -> bool:
    """Return whether this is a call to 999, 112, 18000 or an SOS service; nothing is looked up for it."""
    return emergency_digits(dialled, peer) is not None


def emergency_digits(dialled: str, peer: PeerProfile) -> str | None:
    """Return the emergency number that was dialled, "" for an SOS service, None if it was none."""
    text = _user_of(dialled)
    if _SOS_URN.fullmatch(_BEHIND_URN.sub("", text)):
        return ""
    digits = _digits_of(text)
    forms = (digits, _without_outside_prefix(digits, peer))
    for form in (inner for outer in forms for inner in (outer, _split_prefix(outer)[1])):
        bare = _TRUNK_44.sub("", form, count=1) if form.startswith(("+44", "0044")) else form
        if bare in _EMERGENCY:
            return bare
    return None


def called_number(dialled: str, peer: PeerProfile) -> CalledNumber:
    """Return what the user part of a Request-URI or To, or a URN, calls; never an exception."""
    emergency = emergency_digits(dialled, peer)
    if emergency is not None:
        return CalledNumber(NumberKind.EMERGENCY, digits=emergency or None)
    text = _user_of(dialled)
    digits = _digits_of(text)
    if service := _service(digits):
        return CalledNumber(NumberKind.SHORT_CODE, digits=service)
    inner = _without_outside_prefix(digits, peer)
    prefix, rest = _split_prefix(inner)
    if service := _service(rest):
        return CalledNumber(NumberKind.SHORT_CODE, digits=service, dial_prefix=prefix)
    return _called(read_number(rest, peer, phone_context=_context_of(text)), prefix)


def _called(number: Number, prefix: str | None) -> CalledNumber:
    if number.e164 is None:
        return CalledNumber(number.kind, digits=number.raw or None, dial_prefix=prefix)
    digits = number.e164[3:] if number.e164.startswith("+44") else number.e164[1:]
    return CalledNumber(NumberKind.E164, number.e164, digits, prefix)


def _service(digits: str) -> str | None:
    """Return the short code that digits are, also behind a +44 that a PBX put before it (CLI-8)."""
    bare = digits.removeprefix("+44")
    return bare if is_short_code(bare) else None


def _user_of(dialled: str) -> str:
    """Return the user part of what may also be a whole URI."""
    text = unquote(dialled.strip().strip("<>").strip())
    scheme, colon, rest = text.partition(":")
    if colon and scheme.casefold() in {"sip", "sips", "tel"}:
        return rest.partition("@")[0]
    return text


def _digits_of(text: str) -> str:
    """Return dialled digits without separators, parameters, and the # that ends a dialled string on some phones."""
    return without_separators(text.partition(";")[0].strip()).rstrip("#")


def _context_of(text: str) -> str:
    for part in text.split(";")[1:]:
        key, _, value = part.partition("=")
        if key.strip().casefold() == "phone-context":
            return value.strip()
    return ""


def _without_outside_prefix(digits: str, peer: PeerProfile) -> str:
    prefix = peer.outside_prefix
    if not prefix or not digits.startswith(prefix):
        return digits
    return digits.removeprefix(prefix)


def _split_prefix(digits: str) -> tuple[str | None, str]:
    """Return the dial prefix and what follows it; a prefix needs something to follow."""
    for prefix in _DIAL_PREFIXES:
        rest = digits.removeprefix(prefix)
        if rest != digits and (rest.startswith(("0", "+")) or is_short_code(rest)):
            return prefix, rest
    return None, digits
