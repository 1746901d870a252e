"""Whole calls of trunks that say what they really say (tests/vectors/peers); the PBX is one of ours."""

from __future__ import annotations

from contextlib import suppress

import pytest

from callrec.calls.inputs import Side
from callrec.errors import PeerError
from callrec.recorder import negotiation
from callrec.recorder.extensions import FLAG_FAX
from callrec.recorder.leg import Leg
from callrec.recorder.security import Security
from callrec.sdp import SessionDescription, audio_of
from callrec.settings import Srtp
from callrec.sip import events as sip
from callrec.sip.events import Address, Flow
from callrec.sip.message import parse_message
from tests.support.hall_house import PBX, TABLES, HallHouse, sdp
from tests.support.mutations import mutated
from tests.support.recorded_house import HERE, connect_outside, finish, is_held, outside_house, states
from tests.support.recorded_peer import ROOT, bytes_of, manifest, stacks
from tests.support.sip_driver import peer as peer_settings
from tests.support.stories import ANSWER
from tests.support.virtual_time import virtual

CALLS = {entry["file"].removesuffix(".sip"): entry for entry in manifest()["messages"] if "call" in entry}
SPOILT = {"hold", "resume", "refresh", "info", "update", "bye", "refer", "fax"}
TLS = Flow("tls", HERE, Address("192.0.2.111", 5061))


async def pick_up(house: HallHouse) -> None:
    """Let the PBX answer the call that comes."""
    incoming = await house.pbx.await_event(sip.IncomingCall)
    house.pbx.endpoint.answer(incoming.leg, ANSWER, house.now)
    await house.pbx.await_event(sip.Acknowledged)


@pytest.mark.parametrize("name", CALLS)
@virtual
async def test_a_call_of_each_trunk_is_announced_recorded_and_ended(name: str) -> None:
    """NOT-2, CLI-4, SIP-14: whoever the trunk is, the notice plays, the row knows who called, both legs end."""
    stack, file = name.split("/")
    expected = CALLS[name]
    house, peer = outside_house(stack)
    await connect_outside(house, peer, file, expected["call"].get("ack", ""))
    peer.ask("bye")
    assert (await peer.next("200")).cseq.method == "BYE"
    (ours,), (theirs,) = house.wire.sent_by(house.driver, "BYE"), house.wire.sent_at(peer.address, "BYE")
    assert ours.headers.get_all("Reason") == theirs.headers.get_all("Reason")
    row = await finish(house, "complete")
    identity, calling = row.new.identity, expected["calling"]
    assert identity.presentation_number == calling.get("presentation")
    assert identity.network_number == calling.get("network")
    assert identity.diverting_number == calling.get("diverting")
    assert identity.display_name == calling.get("name")
    assert row.new.withheld == calling.get("withheld", False)
    assert identity.called_number == expected["called"]
    assert [leg["codec"] for leg in row.change.legs] == [expected["call"]["codec"]] * 2


@pytest.mark.parametrize("name", CALLS)
@virtual
async def test_sip_14_what_each_trunk_says_of_the_caller_goes_on_and_what_is_its_own_stays(name: str) -> None:
    """SIP-14: identity and private headers pass byte for byte to a trusted PBX; routes, dates and timers do not."""
    stack, file = name.split("/")
    expected = CALLS[name]["call"]
    house, peer = outside_house(stack)
    peer.call(file)
    await peer.answered(expected.get("ack", ""))
    incoming = await house.pbx.await_event(sip.IncomingCall)
    invite, theirs = incoming.request, house.wire.log[0][1]
    for header in expected["passed"]:
        assert invite.headers.get_all(header) == theirs.headers.get_all(header) != [], header
    for header in expected["kept"]:
        assert theirs.headers.get_all(header), f"{header} is in the file"
        assert invite.headers.get_all(header) != theirs.headers.get_all(header), header
    assert str(invite.from_.uri) == str(theirs.from_.uri)
    for own in ("192.0.2.", "10.0.0."):
        assert own not in (incoming.offer or b"").decode(), "media of the trunk's own address"
    assert invite.call_id != theirs.call_id
    house.pbx.endpoint.reject(incoming.leg, 486, house.now)
    await peer.next("BYE")
    await finish(house, "busy")


