"""Several destinations and redirections, between real endpoints: who is called, and what the caller notices of it."""

from __future__ import annotations

from typing import Any

import pytest

from callrec.sip import events as sip
from callrec.sip.events import Address, Flow
from callrec.sip.message import Request
from tests.support.hall_house import DDI, OTHER_PBX, PBX, RECORDER, TABLES, TRUNK, HallHouse, sdp
from tests.support.stories import Talk, connect, hear_notice, reach_pbx
from tests.support.virtual_time import virtual

SECOND = sdp("8 101", port=6000, host=OTHER_PBX)


def house_with(*destinations: str, called: str = "*", rule: str = "inbound", **more: Any) -> HallHouse:
    """Return a house whose calls go to a list of destinations."""
    row = {"from": "trunk", "called": called, "destination": list(destinations), "answer_timeout": "20s", **more}
    return HallHouse(route=[{**row, "rule": rule} if rule else row, TABLES["route"][-1]])


def called(house: HallHouse) -> list[str]:
    """Return the Request-URIs of our INVITEs, copies left out, in their order."""
    invites = [m for m in house.wire.sent_by(house.driver, "INVITE") if isinstance(m, Request) and m.to.tag is None]
    return list(dict.fromkeys(str(invite.uri) for invite in invites))


async def second_takes_it(house: HallHouse, talk: Talk) -> None:
    await reach_pbx(house, talk, pbx=house.other_pbx)
    house.other_pbx.endpoint.answer(talk.inside, SECOND, house.now)
    await house.other_pbx.await_event(sip.Acknowledged)
    await house.settle(1.0)


async def hang_up(house: HallHouse, talk: Talk, outcome: str) -> None:
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check(outcome)


@pytest.mark.parametrize("status", [480, 503, 404])
@virtual
async def test_fail_2_the_next_destination_takes_what_the_first_cannot(status: int) -> None:
    """FAIL-2: the call is recorded with whoever took it; the caller hears ringing meanwhile."""
    house = house_with(f"sip:100@{PBX}", f"sip:200@{OTHER_PBX}")
    talk = await reach_pbx(house)
    house.pbx.endpoint.reject(talk.inside, status, house.now)
    await second_takes_it(house, talk)
    assert house.call.recording is not None
    assert called(house) == [f"sip:100@{PBX}", f"sip:200@{OTHER_PBX}"]
    await hang_up(house, talk, "complete")


@virtual
async def test_fail_2_a_destination_that_only_rings_is_cancelled_after_its_time() -> None:
    """Each has `answer_timeout` for itself."""
    house = house_with(f"sip:100@{PBX}", f"sip:200@{OTHER_PBX}")
    talk = await reach_pbx(house)
    house.pbx.endpoint.ring(talk.inside, house.now)
    begun = house.now
    await house.pbx.await_event(sip.Cancelled)
    assert house.now - begun == pytest.approx(20, abs=1)
    await second_takes_it(house, talk)
    await hang_up(house, talk, "complete")


@pytest.mark.parametrize("rule", ["inbound", ""])
@virtual
async def test_fail_2_a_dead_destination_costs_four_seconds_once_and_then_nothing(rule: str) -> None:
    """FAIL-2: silence is not waited for as long as SIP would; who is known to be down is tried last."""
    house = house_with(f"sip:100@{PBX}", f"sip:200@{OTHER_PBX}", rule=rule)
    house.wire.fate = lambda _message, flow: [] if PBX in (flow.remote.host, flow.local.host) else [0.01]
    talk = await hear_notice(house) if rule else Talk(house.dial())
    await second_takes_it(house, talk)
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.settle(40.0)  # Timer B: now it is known to be down
    house.wire.log.clear()
    again = await hear_notice(house) if rule else Talk(house.dial())
    await second_takes_it(house, again)
    assert called(house) == [f"sip:200@{OTHER_PBX}"]
    house.trunk.endpoint.hang_up(again.outside, house.now)
    await house.check(*["complete" if rule else "no_capture_rule"] * 2)


