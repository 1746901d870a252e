"""URIs: sip and sips in full, tel with its number, any other kept as it is (RFC 3261 19.1, RFC 3966)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote as percent_quote
from urllib.parse import unquote as percent_unquote

from callrec.errors import PeerError
from callrec.sip.grammar import HOST, Parameters, drop, find, format_host, parse_host, parse_port, put

MAX_URI_LENGTH = 8192
"""Characters; RFC 4475 3.1.1.10 sends far shorter ones and calls them long."""

# SIP-URI = "sip:" [ userinfo ] hostport uri-parameters [ headers ]
_SIP = re.compile(
    rf"(?:(?P<user>[^@:]*+)(?::(?P<password>[^@]*+))?@)?(?P<host>{HOST})(?::(?P<port>[0-9]{{1,5}}))?"
    r"(?P<parameters>;[^?]*+)?(?:\?(?P<headers>.*))?",
    re.DOTALL,
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*+):")
# user = 1*( unreserved / escaped / user-unreserved ); "#" is dialled bare by phones, and bytes above ASCII occur.
_USER = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/#\u0080-\U0010ffff]|%[0-9A-Fa-f]{2})*+")
_PASSWORD = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()&=+$,:;?/\u0080-\U0010ffff]|%[0-9A-Fa-f]{2})*+")
# global-number-digits and local-number-digits of RFC 3966, in one
_TELEPHONE = re.compile(r"\+?[0-9A-Fa-f*#.()\-]+")
_OPAQUE = re.compile(r"[^\s<>\"\x00-\x1f\x7f]+")
_PARAMETER_PART = re.compile(r"[^\s<>\"\x00-\x1f\x7f]*")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

_USER_SAFE = "-_.!~*'()&=+$,;?/"
_PASSWORD_SAFE = "-_.!~*'()&=+$,"  # noqa: S105 - the characters of a password, not one
_PARAMETER_SAFE = "-_.!~*'()[]/:&+$"
_HEADER_SAFE = "-_.!~*'()[]/?:+$"

# RFC 3261 19.1.4: these parameters must match where either URI has them; others only where both do.
_MUST_MATCH = ("user", "ttl", "method", "maddr", "transport")


@dataclass(frozen=True, slots=True)
class Uri:
    """A URI as a value; one that was parsed is written back exactly as it came.

    `scheme` is in lower case. `user` (for tel: the number), `password`, parameter and header values are unescaped;
    bytes that are no UTF-8 are kept as surrogates. `host` has no brackets, and is "" for schemes without one.
    `opaque` is what stands behind the colon of a scheme that is not sip, sips or tel.
    """

    scheme: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    host: str = ""
    port: int | None = None
    parameters: Parameters = ()
    headers: tuple[tuple[str, str], ...] = ()
    opaque: str = ""
    _text: str | None = field(default=None, init=False, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Return the URI that text is.

        Raises:
            PeerError: 400 where it is none, 414 where it is too long.
        """
        if len(text) > MAX_URI_LENGTH:
            raise PeerError(f"found a URI of {len(text)} characters, expected at most {MAX_URI_LENGTH}", status=414)
        found = _SCHEME.match(text)
        if found is None:
            raise PeerError(f"found a URI of {len(text)} characters without a scheme, expected one such as sip: first")
        scheme, rest = found[1].lower(), text[found.end() :]
        if scheme in {"sip", "sips"}:
            uri = _parse_sip(scheme, rest)
        elif scheme == "tel":
            uri = _parse_telephone(rest)
        elif _OPAQUE.fullmatch(rest):
            uri = cls(scheme, opaque=rest)
        else:
            raise PeerError(f"found a {scheme[:20]} URI with blanks, quotes or angle brackets, expected none")
        object.__setattr__(uri, "_text", text)
        return uri

    @property
    def is_sip(self) -> bool:
        """Whether this names a SIP resource that a request can be sent to."""
        return self.scheme in {"sip", "sips"}

    def parameter(self, name: str) -> str | None:
        """Return a parameter by its name in lower case: "" for a flag such as `lr`, None where it is missing."""
        return find(self.parameters, name)

    def with_parameter(self, name: str, value: str | None) -> Uri:
        """Return this URI with a parameter set; value None makes a flag."""
        return self._changed(parameters=put(self.parameters, name, value))

    def without_parameter(self, name: str) -> Uri:
        """Return this URI without a parameter."""
        return self._changed(parameters=drop(self.parameters, name))

    def without_headers(self) -> Uri:
        """Return this URI fit for a Request-URI, where headers and `method` must not stand (RFC 3261 19.1.1)."""
        return self._changed(parameters=drop(self.parameters, "method"), headers=())

    def _changed(self, parameters: Parameters, headers: tuple[tuple[str, str], ...] | None = None) -> Uri:
        kept = self.headers if headers is None else headers
        return Uri(self.scheme, self.user, self.password, self.host, self.port, parameters, kept, self.opaque)

    def __str__(self) -> str:
        return self._text if self._text is not None else _written(self)

    def equivalent(self, other: Uri) -> bool:
        """Whether two URIs name the same resource by the rules of RFC 3261 19.1.4 (RFC 3966 4 for tel)."""
        if self.scheme != other.scheme:
            return False
        if self.scheme == "tel":
            return _digits(self) == _digits(other) and _parameter_map(self) == _parameter_map(other)
        if not self.is_sip:
            return self.opaque == other.opaque
        same_place = (self.host.lower(), self.port) == (other.host.lower(), other.port)
        same_user = (self.user, self.password) == (other.user, other.password)
        return same_place and same_user and _parameters_agree(self, other) and _header_set(self) == _header_set(other)