@pytest.mark.parametrize("stack", [stack for stack in stacks("invite", "hold", "resume") if stack != "grandstream"])
@virtual
async def test_not_20_hold_in_each_trunks_own_form_stores_nothing_until_it_resumes(stack: str) -> None:
    """SIP-7: sendonly, inactive, and c=0.0.0.0."""
    house, peer = outside_house(stack)
    await connect_outside(house, peer)
    for name, direction, held in (("hold", "a=recvonly", True), ("resume", "a=sendrecv", False)):
        peer.ask(name)
        asked = await house.pbx.await_event(sip.Reoffered)
        house.pbx.endpoint.accept_offer(asked.leg, sdp("8 101", direction, port=5000, host=PBX), house.now)
        await peer.answered()
        await house.settle(3.0)
        assert is_held(house) == held
    peer.ask("bye")
    assert states(await finish(house, "complete")) == ["recorded", "hold", "recorded"]


@virtual
async def test_not_20_a_hold_under_the_version_of_before_is_a_hold() -> None:
    """SIP-7: what the SBCs' switches against such devices are for; nothing may be stored of it."""
    house, peer = outside_house("sonus")
    await connect_outside(house, peer)
    for name, version, direction, held in (
        ("hold", "497753", "a=recvonly", True),
        ("resume", "497754", "a=sendrecv", False),
    ):
        peer.ask(name, instead=(version, "497752"))
        asked = await house.pbx.await_event(sip.Reoffered)
        house.pbx.endpoint.accept_offer(asked.leg, sdp("8 101", direction, port=5000, host=PBX), house.now)
        await peer.answered()
        await house.settle(3.0)
        assert is_held(house) == held
    peer.ask("bye")
    assert states(await finish(house, "complete")) == ["recorded", "hold", "recorded"]


@pytest.mark.parametrize("stack", [stack for stack in stacks("invite", "refresh") if stack != "asterisk-chan-sip"])
@virtual
async def test_sip_10_each_trunks_session_refresh_is_answered_without_change(stack: str) -> None:
    """RFC 4028, RFC 3264 8: same o=, same answer with the same version; the PBX hears nothing of it."""
    house, peer = outside_house(stack)
    peer.call()
    first = await peer.answered()
    await pick_up(house)
    await house.settle(2.0)
    peer.ask("refresh")
    second = await peer.answered()
    assert second.body == first.body
    assert (second.headers.get("Session-Expires") or "").startswith("1800")
    assert len({m.via.branch for m in house.wire.sent_by(house.driver, "INVITE")}) == 1
    assert not is_held(house)
    peer.ask("bye")
    assert states(await finish(house, "complete")) == ["recorded"]


@virtual
async def test_rtp_5_a_key_by_info_of_cisco_is_passed_on_and_not_stored() -> None:
    """LAW-74: `Signal= 5` with its blank goes on as it came."""
    house, peer = outside_house("cisco-cube")
    await connect_outside(house, peer)
    peer.ask("info")
    asked = await house.pbx.await_event(sip.InDialogRequest)
    assert asked.request.headers.get("Content-Type") == "application/dtmf-relay"
    assert asked.request.body == b"Signal= 5\r\nDuration= 250\r\n"
    house.pbx.endpoint.respond(asked.token, 200, house.now)
    assert (await peer.next("200")).cseq.method == "INFO"
    peer.ask("bye")
    await finish(house, "complete")


@virtual
async def test_not_19_a_key_by_info_of_cisco_declines_the_recording() -> None:
    """The opt-out key during the notice, with the blank that Cisco writes before it."""
    house, peer = outside_house("cisco-cube")
    peer.call()
    await peer.answered()
    await house.settle(1.0)
    peer.ask("info", instead=("Signal= 5", "Signal= 9"))
    assert (await peer.next("200")).cseq.method == "INFO"
    await pick_up(house)
    assert not house.media.recordings
    peer.ask("bye")
    await finish(house, "opt_out")