@virtual
async def test_fail_2_where_all_are_dead_all_are_tried() -> None:
    """Calls fail open: health only changes the order."""
    house = house_with(f"sip:100@{PBX}", f"sip:200@{OTHER_PBX}")
    for host in (PBX, OTHER_PBX):
        house.driver.reachability.call_failed(Flow("udp", Address(RECORDER, 5060), Address(host, 5060)), "timeout")
    talk = await reach_pbx(house)
    house.pbx.endpoint.reject(talk.inside, 480, house.now)
    await house.check("not_answered")
    assert len(called(house)) >= 1


@virtual
async def test_busy_is_told_to_the_caller_and_nobody_else_rings() -> None:
    """A desk that is busy does not make the next telephone ring, unless `next_on_busy` says so."""
    house = house_with(f"sip:100@{PBX}", f"sip:200@{OTHER_PBX}")
    talk = await reach_pbx(house)
    house.pbx.endpoint.reject(talk.inside, 486, house.now)
    await house.check("busy")
    assert called(house) == [f"sip:100@{PBX}"]
    house = house_with(f"sip:100@{PBX}", f"sip:200@{OTHER_PBX}", next_on_busy=True)
    talk = await reach_pbx(house)
    house.pbx.endpoint.reject(talk.inside, 486, house.now)
    await second_takes_it(house, talk)
    await hang_up(house, talk, "complete")


@virtual
async def test_fail_1_an_emergency_call_goes_on_to_the_next_way_out() -> None:
    """FAIL-1: refused by one, taken by the next; nothing waits for health."""
    house = HallHouse(emergency={"destination": [f"sip:999@{PBX}", f"sip:999@{OTHER_PBX}"]})
    talk = Talk(house.dial("999"))
    await reach_pbx(house, talk)
    house.pbx.endpoint.reject(talk.inside, 600, house.now)
    await second_takes_it(house, talk)
    await hang_up(house, talk, "emergency")


def redirect(house: HallHouse, leg: str, *contacts: str, status: int = 302, **headers: str) -> None:
    pairs = [("Contact", contact) for contact in contacts] + list(headers.items())
    house.pbx.endpoint.reject(leg, status, house.now, headers=pairs)


@pytest.mark.parametrize("rule", ["inbound", ""])
@virtual
async def test_sip_12_a_302_is_followed_to_a_peer_by_q(rule: str) -> None:
    """SIP-12, RFC 3261 8.1.3.4: and its Diversion goes on before those of earlier hops (RFC 5806)."""
    house = house_with(f"sip:100@{PBX}", rule=rule)
    earlier = ("Diversion", "<sip:+441632960001@t>;reason=unconditional")
    talk = Talk(house.dial(headers=[earlier]))
    await reach_pbx(house, talk)
    redirect(
        house, talk.inside, f"<sip:201@{PBX}>;q=0.2", f"<sip:202@{OTHER_PBX}?Route=x>;q=0.9",
        Diversion=f"<sip:100@{PBX}>;reason=user-busy",
    )  # fmt: skip
    await second_takes_it(house, talk)
    assert called(house) == [f"sip:100@{PBX}", f"sip:202@{OTHER_PBX}"]
    assert talk.invite.headers.get_all("Diversion") == (f"<sip:100@{PBX}>;reason=user-busy", earlier[1])
    await hang_up(house, talk, "complete" if rule else "no_capture_rule")


@virtual
async def test_sip_12_a_302_to_a_stranger_calls_nobody() -> None:
    """SIP-12: nobody makes us call somebody who is no peer, nor lets a stranger speak to us."""
    house = house_with(f"sip:100@{PBX}")
    talk = await reach_pbx(house)
    redirect(house, talk.inside, "<sip:1@192.0.2.7>", "<sip:1@evil.example>", f"<sip:1@{PBX};maddr=192.0.2.7>")
    await house.check("destination_failed")
    assert not house.wire.strangers
    assert called(house) == [f"sip:100@{PBX}"]


