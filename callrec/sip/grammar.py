"""The small productions of RFC 3261 section 25 that several headers share, with our leniencies beside them.

Errors describe what was found but quote nothing that may be a number or a name: they are logged.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address

from callrec.errors import PeerError

Parameters = tuple[tuple[str, str | None], ...]
"""Parameters in their order: names as they came (compared in any case), values unescaped, None for a flag."""

# The production of a token in RFC 3261 25.1: 1*(alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~" )
TOKEN_CHARACTERS = r"A-Za-z0-9\-.!%*_+`'~"  # noqa: S105 - a grammar, not a secret
TOKEN = re.compile(rf"[{TOKEN_CHARACTERS}]+")

# quoted-string = SWS DQUOTE *(qdtext / quoted-pair ) DQUOTE;  quoted-pair = "\" (%x00-09 / %x0B-0C / %x0E-7F)
# A control character stands only behind a backslash (RFC 4475 3.1.1.2 sends such). Non-UTF-8 bytes are kept:
# PBXs of the last century send ISO 8859-1 names, and a name must not cost a call.
QUOTED_STRING = re.compile(r'"([^"\\\x00-\x08\x0a-\x1f\x7f]*+(?:\\[^\r\n][^"\\\x00-\x08\x0a-\x1f\x7f]*+)*+)"')
QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
FOLD = re.compile(r"\r\n[ \t]+")
"""The start of a continued header line (RFC 3261 7.3.1)."""
CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# hostname / IPv4address. "_" is no host name character, but Windows and Docker names have it (`my_host`).
HOST_NAME = r"[A-Za-z0-9_.\-]+"
IPV6_REFERENCE = r"\[[0-9A-Fa-f:.]+\]"
HOST = rf"(?:{IPV6_REFERENCE}|{HOST_NAME})"

# gen-value = token / host / quoted-string. Wider on purpose: anything but separators that would change the meaning,
# because SIP URIs, base64 and bare IPv6 addresses occur unquoted in the field (RFC 5118 4.5 for `received`).
_GENERIC_VALUE = re.compile(r'[^\s"<>,;\x00-\x1f\x7f]*', re.ASCII)
_PARAMETER = re.compile(
    rf"\s*+([{TOKEN_CHARACTERS}]++)\s*+"
    rf"(?:=\s*+(?:{QUOTED_STRING.pattern}|([^\s\"<>,;\x00-\x1f\x7f]*+)))?\s*+(?:;|\Z)",
    re.ASCII,
)
_PLAIN_PARAMETERS = re.compile(r"[^\s\"<>,\x00-\x1f\x7f]*", re.ASCII)
_LIST_PIECE = re.compile(rf"{QUOTED_STRING.pattern}|<[^<>]*+>|[^\",<]++")


def unquote(quoted: str) -> str:
    """Return the inside of a quoted-string without its backslashes."""
    return QUOTED_PAIR.sub(r"\1", quoted) if "\\" in quoted else quoted


def quote(text: str) -> str:
    """Return text as a quoted-string; line ends become blanks, for they could start a header of their own."""
    inner = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", " ").replace("\n", " ")
    return '"' + CONTROL.sub(lambda found: "\\" + found[0], inner) + '"'


def find(parameters: Parameters, name: str) -> str | None:
    """Return the value of a parameter by its name in lower case; "" for a flag, None where there is none."""
    for key, value in parameters:
        if key.lower() == name:
            return "" if value is None else value
    return None


def put(parameters: Parameters, name: str, value: str | None) -> Parameters:
    """Return parameters with one set: in its old place where it was, else at the end."""
    if find(parameters, name) is None:
        return (*parameters, (name, value))
    return tuple((key, value if key.lower() == name else old) for key, old in parameters)


def drop(parameters: Parameters, name: str) -> Parameters:
    """Return parameters without the one of this name."""
    return tuple((key, value) for key, value in parameters if key.lower() != name)


def parse_parameters(text: str, where: str) -> Parameters:
    """Return the header parameters in text that is empty or starts with `;`.

    Raises:
        PeerError: where one is empty or malformed; `where` names the header.
    """
    text = text.strip(" \t")
    if not text:
        return ()
    if text[0] != ";":
        raise PeerError(f"{where}: found {len(text)} characters behind the value, expected ';' and parameters")
    # One ";" too many at the end is forgiven (several softphones), two are not (RFC 4475 3.1.2.1).
    inner = text[1:-1] if text[-1] == ";" and len(text) > 1 else text[1:]
    if _PLAIN_PARAMETERS.fullmatch(inner):
        return tuple([_plain_parameter(part, where) for part in inner.split(";")])
    return _scan_parameters(inner, where)


def _plain_parameter(part: str, where: str) -> tuple[str, str | None]:
    name, equals, value = part.partition("=")
    if not TOKEN.fullmatch(name):
        raise PeerError(f"{where}: found a parameter that is empty or malformed, expected a name or name=value")
    return name, value if equals else None


def _scan_parameters(inner: str, where: str) -> Parameters:
    pairs: list[tuple[str, str | None]] = []
    position = 0
    while position < len(inner):
        found = _PARAMETER.match(inner, position)
        if found is None:
            raise PeerError(f"{where}: found a parameter that is empty or malformed, expected a name or name=value")
        name, quoted, plain = found.groups()
        pairs.append((name, plain if quoted is None else unquote(quoted)))
        position = found.end()
    return tuple(pairs)


def format_parameters(parameters: Parameters) -> str:
    """Return parameters as they are written behind a header value, quoted where they must be."""
    return "".join([f";{name}" if value is None else f";{name}={_written(value)}" for name, value in parameters])


def _written(value: str) -> str:
    return value if value and _GENERIC_VALUE.fullmatch(value) else quote(value)


def split_list(text: str, where: str) -> list[str]:
    """Return the values of a comma list, commas in quotes and angle brackets left alone; empty values stay.

    Raises:
        PeerError: where a quote or an angle bracket is not closed.
    """
    if "," not in text:
        return [text]
    if '"' not in text and "<" not in text:
        return text.split(",")
    values: list[str] = []
    start = position = 0
    while position < len(text):
        if text[position] == ",":
            values.append(text[start:position])
            position += 1
            start = position
            continue
        piece = _LIST_PIECE.match(text, position)
        if piece is None:
            raise PeerError(f"{where}: found a quote or angle bracket that is not closed, expected its closing mark")
        position = piece.end()
    values.append(text[start:])
    return values


def parse_host(text: str, where: str) -> str:
    """Return a host without brackets, checked where it is an IPv6 reference.

    The third colon before an IPv4 part, which the grammar of RFC 3261 let in, is dropped (RFC 5118 4.10).

    Raises:
        PeerError: if the brackets hold no IPv6 address.
    """
    if text[0] != "[":
        return text
    literal = text[1:-1].replace(":::", "::") if "." in text else text[1:-1]
    try:
        IPv6Address(literal)
    except ValueError:
        raise PeerError(f"{where}: found host {text[:50]!r}, expected an IPv6 address in the brackets") from None
    return literal


def format_host(host: str) -> str:
    """Return a host as it is written before a port: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def parse_port(text: str, where: str) -> int:
    """Return a port number.

    Raises:
        PeerError: if it is no number up to 65535.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise PeerError(f"{where}: found port {text[:20]!r}, expected a number up to 65535")
    return int(text)