@virtual
async def test_not_14_a_re_invite_just_after_the_answer_does_not_cost_the_notice() -> None:
    """Cisco and many SBCs send one as soon as the call is up: fewer codecs, the same audio."""
    house, peer = outside_house("cisco-cube")
    peer.call()
    await peer.answered()
    await house.settle(0.5)
    peer.ask("refresh", instead=("4351 8658", "4351 8659"))
    await peer.answered()
    await pick_up(house)
    await house.settle(2.0)
    peer.ask("bye")
    assert states(await finish(house, "complete")) == ["recorded"]


@virtual
async def test_sip_9_a_trunks_refer_is_refused_and_the_call_goes_on() -> None:
    """A trunk may not transfer: what an SBC hands on of Teams' REFER gets 603."""
    house, peer = outside_house("audiocodes")
    await connect_outside(house, peer)
    peer.ask("refer")
    assert (await peer.next("603")).cseq.method == "REFER"
    await house.settle(2.0)
    assert house.media.recordings
    peer.ask("bye")
    await finish(house, "complete")


@pytest.mark.parametrize("name", ["invite-withheld", "invite-withheld-from"])
@virtual
async def test_sip_14_a_withheld_number_stays_here_where_the_pbx_is_not_trusted(name: str) -> None:
    """RFC 3325 7, CLI-13: `Privacy: id` of a UK carrier, whose From may be anonymous or not."""
    stranger = {**TABLES["peer"][1], "trusted_identity": False}
    house, peer = outside_house("uk-nsn", pbx=stranger)
    peer.call(name)
    await peer.answered()
    incoming = await house.pbx.await_event(sip.IncomingCall)
    assert b"1632960999" not in incoming.request.serialize()
    assert incoming.request.from_.uri.host == "anonymous.invalid"
    assert (incoming.request.headers.get("Privacy") or "").startswith("id")
    house.pbx.endpoint.reject(incoming.leg, 486, house.now)
    await peer.next("BYE")
    row = await finish(house, "busy")
    assert row.new.withheld
    assert "1632960999" not in repr(row.new)


@virtual
async def test_sip_14_a_trusted_pbx_is_told_a_withheld_number_as_it_came() -> None:
    """SIP-14: inside the trust domain From, P-Asserted-Identity and Privacy pass unchanged."""
    house, peer = outside_house("uk-nsn")
    peer.call("invite-withheld-from")
    await peer.answered()
    incoming = await house.pbx.await_event(sip.IncomingCall)
    assert incoming.request.from_.uri.user == "1632960999"
    house.pbx.endpoint.reject(incoming.leg, 486, house.now)
    await peer.next("BYE")
    await finish(house, "busy")