@virtual
async def test_sip_12_a_302_to_the_number_that_was_called_calls_nobody_again() -> None:
    """RFC 3261 8.1.3.4: the destination of the route names no user; whom we called there is known all the same."""
    house = house_with(f"sip:{PBX}")
    talk = await reach_pbx(house)
    redirect(house, talk.inside, f"<sip:{DDI}@{PBX}>")
    await house.check("destination_failed")
    assert called(house) == [f"sip:{DDI}@{PBX}"]


@virtual
async def test_sip_12_redirections_that_loop_end() -> None:
    """RFC 3261 8.1.3.4: A sends to B, B to A."""
    house = house_with(f"sip:100@{PBX}")
    talk = await reach_pbx(house)
    redirect(house, talk.inside, f"<sip:101@{PBX}>")
    await reach_pbx(house, talk)
    redirect(house, talk.inside, f"<sip:100@{PBX}>")
    await house.check("destination_failed")
    assert called(house) == [f"sip:100@{PBX}", f"sip:101@{PBX}"]


@virtual
async def test_a_caller_who_leaves_between_two_destinations_leaves_nothing_behind() -> None:
    """Whatever crosses: nobody is called for a caller who has gone."""
    for when in (0.0, 0.005, 0.02, 0.05):
        house = house_with(f"sip:100@{PBX}", f"sip:200@{OTHER_PBX}")
        talk = await reach_pbx(house)
        house.pbx.endpoint.reject(talk.inside, 503, house.now)
        await house.settle(when)
        house.trunk.endpoint.hang_up(talk.outside, house.now)
        await house.check("not_answered")


@virtual
async def test_one_destination_is_called_as_before() -> None:
    """A single URI is a list of one."""
    house = house_with(f"sip:{PBX}")
    talk = await connect(house)
    await hang_up(house, talk, "complete")


@virtual
async def test_not_10_a_302_to_an_outside_party_plays_it_the_notice_first() -> None:
    """NOT-10: a desk that forwards to its mobile; nothing is stored before that notice has been heard."""
    house = house_with(f"sip:100@{PBX}")
    talk = await reach_pbx(house)
    redirect(house, talk.inside, f"<sip:07700900555@{TRUNK}>")
    incoming = await house.trunk.await_event(sip.IncomingCall)
    house.trunk.endpoint.answer(incoming.leg, sdp("8 101", port=7000), house.now)
    await house.settle(1.0)
    assert house.call.recording is None
    play = house.media.legs[house.call.destination.id].play
    assert play is not None
    assert play.kind.value == "notice"
    await house.settle(6.0)
    assert house.call.machine.is_recording
    await hang_up(house, talk, "complete")


NAME = "pbx.example.test"


def house_with_name(*more: str, rule: str = "inbound") -> HallHouse:
    """Return a house whose first destination is a name with two hosts."""
    house = house_with(f"sip:100@{NAME}", *more, rule=rule)
    house.driver.names[NAME] = [PBX, OTHER_PBX]
    return house


@pytest.mark.parametrize("rule", ["inbound", ""])
@virtual
async def test_sip_13_a_host_that_says_503_leaves_the_call_to_the_next_one(rule: str) -> None:
    """RFC 3263 4.3: the same Request-URI goes to the next host of the name; it is one call."""
    house = house_with_name(rule=rule)
    talk = await hear_notice(house) if rule else Talk(house.dial())
    await reach_pbx(house, talk)
    house.pbx.endpoint.reject(talk.inside, 503, house.now)
    await second_takes_it(house, talk)
    assert called(house) == [f"sip:100@{NAME}"]
    await hang_up(house, talk, "complete" if rule else "no_capture_rule")


@virtual
async def test_sip_13_a_silent_host_costs_four_seconds_once_and_then_nothing() -> None:
    """RFC 3263 4.3: nobody waits 32 s while another host could take the call; then the silent one is asked last."""
    house = house_with_name(rule="")
    house.wire.fate = lambda _message, flow: [] if PBX in (flow.remote.host, flow.local.host) else [0.01]
    talk, begun = Talk(house.dial()), house.now
    await reach_pbx(house, talk, pbx=house.other_pbx)
    assert house.now - begun == pytest.approx(4, abs=1)
    await house.settle(40)
    second, begun = Talk(house.dial()), house.now
    await reach_pbx(house, second, pbx=house.other_pbx)
    assert house.now - begun < 1, "it is known to be down"


