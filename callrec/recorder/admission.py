"""What becomes of a new INVITE: refused, announced, or passed unrecorded; decided without waiting for anything."""

from __future__ import annotations

import logging
from dataclasses import replace

from callrec.calls import inputs as given
from callrec.calls.announced import AnnouncedCall, Keys
from callrec.calls.call import Call
from callrec.calls.inputs import Side
from callrec.calls.outcome import Reason
from callrec.calls.pausing import PauseKeys
from callrec.calls.refused import RefusedCall
from callrec.calls.routing import Readiness, why_not_recorded
from callrec.calls.transparent import TransparentCall
from callrec.errors import PeerError
from callrec.identifiers import new_id
from callrec.recorder import negotiation
from callrec.recorder.arrival import Arrival
from callrec.recorder.health import Code
from callrec.recorder.leg import Leg
from callrec.recorder.live_call import LiveCall
from callrec.recorder.overload import RETRY_LATER, is_full, refuses_for_space
from callrec.recorder.security import Security, SecurityError
from callrec.recorder.tools import Tools
from callrec.signalling.rate_limit import RateLimit
from callrec.sip.events import IncomingCall
from callrec.tasks import Tasks
from callrec.vault.keyring import CallKeys

log = logging.getLogger("callrec.calls")

REFUSED_ROWS = 20
"""Rows a second of calls beyond `max_calls`: a flood of INVITEs must fill neither the catalogue nor its journal."""