@pytest.mark.parametrize("stack", sorted({name.partition("/")[0] for name in CALLS} - {"cucm"}))
@virtual
async def test_sip_15_spoilt_messages_of_each_trunk_leave_nothing_behind(
    stack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever of its own words arrives broken, in the call and outside: no internal error, nothing held at the end."""
    house, peer = outside_house(stack)
    await connect_outside(house, peer)
    said = [peer.written(path.stem) for path in sorted((ROOT / stack).glob("*.sip")) if path.stem in SPOILT]
    arriving, send = Flow("udp", HERE, peer.address), house.wire.send

    def overlook(data: bytes, flow: Flow) -> None:
        with suppress(PeerError):  # our 400 repeats what was broken
            send(data, flow)

    monkeypatch.setattr(house.wire, "send", overlook)
    for data in mutated([*said, bytes_of(stack, "invite")], count=120, seed=len(stack)):
        house.driver.arrive(data, arriving)
        await house.settle(0.05)
    peer.end()
    await house.check(seconds=400.0)


@virtual
async def test_rtp_7_the_fax_re_invite_of_cisco_falls_back_to_audio() -> None:
    """RTP-7: 488, marked, and the call goes on."""
    house, peer = outside_house("cisco-cube")
    await connect_outside(house, peer)
    peer.ask("fax")
    refused = await peer.next("488")
    peer.ack_refusal(refused)
    await house.settle(2.0)
    peer.ask("bye")
    row = await finish(house, "complete")
    assert FLAG_FAX in row.change.add_flags


@virtual
async def test_sip_8_the_ping_of_metaswitch_by_update_is_answered_here() -> None:
    """RFC 3311: an UPDATE without a session keeps the dialog alive."""
    house, peer = outside_house("metaswitch")
    await connect_outside(house, peer)
    peer.ask("update")
    assert (await peer.next("200")).cseq.method == "UPDATE"
    assert not house.wire.sent_by(house.driver, "UPDATE")
    peer.ask("bye")
    await finish(house, "complete")


@pytest.mark.parametrize("stack", ["cisco-cube", "cucm"])
@virtual
async def test_sip_11_the_options_of_cisco_are_answered(stack: str) -> None:
    """SIP-11: without a user, and from Unified CM with `Max-Forwards: 0`."""
    _, peer = outside_house(stack)
    peer.ping("options")
    assert (await peer.next("200")).cseq.method == "OPTIONS"


@pytest.mark.parametrize("name", CALLS)
@virtual
async def test_sip_13_our_bye_goes_to_each_trunks_contact_along_its_record_route(name: str) -> None:
    """RFC 3261 12.1.1: the route set in its order, every URI with its parameters, to the nearest proxy."""
    stack, file = name.split("/")
    house, peer = outside_house(stack)
    talk = await connect_outside(house, peer, file, CALLS[name]["call"].get("ack", ""))
    theirs = house.wire.log[0][1]
    house.pbx.endpoint.hang_up(talk.inside, house.now)
    bye = await peer.next("BYE")
    assert [str(route) for route in bye.route] == [str(route) for route in theirs.record_route]
    assert theirs.contact is not None
    assert bye.uri == theirs.contact.uri
    await finish(house, "complete")


@virtual
async def test_sip_6_unified_communications_manager_is_offered_what_it_did_not_offer() -> None:
    """SIP-6: an INVITE without SDP; our 200 offers, its ACK answers with dead m-lines that RTP never had."""
    house, peer = outside_house("cucm")
    peer.call("invite-late")
    response = await peer.answered("ack")
    offered = audio_of(SessionDescription.parse(response.body))
    assert [codec.name for codec in offered.codecs][:2] == ["PCMA", "PCMU"]
    await house.pbx.await_event(sip.IncomingCall)
    remote = house.media.legs[house.call.caller.id].remote
    assert remote is not None
    assert remote.address == Address("192.0.2.102", 18402)
    peer.ask("bye")
    await finish(house, "not_answered")


@pytest.mark.parametrize("policy", [Srtp.OPTIONAL, Srtp.REQUIRED])
def test_rtp_9_teams_is_answered_with_keys_and_without_ice(policy: Srtp) -> None:
    """RTP-9: over TLS, one codec of G.711, one key, one port for RTP and RTCP; nothing of ICE is repeated."""
    offer = parse_message(bytes_of("teams", "invite")).body
    caller = Leg(Side.CALLER, "caller", 1, local=Address("192.0.2.9", 4000))
    caller.security = Security.of(peer_settings("teams", "192.0.2.111", srtp=policy), TLS, lambda size: b"k" * size)
    negotiation.read(caller, offer)
    answer = SessionDescription.parse(negotiation.answer(caller))
    (media,) = answer.media
    assert media.protocol == "RTP/SAVP"
    assert media.formats == ("0", "101")
    assert len(media.attributes("crypto")) == 1
    assert media.attribute("rtcp-mux") is not None
    written = answer.serialize().decode()
    assert not any(word in written for word in ("ice-", "candidate", "ssrc", "AAAA"))
    remote = caller.remote_media()
    assert remote is not None
    assert remote.srtp is not None
    assert remote.rtcp_port == 49170


def test_rtp_9_teams_is_refused_where_keys_would_go_in_clear() -> None:
    """RTP-9: RTP/SAVP over UDP with `srtp = "required"`: never downgraded in silence."""
    udp = Flow("udp", HERE, Address("192.0.2.111", 5060))
    settings = peer_settings("teams", "192.0.2.111", srtp=Srtp.REQUIRED)
    with pytest.raises(PeerError) as refused:
        Security.of(settings, udp, lambda size: b"k" * size)
    assert refused.value.status == 488
