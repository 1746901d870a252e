"""Transfers between real endpoints: REFER and Replaces from the PBX, one recording with a leg for every party."""

from __future__ import annotations

import pytest

from callrec.recorder.sip_events import SIP_EVENTS
from callrec.recorder.transfer_targets import TARGET_EVENTS
from callrec.sip import events as sip
from tests.support.hall_house import OTHER_PBX, PBX, RECORDER, TABLES, TRUNK, HallHouse, sdp
from tests.support.stories import Talk, connect, connect_transparent
from tests.support.transfers import COLLEAGUE, Transferor, colleague_takes_it
from tests.support.virtual_time import virtual

OUTSIDER = "07700900999"


def test_every_event_of_a_leg_has_a_meaning_before_it_is_put_through() -> None:
    """An event that nobody takes would end the call."""
    assert TARGET_EVENTS.keys() == SIP_EVENTS.keys()


async def end(house: HallHouse, talk: Talk, outcome: str = "complete") -> None:
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check(outcome)


async def call_out(house: HallHouse) -> tuple[Transferor, str]:
    """Bring a call of the PBX through to somebody outside; return the PBX and the leg of whom it called."""
    leg = house.dial(OUTSIDER, sdp("8 101", port=5000, host=PBX), by=house.pbx)
    incoming = await house.trunk.await_event(sip.IncomingCall)
    house.trunk.endpoint.answer(incoming.leg, sdp("8 101"), house.now)
    await house.pbx.await_event(sip.Answered)
    await house.settle(0.2)
    return Transferor(house, Talk(""), house.pbx, leg), incoming.leg


def linked(house: HallHouse) -> tuple[str | None, str | None]:
    """Return whom the caller hears, and who hears the caller."""
    call = house.call
    return house.media.legs[call.caller.id].peer, house.media.legs[call.destination.id].peer


@virtual
async def test_sip_9_a_blind_transfer_is_carried_out_and_stays_one_recording() -> None:
    """RFC 3515: 202, NOTIFY 100, 180, 200, then BYE; the new party is a leg of the same call."""
    house = HallHouse()
    talk = await connect(house)
    first = house.call.destination.id
    transferor = Transferor(house, talk)
    response = await transferor.refer(f"<sip:202@{OTHER_PBX}>", ("Referred-By", f"<sip:201@{PBX}>"))
    assert response.status == 202
    assert linked(house)[0] == first, "the old parties talk until the new one answers"
    new = await colleague_takes_it(house)
    assert new.invite.headers.get("Referred-By") == f"<sip:201@{PBX}>"
    assert "Alice" in str(new.invite.from_), "the colleague sees the caller"
    assert transferor.told == ["SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 200 OK"]
    assert transferor.states[-1].startswith("terminated")
    assert len(set(transferor.events)) == 1
    assert transferor.events[0].startswith("refer;id=")
    await house.pbx.await_event(sip.HungUp)
    second = house.call.destination.id
    assert linked(house) == (second, house.call.caller.id)
    assert house.media.recordings[house.call.call_id].replaced == [(first, second)]
    assert first not in house.media.legs, "its port is closed"
    await house.settle(5.0)
    await end(house, talk)
    item = house.item()
    assert [leg["leg_id"] for leg in item.change.legs] == [house.admitted[0].caller.id, first, second]
    assert all(leg["ended_at"] for leg in item.change.legs)
    assert "transferred" in item.change.add_flags
    assert "call/transferred" in item.events
    assert [segment["reason"] for segment in item.change.segments] == [None, "transfer"]


