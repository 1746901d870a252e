"""Which headers of the caller's INVITE go on to the destination, and how the caller's network hears of the end."""

from __future__ import annotations

import re
from collections.abc import Iterable

from callrec.sip.headers import key_of

Header = tuple[str, str]

# SIP-14: kept between trusted sides, byte for byte. What describes one hop or one dialog (Via, Contact, Route,
# Record-Route, Require, Supported, Allow, session timers, authentication) is each leg's own.
PASSED = frozenset(
    {
        "accept-language",
        "alert-info",
        "call-info",
        "diversion",
        "history-info",
        "in-reply-to",
        "organization",
        "p-asserted-identity",
        "p-asserted-service",
        "p-called-party-id",
        "p-charging-vector",
        "p-preferred-identity",
        "priority",
        "privacy",
        "reason",
        "remote-party-id",
        "resource-priority",
        "session-id",
        "subject",
        "user-to-user",
        "identity",
        "geolocation",
        "geolocation-routing",
    }
)
_ASSERTS_IDENTITY = frozenset({"p-asserted-identity", "remote-party-id", "p-preferred-identity"})
_ASKS_FOR_PRIVACY = re.compile(r"(^|[;\s,])(id|user|header)($|[;\s,])", re.IGNORECASE)
# Who forwarded a call may hide too: in a Diversion of its own (RFC 5806 5), or escaped in its entry of History-Info,
# or all of them by the Privacy of the request (RFC 7044 10.1).
_HIDES_HISTORY = re.compile(r"(^|[;\s,])(history|session|header)($|[;\s,])", re.IGNORECASE)
_HIDDEN = {
    "remote-party-id": re.compile(r";\s*privacy\s*=\s*\"?(full|uri|name)", re.IGNORECASE),
    "diversion": re.compile(r";\s*privacy\s*=\s*\"?(full|uri|name)", re.IGNORECASE),
    "history-info": re.compile(r"[?&]privacy=(?!none)", re.IGNORECASE),
}
_ANONYMOUS = re.compile(r"sips?:anonymous@|@anonymous\.invalid", re.IGNORECASE)
"""Some trunks withhold a number by From alone (RFC 3323 4.1.1.3)."""
_OFFERS_A_METHOD = re.compile(r";\s*method\s*=\s*\"?NOTIFY", re.IGNORECASE)
_OF_THE_TRUST_DOMAIN = frozenset({"p-charging-vector", "p-asserted-service"})
"""Never outside it (RFC 7315 5.6, RFC 6050 4)."""


def passed_headers(headers: Iterable[Header], *, trusted: bool) -> tuple[Header, ...]:
    """Return the headers of an INVITE that the second leg repeats, in their order.

    `trusted`: the destination is inside the trust domain. Towards one that is not, an asserted identity whose owner
    asked for privacy stays here (RFC 3325 section 7, SIP-14).
    """
    return _kept(headers, PASSED, trusted=trusted)


def _kept(headers: Iterable[Header], passed: frozenset[str], *, trusted: bool) -> tuple[Header, ...]:
    own = ("x-",) if trusted else ()
    every = list(headers)
    kept = [
        (name, value)
        for name, value in every
        if (key_of(name) in passed or name.lower().startswith(own)) and not _is_of_one_hop(name.lower(), value)
    ]
    if trusted:
        return tuple(kept)
    asked = [value for name, value in kept if name.lower() == "privacy"]
    anonymous = any(key_of(name) == "from" and _ANONYMOUS.search(value) for name, value in every)
    private = anonymous or any(_ASKS_FOR_PRIVACY.search(value) for value in asked)
    no_history = any(_HIDES_HISTORY.search(value) for value in asked)
    return tuple(
        (name, value)
        for name, value in kept
        if not ((private and name.lower() in _ASSERTS_IDENTITY) or _stays(name.lower(), value, no_history=no_history))
    )


def _is_of_one_hop(key: str, value: str) -> bool:
    """Return whether a Call-Info says what the sender itself takes: Cisco's and Metaswitch's keys by NOTIFY.

    The next hop would take it for ours, and send keys in a way that we do not pass on.
    """
    return key == "call-info" and _OFFERS_A_METHOD.search(value) is not None


def _stays(key: str, value: str, *, no_history: bool) -> bool:
    """Return whether a header is for the trust domain only, or hides somebody of its own accord."""
    hidden = _HIDDEN.get(key)
    if key in _OF_THE_TRUST_DOMAIN or (no_history and key in {"diversion", "history-info"}):
        return True
    return hidden is not None and hidden.search(value) is not None


def diverted_onward(headers: Iterable[Header], diverted: Iterable[Header]) -> tuple[Header, ...]:
    """Return the headers of an INVITE with what a 3xx said about why it sends us on.

    A new Diversion stands before those of earlier hops (RFC 5806 section 6); a History-Info in a response repeats
    the entries of the request (RFC 7044 section 9.3), so it stands instead of them.
    """
    told = tuple(diverted)
    history = any(name.lower() == "history-info" for name, _ in told)
    kept = (header for header in headers if not (history and header[0].lower() == "history-info"))
    return (*told, *kept)


# Of a destination's responses the caller sees what the transparent way must not hide.
_PASSED_BACK = frozenset({"reason", "retry-after", "warning", "alert-info", "p-asserted-identity", "privacy"})


def passed_back(headers: Iterable[Header], *, trusted: bool) -> tuple[Header, ...]:
    """Return the headers of a response that the transparent way gives to the caller (`trusted` as above)."""
    own = ((name, value) for name, value in headers if key_of(name) != "from")  # From is the caller's, not theirs
    return _kept(own, _PASSED_BACK, trusted=trusted)


# Of a re-INVITE or UPDATE: whom the party is talking to now (RFC 4916 in spirit, SIP-8).
_PASSED_IN_DIALOG = frozenset({"p-asserted-identity", "privacy", "reason", "remote-party-id", "user-to-user"})


def passed_in_dialog(headers: Iterable[Header], *, trusted: bool) -> tuple[Header, ...]:
    """Return the headers of a party's new offer that go on with it (`trusted` as above)."""
    return _kept(headers, _PASSED_IN_DIALOG, trusted=trusted)


_DESCRIBES_INFO = frozenset(
    {"content-type", "content-disposition", "content-encoding", "content-language", "mime-version", "info-package"}
)


def passed_in_info(headers: Iterable[Header]) -> tuple[Header, ...]:
    """Return the headers of an INFO that say what its body is (RFC 6086 section 8)."""
    return tuple((name, value) for name, value in headers if name.lower() in _DESCRIBES_INFO)


def q850_header(cause: int) -> Header:
    """Return the Reason header that carries a Q.850 cause (RFC 3326, RFC 4497)."""
    return ("Reason", f"Q.850;cause={cause}")
