"""Whole calls to PBXs that say what they really say (tests/vectors/peers); the trunk is one of ours."""

from __future__ import annotations

import pytest

from callrec.recorder.extensions import FLAG_FAX
from callrec.sdp import SessionDescription, audio_of
from callrec.sip import events as sip
from callrec.sip.events import Address
from callrec.sip.message import Request
from tests.support.hall_house import sdp
from tests.support.recorded_house import HERE, connect_inside, finish, inside_house, is_held, states
from tests.support.recorded_peer import RecordedPeer, manifest, stacks
from tests.support.virtual_time import virtual

INSIDE = [stack for stack in stacks("answer") if manifest()["stacks"][stack]["side"] != "trunk"]
COLLEAGUE = Address("198.51.100.99", 5060)


@pytest.mark.parametrize("stack", INSIDE)
@virtual
async def test_each_pbx_rings_answers_and_hangs_up(stack: str) -> None:
    """NOT-2: recorded from its 200 on; its BYE ends both legs."""
    house, peer = inside_house(stack)
    await connect_inside(house, peer)
    assert not is_held(house)
    peer.ask("bye-back" if stack in stacks("bye-back") else "bye")
    assert (await peer.next("200")).cseq.method == "BYE"
    hung_up = await house.trunk.await_event(sip.HungUp)
    assert hung_up.leg
    row = await finish(house, "complete")
    assert [leg["codec"] for leg in row.change.legs] == ["PCMA", "PCMA"]


@pytest.mark.parametrize("stack", [stack for stack in INSIDE if stack in stacks("progress")])
@virtual
async def test_each_pbxs_early_media_is_heard_and_not_recorded(stack: str) -> None:
    """SIP-2: 183 with a session links the caller; the recording begins at the 200."""
    house, peer = inside_house(stack)
    house.dial()
    await house.trunk.await_event(sip.Answered)
    await peer.called()
    peer.respond("progress")
    await house.settle(2.0)
    assert house.media.legs[house.call.caller.id].peer == house.call.destination.id
    assert not house.media.recordings
    peer.respond("answer")
    await peer.next("ACK")
    await house.settle(2.0)
    assert house.media.recordings
    peer.end()
    await finish(house, "complete")


@pytest.mark.parametrize("stack", [stack for stack in INSIDE if stack in stacks("progress")])
@virtual
async def test_each_pbxs_early_media_passes_in_the_transparent_way(stack: str) -> None:
    """The caller gets 183 with our address in it, then the 200."""
    house, peer = inside_house(stack, rule="")
    house.dial()
    await peer.called()
    peer.respond("progress")
    progress = await house.trunk.await_event(sip.Progress)
    assert progress.response.status == 183
    assert "198.51.100." not in (progress.session or b"").decode()
    await house.settle(1.0)
    peer.respond("answer")
    await house.trunk.await_event(sip.Answered)
    await house.settle(2.0)
    peer.end()
    await finish(house, "no_capture_rule")


@pytest.mark.parametrize("stack", [stack for stack in INSIDE if stack in stacks("hold", "resume") and stack != "cucm"])
@virtual
async def test_not_20_hold_in_each_pbxs_own_form_stores_nothing_until_it_resumes(stack: str) -> None:
    """SIP-7: in the stream, at the session level, by direction or by address."""
    house, peer = inside_house(stack)
    await connect_inside(house, peer)
    for name, direction, held in (("hold", "a=recvonly", True), ("resume", "a=sendrecv", False)):
        peer.ask(name)
        asked = await house.trunk.await_event(sip.Reoffered)
        house.trunk.endpoint.accept_offer(asked.leg, sdp("8 101", direction), house.now)
        await peer.answered()
        await house.settle(3.0)
        assert is_held(house) == held
    peer.end()
    assert states(await finish(house, "complete")) == ["recorded", "hold", "recorded"]


@virtual
async def test_not_20_music_on_hold_of_unified_communications_manager_is_not_stored() -> None:
    """SIP-6, SIP-7: inactive at 0.0.0.0, then music by a re-INVITE without SDP, then back the same way."""
    house, peer = inside_house("cucm")
    await connect_inside(house, peer)
    peer.ask("hold")
    asked = await house.trunk.await_event(sip.Reoffered)
    house.trunk.endpoint.accept_offer(asked.leg, sdp("8 101", "a=inactive"), house.now)
    await peer.answered()
    for name, line, held in (("music", "a=sendrecv", True), ("resume", "a=sendrecv", False)):
        await house.settle(2.0)
        assert is_held(house)
        peer.ask(name)
        asked = await house.trunk.await_event(sip.Reoffered)
        house.trunk.endpoint.accept_offer(asked.leg, sdp("8 101", line), house.now)
        await peer.answered(f"{name}-ack")
        await house.settle(2.0)
        assert is_held(house) == held
    peer.ask("bye-back")
    assert states(await finish(house, "complete")) == ["recorded", "hold", "recorded"]