@virtual
async def test_sip_9_the_transferor_leaves_at_once_and_the_caller_hears_ringing() -> None:
    """A blind transfer as most telephones do it: BYE follows the 202."""
    house = HallHouse()
    talk = await connect(house)
    transferor = Transferor(house, talk)
    await transferor.refer(f"<sip:202@{OTHER_PBX}>")
    house.pbx.endpoint.hang_up(talk.inside, house.now)
    await house.settle(0.5)
    assert house.media.recordings[house.call.call_id].held
    play = house.media.legs[house.call.caller.id].play
    assert play is not None
    assert play.loop
    await colleague_takes_it(house)
    assert house.media.legs[house.call.caller.id].play is None
    assert not house.media.recordings[house.call.call_id].held
    await end(house, talk)
    states = [segment["state"] for segment in house.item().change.segments]
    assert states == ["recorded", "hold", "recorded"]


@pytest.mark.parametrize("status", [486, 404, 603])
@virtual
async def test_sip_9_a_failed_transfer_is_told_and_the_call_goes_on(status: int) -> None:
    """RFC 3515: the final NOTIFY says why; nothing has changed for the caller."""
    house = HallHouse()
    talk = await connect(house)
    transferor = Transferor(house, talk)
    await transferor.refer(f"<sip:202@{OTHER_PBX}>")
    incoming = await house.other_pbx.await_event(sip.IncomingCall)
    house.other_pbx.endpoint.reject(incoming.leg, status, house.now)
    await house.settle(1.0)
    assert transferor.told[-1].startswith(f"SIP/2.0 {status} ")
    assert transferor.states[-1].startswith("terminated")
    assert linked(house)[0] == house.call.destination.id
    assert len([leg for leg in house.media.legs.values() if leg.call_id == house.call.call_id]) == 2
    await end(house, talk)


@virtual
async def test_sip_9_nobody_answers_a_transfer_in_time() -> None:
    """The limit is that of the route; whoever rings is told that it is over."""
    house = HallHouse()
    talk = await connect(house)
    transferor = Transferor(house, talk)
    await transferor.refer(f"<sip:202@{OTHER_PBX}>")
    incoming = await house.other_pbx.await_event(sip.IncomingCall)
    house.other_pbx.endpoint.ring(incoming.leg, house.now)
    await house.other_pbx.await_event(sip.Cancelled)
    await house.settle(1.0)
    assert transferor.told[-1] == "SIP/2.0 408 Request Timeout"
    await end(house, talk)


@virtual
async def test_sip_9_allow_names_refer_to_whom_may_transfer_and_to_nobody_else() -> None:
    """RFC 3261 20.5: PBXs do not try REFER without; a trunk that reads it would leave to us what it does itself."""
    house = HallHouse()
    talk = await connect(house)
    told = {
        "invite": talk.invite.headers.words("Allow"),
        "answer": house.wire.sent_by(house.driver, "200")[0].headers.words("Allow"),
    }
    assert "refer" in told["invite"], "towards the PBX"
    assert "refer" not in told["answer"], "towards the trunk"
    await end(house, talk)


@virtual
async def test_sip_9_a_trunk_may_not_transfer() -> None:
    """A REFER from the outside is refused with 603, unless `allow_refer` says otherwise."""
    house = HallHouse()
    talk = await connect(house)
    outside = Transferor(house, talk, house.trunk, talk.outside)
    assert (await outside.refer(f"<sip:202@{OTHER_PBX}>")).status == 603
    await end(house, talk)
    peers = [{**TABLES["peer"][0], "allow_refer": True}, {**TABLES["peer"][1], "allow_refer": False}]
    house = HallHouse(peer=peers)
    talk = await connect(house)
    assert (await Transferor(house, talk).refer(f"<sip:202@{OTHER_PBX}>")).status == 603
    await end(house, talk)


@pytest.mark.parametrize(
    ("refer_to", "status"),
    [("<mailto:a@b>", 416), ("nothing", 400), (f"<sip:1@{PBX};method=BYE>", 416), ("<http://a/>", 416)],
)
@virtual
async def test_sip_15_a_refer_that_names_nobody_is_refused(refer_to: str, status: int) -> None:
    """RFC 3515 2.4.2: never a crash, and nobody is called."""
    house = HallHouse()
    talk = await connect(house)
    assert (await Transferor(house, talk).refer(refer_to)).status == status
    await end(house, talk)


