"""What a digest challenge says (RFC 3261 22.4, RFC 8760); `digest_answer` answers one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from callrec.errors import PeerError
from callrec.sip.grammar import QUOTED_STRING, TOKEN_CHARACTERS, quote, unquote

# auth-param = name "=" ( token / quoted-string ), comma separated; unquoted base64 with its "=" is
# taken, too. `qop="auth,auth-int"` has its comma inside quotes.
_PARAMETER = re.compile(
    rf"\s*+([{TOKEN_CHARACTERS}]++)\s*+=\s*+(?:{QUOTED_STRING.pattern}|([^\s\",]*+))\s*+(?:,|\Z)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One WWW-Authenticate or Proxy-Authenticate value of the Digest scheme.

    `algorithm` is in upper case (`MD5` where none is named); `qop` in lower case, empty for RFC 2069 servers;
    `other` keeps what we do not know.
    """

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: tuple[str, ...] = ()
    opaque: str | None = None
    stale: bool = False
    other: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Challenge:
        """Return the challenge that a header value is.

        Raises:
            PeerError: where it is none, or of another scheme than Digest.
        """
        scheme, _, rest = text.strip(" \t").partition(" ")
        if scheme.lower() != "digest":
            raise PeerError(f"found authentication scheme {scheme[:20]!r}, expected Digest")
        values = digest_parameters(rest)
        realm, nonce = values.pop("realm", None), values.pop("nonce", None)
        if realm is None or nonce is None:
            raise PeerError("found a Digest challenge without realm or nonce, expected both")
        return cls(
            realm=realm,
            nonce=nonce,
            algorithm=values.pop("algorithm", "MD5").upper(),
            qop=tuple([word for part in values.pop("qop", "").split(",") if (word := part.strip().lower())]),
            opaque=values.pop("opaque", None),
            stale=values.pop("stale", "").lower() == "true",
            other=tuple(values.items()),
        )

    def __str__(self) -> str:
        parts = [f"realm={quote(self.realm)}", f"nonce={quote(self.nonce)}", f"algorithm={self.algorithm}"]
        if self.qop:
            parts.append(f"qop={quote(','.join(self.qop))}")
        if self.opaque is not None:
            parts.append(f"opaque={quote(self.opaque)}")
        if self.stale:
            parts.append("stale=true")
        parts.extend(f"{name}={quote(value)}" for name, value in self.other)
        return f"Digest {', '.join(parts)}"


def digest_parameters(text: str) -> dict[str, str]:
    """Return the auth-params by name in lower case; the first of a name counts.

    Raises:
        PeerError: where one is malformed.
    """
    values: dict[str, str] = {}
    position = 0
    while position < len(text):
        found = _PARAMETER.match(text, position)
        if found is None:
            raise PeerError("found a Digest parameter that is malformed, expected name=value")
        name, quoted, plain = found.groups()
        values.setdefault(name.lower(), plain if quoted is None else unquote(quoted))
        position = found.end()
    return values
