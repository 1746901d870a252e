"""Via: the way a request came and its response goes back (RFC 3261 20.42, RFC 3581)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from callrec.errors import PeerError
from callrec.sip.grammar import (
    HOST,
    TOKEN_CHARACTERS,
    Parameters,
    find,
    format_host,
    format_parameters,
    parse_host,
    parse_parameters,
    parse_port,
    put,
    split_list,
)
from callrec.sip.name_address import MAX_LIST_VALUES

BRANCH_COOKIE = "z9hG4bK"
"""RFC 3261 8.1.1.7: a branch that starts so names its transaction; compare in any case."""

# via-parm = sent-protocol LWS sent-by *( SEMI via-params ), with LWS allowed around "/" and ":".
_VIA = re.compile(
    rf"\s*+SIP\s*+/\s*+2\.0\s*+/\s*+(?P<transport>[{TOKEN_CHARACTERS}]++)\s++(?P<host>{HOST})\s*+"
    r"(?::\s*+(?P<port>[0-9]++))?\s*+(?P<parameters>;.*)?",
    re.DOTALL | re.IGNORECASE | re.ASCII,
)
_DEFAULT_PORT = {"TLS": 5061}


@dataclass(frozen=True, slots=True)
class Via:
    """One hop: transport in upper case, sent-by host (no brackets) and port, parameters in their order."""

    transport: str
    host: str
    port: int | None = None
    parameters: Parameters = ()
    _text: str | None = field(default=None, init=False, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Via:
        """Return the one hop that text is.

        Raises:
            PeerError: where it is none.
        """
        found = _VIA.fullmatch(text)
        if found is None:
            raise PeerError(
                f"Via: found {len(text)} characters that are none, expected SIP/2.0/TRANSPORT host:port;branch=…"
            )
        transport, host, port, parameters = found.groups()
        via = cls(
            transport.upper(),
            parse_host(host, "Via"),
            None if port is None else parse_port(port, "Via"),
            parse_parameters(parameters or "", "Via"),
        )
        object.__setattr__(via, "_text", text.strip(" \t"))
        return via

    @classmethod
    def parse_list(cls, text: str) -> tuple[Via, ...]:
        """Return the hops of a comma list, the latest first.

        Raises:
            PeerError: where one is none, or there are too many.
        """
        values = split_list(text, "Via")
        if len(values) > MAX_LIST_VALUES:
            raise PeerError(f"Via: found {len(values)} values, expected at most {MAX_LIST_VALUES}")
        return tuple([cls.parse(value) for value in values])

    @property
    def branch(self) -> str | None:
        """The branch, None where there is none (RFC 2543)."""
        return find(self.parameters, "branch") or None

    @property
    def has_cookie(self) -> bool:
        """Whether the branch is one of RFC 3261 and more than its cookie (RFC 4475 3.3.2)."""
        branch = self.branch or ""
        return branch[:7].lower() == BRANCH_COOKIE.lower() and len(branch) > len(BRANCH_COOKIE)

    @property
    def received(self) -> str | None:
        """The source address the next hop saw, without brackets (RFC 5118 4.5 accepts both spellings)."""
        value = find(self.parameters, "received")
        return value.strip("[]") if value else None

    @property
    def wants_rport(self) -> bool:
        """Whether the sender asks for the response at its source port (RFC 3581)."""
        return find(self.parameters, "rport") is not None

    @property
    def rport(self) -> int | None:
        """The source port the next hop saw, None where it is not filled in or no port."""
        value = find(self.parameters, "rport") or ""
        if not (value.isascii() and value.isdigit() and len(value) <= 5):
            return None
        return int(value) if 0 < int(value) <= 65535 else None

    @property
    def default_port(self) -> int:
        """The port that sent-by means where it names none (RFC 3261 18.2.2)."""
        return _DEFAULT_PORT.get(self.transport, 5060)

    @property
    def sent_by(self) -> tuple[str, int]:
        """Host in lower case and port, for comparing (RFC 3261 17.2.3)."""
        return self.host.lower(), self.port if self.port is not None else self.default_port

    def response_address(self) -> tuple[str, int]:
        """Return where a response goes over UDP, by `received` and `rport` (RFC 3581 4, RFC 3261 18.2.2)."""
        host = find(self.parameters, "maddr") or self.received or self.host
        return host, self.rport or (self.port if self.port is not None else self.default_port)

    def with_source(self, host: str, port: int) -> Via:
        """Return this hop with the source of its packet noted (RFC 3261 18.2.1, RFC 3581 4)."""
        if self.wants_rport:
            parameters = put(put(self.parameters, "rport", str(port)), "received", host)
        elif self.host.lower() == host.lower():
            return self
        else:
            parameters = put(self.parameters, "received", host)
        return Via(self.transport, self.host, self.port, parameters)

    def __str__(self) -> str:
        if self._text is not None:
            return self._text
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {format_host(self.host)}{port}{format_parameters(self.parameters)}"
