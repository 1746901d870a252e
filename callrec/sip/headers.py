"""Headers: pairs in their order, found in any case and by compact name (RFC 3261 7.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from callrec.errors import PeerError
from callrec.sip.grammar import TOKEN, split_list

COMPACT = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition",
    "e": "content-encoding", "f": "from", "i": "call-id", "j": "reject-contact", "k": "supported",
    "l": "content-length", "m": "contact", "n": "identity-info", "o": "event", "r": "refer-to",
    "s": "subject", "t": "to", "u": "allow-events", "v": "via", "x": "session-expires", "y": "identity",
}  # fmt: skip
"""Compact form to full name in lower case (RFC 3261 7.3.3 and the IANA registry)."""

LIST_HEADERS = frozenset({
    "accept", "accept-contact", "accept-encoding", "accept-language", "alert-info", "allow", "allow-events",
    "call-info", "contact", "content-encoding", "content-language", "diversion", "error-info", "history-info",
    "in-reply-to", "p-asserted-identity", "p-preferred-identity", "path", "proxy-require", "reason", "record-route",
    "reject-contact", "remote-party-id", "request-disposition", "require", "route", "security-client",
    "security-server", "security-verify", "service-route", "supported", "unsupported", "via", "warning",
})  # fmt: skip
"""Headers whose grammar is a comma list (RFC 3261 20 and extensions); a comma in any other is part of its value."""

# What almost every message brings, spelled as it is sent: spares the token check and the lower-casing.
_USUAL = (
    "Accept", "Allow", "Call-ID", "CSeq", "Contact", "Content-Disposition", "Content-Length", "Content-Type", "Date",
    "Diversion", "From", "History-Info", "Max-Forwards", "Min-SE", "P-Asserted-Identity", "P-Early-Media", "Privacy",
    "Proxy-Authorization", "Reason", "Record-Route", "Remote-Party-ID", "Require", "Route", "Server",
    "Session-Expires", "Supported", "To", "User-Agent", "Via",
)  # fmt: skip
_KEYS = {name: name.lower() for name in _USUAL}


def key_of(name: str) -> str:
    """Return the full name in lower case that a header name means."""
    known = _KEYS.get(name)
    if known is not None:
        return known
    lower = name.lower()
    return COMPACT.get(lower, lower)


class Headers:
    """Header pairs in the order they came, never changed: every change returns a new value.

    Names are kept as they are spelled and looked up in any case and in full or compact form.
    """

    __slots__ = ("_index", "_items")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        pairs = tuple(items)
        for name, value in pairs:
            _check(name, value)
        self._items = pairs
        self._index: dict[str, list[str]] | None = None

    @classmethod
    def of_wire(cls, items: list[tuple[str, str]], index: dict[str, list[str]]) -> Headers:
        """Return headers that a parser has checked and indexed already."""
        headers = cls()
        headers._items = tuple(items)
        headers._index = index
        return headers

    @property
    def _by_key(self) -> dict[str, list[str]]:
        if self._index is None:
            index: dict[str, list[str]] = {}
            for name, value in self._items:
                index.setdefault(key_of(name), []).append(value)
            self._index = index
        return self._index

    def get(self, name: str) -> str | None:
        """Return the value of the first header of this name, None where there is none."""
        values = self._by_key.get(key_of(name))
        return values[0] if values else None

    def get_all(self, name: str) -> tuple[str, ...]:
        """Return the values of all headers of this name, one an entry as they came."""
        return tuple(self._by_key.get(key_of(name), ()))

    def words(self, name: str) -> frozenset[str]:
        """Return the words of a list header such as Supported in lower case; of one that cannot be read, none."""
        try:
            return frozenset([value.lower() for value in self.split(name)])
        except PeerError:
            return frozenset()

    def split(self, name: str) -> tuple[str, ...]:
        """Return the single values of a list header over all its lines, blank ones left out.

        A header that is no list (RFC 3261 7.3.1) gives its lines whole.

        Raises:
            PeerError: where a quote or angle bracket is not closed.
        """
        lines = self.get_all(name)
        if key_of(name) not in LIST_HEADERS:
            return lines
        return tuple([value for line in lines for part in split_list(line, name) if (value := part.strip(" \t"))])

    def option_tags(self, name: str) -> frozenset[str]:
        """Return the tokens of a list header such as Require or Supported, in lower case."""
        return frozenset(tag.lower() for tag in self.split(name))

    def items(self) -> tuple[tuple[str, str], ...]:
        """Return the pairs in their order, names as they are spelled."""
        return self._items

    def add(self, name: str, value: str) -> Headers:
        """Return these headers with one more at the end."""
        return Headers((*self._items, (name, value)))

    def prepend(self, name: str, value: str) -> Headers:
        """Return these headers with one more at the front, as a Via or Record-Route needs."""
        return Headers(((name, value), *self._items))

    def extend(self, items: Iterable[tuple[str, str]]) -> Headers:
        """Return these headers with others behind them."""
        return Headers((*self._items, *items))

    def replace(self, name: str, *values: str) -> Headers:
        """Return these headers with all of this name replaced, where the first stood or else at the end."""
        key, pairs, placed = key_of(name), list[tuple[str, str]](), False
        for pair in self._items:
            if key_of(pair[0]) != key:
                pairs.append(pair)
            elif not placed:
                placed = True
                pairs.extend((pair[0], value) for value in values)
        if not placed:
            pairs.extend((name, value) for value in values)
        return Headers(pairs)

    def without(self, *names: str) -> Headers:
        """Return these headers without those of the names given."""
        keys = {key_of(name) for name in names}
        return Headers(pair for pair in self._items if key_of(pair[0]) not in keys)

    def only(self, *names: str) -> Headers:
        """Return the headers of the names given, in their order."""
        keys = {key_of(name) for name in names}
        return Headers(pair for pair in self._items if key_of(pair[0]) in keys)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and key_of(name) in self._by_key

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._items == other._items

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        return f"Headers({[name for name, _ in self._items]})"  # values hold numbers and names: not for logs


def _check(name: str, value: str) -> None:
    if "\r" in value or "\n" in value or (name not in _KEYS and not TOKEN.fullmatch(name)):
        raise ValueError(f"internal error: header {name[:40]!r} would break the message; escape its value first")


def parse_headers(lines: list[str], max_headers: int) -> Headers:
    """Return the headers of unfolded lines.

    Raises:
        PeerError: where a line is no header or there are too many.
    """
    if len(lines) > max_headers:
        raise PeerError(f"found {len(lines)} headers, expected at most {max_headers}")
    items: list[tuple[str, str]] = []
    index: dict[str, list[str]] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        key = _KEYS.get(name)
        if key is None:
            name = name.rstrip(" \t")  # `From : `, RFC 3261 7.3.1
            if not colon or not TOKEN.fullmatch(name):
                raise PeerError(f"found a header line of {len(line)} characters without a name, expected name: value")
            key = key_of(name)
        value = value.strip(" \t")
        items.append((name, value))
        if key in index:
            index[key].append(value)
        else:
            index[key] = [value]
    return Headers.of_wire(items, index)