@virtual
async def test_sip_9_a_stranger_is_never_called_its_user_part_takes_the_routes() -> None:
    """Refer-To names hosts of the PBX's world: what is no peer's is dialled as a number."""
    house = HallHouse()
    talk = await connect(house)
    transferor = Transferor(house, talk)
    await transferor.refer(f"<sip:{OUTSIDER}@192.0.2.1>")
    incoming = await house.trunk.await_event(sip.IncomingCall)
    assert str(incoming.request.uri) == f"sip:{OUTSIDER}@{TRUNK}"
    house.trunk.endpoint.reject(incoming.leg, 486, house.now)
    await house.settle(1.0)
    assert not house.wire.strangers
    await end(house, talk)


@pytest.mark.parametrize(
    ("refer_to", "goes_to"),
    [
        (f"<sip:202@{RECORDER}>", f"sip:202@{PBX}"),
        ("<tel:202;phone-context=pbx.example>", f"sip:202@{PBX}"),
        ("<sip:reception@PBX.example>", f"sip:reception@{PBX}"),
        ("<sip:101@pbx.example;user=phone>", f"sip:101@{PBX}"),
        (f"<sip:{OUTSIDER}@pbx.example>", f"sip:{OUTSIDER}@{TRUNK}"),
        ("<sip:999@pbx.example>", f"sip:999@{TRUNK}"),
        ("<sip:101@elsewhere.example>", f"sip:101@{TRUNK}"),
    ],
)
@virtual
async def test_sip_9_a_telephone_of_the_pbx_is_called_there_and_a_number_by_the_routes(
    refer_to: str, goes_to: str
) -> None:
    """A PBX names its telephones by its own domain, or as if they were ours; 999 leaves whatever domain it names."""
    house = HallHouse()
    talk = await connect(house)
    transferor = Transferor(house, talk)
    await transferor.refer(refer_to, ("Referred-By", "<sip:201@pbx.example>"))
    phone = house.pbx if goes_to.endswith(PBX) else house.trunk
    incoming = await phone.await_event(sip.IncomingCall)
    assert str(incoming.request.uri) == goes_to
    phone.endpoint.reject(incoming.leg, 486, house.now)
    await house.settle(1.0)
    await end(house, talk)


@virtual
async def test_sip_9_an_extension_that_a_route_names_takes_that_route() -> None:
    """What is configured comes before what is guessed."""
    route = {"from": "pbx", "called": "2*", "destination": f"sip:{OTHER_PBX}"}
    house = HallHouse(route=[route, *TABLES["route"]])
    talk = await connect(house)
    await Transferor(house, talk).refer(f"<sip:202@{RECORDER}>")
    incoming = await house.other_pbx.await_event(sip.IncomingCall)
    house.other_pbx.endpoint.reject(incoming.leg, 486, house.now)
    await house.settle(1.0)
    await end(house, talk)


@virtual
async def test_sip_9_the_pbx_that_called_out_is_called_back_for_its_telephones() -> None:
    """There is no destination that we dialled: its own Contact is where it is."""
    house = HallHouse()
    transferor, called = await call_out(house)
    await transferor.refer("<sip:101@pbx.example>", ("Referred-By", "<sip:201@pbx.example>"))
    back = await house.pbx.await_event(sip.IncomingCall)
    assert back.request.uri.user == "101"
    house.pbx.endpoint.reject(back.leg, 486, house.now)
    house.trunk.endpoint.hang_up(called, house.now)
    await house.check("no_capture_rule")


