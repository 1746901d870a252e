"""The crypto attribute of RFC 4568: what is read, what is left out, and that no key is passed on or shown (RTP-9)."""

from __future__ import annotations

import base64

import pytest

from callrec.errors import PeerError
from callrec.sdp import Crypto, Protection, SessionDescription, audio_of, offer_of, protected
from callrec.sdp.audio import PLAIN_PROTOCOLS, Codec
from callrec.sdp.crypto import SECURE_PROTOCOLS
from callrec.sdp.relaying import relay

KEY = bytes(range(30))
INLINE = base64.b64encode(KEY).decode()
PCMA = Codec("PCMA", 8, 8000)
BOTH = PLAIN_PROTOCOLS | SECURE_PROTOCOLS


def description(*crypto: str, protocol: str = "RTP/SAVP") -> SessionDescription:
    lines = "".join(f"a=crypto:{line}\r\n" for line in crypto)
    text = (
        f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 {protocol} 8\r\n{lines}"
    )
    return SessionDescription.parse(text.encode())


@pytest.mark.parametrize(
    "line",
    [
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{INLINE}",
        f"1 aes_cm_128_hmac_sha1_80 inline:{INLINE}|2^20",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{INLINE}|1048576",
        f"1   AES_CM_128_HMAC_SHA1_80  inline:{INLINE} WSH=64",
    ],
)
def test_a_key_is_read(line: str) -> None:
    """RFC 4568 9.2: tag, suite, key, perhaps a lifetime and a hint."""
    (crypto,) = audio_of(description(line), BOTH).crypto
    assert crypto == Crypto(1, "AES_CM_128_HMAC_SHA1_80", KEY)


@pytest.mark.parametrize(
    "line",
    [
        f"1 F8_128_HMAC_SHA1_80 inline:{INLINE}",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{INLINE}|2^20|1:4",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{INLINE};inline:{INLINE}",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{INLINE} UNENCRYPTED_SRTP",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{INLINE} KDR=24",
        "1 AES_CM_128_HMAC_SHA1_80 inline:AAAA",
        f"1 AEAD_AES_256_GCM inline:{INLINE}",
        "1 AES_CM_128_HMAC_SHA1_80 inline:=",
        "1",
        "",
    ],
)
def test_what_we_could_not_keep_to_is_left_out(line: str) -> None:
    """An unknown suite, an MKI, two keys, no encryption, a key of the wrong length: as if the line were not there."""
    assert audio_of(description(line, protocol="RTP/AVP"), BOTH).crypto == ()
    with pytest.raises(PeerError, match="without a key") as raised:
        audio_of(description(line), BOTH)
    assert raised.value.status == 488


def test_the_order_of_the_offer_counts() -> None:
    """The first line that is understood is the one that is taken."""
    long = base64.b64encode(bytes(44)).decode()
    lines = (f"7 F8_128_HMAC_SHA1_80 inline:{INLINE}", f"2 AEAD_AES_256_GCM inline:{long}")
    found = audio_of(description(*lines, f"1 AES_CM_128_HMAC_SHA1_32 inline:{INLINE}"), BOTH).crypto
    assert [(each.tag, each.suite) for each in found] == [(2, "AEAD_AES_256_GCM"), (1, "AES_CM_128_HMAC_SHA1_32")]


def test_a_plain_stream_does_not_do_where_keys_are_needed() -> None:
    """`required`: RTP/AVP with a key does, RTP/AVP without one does not."""
    assert audio_of(description(f"1 AES_CM_128_HMAC_SHA1_80 inline:{INLINE}", protocol="RTP/AVP"), BOTH, keyed=True)
    with pytest.raises(PeerError, match="without a key"):
        audio_of(description(protocol="RTP/AVP"), BOTH, keyed=True)


def test_a_key_is_never_passed_on() -> None:
    """The other party's description has our keys, or none."""
    offer = description(f"1 AES_CM_128_HMAC_SHA1_80 inline:{INLINE}")
    audio = audio_of(offer, BOTH)
    passed = relay(offer, ("192.0.2.1", 5000), session_id=1, version=1, audio=audio)
    plain = protected(passed, Protection()).serialize()
    assert b"crypto" not in plain
    assert b"m=audio 5000 RTP/AVP 8" in plain
    ours = Crypto(1, "AES_CM_128_HMAC_SHA1_80", bytes(30))
    secure = protected(passed, Protection("RTP/SAVP", (ours,)))
    assert audio_of(secure, BOTH).crypto == (ours,)
    assert INLINE.encode() not in secure.serialize()


def test_our_offer_is_read_back() -> None:
    """What we write is what RFC 4568 says."""
    ours = Crypto(3, "AES_CM_128_HMAC_SHA1_32", KEY)
    offer = protected(offer_of([PCMA], None, ("::1", 4000), session_id=1, version=1), Protection("RTP/SAVP", (ours,)))
    assert f"a=crypto:3 AES_CM_128_HMAC_SHA1_32 inline:{INLINE}\r\n".encode() in offer.serialize()


def test_a_key_is_not_shown() -> None:
    """By repr, which logs and tracebacks use."""
    crypto = Crypto(1, "AES_CM_128_HMAC_SHA1_80", KEY)
    audio = audio_of(description(str(crypto)), BOTH)
    assert repr(KEY)[2:-1] not in f"{crypto!r} {audio!r} {Protection('RTP/SAVP', (crypto,))!r}"
