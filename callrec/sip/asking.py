"""Requests of ours that make no dialog and end none: INFO inside one (RFC 6086), OPTIONS outside (RFC 3261 11)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from callrec.sip.building import MAX_FORWARDS, HeaderPairs, body_headers, host_port
from callrec.sip.events import Flow, LegId, Replied
from callrec.sip.headers import Headers
from callrec.sip.legs import Leg, LegState
from callrec.sip.message import CSeq, Request, Response
from callrec.sip.transactions import Happening, Told
from callrec.sip.uri import Uri

if TYPE_CHECKING:
    from callrec.sip.core import Core
    from callrec.sip.registration import Register

_SPEAKING = frozenset({LegState.ANSWERED, LegState.CONFIRMED, LegState.OFFERED})
"""States in which both sides have a dialog that requests may go in."""


_NAMES_CONTACT = frozenset({"NOTIFY", "REFER"})
"""Requests that refresh the target of a dialog or begin a subscription (RFC 6665 8.2.1, RFC 3515 2.2)."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the user knows a request of ours by; it owns the transaction."""

    leg: LegId
    token: str


class Asking:
    """Requests whose answer is told and changes nothing here."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def inside(  # noqa: PLR0913, PLR0917 - what a request can have
        self, leg: Leg, method: str, token: str, headers: HeaderPairs, body: bytes, now: float
    ) -> bool:
        """Send a request in the dialog of a leg; False where it has none that both sides know."""
        core, dialog = self._core, leg.dialog
        if dialog is None or leg.state not in _SPEAKING:
            return False
        if method in _NAMES_CONTACT:
            headers = (core.contact(dialog.flow), *headers)
        number = dialog.local_cseq + 1
        leg.dialog = replace(dialog, local_cseq=number)
        request, branch, flow = core.request_in(leg.dialog, CSeq(number, method), headers, body)
        core.ask(request, branch, flow, now, Question(leg.id, token), urgent=leg.spared)
        return True

    def options(self, flow: Flow, token: str, now: float) -> None:
        """Ask whoever is at the far end of a flow whether it is there."""
        core = self._core
        transport = "" if flow.transport == "udp" else f";transport={flow.transport}"
        uri = Uri.parse(f"sip:{host_port(flow.remote)}{transport}")
        branch = core.branch(uri)
        us = f"<sip:{core.profile.contact_user}@{host_port(core.profile.advertise(flow))}>;tag={core.token()}"
        pairs = [("Via", core.via(flow, branch)), ("Max-Forwards", str(MAX_FORWARDS)), ("From", us)]
        pairs += [("To", f"<{uri}>"), ("Call-ID", core.random(16).hex()), ("CSeq", "1 OPTIONS"), core.contact(flow)]
        pairs += [("Accept", "application/sdp"), *core.named("User-Agent"), *body_headers(b"", None)]
        core.ask(Request("OPTIONS", uri, Headers(pairs)), branch, flow, now, Question("", token))

    def register(self, flow: Flow, register: Register, token: str, now: float) -> None:
        """Say to a registrar where we are, or that we are there no longer (RFC 3261 10.2)."""
        core = self._core
        branch = core.branch(register.registrar)
        us = f"<{register.address_of_record}>"
        pairs = [("Via", core.via(flow, branch)), ("Max-Forwards", str(MAX_FORWARDS))]
        pairs += [("From", f"{us};tag={core.token()}"), ("To", us), ("Call-ID", register.call_id)]
        pairs += [("CSeq", f"{register.cseq} REGISTER"), core.contact(flow), ("Expires", str(register.expires))]
        pairs += [*core.capabilities(flow), *core.named("User-Agent"), *body_headers(b"", None)]
        request = Request("REGISTER", register.registrar, Headers(pairs))
        core.ask(request, branch, flow, now, Question("", token))

    def on_told(self, question: Question, told: Told) -> None:
        """Tell the user how a request of ours ended; provisional answers say nothing."""
        if told.what is Happening.TIMEOUT:
            self._core.tell(Replied(question.leg, question.token, None, "timeout"))
        elif told.what is Happening.TRANSPORT_ERROR:
            self._core.tell(Replied(question.leg, question.token, None, "transport"))
        elif isinstance(told.message, Response) and not told.message.is_provisional:
            self._core.tell(Replied(question.leg, question.token, told.message, "response"))