@virtual
async def test_rfc_4488_norefersub_means_no_notify() -> None:
    """The transferor does not want to hear how it went."""
    house = HallHouse()
    talk = await connect(house)
    transferor = Transferor(house, talk)
    response = await transferor.refer(f"<sip:202@{OTHER_PBX}>", ("Refer-Sub", "false"))
    assert (response.status, response.headers.get("Refer-Sub")) == (202, "false")
    await colleague_takes_it(house)
    assert transferor.told == []
    await end(house, talk)


@virtual
async def test_not_10_an_outside_party_hears_the_notice_before_it_is_recorded() -> None:
    """NOT-10: transfer out by the routes; its audio is stored only after the whole notice."""
    house = HallHouse()
    talk = await connect(house)
    evidence = house.call.notice_evidence
    await Transferor(house, talk).refer(f"<sip:{OUTSIDER}@{RECORDER}>")
    await colleague_takes_it(house, house.trunk, sdp("8 101", port=7000, host=TRUNK))
    call = house.call
    assert house.media.recordings[call.call_id].held
    play = house.media.legs[call.destination.id].play
    assert play is not None
    assert play.kind.value == "notice"
    await house.settle(6.0)
    assert not house.media.recordings[call.call_id].held
    assert linked(house) == (call.destination.id, call.caller.id)
    assert call.notice_evidence is evidence, "what the caller heard stays what is proven"
    await end(house, talk)
    assert "notice_repeated" in house.item().change.add_flags


@virtual
async def test_not_10_an_outside_party_that_misses_the_notice_is_not_recorded() -> None:
    """NOT-3: the recording ends, with what was stored before; the call goes on."""
    house = HallHouse()
    talk = await connect(house)
    house.media.notice_completes = False
    await Transferor(house, talk).refer(f"<sip:{OUTSIDER}@{RECORDER}>")
    await colleague_takes_it(house, house.trunk, sdp("8 101", port=7000, host=TRUNK))
    await house.settle(6.0)
    assert not house.call.machine.is_recording
    assert linked(house)[0] == house.call.destination.id
    await end(house, talk, "cut")


@virtual
async def test_law_39_a_stop_listed_new_party_ends_the_recording() -> None:
    """LAW-39: the call goes on, nothing more of it is stored."""
    house = HallHouse()
    talk = await connect(house)
    house.stop("+447700900999")
    await Transferor(house, talk).refer(f"<sip:{OUTSIDER}@{RECORDER}>")
    await colleague_takes_it(house, house.trunk, sdp("8 101", port=7000, host=TRUNK))
    assert not house.call.machine.is_recording
    assert house.media.legs[house.call.destination.id].play is None, "no notice of a recording that is not made"
    await end(house, talk, "cut")


@virtual
async def test_rfc_3891_replaces_for_a_dialog_of_the_pbx_goes_through_unchanged() -> None:
    """Attended transfer whose consultation lives inside the PBX: it knows the dialog, we pass the values on."""
    house = HallHouse()
    talk = await connect(house)
    await Transferor(house, talk).refer(f"<sip:202@{OTHER_PBX}?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2>")
    new = await colleague_takes_it(house)
    assert new.invite.headers.get("Replaces") == "a@b;to-tag=1;from-tag=2"
    assert "?" not in str(new.invite.uri)
    await end(house, talk)


@virtual
async def test_sip_9_calls_that_are_not_recorded_are_transferred_too() -> None:
    """The transparent way; also by the side that called, towards its own colleague."""
    house = HallHouse()
    talk = await connect_transparent(house)
    await Transferor(house, talk).refer(f"<sip:202@{OTHER_PBX}>")
    await colleague_takes_it(house)
    assert linked(house)[0] == house.call.destination.id
    await end(house, talk, "no_capture_rule")


