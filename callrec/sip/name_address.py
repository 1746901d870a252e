"""name-addr and addr-spec: who a header speaks of, with the header's own parameters (RFC 3261 20.10)."""

from __future__ import annotations

from dataclasses import dataclass, field

from callrec.errors import PeerError
from callrec.sip.grammar import (
    CONTROL,
    QUOTED_STRING,
    TOKEN,
    Parameters,
    drop,
    find,
    format_parameters,
    parse_parameters,
    put,
    quote,
    split_list,
    unquote,
)
from callrec.sip.uri import Uri

MAX_LIST_VALUES = 128
"""Values in one list header; a Via or Route set longer than this cannot come from a loop-free network."""


@dataclass(frozen=True, slots=True)
class NameAddress:
    """A display name (without quotes, "" where there is none), a URI, and parameters that belong to the header.

    One that was parsed is written back exactly as it came, blanks at its ends aside.
    """

    display_name: str
    uri: Uri
    parameters: Parameters = ()
    _text: str | None = field(default=None, init=False, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str, where: str = "address") -> NameAddress:
        """Return the one address that text is; `where` names the header in errors.

        Raises:
            PeerError: where it is none.
        """
        text = text.strip(" \t")
        display_name, rest = _display_name(text, where)
        if rest is None:
            # RFC 3261 20: without brackets, `;` starts the header's parameters; `?` and `,` may not occur.
            address, semicolon, parameters = text.partition(";")
            if "?" in address or "," in address:
                raise PeerError(f"{where}: found '?' or ',' in a URI without angle brackets, expected <URI>")
            uri, parameter_text = Uri.parse(address.rstrip(" \t")), semicolon + parameters
        else:
            address, closing, parameter_text = rest.partition(">")
            if not closing:
                raise PeerError(f"{where}: found '<' without '>', expected <URI>")
            # Blanks inside the brackets are forgiven (RFC 4475 3.1.2.14 allows it; seen from test tools).
            uri = Uri.parse(address.strip(" \t"))
        value = cls(display_name, uri, parse_parameters(parameter_text, where))
        object.__setattr__(value, "_text", text)
        return value

    @classmethod
    def parse_list(cls, text: str, where: str = "address") -> tuple[NameAddress, ...]:
        """Return the addresses of a comma list.

        Raises:
            PeerError: where one is none, or there are too many.
        """
        values = split_list(text, where)
        if len(values) > MAX_LIST_VALUES:
            raise PeerError(f"{where}: found {len(values)} values, expected at most {MAX_LIST_VALUES}")
        return tuple([cls.parse(value, where) for value in values])

    @property
    def tag(self) -> str | None:
        """The dialog tag, None where there is none."""
        return find(self.parameters, "tag")

    def parameter(self, name: str) -> str | None:
        """Return a header parameter by its name in lower case: "" for a flag, None where it is missing."""
        return find(self.parameters, name)

    def with_parameter(self, name: str, value: str | None) -> NameAddress:
        """Return this address with a header parameter set; value None makes a flag."""
        return NameAddress(self.display_name, self.uri, put(self.parameters, name, value))

    def without_parameter(self, name: str) -> NameAddress:
        """Return this address without a header parameter."""
        return NameAddress(self.display_name, self.uri, drop(self.parameters, name))

    def with_tag(self, tag: str) -> NameAddress:
        """Return this address with a tag."""
        return self.with_parameter("tag", tag)

    def __str__(self) -> str:
        if self._text is not None:
            return self._text
        name = f"{quote(self.display_name)} " if self.display_name else ""
        return f"{name}<{self.uri}>{format_parameters(self.parameters)}"


def _display_name(text: str, where: str) -> tuple[str, str | None]:
    """Return the display name and what follows `<`, or ("", None) for an addr-spec."""
    if text[:1] == '"':
        found = QUOTED_STRING.match(text)
        if found is None:
            raise PeerError(f"{where}: found a quoted name that is not closed or holds control characters")
        rest = text[found.end() :].lstrip(" \t")
        if rest[:1] != "<":
            raise PeerError(f"{where}: found no '<' behind the quoted name, expected <URI>")
        return unquote(found[1]), rest[1:]
    name, opening, rest = text.partition("<")
    if not opening:
        return "", None
    name = name.rstrip(" \t")
    _check_unquoted(name, where)
    return name, rest


def _check_unquoted(name: str, where: str) -> None:
    # display-name = *(token LWS) / quoted-string. Wider on purpose: names with unquoted accents, brackets, "@" and
    # "/" come from PBXs daily. What would make the header ambiguous is not taken (RFC 4475 3.1.2.15).
    if name and not TOKEN.fullmatch(name) and (any(mark in name for mark in '",;:>\\') or CONTROL.search(name)):
        raise PeerError(f"{where}: found an unquoted name with separators or control characters, expected quotes")