class Admission:
    """Reads each new INVITE and makes a call of it, unless it cannot be one."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._tasks = Tasks("calls")
        self._refused_rows = RateLimit(REFUSED_ROWS, 1.0)

    async def stop(self) -> None:
        """Let go of what still works for calls: the stores it works on are about to be closed."""
        await self._tasks.stop()

    def admit(self, event: IncomingCall, *, live: int, draining: bool) -> LiveCall | None:
        """Return the call that an INVITE becomes; None where it was answered with an error.

        Only an emergency call is never refused for overload or drain (FAIL-1). One that is refused has its row.
        """
        tools = self._tools
        peer = tools.driver.peer_of(event.flow)
        if peer is None:
            tools.driver.endpoint.reject(event.leg, 403, tools.now)
            return None
        arrival = Arrival(event, peer, tools.settings)
        if not arrival.emergency and (draining or is_full(tools, live)):
            return self._refused(arrival)
        call = self._new_call(arrival)
        try:
            problem = self._read_offer(call)
        except PeerError as error:
            log.info("an INVITE from %s was refused: %s", peer.name, error)
            tools.driver.endpoint.reject(event.leg, error.status, tools.now)
            return None
        if arrival.emergency:
            tools.driver.endpoint.spare(event.leg)
        call.keys = self._take_keys()
        call.machine = self._machine(call, problem)
        return call

    def _refused(self, arrival: Arrival) -> LiveCall | None:
        """Return a call that is refused and has its row; None where that was one too many to have one."""
        tools = self._tools
        left_out = self._refused_rows.admits(tools.now)
        if left_out is None:
            tools.driver.endpoint.reject(arrival.incoming.leg, 503, tools.now, headers=RETRY_LATER)
            return None
        if left_out:
            log.warning("%d calls beyond [sip] max_calls, or in a drain, were refused and have no row", left_out)
        call = self._new_call(arrival)
        call.keys = self._take_keys()
        call.machine = RefusedCall(Reason.CAPACITY)
        return call

    def _new_call(self, arrival: Arrival) -> LiveCall:
        tools = self._tools
        legs = [self._new_leg(side) for side in (Side.CALLER, Side.DESTINATION)]
        caller, destination = legs
        caller.sip_id, caller.peer, caller.started_at = arrival.incoming.leg, arrival.peer, tools.clock.now()
        return LiveCall(
            call_id=new_id(tools.random),
            arrival=arrival,
            machine=TransparentCall(Reason.NO_CAPTURE_RULE),
            caller=caller,
            destination=destination,
            tasks=self._tasks,
            started_at=tools.clock.now(),
        )

    def _new_leg(self, side: Side) -> Leg:
        session_id = int.from_bytes(self._tools.random(4), "big")
        return Leg(side, new_id(self._tools.random), session_id)

    def _read_offer(self, call: LiveCall) -> str | None:
        """Read the caller's SDP; return what about it we cannot relay, which costs the recording, not the call.

        Raises:
            PeerError: 400 where it is no SDP, 488 where it has no audio stream at all; not for an emergency call.
        """
        offer = call.arrival.incoming.offer
        call.caller.playable = self._tools.prompts.codecs
        call.caller.wideband = self._tools.settings.rtp.wideband
        emergency = call.arrival.emergency
        flow = call.arrival.incoming.flow
        call.caller.security = Security.of(call.arrival.peer, flow, self._tools.random, emergency=emergency)
        if offer is None:
            return None
        try:
            negotiation.read(call.caller, offer)
        except PeerError as error:
            if isinstance(error, SecurityError) and not emergency:
                raise
            if not emergency and (error.status != 488 or not negotiation.has_audio(offer)):
                raise
            call.anchored = False
            return str(error)
        if negotiation.playable_codec(call.caller) is None:
            return "the caller offers no codec in which the notice can be played"
        refused = self._tools.codec_memory.refused(call.arrival.route_name, self._tools.now)
        negotiation.avoid(call.caller, refused)
        return None

    def _take_keys(self) -> CallKeys | None:
        return self._tools.stores.take_call_keys()

    def _machine(self, call: LiveCall, problem: str | None) -> Call:
        tools, arrival = self._tools, call.arrival
        rule = arrival.rule
        # An emergency call is compared with no list (FAIL-1, NOT-23).
        speaking = () if arrival.emergency else arrival.speaking()
        call.under_hold = tools.stop_list.is_held(speaking)
        loaded = tools.prompts.notice(rule.notice) if rule is not None else None
        why_not = why_not_recorded(
            emergency=arrival.emergency,
            rule=rule.name if rule is not None else "",
            stopped=tools.stop_list.known and tools.stop_list.is_stopped(speaking),
            outbound=not arrival.inbound,
            readiness=replace(self._readiness(call), notice=loaded is not None and problem is None),
        )
        if why_not is not None or loaded is None:
            late = arrival.incoming.offer is None
            reason = why_not or Reason.NOTICE_INCOMPLETE
            if reason is Reason.STORAGE_UNAVAILABLE and refuses_for_space(tools):
                return RefusedCall(reason)
            return TransparentCall(reason, late_offer=late, next_on_busy=arrival.next_on_busy)
        call.notice = loaded.asset
        machine = self._announced(call)
        if call.under_hold:
            machine.handle(given.Protected())
        return machine

    def _announced(self, call: LiveCall) -> AnnouncedCall:
        tools, arrival = self._tools, call.arrival
        offers_stop = tools.prompts.stop_offer is not None and arrival.own_number() is not None
        attendant = tools.settings.attendant
        keys = Keys(
            attendant.opt_out_key,
            attendant.opt_out_after_connect,
            menu=frozenset(arrival.menu.digits) if arrival.menu is not None else frozenset(),
            stop=attendant.stop_key if offers_stop else "",
            pausing=PauseKeys(
                attendant.pause_key, attendant.resume_key, Side.DESTINATION if arrival.inbound else Side.CALLER
            ),
        )
        return AnnouncedCall(
            keys,
            menu_prompt=arrival.menu is not None and tools.prompts.menu(arrival.menu.name) is not None,
            held=call.caller.audio is not None and call.caller.audio.held,
            next_on_busy=arrival.next_on_busy,
        )

    def _readiness(self, call: LiveCall) -> Readiness:
        health = self._tools.health
        # The catalogue's own word as well: health hears of it only at the next look.
        storage = not health.has(Code.STORAGE_UNAVAILABLE) and self._tools.stores.catalogue.problem is None
        return Readiness(
            # Keys that cannot be had because of the disk are the disk's fault.
            keys=not health.has(Code.KEYS_UNAVAILABLE) and (call.keys is not None or not storage),
            storage=storage,
            stops=self._tools.stop_list.known,
        )