@virtual
async def test_sip_9_the_pbx_that_called_out_puts_the_outside_party_through() -> None:
    """The caller's leg is the one that is replaced; the outside party stays."""
    house = HallHouse()
    transferor, called = await call_out(house)
    assert (await transferor.refer(f"<sip:202@{OTHER_PBX}>")).status == 202
    new = await colleague_takes_it(house)
    assert OUTSIDER in str(new.invite.from_), "the colleague sees who waits"
    assert transferor.told[-1] == "SIP/2.0 200 OK"
    assert linked(house) == (house.call.destination.id, house.call.caller.id)
    house.trunk.endpoint.hang_up(called, house.now)
    await house.check("no_capture_rule")


@pytest.mark.parametrize("when", [0.0, 0.005, 0.015, 0.025, 0.05, 1.0])
@virtual
async def test_whatever_crosses_a_transfer_leaves_nothing_behind(when: float) -> None:
    """The caller leaves at any moment of it: one end, every leg and port closed."""
    house = HallHouse()
    talk = await connect(house)
    transferor = Transferor(house, talk)
    transferor.phone.endpoint.ask(
        talk.inside, "REFER", "t", house.now, headers=(("Refer-To", f"<sip:202@{OTHER_PBX}>"),)
    )
    await house.settle(when)
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("complete")


@virtual
async def test_two_transfers_in_a_row_are_two_new_legs() -> None:
    """Every party is a leg; the colleague transfers back."""
    house = HallHouse()
    talk = await connect(house)
    await Transferor(house, talk).refer(f"<sip:202@{OTHER_PBX}>")
    new = await colleague_takes_it(house)
    again = Transferor(house, Talk(""), house.other_pbx, new.inside)
    await again.refer(f"<sip:201@{PBX}>")
    await colleague_takes_it(house, house.pbx, sdp("8 101", port=5002, host=PBX))
    assert again.told[-1] == "SIP/2.0 200 OK"
    await end(house, talk)
    assert len(house.item().change.legs) == 4


def replaces(house: HallHouse, talk: Talk, *, swap: bool = False) -> tuple[str, str]:
    """Return the Replaces header by which the PBX names its dialog with us: our tag is its remote one."""
    key = house.pbx.endpoint.dialog(talk.inside).key
    ours, theirs = (key.local_tag, key.remote_tag) if swap else (key.remote_tag, key.local_tag)
    return ("Replaces", f"{key.call_id};to-tag={ours};from-tag={theirs}")


@virtual
async def test_rfc_3891_an_invite_with_replaces_takes_the_place_of_the_leg_it_names() -> None:
    """Attended transfer by the new party's own INVITE: one call, one recording, the old leg ends with BYE."""
    house = HallHouse()
    talk = await connect(house)
    first = house.call.destination.id
    house.dial(session=COLLEAGUE, by=house.other_pbx, headers=[replaces(house, talk)])
    answered = await house.other_pbx.await_event(sip.Answered)
    assert answered.session is not None
    await house.pbx.await_event(sip.HungUp)
    await house.settle(0.5)
    assert len(house.admitted) == 1, "it is no call of its own"
    call = house.call
    assert house.media.recordings[call.call_id].replaced == [(first, call.destination.id)]
    assert linked(house) == (call.destination.id, call.caller.id)
    await end(house, talk)
    assert len(house.item().change.legs) == 3


@virtual
async def test_rfc_3891_what_cannot_be_replaced_is_refused_and_the_call_goes_on() -> None:
    """No such dialog 481, early-only 486, another codec 488, a trunk's leg or wish 403."""
    house = HallHouse()
    talk = await connect(house)
    name, value = replaces(house, talk)
    trunks = house.trunk.endpoint.dialog(talk.outside).key
    of_trunk = f"{trunks.call_id};to-tag={trunks.remote_tag};from-tag={trunks.local_tag}"
    tries = [
        (house.other_pbx, replaces(house, talk, swap=True)[1], COLLEAGUE, 481),
        (house.other_pbx, f"{value};early-only", COLLEAGUE, 486),
        (house.other_pbx, value, sdp("0 101", port=6000, host=OTHER_PBX), 488),
        (house.other_pbx, of_trunk, COLLEAGUE, 403),
        (house.other_pbx, "nonsense", COLLEAGUE, 400),
        (house.trunk, value, sdp("8 101"), 403),
    ]
    for phone, text, session, status in tries:
        house.dial(session=session, by=phone, headers=[(name, text)])
        failed = await phone.await_event(sip.Failed)
        assert failed.response is not None
        assert failed.response.status == status, text
    assert len(house.admitted) == 1
    assert linked(house)[0] == house.call.destination.id
    await end(house, talk)