@pytest.mark.parametrize("status", [480, 486, 404, 500, 408])
@virtual
async def test_sip_13_what_one_host_says_counts_for_all(status: int) -> None:
    """RFC 3263 4.3: any final answer but 503 is that of the destination; nobody else of it is called."""
    house = house_with_name(rule="")
    talk = Talk(house.dial())
    await reach_pbx(house, talk)
    house.pbx.endpoint.reject(talk.inside, status, house.now)
    failed = await house.trunk.await_event(sip.Failed)
    assert failed.response is not None
    assert failed.response.status == status, "the caller hears what was said"
    assert not house.wire.sent_at(Address(OTHER_PBX, 5060), "100")


@virtual
async def test_sip_13_what_one_host_says_leads_to_the_next_destination() -> None:
    """FAIL-2: the list of the route goes on; the other host of the first destination is not called."""
    house = house_with_name(f"sip:300@{OTHER_PBX}")
    talk = await reach_pbx(house)
    house.pbx.endpoint.reject(talk.inside, 480, house.now)
    await second_takes_it(house, talk)
    assert called(house) == [f"sip:100@{NAME}", f"sip:300@{OTHER_PBX}"]
    await hang_up(house, talk, "complete")


@virtual
async def test_sip_13_a_host_that_rang_in_vain_has_spoken_for_all() -> None:
    """The people behind a name were rung for `answer_timeout`: its other host would ring the same ones."""
    house = house_with_name(rule="")
    talk = Talk(house.dial())
    await reach_pbx(house, talk)
    house.pbx.endpoint.ring(talk.inside, house.now)
    await house.pbx.await_event(sip.Cancelled)
    failed = await house.trunk.await_event(sip.Failed)
    assert failed.response is not None
    assert failed.response.status == 480
    assert not house.wire.sent_at(Address(OTHER_PBX, 5060), "100")


@virtual
async def test_sip_13_where_all_hosts_are_dead_the_next_destination_is_called() -> None:
    """FAIL-2: each host had its 4 s, and the call goes on to the list."""
    house = house_with_name(f"sip:300@{PBX}:5070")
    house.driver.names[NAME] = ["127.0.0.21", OTHER_PBX]
    house.wire.fate = lambda _message, flow: [0.01] if TRUNK in (flow.remote.host, flow.local.host) else []
    await hear_notice(house)
    await house.settle(15)
    assert called(house) == [f"sip:100@{NAME}", f"sip:300@{PBX}:5070"]


@virtual
async def test_fail_1_an_emergency_call_tries_every_host_whatever_the_first_says() -> None:
    """FAIL-1: for 999 every way out counts, also another host of the same name."""
    house = house_with_name(rule="")
    talk = Talk(house.dial(called="999"))
    await reach_pbx(house, talk)
    house.pbx.endpoint.reject(talk.inside, 486, house.now)
    await reach_pbx(house, talk, pbx=house.other_pbx)


@virtual
async def test_sip_13_a_host_that_asks_for_a_pause_gets_it_where_another_takes_the_call() -> None:
    """RFC 3261 21.5.4: 503 with Retry-After; the next call goes to the other host at once, and later to the first."""
    house = house_with_name(rule="")
    talk = Talk(house.dial())
    await reach_pbx(house, talk)
    house.pbx.endpoint.reject(talk.inside, 503, house.now, headers=(("Retry-After", "30"),))
    await reach_pbx(house, talk, pbx=house.other_pbx)
    second = Talk(house.dial())
    house.wire.log.clear()
    await reach_pbx(house, second, pbx=house.other_pbx)
    assert not house.wire.sent_at(Address(PBX, 5060), "100"), "the first host is left in peace"
    await house.settle(31)
    third = Talk(house.dial())
    await reach_pbx(house, third)