def _parse_sip(scheme: str, rest: str) -> Uri:
    found = _SIP.fullmatch(rest)
    if found is None:
        raise PeerError(f"found a {scheme} URI of {len(rest)} characters that is no user@host:port, expected that")
    user, password, host, port, parameters, headers = found.groups()
    return Uri(
        scheme,
        None if user is None else _unescape(user, _USER, "user"),
        None if password is None else _unescape(password, _PASSWORD, "password"),
        parse_host(host, "URI"),
        None if port is None else parse_port(port, "URI"),
        _parse_uri_parameters(parameters) if parameters else (),
        _parse_uri_headers(headers) if headers else (),
    )


def _parse_telephone(rest: str) -> Uri:
    number, semicolon, parameters = rest.partition(";")
    if not _TELEPHONE.fullmatch(number):
        raise PeerError(f"found a tel URI with {len(number)} characters that are no telephone number, expected digits")
    return Uri("tel", number, parameters=_parse_uri_parameters(semicolon + parameters))


def _unescape(text: str, allowed: re.Pattern[str], part: str) -> str:
    if not allowed.fullmatch(text):
        raise PeerError(f"found characters that may not stand in the {part} of a URI, expected them %-escaped")
    if "%" not in text:
        return text
    plain = percent_unquote(text, errors="surrogateescape")
    # An escaped NUL is legal (RFC 4475 3.1.1.4); an escaped line end only serves to forge headers and logs.
    if "\r" in plain or "\n" in plain:
        raise PeerError(f"found an escaped line end in the {part} of a URI, expected none")
    return plain


def _parse_uri_parameters(text: str) -> Parameters:
    if not _PARAMETER_PART.fullmatch(text) or _BAD_ESCAPE.search(text):
        raise PeerError("found URI parameters with blanks, quotes or broken escapes, expected ;name=value")
    pairs: list[tuple[str, str | None]] = []
    for part in text.split(";"):
        if part:  # `;;` and a last `;` are forgiven: they say nothing
            name, equals, value = part.partition("=")
            pairs.append((percent_unquote(name), percent_unquote(value, errors="surrogateescape") if equals else None))
    return tuple(pairs)


def _parse_uri_headers(text: str) -> tuple[tuple[str, str], ...]:
    if not _PARAMETER_PART.fullmatch(text) or _BAD_ESCAPE.search(text):
        raise PeerError("found URI headers with blanks, quotes or broken escapes, expected name=value")
    pairs = [part.partition("=") for part in text.split("&") if part]
    return tuple((percent_unquote(name), percent_unquote(value, errors="surrogateescape")) for name, _, value in pairs)


def _escape(text: str, safe: str) -> str:
    return percent_quote(text, safe=safe, errors="surrogateescape")


def _written(uri: Uri) -> str:
    parameters = "".join(
        f";{_escape(name, _PARAMETER_SAFE)}" + ("" if value is None else f"={_escape(value, _PARAMETER_SAFE)}")
        for name, value in uri.parameters
    )
    if uri.scheme == "tel":
        return f"tel:{uri.user or ''}{parameters}"
    if not uri.is_sip:
        return f"{uri.scheme}:{uri.opaque}"
    userinfo = ""
    if uri.user is not None:
        password = "" if uri.password is None else f":{_escape(uri.password, _PASSWORD_SAFE)}"
        userinfo = f"{_escape(uri.user, _USER_SAFE)}{password}@"
    port = "" if uri.port is None else f":{uri.port}"
    headers = "&".join(f"{_escape(name, _HEADER_SAFE)}={_escape(value, _HEADER_SAFE)}" for name, value in uri.headers)
    return f"{uri.scheme}:{userinfo}{format_host(uri.host)}{port}{parameters}{'?' if headers else ''}{headers}"


def _digits(uri: Uri) -> str:
    return re.sub(r"[\-.()]", "", uri.user or "").lower()


def _parameter_map(uri: Uri) -> dict[str, str | None]:
    return {name.lower(): value.lower() if value is not None else None for name, value in uri.parameters}


def _header_set(uri: Uri) -> list[tuple[str, str]]:
    return sorted((name.lower(), value) for name, value in uri.headers)


def _parameters_agree(first: Uri, second: Uri) -> bool:
    ours, theirs = _parameter_map(first), _parameter_map(second)
    shared = ours.keys() & theirs.keys()
    return all(ours[name] == theirs[name] for name in shared) and not any(
        (name in ours) != (name in theirs) for name in _MUST_MATCH
    )
