"""What is looked at before a request is taken, in the order of RFC 3261 8.2."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from callrec.errors import PeerError
from callrec.sip.building import HeaderPairs
from callrec.sip.session_timer import OPTION, too_short

if TYPE_CHECKING:
    from callrec.sip.events import Flow
    from callrec.sip.message import Request, Response
    from callrec.sip.profile import EndpointProfile
    from callrec.sip.transactions import TransactionKey

KNOWN_METHODS = frozenset({
    "ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "OPTIONS", "PRACK", "PUBLISH", "REFER", "REGISTER",
    "SUBSCRIBE", "UPDATE",
})  # fmt: skip
"""The methods of the IANA registry: any other gets 501, one of these that has no place here 405."""

DELIVERED = frozenset({"INFO", "MESSAGE", "NOTIFY", "REFER", "UPDATE"})
"""Methods that the user answers, inside a dialog."""

DIALOG_ONLY = frozenset({"BYE", "INFO", "NOTIFY", "PRACK", "UPDATE"})
"""Methods that mean nothing outside a dialog: 481 there."""

_SCHEMES = frozenset({"sip", "sips", "tel", "urn"})  # urn:service:sos (RFC 5031)
_HANDLING_OPTIONAL = re.compile(r";\s*handling\s*=\s*\"?optional\b", re.IGNORECASE)


class Refusal(NamedTuple):
    """Why a request is not taken: the status and the headers that explain it."""

    status: int
    headers: HeaderPairs = ()


def merge_key(request: Request) -> TransactionKey | None:
    """Return what two copies of one request that came by two ways share (RFC 3261 8.2.2.2), None inside a dialog."""
    from_tag = request.from_.tag
    if request.to.tag is not None or not from_tag:
        return None
    cseq = request.cseq
    return ("merge", request.call_id, from_tag, cseq.number, cseq.method)


def judge_outside(request: Request, flow: Flow, profile: EndpointProfile) -> Refusal | None:
    """Return why a request outside a dialog is not taken, None where it is.

    Raises:
        PeerError: where a header that counts here is malformed.
    """
    method = request.method
    if method not in {"INVITE", "OPTIONS"}:
        return _refuse_method(method, profile)
    if request.uri.scheme not in _SCHEMES:
        return Refusal(416)
    # RFC 4475 3.3.11: what ends here may have no hops left; a call would go on to the PBX.
    if request.max_forwards == 0 and method == "INVITE":
        return Refusal(483)
    refusal = judge_extensions(request, profile)
    if refusal is not None or method != "INVITE":
        return refusal
    refusal = judge_body(request) or judge_accept(request) or judge_timer(request, profile)
    return None if refusal is not None and refusal.status == 422 and profile.spares(request, flow) else refusal


def _refuse_method(method: str, profile: EndpointProfile) -> Refusal:
    if method not in KNOWN_METHODS:
        return Refusal(501, (("Allow", ", ".join(profile.allow)),))
    if method in DIALOG_ONLY:
        return Refusal(481)
    return Refusal(405, (("Allow", ", ".join(profile.allow)),))


def judge_inside(request: Request, profile: EndpointProfile) -> Refusal | None:
    """Return why a request inside a dialog is not taken, None where it is.

    Raises:
        PeerError: where a header that counts here is malformed.
    """
    method = request.method
    if method not in DELIVERED and method not in {"INVITE", "BYE", "OPTIONS", "PRACK"}:
        return _refuse_method(method, profile)
    if method == "BYE":
        return None  # a call can always be ended
    refusal = judge_extensions(request, profile)
    if refusal is not None or method not in {"INVITE", "UPDATE", "PRACK"}:
        return refusal
    return judge_body(request) or (judge_timer(request, profile) if method != "PRACK" else None)


def judge_timer(request: Request, profile: EndpointProfile) -> Refusal | None:
    """Return a 422 where a session would have to be refreshed more often than we want (RFC 4028 9)."""
    if OPTION not in profile.supported or not too_short(request, profile.session_timer):
        return None
    return Refusal(422, (("Min-SE", str(profile.session_timer.minimum)),))


def judge_extensions(request: Request, profile: EndpointProfile) -> Refusal | None:
    """Return a 420 that names every required extension we do not have (RFC 3261 8.2.2.3)."""
    if "Require" not in request.headers:
        return None
    supported = {tag.lower() for tag in profile.supported}
    unknown = [tag for tag in request.headers.split("Require") if tag.lower() not in supported]
    return Refusal(420, (("Unsupported", ", ".join(unknown)),)) if unknown else None


def judge_body(request: Request) -> Refusal | None:
    """Return a 415 where the body is no session and may not be left aside (RFC 3261 8.2.3)."""
    if not request.body:
        return None
    encoding = request.headers.get("Content-Encoding")
    if encoding and encoding.strip().lower() != "identity":
        return Refusal(415, (("Accept", "application/sdp"), ("Accept-Encoding", "identity")))
    if request.session is not None:
        return None
    # Content-Disposition with handling=optional: what we do not know may be left aside (RFC 3261 20.11).
    if _HANDLING_OPTIONAL.search(request.headers.get("Content-Disposition") or ""):
        return None
    return Refusal(415, (("Accept", "application/sdp, multipart/mixed"),))


def judge_accept(request: Request) -> Refusal | None:
    """Return a 406 where the sender takes no session description in our answer (RFC 4475 3.3.15)."""
    if "Accept" not in request.headers:
        return None
    kinds = {value.partition(";")[0].strip().lower() for value in request.headers.split("Accept")}
    return None if not kinds or kinds & {"application/sdp", "application/*", "*/*"} else Refusal(406)


def session_of(message: Request | Response) -> bytes | None:
    """Return the session of a message where it has one that can be read."""
    try:
        return message.session
    except PeerError:
        return None
