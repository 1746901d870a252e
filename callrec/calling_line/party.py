"""Who one header value speaks of, taken from SIP and ready to be judged."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from callrec.calling_line.numbers import NO_NUMBER, Number, NumberKind, read_number
from callrec.calling_line.profile import PeerProfile
from callrec.calling_line.words import Word, keypad_word_of, word_of
from callrec.errors import PeerError
from callrec.sip import NameAddress, Uri
from callrec.sip.grammar import split_list
from callrec.sip.headers import key_of

_FOLD = re.compile(r"\r?\n[ \t]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_LONGEST_NAME = 128

Pairs = Sequence[tuple[str, str]]
"""Header names and values in their order."""


@dataclass(frozen=True, slots=True)
class Party:
    """One name-addr of a header: its number, its name, and the address itself."""

    number: Number
    display_name: str | None
    address: NameAddress
    keypad_word: Word | None = None

    @property
    def user(self) -> str:
        """The user part without the parameters of telephone-subscriber."""
        return (self.address.uri.user or "").partition(";")[0]

    @property
    def is_anonymous(self) -> bool:
        """Whether the address itself says that the caller hides (RFC 3323 4.1.1.3, 2.2.2)."""
        host = self.address.uri.host.casefold().rstrip(".")
        return host == "anonymous.invalid" or Word.WITHHELD in {word_of(self.user), self.keypad_word}

    @property
    def is_named_anonymous(self) -> bool:
        """Whether the display name says so."""
        return word_of(self.display_name or "") is Word.WITHHELD

    @property
    def is_unavailable(self) -> bool:
        """Whether the address says that the network has no number."""
        host = self.address.uri.host.casefold().rstrip(".")
        words = {word_of(self.user), self.keypad_word}
        return host in {"unknown.invalid", "unavailable.invalid"} or Word.UNAVAILABLE in words

    def user_parameter(self, name: str) -> str | None:
        """Return a parameter such as `verstat` or `cpc`: inside the user part, or of the URI."""
        for part in (self.address.uri.user or "").split(";")[1:]:
            key, _, value = part.partition("=")
            if key.strip().casefold() == name:
                return readable(value)
        value_of_uri = self.address.uri.parameter(name)
        return None if value_of_uri is None else readable(value_of_uri)


def party_of(text: str, peer: PeerProfile) -> Party:
    """Return the party one header value names.

    Raises:
        PeerError: if the value is no name-addr or addr-spec.
    """
    address = NameAddress.parse(_FOLD.sub(" ", text).strip())
    number = number_of(address.uri, peer)
    keypad = keypad_word_of(address.uri.user or "") if peer.keypad_words else None
    return Party(NO_NUMBER if keypad else number, readable(address.display_name) or None, address, keypad)


def number_of(uri: Uri, peer: PeerProfile) -> Number:
    """Return the number a sip, sips or tel URI names; any other URI names none."""
    if not uri.is_sip and uri.scheme != "tel":
        return NO_NUMBER
    context = uri.parameter("phone-context") or ""
    user, *parameters = (uri.user or "").split(";")
    for part in parameters:
        key, _, value = part.partition("=")
        context = value if key.strip().casefold() == "phone-context" else context
    number = read_number(user, peer, phone_context=context)
    return Number(number.kind, readable(number.raw), number.e164)


def values_of(headers: Pairs, name: str) -> list[str]:
    """Return the values of all headers of this name, in any case or compact form."""
    return [_FOLD.sub(" ", value) for key, value in headers if key_of(key.strip()) == name]


def list_values_of(headers: Pairs, name: str) -> list[str]:
    """Return the single values of a comma list over all its lines.

    Raises:
        PeerError: if a quote or bracket is not closed.
    """
    return [part.strip() for value in values_of(headers, name) for part in split_list(value, name) if part.strip()]


def parties_of(headers: Pairs, name: str, peer: PeerProfile) -> Iterator[Party | None]:
    """Yield the parties of a list header, None for each value that cannot be read."""
    try:
        values = list_values_of(headers, name)
    except PeerError:
        yield None
        return
    for value in values:
        try:
            yield party_of(value, peer)
        except PeerError:
            yield None


def readable(text: str) -> str:
    """Return text that can be stored: ISO 8859-1 names of old PBXs decoded, control characters gone, not endless."""
    try:
        text.encode()
    except UnicodeEncodeError:
        # Bytes that were no UTF-8 came in as surrogates; single characters beyond that are replaced.
        text = text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass")
        text = "".join(_latin(character) for character in text)
    return _CONTROL.sub(" ", text).strip()[:_LONGEST_NAME]


def _latin(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return chr(code - 0xDC00)
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else character


def is_usable(number: Number) -> bool:
    """Return whether a number says who calls."""
    if number.is_inserted:
        return False
    return number.kind in {NumberKind.E164, NumberKind.EXTENSION, NumberKind.SHORT_CODE}
