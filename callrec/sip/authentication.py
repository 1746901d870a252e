"""Requests of ours that are challenged go once more, with what we know (RFC 3261 22, RFC 8760, SIP-11)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from callrec.errors import PeerError
from callrec.sip.dialog import DialogKey
from callrec.sip.digest import Challenge
from callrec.sip.digest_answer import Answered, Asked, Count, Credentials, authorization, strongest
from callrec.sip.headers import Headers
from callrec.sip.legs import Leg
from callrec.sip.message import Request, Response
from callrec.sip.resending import is_wanted, take_place
from callrec.sip.transactions import Happening, Told, Transaction

if TYPE_CHECKING:
    from callrec.sip.core import Core

MAX_REALMS = 4
"""Realms that one request answers; more on its way than this are a fault of theirs."""

_ANSWERED_BY = {"WWW-Authenticate": "Authorization", "Proxy-Authenticate": "Proxy-Authorization"}
"""A user agent and the proxies before it challenge apart from each other (RFC 3261 22.2, 22.3)."""


class Authentication:
    """Answers challenges to requests of ours, each realm once, and once more where only its nonce was old."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def take(self, told: Told, now: float) -> bool:
        """Send a challenged request once more; False where what was told is for its owner."""
        transaction, response = told.transaction, told.message
        if told.what is not Happening.RESPONSE or not isinstance(response, Response):
            return False
        if response.status not in (401, 407) or transaction.is_server or not is_wanted(transaction):
            return False
        credentials = self._core.profile.credentials(transaction.way)
        if credentials is None:
            return False
        answers = _answers(transaction.answers, response)
        if answers is None:
            return False
        self._send(transaction, answers, credentials, now)
        return True

    def _send(self, before: Transaction, answers: tuple[Answered, ...], credentials: Credentials, now: float) -> None:
        core, old = self._core, before.request
        branch = core.branch(old.uri)
        asked = Asked(old.method, str(old.uri))
        own = {"via", "cseq", *(name.lower() for name in _ANSWERED_BY.values())}
        pairs = [("Via", core.via(before.way, branch))]
        pairs += [pair for pair in old.headers.items() if pair[0].lower() not in own]
        pairs.insert(len(pairs) - 1, ("CSeq", f"{self._next_cseq(old)} {old.method}"))
        for answer in answers:
            value = authorization(answer.challenge, credentials, asked, Count(answer.uses, core.token()))
            pairs.insert(len(pairs) - 1, (answer.header, value))
        request = Request(old.method, old.uri, Headers(pairs), old.body)
        urgent = isinstance(before.owner, Leg) and before.owner.spared
        again = core.ask(request, branch, before.way, now, before.owner, urgent=urgent)
        again.answers = answers
        take_place(core, before, again)

    def _next_cseq(self, request: Request) -> int:
        """Return the number of the next request; the dialog of the old one, where there is one, goes on from it."""
        number, tag = request.cseq.number + 1, request.to.tag
        if tag is None:
            return number
        leg = self._core.legs.match(DialogKey(request.call_id, request.from_.tag or "", tag))
        dialog = None if leg is None else leg.dialog_with(tag)
        if leg is not None and dialog is not None:
            number = max(number, dialog.local_cseq + 1)
            leg.keep_dialog(replace(dialog, local_cseq=number))
        return number


def _answers(before: tuple[Answered, ...], response: Response) -> tuple[Answered, ...] | None:
    """Return all that the next request answers; None where a challenge cannot be answered, or was and is not taken."""
    answers = {one.place: replace(one, uses=one.uses + 1) for one in before}
    fresh = False
    for asking, header in _ANSWERED_BY.items():
        for realm, challenges in _challenges(response, asking).items():
            challenge, known = strongest(challenges), answers.get((header, realm))
            if challenge is None:
                continue
            if known is not None and (known.renewed or not challenge.stale):
                return None
            fresh = True
            answers[header, realm] = Answered(header, challenge, renewed=known is not None)
    return tuple(answers.values()) if fresh and len(answers) <= MAX_REALMS else None


def _challenges(response: Response, name: str) -> dict[str, list[Challenge]]:
    """Return the challenges of a response by their realm; what cannot be read is left aside."""
    found: dict[str, list[Challenge]] = {}
    for value in response.headers.get_all(name):
        try:
            challenge = Challenge.parse(value)
        except PeerError:
            continue
        found.setdefault(challenge.realm, []).append(challenge)
    return found
