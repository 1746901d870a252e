"""Callers that have to show a password: our challenges, and what answers them (RFC 3261 22, RFC 7616, RFC 8760).

A nonce is its age and a random word under a key of ours, so that nothing is kept of those that nobody answers.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from callrec.errors import PeerError
from callrec.sip.building import HeaderPairs
from callrec.sip.digest import Challenge, digest_parameters
from callrec.sip.digest_answer import Asked, Count, Credentials, digest

if TYPE_CHECKING:
    from callrec.identifiers import RandomBytes
    from callrec.sip.message import Request

REALM = "callrec"
OFFERED = ("MD5", "SHA-256")
"""MD5 first, though RFC 8760 2.3 would have the better one there: many phones, and SIPp, read the first alone and give
up where they do not know it. Who takes the best that is offered takes SHA-256."""
LIFETIME_S = 300.0
"""Seconds a nonce is good for."""
MAX_NONCES = 10_000
"""Nonces whose use is remembered; of older ones none is taken any more."""


class _Shown(NamedTuple):
    """What an Authorization header says."""

    username: str
    challenge: Challenge
    uri: str
    use: Count
    response: str


class Challenging:
    """Judges INVITEs of peers that must authenticate."""

    def __init__(self, random: RandomBytes) -> None:
        self._random = random
        self._key = random(32)
        self._used: OrderedDict[str, int] = OrderedDict()
        self._oldest = float("-inf")
        """No nonce made up to this instant is taken: how often one was used is forgotten."""

    def judge(self, request: Request, wanted: Credentials, now: float) -> HeaderPairs | None:
        """Return the challenges of a 401, None where the request shows what is wanted."""
        stale = False
        for value in request.headers.get_all("Authorization"):
            shown = _read(value)
            if shown is None or not _is_right(shown, request.method, wanted):
                continue
            if self._take(shown, now):
                return None
            stale = True  # the password was right: the caller may go on with a new nonce without asking anybody
        nonce = self._nonce(now)
        offers = [Challenge(REALM, nonce, algorithm, ("auth",), stale=stale) for algorithm in OFFERED]
        return tuple([("WWW-Authenticate", str(offer)) for offer in offers])

    def _nonce(self, now: float) -> str:
        made = f"{int(now * 1000):x}.{self._random(8).hex()}"
        return f"{made}.{self._sign(made)}"

    def _sign(self, made: str) -> str:
        return hmac.new(self._key, made.encode(), hashlib.sha256).hexdigest()[:32]

    def _take(self, shown: _Shown, now: float) -> bool:
        """Whether a nonce is ours, young enough, and used in this place for the first time (RFC 7616 3.4 nc)."""
        nonce, number = shown.challenge.nonce, shown.use.number
        made, _, signature = nonce.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(made).encode()):
            return False
        age = int(made.partition(".")[0], 16) / 1000
        if now - age > LIFETIME_S or age <= self._oldest or number <= self._used.get(nonce, 0):
            return False
        self._used[nonce] = number
        self._used.move_to_end(nonce)
        if len(self._used) > MAX_NONCES:
            forgotten, _ = self._used.popitem(last=False)
            self._oldest = max(self._oldest, int(forgotten.partition(".")[0], 16) / 1000)
        return True


def _read(value: str) -> _Shown | None:
    """Return what an Authorization header says, None where it is none of ours."""
    scheme, _, rest = value.strip(" \t").partition(" ")
    if scheme.lower() != "digest" or not value.isascii():
        return None
    try:
        said = digest_parameters(rest)
        algorithm, qop = said.get("algorithm", "MD5").upper(), said.get("qop", "").lower()
        if said["realm"] != REALM or algorithm not in OFFERED or qop not in {"", "auth"}:
            return None
        challenge = Challenge(REALM, said["nonce"], algorithm, (qop,) if qop else ())
        # Without qop there is no count: such a nonce is good for one request.
        use = Count(int(said["nc"], 16), said["cnonce"]) if qop else Count(1, "")
        return _Shown(said["username"], challenge, said["uri"], use, said["response"].lower())
    except (KeyError, ValueError, PeerError):
        return None


def _is_right(shown: _Shown, method: str, wanted: Credentials) -> bool:
    """Whether name and password are right.

    The `uri` is taken as it is said: proxies change the Request-URI, and some phones put the registrar there.
    """
    expected = digest(shown.challenge, wanted, Asked(method, shown.uri), shown.use)
    named = hmac.compare_digest(shown.username.encode(), wanted.username.encode())
    return hmac.compare_digest(expected.encode(), shown.response.encode()) and named