@pytest.mark.parametrize(
    ("stack", "instead"),
    [
        ("asterisk-chan-sip", ("", "")),
        ("asterisk-pjsip", ("", "")),
        pytest.param("asterisk-pjsip", ("o=- 7 3", "o=- 7 4"), id="asterisk-pjsip that counts on"),
    ],
)
@virtual
async def test_sip_10_each_pbxs_session_refresh_is_answered_without_change(
    stack: str, instead: tuple[str, str]
) -> None:
    """RFC 4028: the caller hears nothing of it, and storing goes on; PJSIP's version may grow without a change."""
    house, peer = inside_house(stack)
    await connect_inside(house, peer)
    peer.ask("refresh", instead=instead)
    await peer.answered()
    await house.settle(2.0)
    assert not [m for m in house.wire.sent_by(house.driver, "INVITE") if isinstance(m, Request) and m.to.tag]
    peer.end()
    assert states(await finish(house, "complete")) == ["recorded"]


@pytest.mark.parametrize("stack", [stack for stack in INSIDE if stack in stacks("refer")])
@virtual
async def test_sip_9_each_pbxs_transfer_is_carried_out(stack: str) -> None:
    """SIP-9: Refer-To with and without brackets, with Replaces of a dialog inside the PBX; NOTIFYs come to a 200."""
    house, peer = inside_house(stack)
    await connect_inside(house, peer)
    colleague = RecordedPeer(house.wire, "freepbx", HERE, at=COLLEAGUE)
    peer.ask("refer")
    assert (await peer.next("202")).cseq.method == "REFER"
    invite = await colleague.called()
    refer = house.wire.sent_at(peer.address, "REFER")[-1]
    assert invite.uri.user == "202"
    assert invite.headers.get("Referred-By") == refer.headers.get("Referred-By")
    asked = (refer.headers.get("Refer-To") or "").partition("?Replaces=")[2].rstrip(">")
    wanted = asked.replace("%3B", ";").replace("%3D", "=").replace("%40", "@")
    assert (invite.headers.get("Replaces") or "") == wanted
    colleague.respond("answer")
    await colleague.next("ACK")
    frags = []
    while not frags or "200" not in frags[-1]:
        frags.append((await peer.next("NOTIFY")).body.decode().split("\r\n")[0])
    assert frags[0] == "SIP/2.0 100 Trying"
    await peer.next("BYE")
    await house.settle(2.0)
    colleague.end()
    row = await finish(house, "complete")
    assert "transferred" in row.change.add_flags


@virtual
async def test_sip_9_a_transfer_in_the_pbxs_own_domain_goes_back_to_the_pbx() -> None:
    """An extension 101 of a domain that is no address of a peer: not out over the trunk, where 101 is the police."""
    house, peer = inside_house("3cx")
    await connect_inside(house, peer)
    peer.ask("refer-own-domain")
    await peer.next("202")
    invite = await peer.called()
    assert str(invite.uri) == f"sip:101@{peer.address.host}"
    peer.respond("answer")
    await peer.next("ACK")
    await house.settle(2.0)
    peer.end()
    row = await finish(house, "complete")
    assert "transferred" in row.change.add_flags
    assert not house.wire.sent_at(house.trunk.driver.address, "180"), "nobody outside was called"


@pytest.mark.parametrize("stack", stacks("moved"))
@virtual
async def test_sip_12_each_pbxs_302_leads_to_whom_it_names(stack: str) -> None:
    """SIP-12: the first Contact by q; what the 302 says of the reason goes on."""
    house, peer = inside_house(stack)
    house.dial()
    await house.trunk.await_event(sip.Answered)
    colleague = RecordedPeer(house.wire, "freepbx", HERE, at=COLLEAGUE)
    await peer.called()
    peer.respond("moved")
    invite = await colleague.called()
    assert invite.uri.user == "202"
    moved = house.wire.sent_at(peer.address, "302")[0]
    assert invite.headers.get_all("Diversion") == moved.headers.get_all("Diversion")
    colleague.refuse(invite, "486 Busy Here")
    await house.trunk.await_event(sip.HungUp)
    await finish(house, "busy")


