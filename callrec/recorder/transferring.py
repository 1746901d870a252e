"""Transfers as the transferor and the call see them: REFER taken, NOTIFY sent, the new party put through (SIP-9)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from callrec.calls import commands as do
from callrec.calls import inputs as given
from callrec.catalogue.values import CallChange, Event
from callrec.errors import PeerError
from callrec.identifiers import new_id
from callrec.media import Play, Played, PlayKind, PlayStart
from callrec.recorder.joining import consultation_of, taken
from callrec.recorder.leg import Leg
from callrec.recorder.live_call import LiveCall, LiveTransfer
from callrec.recorder.passed_headers import Header
from callrec.recorder.signalling_commands import tell_remotes
from callrec.recorder.tools import Tools
from callrec.recorder.transfer_targets import call_target, forget_target
from callrec.recorder.work import start
from callrec.sip.events import InDialogRequest
from callrec.sip.message import REASON_PHRASES, Request
from callrec.sip.name_address import NameAddress
from callrec.sip.uri import Uri

log = logging.getLogger("callrec.calls")

FLAG_TRANSFERRED = "transferred"
"""A party put the other through to somebody else: the recording has more than two legs."""
FLAG_NOTICE_REPEATED = "notice_repeated"
"""A new party from outside heard the whole notice before it was recorded (NOT-10)."""
_SUBSCRIPTION_S = 180
_HANG_UP_AFTER_S = 0.5
"""A BYE that overtakes the last NOTIFY would end the subscription before its news (RFC 5589 6.1)."""
_CALLABLE = frozenset({"sip", "sips", "tel"})


def on_refer(tools: Tools, call: LiveCall, event: InDialogRequest) -> None:
    """Take a REFER in a dialog: one of a peer that may transfer is carried out by us, any other refused."""
    side = call.side_of(event.leg)
    peer = call.leg(side).peer
    try:
        refer_to = _refer_to(event.request)
        allowed = peer is not None and peer.may_transfer and call.anchored
        consultation = consultation_of(tools, call, refer_to) if allowed else None
    except PeerError as error:
        log.info("call %s: a REFER was refused: %s", call.call_id, error)
        tools.driver.endpoint.respond(event.token, error.status, tools.now)
        return
    if not allowed:
        tools.driver.endpoint.respond(event.token, 603, tools.now)
        return
    if call.transfer is not None:
        tools.driver.endpoint.respond(event.token, 491, tools.now)
        return
    session_id = int.from_bytes(tools.random(4), "big")
    request = event.request
    call.transfer = LiveTransfer(
        side=side,
        leg=Leg(side, new_id(tools.random), session_id),
        token=event.token,
        refer_to=refer_to,
        event_id=str(request.cseq.number),
        notifies=not _wants_no_notify(request),
        headers=_headers_of(request, refer_to),
        consultation=consultation,
    )
    tools.register(call)
    tools.feed(call, given.TransferAsked(side))


def _refer_to(request: Request) -> Uri:
    """Return whom a REFER names.

    Raises:
        PeerError: 400 where it names nobody or several (RFC 3515 2.4.2), 416 where that is no one to be called.
    """
    values = request.headers.get_all("Refer-To")
    if len(values) != 1:
        raise PeerError(f"found {len(values)} Refer-To headers, expected one")
    uri = NameAddress.parse(values[0], "Refer-To").uri
    if uri.scheme not in _CALLABLE or (uri.parameter("method") or "INVITE").upper() != "INVITE":
        raise PeerError(f"found a Refer-To with scheme {uri.scheme[:20]!r}, expected somebody to call", status=416)
    return uri


def _wants_no_notify(request: Request) -> bool:
    return (request.headers.get("Refer-Sub") or "").partition(";")[0].strip().lower() == "false"


def _headers_of(request: Request, refer_to: Uri) -> tuple[Header, ...]:
    """Return what the INVITE to the new party carries: Referred-By, and Replaces where the URI has it (RFC 3891)."""
    kept = [(name, value) for name, value in refer_to.headers if name.lower() == "replaces"]
    referred_by = request.headers.get("Referred-By")
    if referred_by is not None:
        kept.append(("Referred-By", referred_by))
    return tuple(kept)


def refuse_transfer(tools: Tools, call: LiveCall, command: do.RefuseTransfer) -> None:
    """Refuse a REFER, or an INVITE with Replaces."""
    transfer, call.transfer = call.transfer, None
    if transfer is None:
        return
    if transfer.token:
        tools.driver.endpoint.respond(transfer.token, command.status, tools.now)
    else:
        tools.driver.endpoint.reject(transfer.leg.sip_id, command.status, tools.now)
        transfer.leg.over = True
    forget_target(tools, call, transfer)


def begin_transfer(tools: Tools, call: LiveCall, _: do.BeginTransfer) -> None:
    """Accept a REFER, say that it is tried, and call whom it names."""
    transfer = call.transfer
    assert transfer is not None, "internal error: nobody asked for a transfer"
    no_notify: tuple[Header, ...] = () if transfer.notifies else (("Refer-Sub", "false"),)
    tools.driver.endpoint.respond(transfer.token, 202, tools.now, headers=no_notify)
    tell_transfer(tools, call, do.TellTransfer(100))
    start(tools, call, "transfer", call_target(tools, call, transfer))


def tell_transfer(tools: Tools, call: LiveCall, command: do.TellTransfer) -> None:
    """Send the transferor a NOTIFY with the status line of the new leg; a final one ends the subscription."""
    transfer, status = call.transfer, command.status
    if transfer is None or not transfer.notifies or not transfer.token or call.leg(transfer.side).over:
        return
    state = f"active;expires={_SUBSCRIPTION_S}" if status < 200 else "terminated;reason=noresource"
    headers = (
        ("Event", f"refer;id={transfer.event_id}"),
        ("Subscription-State", state),
        ("Content-Type", "message/sipfrag;version=2.0"),
    )
    body = f"SIP/2.0 {status} {REASON_PHRASES.get(status, 'Unknown')}\r\n".encode()
    leg = call.leg(transfer.side)
    tools.driver.endpoint.ask(leg.sip_id, "NOTIFY", new_id(tools.random), tools.now, headers=headers, body=body)


def end_transfer(tools: Tools, call: LiveCall, _: do.EndTransfer) -> None:
    """Give up a transfer: the new party is called no longer."""
    transfer, call.transfer = call.transfer, None
    if transfer is not None:
        forget_target(tools, call, transfer)
        tools.register(call)


def put_through(tools: Tools, call: LiveCall, command: do.PutThrough) -> None:
    """Let the new leg take the place of the transferor's, whose dialog ends with BYE."""
    transfer, call.transfer = call.transfer, None
    assert transfer is not None, "internal error: nobody is to be put through"
    new = transfer.leg
    old = call.replace_leg(new)
    call.exchange.reoffers.pop(command.side, None)
    call.exchange.passing = None
    tools.register(call)
    if transfer.answer is not None:
        new.established = True
        tools.driver.endpoint.answer(new.sip_id, transfer.answer, tools.now)
    if not old.over:
        old.over = True
        asyncio.get_running_loop().call_later(_HANG_UP_AFTER_S, hang_up_former, tools, old)
    old.ended_at = old.ended_at or tools.clock.now()
    tools.media.replace_recorded(call.call_id, old.id, new.id)
    tell_remotes(tools, call)
    tools.media.close_leg(old.id)
    if transfer.consultation is not None:
        taken(tools, transfer.consultation)
    call.heard_since = tools.now
    if call.recording is not None and not call.recording.discarded:
        call.recording.note_transfer(tools.now)
    if call.row is not None:
        change = CallChange(add_flags=(FLAG_TRANSFERRED,), legs=tuple(leg.as_item() for leg in call.legs()))
        call.row.change(change, Event("call", "transferred", call.call_id))