@virtual
async def test_fail_5_a_trunks_replaces_that_names_nothing_of_ours_is_a_call_like_any_other() -> None:
    """Calls fail open: what a trunk adds to its INVITE does not cost it."""
    house = HallHouse()
    talk = await connect(house, headers=[("Replaces", "x@y;to-tag=1;from-tag=2")])
    await end(house, talk)


@pytest.mark.parametrize("when", [0.0, 0.005, 0.015, 0.025, 0.05])
@virtual
async def test_whatever_crosses_a_replacement_leaves_nothing_behind(when: float) -> None:
    """The caller leaves while the leg is replaced: one end, every leg and port closed."""
    house = HallHouse()
    talk = await connect(house)
    house.dial(session=COLLEAGUE, by=house.other_pbx, headers=[replaces(house, talk)])
    await house.settle(when)
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.settle(60.0)
    assert house.other_pbx.endpoint.legs == 0
    await house.check("complete")


async def consult(house: HallHouse) -> tuple[str, str]:
    """Let the PBX call an outside number through callrec; return its leg of that call, and the outside party's."""
    leg = house.dial(OUTSIDER, sdp("8 101", port=5010, host=PBX), by=house.pbx)
    incoming = await house.trunk.await_event(sip.IncomingCall)
    house.trunk.endpoint.answer(incoming.leg, sdp("8 101", port=7000), house.now)
    await house.pbx.await_event(sip.Answered)
    await house.settle(0.3)
    return leg, incoming.leg


def naming(house: HallHouse, leg: str) -> str:
    """Return the Refer-To by which the PBX names its dialog with us in a consultation."""
    key = house.pbx.endpoint.dialog(leg).key
    call_id = key.call_id.replace("@", "%40")
    return f"<sip:{OUTSIDER}@{RECORDER}?Replaces={call_id}%3Bto-tag%3D{key.remote_tag}%3Bfrom-tag%3D{key.local_tag}>"


def trunk_accepts(house: HallHouse, session: bytes) -> None:
    """Let the trunk take every re-INVITE by itself."""

    def react(event: sip.Event) -> bool:
        if isinstance(event, sip.Reoffered):
            house.trunk.endpoint.accept_offer(event.leg, session, house.now)
        return isinstance(event, sip.Reoffered)

    house.trunk.react = react


@virtual
async def test_sip_9_a_consulted_party_moves_from_its_call_to_the_other() -> None:
    """Attended transfer with both calls through callrec: joined by re-INVITE, nobody is called twice."""
    house = HallHouse()
    talk = await connect(house)
    first = house.call
    desk = first.destination.id
    pbx_leg, consulted = await consult(house)
    trunk_accepts(house, sdp("8 101", port=7000, version=2))
    transferor = Transferor(house, talk)
    assert (await transferor.refer(naming(house, pbx_leg))).status == 202
    await house.settle(10.0)
    assert transferor.told == ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]
    assert [call.call_id for call in house.hall.calls()] == [first.call_id], "the consultation is over"
    assert house.media.recordings[first.call_id].replaced == [(desk, first.destination.id)]
    assert house.media.legs[first.caller.id].peer == first.destination.id
    assert first.destination.id in house.media.legs
    assert first.machine.is_recording, "it has heard the notice of this call (NOT-10)"
    assert house.pbx.endpoint.legs == 0, "both legs of the transferor have ended"
    house.trunk.endpoint.hang_up(consulted, house.now)
    await house.check("complete", "no_capture_rule")


