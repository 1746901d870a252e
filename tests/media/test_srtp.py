"""SRTP on a leg: what is on the wire, what is heard, stored and refused, and what a lost worker costs (RTP-9)."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pylibsrtp
import pytest

from callrec.identifiers import new_id
from callrec.media import KeysLost, MediaKeys, Sealed
from callrec.rtp import RtpPacket
from callrec.sdp import KEY_LENGTHS
from callrec.vault.recording_format import Direction
from tests.media.support import Bridge, Hall, Party, files_in, open_party, part_source, read_back, remote_of

SHA1_80 = "AES_CM_128_HMAC_SHA1_80"
PROFILES = {
    SHA1_80: pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_128_GCM": pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AEAD_AES_256_GCM": pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}


class SecureParty(Party):
    """A telephone that speaks SRTP."""

    def __init__(self, suite: str = SHA1_80) -> None:
        super().__init__()
        self.suite = suite
        self.own, self.ours = (os.urandom(KEY_LENGTHS[suite]) for _ in range(2))
        self._sealing = self._session(self.own, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
        self.learn(self.ours)

    def _session(self, key: bytes, kind: int) -> Any:
        return pylibsrtp.Session(pylibsrtp.Policy(key=key, ssrc_type=kind, srtp_profile=PROFILES[self.suite]))

    def learn(self, key: bytes) -> None:
        """Take the key that callrec sends with."""
        self.ours = key
        self._opening = self._session(key, pylibsrtp.Policy.SSRC_ANY_INBOUND)

    @property
    def keys(self) -> MediaKeys:
        """Return the keys as callrec is told them."""
        return MediaKeys(self.suite, self.own, self.ours)

    def send(self, packet: RtpPacket) -> None:
        self.sent.append(packet)
        self.send_raw(self._sealing.protect(packet.serialize()))

    async def hear(self, limit_s: float = 10.0) -> RtpPacket:
        """Return the next packet, which must be sealed with the key that callrec sends with."""
        data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.socket, 65536), limit_s)
        return RtpPacket.parse(self._opening.unprotect(data))


async def half_secure(hall: Hall, party: SecureParty) -> Bridge:
    """Return a call with SRTP on its first leg and RTP in clear on the other."""
    call, callee = new_id(), Party()
    a = await open_party(hall, call, f"{call}/a", party, srtp=party.keys)
    b = await open_party(hall, call, f"{call}/b", callee)
    hall.service.link(a, b)
    await hall.settled()
    return Bridge(hall, call, party, callee, a, b)


@pytest.mark.parametrize("suite", PROFILES)
async def test_one_leg_is_secure_and_the_other_is_not(hall: Hall, suite: str) -> None:
    """Each suite of RFC 4568 and RFC 7714 that is offered: the voice is the same on both legs, both ways."""
    call = await half_secure(hall, SecureParty(suite))
    for speaker, listener in ((call.caller, call.callee), (call.callee, call.caller)):
        said = [speaker.speak() for _ in range(80)]
        heard = [await listener.hear() for _ in range(80)]
        assert [packet.payload for packet in heard] == [packet.payload for packet in said]
    call.close()


async def test_both_legs_have_keys_of_their_own(hall: Hall) -> None:
    """Two parties with SRTP, each by another suite."""
    call, caller, callee = new_id(), SecureParty(), SecureParty("AEAD_AES_256_GCM")
    a = await open_party(hall, call, "a", caller, srtp=caller.keys)
    b = await open_party(hall, call, "b", callee, srtp=callee.keys)
    hall.service.link(a, b)
    await hall.settled()
    bridge = Bridge(hall, call, caller, callee, a, b)
    await bridge.say(caller, 10)
    await bridge.say(callee, 10)
    bridge.close()


async def test_what_is_not_sealed_with_the_key_is_not_heard(hall: Hall) -> None:
    """Plain RTP, a foreign key and a packet sent twice are dropped: nothing of them goes on or latches."""
    party, foreign = SecureParty(), SecureParty()
    call = await half_secure(hall, party)
    sealed = party._sealing.protect(party.packet(b"x" * 160).serialize())
    foreign.target = party.target
    for datagram in (party.packet(b"y" * 160).serialize(), b"\x80", sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:20]):
        party.send_raw(datagram)
    foreign.speak()
    await hall.settled()
    assert call.callee.heard() == []
    party.send_raw(sealed)
    assert (await call.callee.hear()).payload == b"x" * 160
    party.send_raw(sealed)
    await call.say(party)
    assert call.callee.heard() == []
    foreign.close()
    call.close()


async def test_the_recording_holds_what_was_said(hall: Hall, tmp_path: Path) -> None:
    """The RTP in clear is kept, under callrec's own encryption; no key of SRTP is in any file."""
    party = SecureParty()
    call = await half_secure(hall, party)
    await call.latch()
    source, key = part_source(tmp_path)
    hall.service.record(call.call, outside=call.a, ours=call.b, parts=source)
    await hall.settled()
    said = [party.speak() for _ in range(20)]
    for _ in said:
        await call.callee.hear()
    hall.service.seal(call.call)
    event = await hall.event(Sealed)
    taped = read_back([Path(part.path) for part in event.parts], key, source.recording_id)
    kept = [RtpPacket.parse(packet).payload for packet in taped.packets[Direction.OUTSIDE]]
    assert kept == [packet.payload for packet in said]
    stored = b"".join(path.read_bytes() for path in files_in(tmp_path))
    assert party.own not in stored
    assert party.ours not in stored
    call.close()


async def test_a_new_key_in_mid_call_takes_over(hall: Hall) -> None:
    """A re-INVITE with other keys: from then on these are spoken, and a key that stays goes on where it was."""
    party = SecureParty()
    call = await half_secure(hall, party)
    await call.latch()
    party.learn(os.urandom(30))
    hall.service.set_remote(call.a, remote_of(party, srtp=party.keys))
    await hall.settled()
    await call.say(party, 5)
    await call.say(call.callee, 5)
    call.close()


async def test_a_lost_worker_costs_the_key(hall: Hall) -> None:
    """Nothing is sent with the old key again, nor under the old SSRC; with the next key both hear each other."""
    party = SecureParty()
    call = await half_secure(hall, party)
    call.callee.speak()
    before = (await party.hear()).ssrc
    await call.say(party)
    os.kill(hall.worker_pid, signal.SIGKILL)
    lost = await hall.event(KeysLost)
    assert (lost.call_id, lost.leg) == (call.call, call.a)
    await hall.settled()
    await call.say(party)  # the key of the far side is still good
    call.callee.speak()
    await hall.settled()
    assert party.heard() == []
    party.learn(os.urandom(30))
    hall.service.set_remote(call.a, remote_of(party, srtp=party.keys))
    await hall.settled()
    call.callee.speak()
    assert (await party.hear()).ssrc != before
    call.close()


def test_keys_are_not_shown() -> None:
    """Neither repr nor a log holds a key."""
    keys = MediaKeys(SHA1_80, b"k" * 30, b"s" * 30)
    assert "kkk" not in repr(keys)
    assert "sss" not in repr(remote_of(Party(), srtp=keys))