@virtual
async def test_sip_15_a_subscription_to_keys_costs_unified_communications_manager_no_call() -> None:
    """RFC 4730: KPML is not spoken here; the refusal ends nothing, and keys go in RTP."""
    house, peer = inside_house("cucm")
    await connect_inside(house, peer)
    peer.ask("subscribe-kpml")
    assert (await peer.next("405")).cseq.method == "SUBSCRIBE"
    await house.settle(2.0)
    assert house.media.recordings
    peer.end()
    await finish(house, "complete")


@virtual
async def test_sip_8_the_connected_line_of_asterisk_is_answered() -> None:
    """SIP-8: an UPDATE that only names another party ends nothing."""
    house, peer = inside_house("asterisk-pjsip")
    await connect_inside(house, peer)
    peer.ask("connected-line")
    assert (await peer.next("200")).cseq.method == "UPDATE"
    peer.end()
    await finish(house, "complete")


@virtual
async def test_rtp_7_the_fax_re_invite_of_asterisk_falls_back_to_audio() -> None:
    """RTP-7: `m=audio 0` before the image is no audio."""
    house, peer = inside_house("asterisk-pjsip")
    await connect_inside(house, peer)
    peer.ask("fax")
    peer.ack_refusal(await peer.next("488"))
    await house.settle(2.0)
    peer.end()
    row = await finish(house, "complete")
    assert FLAG_FAX in row.change.add_flags


@virtual
async def test_the_display_update_of_freeswitch_passes_as_any_info() -> None:
    """RFC 6086: `message/update_display` without a body goes to the other party, which may refuse it."""
    house, peer = inside_house("freeswitch")
    await connect_inside(house, peer)
    peer.ask("info-display")
    asked = await house.trunk.await_event(sip.InDialogRequest)
    house.trunk.endpoint.respond(asked.token, 415, house.now)
    assert (await peer.next("415")).cseq.method == "INFO"
    peer.end()
    await finish(house, "complete")


@virtual
async def test_rtp_5_a_gateway_that_answers_with_another_number_for_digits_gets_them_under_that() -> None:
    """RFC 3264 5.1: MediaPack answers 96 to an offer of 101, and `pcma` in small letters."""
    house, peer = inside_house("audiocodes-mp")
    await connect_inside(house, peer)
    legs = house.media.legs
    outside, inside = legs[house.call.caller.id].remote, legs[house.call.destination.id].remote
    assert outside is not None
    assert inside is not None
    assert (outside.telephone_event, inside.telephone_event) == (101, 96)
    peer.ask("flash")
    asked = await house.trunk.await_event(sip.InDialogRequest)
    assert asked.request.headers.get("Content-Type") == "application/broadsoft"
    house.trunk.endpoint.respond(asked.token, 200, house.now)
    peer.ask("bye")
    await finish(house, "complete")


@virtual
async def test_fail_1_the_sos_of_an_ims_handset_goes_out_at_once() -> None:
    """FAIL-1: `urn:service:sos;phone-context=...`: no notice, no capture rule, no look-up."""
    house, peer = inside_house("ims-handset")
    peer.call("emergency")
    incoming = await house.trunk.await_event(sip.IncomingCall)
    assert not house.media.asked or all(asked[0] != "play" for asked in house.media.asked)
    assert str(incoming.request.to.uri).startswith("urn:service:sos")
    house.trunk.endpoint.answer(incoming.leg, sdp("8"), house.now)
    await peer.answered()
    peer.end()
    await finish(house, "emergency")


@virtual
async def test_a_telephone_calls_out_through_us_and_nothing_is_announced() -> None:
    """No capture rule: the offer passes with all its codecs, P-Preferred-Identity as it is, hold is passed on."""
    house, peer = inside_house("grandstream")
    theirs = peer.call()
    incoming = await house.trunk.await_event(sip.IncomingCall)
    offered = audio_of(SessionDescription.parse(incoming.offer))
    assert [codec.name for codec in offered.codecs][:2] == ["PCMU", "PCMA"]
    assert len(offered.codecs) == 7
    assert incoming.request.headers.get("Privacy") == theirs.headers.get("Privacy")
    house.trunk.endpoint.answer(incoming.leg, sdp("8 101"), house.now)
    await peer.answered()
    peer.ask("hold")
    asked = await house.trunk.await_event(sip.Reoffered)
    assert audio_of(SessionDescription.parse(asked.offer or b"")).held
    house.trunk.endpoint.accept_offer(asked.leg, sdp("8 101", "a=recvonly"), house.now)
    await peer.answered()
    peer.ask("bye")
    row = await finish(house, "no_capture_rule")
    assert row.new.identity.presentation_other == "202"
    assert row.new.identity.called_number == "+441632960999"