def hang_up_former(tools: Tools, leg: Leg) -> None:
    """End the dialog of a party that is in the call no longer; most have done so by themselves."""
    tools.driver.endpoint.hang_up(leg.sip_id, tools.now)
    tools.driver.flush()


def repeat_notice(tools: Tools, call: LiveCall, command: do.RepeatNotice) -> None:
    """Play the notice of the call's rule to a new party (NOT-10)."""
    loaded = tools.prompts.notice(call.notice.id) if call.notice is not None else None
    if loaded is None:
        tools.feed(call, given.PlayEnded(completed=False))
        return
    tell_remotes(tools, call)
    call.play_id = call.repeated_notice = new_id(tools.random)
    play = Play(call.play_id, PlayKind.NOTICE, loaded.sources, start=PlayStart.ON_MEDIA)
    tools.media.play(call.leg(command.side).id, play)


def note_repeated_notice(call: LiveCall, event: Played) -> None:
    """Note that a new party has heard the notice; the evidence of the first one stays what it is."""
    call.repeated_notice = None
    if event.completed and call.row is not None:
        call.row.change(CallChange(add_flags=(FLAG_NOTICE_REPEATED,)))


TRANSFER_COMMANDS: dict[type[do.Command], Callable[..., None]] = {
    do.RefuseTransfer: refuse_transfer,
    do.BeginTransfer: begin_transfer,
    do.TellTransfer: tell_transfer,
    do.EndTransfer: end_transfer,
    do.PutThrough: put_through,
    do.RepeatNotice: repeat_notice,
}