@virtual
async def test_sip_9_a_consulted_party_that_does_not_move_stays_where_it_was() -> None:
    """The re-INVITE is refused: NOTIFY says so, both calls go on."""
    house = HallHouse()
    talk = await connect(house)
    pbx_leg, _ = await consult(house)
    transferor = Transferor(house, talk)
    await transferor.refer(naming(house, pbx_leg))
    asked = await house.trunk.await_event(sip.Reoffered)
    house.trunk.endpoint.refuse_offer(asked.leg, 488, house.now)
    trunk_accepts(house, sdp("8 101", port=7000, version=3))
    await house.settle(1.0)
    assert transferor.told[-1].startswith("SIP/2.0 488")
    assert len(list(house.hall.calls())) == 2
    house.pbx.endpoint.hang_up(pbx_leg, house.now)
    await end_both(house, talk)


async def end_both(house: HallHouse, talk: Talk) -> None:
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("complete", "no_capture_rule")


@pytest.mark.parametrize("when", [0.0, 0.012, 0.022, 0.032, 0.05, 0.2])
@pytest.mark.parametrize("who", ["caller", "transferor", "consulted", "consulting"])
@virtual
async def test_whatever_crosses_a_join_leaves_nothing_behind(who: str, when: float) -> None:
    """Anybody may leave at any moment: two ends, every leg and port closed."""
    house = HallHouse()
    talk = await connect(house)
    pbx_leg, consulted = await consult(house)
    trunk_accepts(house, sdp("8 101", port=7000, version=2))
    transferor = Transferor(house, talk)
    transferor.phone.endpoint.ask(talk.inside, "REFER", "t", house.now, headers=(("Refer-To", naming(house, pbx_leg)),))
    await house.settle(when)
    leaving = {
        "caller": (house.trunk, talk.outside), "transferor": (house.pbx, talk.inside),
        "consulted": (house.trunk, consulted), "consulting": (house.pbx, pbx_leg),
    }  # fmt: skip
    phone, leg = leaving[who]
    phone.endpoint.hang_up(leg, house.now)
    await house.settle(20.0)
    for phone, leg in leaving.values():
        phone.endpoint.hang_up(leg, house.now)
    await house.check()


@virtual
async def test_sip_9_a_call_is_not_joined_with_itself() -> None:
    """A Replaces that names the transferor's own dialog."""
    house = HallHouse()
    talk = await connect(house)
    assert (await Transferor(house, talk).refer(naming(house, talk.inside))).status == 481
    await end(house, talk)


@virtual
async def test_rtp_9_a_new_party_that_must_be_encrypted_is_never_called_in_clear() -> None:
    """RTP-9: `srtp = "required"` counts for transfers too, and for a leg that replaces another."""
    pbx = {**TABLES["peer"][1], "addresses": [PBX]}
    secret = {"name": "secret", "addresses": [OTHER_PBX], "role": "pbx", "srtp": "required"}
    listen = ["udp://127.0.0.1:5070", "tls://127.0.0.1:5071"]
    sip_table = {"listen": listen, "tls_certificate_file": "/nowhere/cert.pem", "tls_key_file": "/nowhere/key.pem"}
    house = HallHouse(peer=[TABLES["peer"][0], pbx, secret], sip=sip_table)
    talk = await connect(house)
    transferor = Transferor(house, talk)
    await transferor.refer(f"<sip:202@{OTHER_PBX}>")
    await house.settle(1.0)
    assert transferor.told[-1].startswith("SIP/2.0 488")
    assert house.other_pbx.told.empty(), "no INVITE went out"
    house.dial(session=COLLEAGUE, by=house.other_pbx, headers=[replaces(house, talk)])
    failed = await house.other_pbx.await_event(sip.Failed)
    assert failed.response is not None
    assert failed.response.status == 488
    await end(house, talk)
